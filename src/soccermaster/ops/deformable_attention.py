"""Multi-scale deformable attention in plain PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor


def deformable_attention(
    values: Float[Tensor, "b n heads c"],
    grids: Sequence[tuple[int, int]],
    locations: Float[Tensor, "b q heads levels points 2"],
    weights: Float[Tensor, "b q heads levels points"],
) -> Float[Tensor, "b q heads*c"]:
    """Weighted bilinear samples of the value maps.

    Args:
        values: the value tokens of all levels, one level after the other, row-major.
        grids: (h, w) of each level; n is the sum of h * w.
        locations: (x, y) in fractions of the map; outside of it the value is 0.
        weights: attention weights, summing to 1 over levels and points.

    Source: Zhu et al., Deformable DETR, ICLR 2021, equation 3.
    """
    batch, _, heads, _ = values.shape
    levels = values.split([h * w for h, w in grids], dim=1)
    sampled = []
    for level, ((h, w), tokens) in enumerate(zip(grids, levels, strict=True)):
        maps = rearrange(tokens, "b (h w) heads c -> (b heads) c h w", h=h, w=w)
        points = rearrange(locations[:, :, :, level], "b q heads p xy -> (b heads) q p xy")
        sampled.append(
            F.grid_sample(maps, 2 * points - 1, padding_mode="zeros", align_corners=False)
        )  # (b*heads, c, q, points)
    stacked = torch.stack(sampled, dim=-2)  # (b*heads, c, q, levels, points)
    attention = rearrange(weights, "b q heads l p -> (b heads) 1 q l p")
    mixed = (stacked * attention).sum((-2, -1))  # (b*heads, c, q)
    return rearrange(mixed, "(b heads) c q -> b q (heads c)", b=batch, heads=heads)
