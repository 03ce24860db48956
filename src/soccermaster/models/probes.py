"""Small heads that ask what is in features, without adding much of their own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from soccermaster.models.layers import attend


class LinearProbe(nn.Module):
    """Means over the cells of a coarse grid -> one linear layer: (b, N, D) -> (b, out_dim).

    The means are standardised first (batch normalisation without weights), so that one learning
    rate suits any encoder.

    Args:
        embed_dim: D.
        out_dim: numbers to predict.
        cells: (rows, columns) of the grid; (1, 1) is the mean over the frame.

    Source: He et al., Masked Autoencoders, CVPR 2022, appendix, for the normalisation.
    """

    def __init__(self, embed_dim: int, out_dim: int, cells: tuple[int, int] = (3, 4)) -> None:
        super().__init__()
        self.cells = (int(cells[0]), int(cells[1]))
        width = self.cells[0] * self.cells[1] * embed_dim
        self.norm = nn.BatchNorm1d(width, affine=False)
        self.out = nn.Linear(width, out_dim)

    def forward(
        self, patches: Float[Tensor, "b N D"], grid: tuple[int, int]
    ) -> Float[Tensor, "b out_dim"]:
        """Read the patches, which lie row by row on `grid` (h, w)."""
        maps = rearrange(patches, "b (h w) D -> b D h w", h=grid[0])
        return self.out(self.norm(F.adaptive_avg_pool2d(maps, self.cells).flatten(1)))


class AttentiveProbe(nn.Module):
    """Learned queries attend to the patches, a small MLP reads what they find.

    (b, N, D) -> (b, out_dim). A learned map, stretched over the grid, says where a patch lies.

    Args:
        embed_dim: D.
        out_dim: numbers to predict.
        num_queries: vectors that attend.
        num_heads: of the attention.
        places: (rows, columns) of that map.

    Source: Bardes et al., V-JEPA (attentive probing), TMLR 2024; the MLP is ours.
    """

    def __init__(
        self,
        embed_dim: int,
        out_dim: int,
        num_queries: int = 4,
        num_heads: int = 4,
        places: tuple[int, int] = (9, 16),
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(embed_dim)
        self.places = nn.Parameter(torch.zeros(1, embed_dim, *places))
        self.queries = nn.Parameter(torch.randn(num_queries, embed_dim) * 0.02)
        self.key_value = nn.Linear(embed_dim, 2 * embed_dim)
        self.read = nn.Sequential(
            nn.LayerNorm(num_queries * embed_dim),
            nn.Linear(num_queries * embed_dim, embed_dim),
            nn.GELU(),
            nn.Linear(embed_dim, out_dim),
        )

    def forward(
        self, patches: Float[Tensor, "b N D"], grid: tuple[int, int]
    ) -> Float[Tensor, "b out_dim"]:
        """Read the patches, which lie row by row on `grid` (h, w)."""
        places = F.interpolate(self.places, size=grid, mode="bilinear", align_corners=False)
        tokens = self.norm(patches) + rearrange(places, "1 D h w -> (h w) D")
        k, v = rearrange(
            self.key_value(tokens),
            "b n (two heads c) -> two b heads n c",
            two=2,
            heads=self.num_heads,
        )
        q = rearrange(self.queries, "q (heads c) -> heads q c", heads=self.num_heads)
        found = attend(q.to(k.dtype).expand(len(k), -1, -1, -1), k, v)
        return self.read(rearrange(found, "b heads q c -> b (q heads c)"))
