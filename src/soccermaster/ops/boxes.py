"""Boxes: conversions and overlaps. Batched, differentiable, any unit."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def cxcywh_to_xyxy(boxes: Float[Tensor, "... 4"]) -> Float[Tensor, "... 4"]:
    """Centre and size to corners."""
    centre, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1)


def xyxy_to_cxcywh(boxes: Float[Tensor, "... 4"]) -> Float[Tensor, "... 4"]:
    """Corners to centre and size."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def box_iou(
    a: Float[Tensor, "*b n 4"], b: Float[Tensor, "*b m 4"], eps: float = 1e-9
) -> Float[Tensor, "*b n m"]:
    """Intersection over union of every box of `a` with every box of `b` (both xyxy).

    Boxes without area have IoU 0 with everything.
    """
    iou, _, _ = _overlap(a.unsqueeze(-2), b.unsqueeze(-3), eps)
    return iou


def generalized_box_iou(
    a: Float[Tensor, "... 4"], b: Float[Tensor, "... 4"], eps: float = 1e-9
) -> Float[Tensor, "..."]:
    """Generalised IoU of boxes pair by pair (both xyxy, broadcast against each other), in [-1, 1].

    Source: Rezatofighi et al., Generalized Intersection over Union, CVPR 2019.
    """
    iou, union, _ = _overlap(a, b, eps)
    low = torch.minimum(a[..., :2], b[..., :2])
    high = torch.maximum(a[..., 2:], b[..., 2:])
    hull = (high - low).clamp(min=0).prod(-1)
    return iou - (hull - union) / (hull + eps)


def _overlap(
    a: Float[Tensor, "... 4"], b: Float[Tensor, "... 4"], eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., 2:], b[..., 2:])
    intersection = (high - low).clamp(min=0).prod(-1)
    area_a = (a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1)
    area_b = (b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1)
    union = area_a + area_b - intersection
    return intersection / (union + eps), union, intersection
