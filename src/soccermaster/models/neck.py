"""From the tokens back to fine maps, with what the stem saw on the way down."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from soccermaster.models.norm import BatchNorm2d


class TopDownNeck(nn.Module):
    """Tokens (b, D, h, w) and the maps of a stem -> maps of twice, four times, ... the resolution.

    Each stage: conv, PixelShuffle, plus the stem's map of that resolution through a 1x1 conv, norm,
    ReLU, conv, norm, ReLU. Edges need not pass through the tokens, and heads share the way up.

    Args:
        embed_dim: D.
        channels: width of each stage, coarse to fine.
        stem_channels: widths of the stem's maps, coarse to fine; at least as many.

    Source: Lin et al., Feature Pyramid Networks, CVPR 2017; Ronneberger et al., U-Net, MICCAI 2015.
    """

    def __init__(
        self, embed_dim: int, channels: Sequence[int], stem_channels: Sequence[int]
    ) -> None:
        super().__init__()
        if len(channels) > len(stem_channels):
            raise ValueError(
                f"expected at most {len(stem_channels)} stages (the stem has that many finer "
                f"maps), got {len(channels)}"
            )
        widths = [embed_dim, *channels]
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, 4 * width, 3, padding=1), nn.PixelShuffle(2))
            for before, width in zip(widths, channels, strict=False)
        )
        self.lateral = nn.ModuleList(
            nn.Conv2d(skip, width, 1) for skip, width in zip(stem_channels, channels, strict=False)
        )
        self.norm = nn.ModuleList(BatchNorm2d(width) for width in channels)
        self.smooth = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                BatchNorm2d(width),
                nn.ReLU(inplace=True),
            )
            for width in channels
        )

    def forward(
        self, tokens: Float[Tensor, "b D h w"], stem_maps: Sequence[Tensor]
    ) -> list[Tensor]:
        """Maps (b, channels[i], 2^(i+1) h, 2^(i+1) w), coarse to fine."""
        maps = []
        x = tokens
        for up, lateral, norm, smooth, skip in zip(
            self.up, self.lateral, self.norm, self.smooth, stem_maps, strict=False
        ):
            x = smooth(F.relu(norm(up(x) + lateral(skip))))
            maps.append(x)
        return maps
