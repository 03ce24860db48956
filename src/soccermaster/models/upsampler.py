"""From patch features to dense maps at several times their resolution."""

from __future__ import annotations

from collections.abc import Sequence

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from soccermaster.structures import Features


class PixelShuffleUpsampler(nn.Module):
    """Stages that each double the resolution: (b, D, h, w) -> (b, out_channels, s*h, s*w).

    A stage is conv, PixelShuffle, norm, ReLU, conv, norm, ReLU; a last convolution gives logits.

    Args:
        embed_dim: D of the patch features.
        out_channels: channels of the maps.
        channels: width of each stage after the shuffle; the paper has three, so s = 8.
        skips: widths of the maps of the encoder's pyramid that are added after the shuffle of each
            stage, coarse to fine; none in the paper. With them edges need not pass through the
            tokens, and places are exact much sooner.

    Source: the heatmap heads of SoccerMaster (CVPR 2026); PixelShuffle: Shi et al., CVPR 2016;
    skips: Ronneberger et al., U-Net, MICCAI 2015.
    """

    def __init__(
        self,
        embed_dim: int,
        out_channels: int,
        channels: Sequence[int] = (192, 96, 48),
        skips: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if skips and len(skips) != len(channels):
            raise ValueError(
                f"expected one skip per stage ({len(channels)}) or none, got {len(skips)}"
            )
        stages = []
        width = embed_dim
        for i, stage_width in enumerate(channels):
            out = out_channels if i == len(channels) - 1 else stage_width
            stages.append(
                nn.Sequential(
                    nn.Conv2d(width, 4 * stage_width, 3, padding=1),
                    nn.PixelShuffle(2),
                    nn.BatchNorm2d(stage_width),
                    nn.ReLU(inplace=True),
                    nn.Conv2d(stage_width, out, 3, padding=1),
                    nn.BatchNorm2d(out),
                    nn.ReLU(inplace=True),
                )
            )
            width = out
        self.stages = nn.ModuleList(stages)
        self.laterals = nn.ModuleList(
            nn.Conv2d(skip, width, 1) for skip, width in zip(skips, channels, strict=bool(skips))
        )
        self.logits = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(
        self,
        features: Float[Tensor, "b D h w"],
        pyramid: Sequence[Float[Tensor, "b C rows columns"]] = (),
    ) -> Float[Tensor, "b C sh sw"]:
        """Logits of the dense maps; `pyramid` holds the maps of the skips, coarse to fine."""
        for i, stage in enumerate(self.stages):
            convolve_and_shuffle, rest = stage[:2], stage[2:]
            features = convolve_and_shuffle(features)
            if self.laterals:
                features = features + self.laterals[i](pyramid[i])
            features = rest(features)
        return self.logits(features)

    def of_clips(self, features: Features) -> Float[Tensor, "B T C sh sw"]:
        """Logits of every frame of some clips, from what the encoder gave."""
        h, w = features.grid
        patches = rearrange(features.patches, "B T (h w) D -> (B T) D h w", h=h, w=w)
        used = (features.pyramid or ())[: len(self.laterals)]
        maps = self(patches, [rearrange(m, "B T C h w -> (B T) C h w") for m in used])
        return rearrange(maps, "(B T) C h w -> B T C h w", B=len(features.patches))
