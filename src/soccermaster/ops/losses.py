"""Losses on tensors. Each says what is averaged over what; none knows a task or its weight.

What is averaged is counted over all training processes, see `ops.distributed.mean_count`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from soccermaster.ops.distributed import mean_count


def sigmoid_focal_loss(
    logits: Float[Tensor, "*b"],
    targets: Float[Tensor, "*b"],
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> Float[Tensor, "*b"]:
    """Focal loss per element, not reduced.

    Source: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017.
    """
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    probability = logits.sigmoid()
    right = probability * targets + (1 - probability) * (1 - targets)
    balance = alpha * targets + (1 - alpha) * (1 - targets)
    return balance * (1 - right) ** gamma * cross_entropy


def heatmap_mse(
    predicted: Float[Tensor, "*b C h w"],
    targets: Float[Tensor, "*b C h w"],
    valid: Bool[Tensor, "*b C"],
) -> Float[Tensor, ""]:
    """Squared error, averaged over the pixels of the valid channels; 0 (attached) without any."""
    pixels = predicted.shape[-2] * predicted.shape[-1]
    return heatmap_squared_error(predicted, targets, valid) / pixels


def heatmap_squared_error(
    predicted: Float[Tensor, "*b C h w"],
    targets: Float[Tensor, "*b C h w"],
    valid: Bool[Tensor, "*b C"],
) -> Float[Tensor, ""]:
    """Squared error, summed over pixels and averaged over the valid channels; 0 without any."""
    summed = ((predicted - targets) ** 2).sum((-2, -1))  # (*b, C)
    weight = valid.to(summed.dtype)
    return (summed * weight).sum() / mean_count(weight.sum())


def heatmap_focal(
    probabilities: Float[Tensor, "*b C h w"],
    targets: Float[Tensor, "*b C h w"],
    valid: Bool[Tensor, "*b C"],
    gamma: float = 2.0,
) -> Float[Tensor, ""]:
    """Cross-entropy weighted by |target - probability|^gamma, for continuous targets.

    Summed over the pixels of the valid channels and divided by the number of valid channels that
    show something (at least 1), so that few peaks do not drown in much background. The weight is
    a constant in the backward pass.
    Source: Li et al., Generalized Focal Loss, NeurIPS 2020 (quality focal loss), applied per pixel.
    """
    targets = targets.clone()  # kept for the backward pass; the caller may draw on its own again
    with torch.autocast(probabilities.device.type, enabled=False):
        p = probabilities.float()
        cross_entropy = F.binary_cross_entropy(p, targets, reduction="none")
        weight = (targets - p.detach()).abs() ** gamma
        loss = (weight * cross_entropy).sum((-2, -1))  # (*b, C)
    shown = valid & (targets.amax((-2, -1)) > 0.5)
    return (loss * valid).sum() / mean_count(shown.sum())


def heatmap_loss(name: str) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The heatmap loss of that name: "mse" or "focal".

    Raises:
        ValueError: there is none.
    """
    losses = {"mse": heatmap_mse, "focal": heatmap_focal}
    if name not in losses:
        raise ValueError(f"expected a heatmap loss among {sorted(losses)}, got '{name}'")
    return losses[name]


def masked_cross_entropy(
    logits: Float[Tensor, "n C"], targets: Tensor, known: Bool[Tensor, " n"]
) -> Float[Tensor, ""]:
    """Softmax cross-entropy averaged over the rows whose target is known; 0 (attached) if none."""
    safe = torch.where(known, targets, 0)
    losses = F.cross_entropy(logits, safe, reduction="none") if len(logits) else logits.sum(-1)
    return (losses * known).sum() / mean_count(known.sum())


def pairwise_sigmoid_loss(
    logits: Float[Tensor, "n m"], positive: Bool[Tensor, "n m"]
) -> Float[Tensor, ""]:
    """Every pair is a yes/no question; summed over the columns, averaged over the rows.

    Source: Zhai et al., Sigmoid Loss for Language Image Pre-Training, ICCV 2023.
    """
    sign = torch.where(positive, 1.0, -1.0).to(logits.dtype)
    return -F.logsigmoid(sign * logits).sum() / max(1, len(logits))


def pairwise_softmax_loss(
    logits: Float[Tensor, "n n"], positive: Bool[Tensor, "n n"]
) -> Float[Tensor, ""]:
    """Each row picks one of its positives among all columns, and each column among all rows.

    Cross-entropy of the summed probability of the positives, averaged over both directions.
    Source: Radford et al., CLIP, ICML 2021, with several positives.
    """
    if not len(logits):
        return logits.sum()
    right = logits.masked_fill(~positive, -torch.inf)
    rows = logits.logsumexp(1) - right.logsumexp(1)
    columns = logits.logsumexp(0) - right.logsumexp(0)
    return (rows.mean() + columns.mean()) / 2
