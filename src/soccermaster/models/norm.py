"""Batch normalisation over the clips of all processes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soccermaster.ops.distributed import gather_rows, num_processes


class BatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` whose statistics in training are those of the joined batch.

    The frames of one process come from one or two clips and look alike. Works on any device, unlike
    `nn.SyncBatchNorm`, and is the plain layer in one process and in evaluation.
    """

    def forward(self, x: Float[Tensor, "b C h w"]) -> Float[Tensor, "b C h w"]:
        """Normalise every channel."""
        if not self.training or num_processes() == 1:
            return super().forward(x)
        values = x if x.dtype == torch.float64 else x.float()
        variance, mean = torch.var_mean(values, (0, 2, 3), correction=0)
        count = mean.new_full((1,), x.numel() / x.shape[1])
        rows = gather_rows(torch.cat([mean, variance, count])[None])
        means, variances = rows[:, : self.num_features], rows[:, self.num_features : -1]
        share = rows[:, -1:].detach() / rows[:, -1].detach().sum()
        mean = (share * means).sum(0)
        variance = (share * (variances + (means - mean) ** 2)).sum(0)
        with torch.no_grad():
            total = rows[:, -1].sum()
            unbiased = variance * (total / (total - 1))
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
        scale = torch.rsqrt(variance + self.eps)
        centred = values - mean[:, None, None]
        if not self.affine:
            return (centred * scale[:, None, None]).to(x.dtype)
        scale = self.weight * scale
        return torch.addcmul(self.bias[:, None, None], centred, scale[:, None, None]).to(x.dtype)
