"""From features to dense maps: from the patches alone, or from the encoder's pyramid."""

from __future__ import annotations

from collections.abc import Sequence

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from soccermaster.models.norm import BatchNorm2d
from soccermaster.structures import Features


class PixelShuffleUpsampler(nn.Module):
    """Stages that each double the resolution: (b, D, h, w) -> (b, out_channels, s*h, s*w).

    A stage is conv, PixelShuffle, norm, ReLU, conv, norm, ReLU; a last convolution gives logits.

    Args:
        embed_dim: D of the patch features.
        out_channels: channels of the maps.
        channels: width of each stage after the shuffle; the paper has three, so s = 8.

    Source: the heatmap heads of SoccerMaster (CVPR 2026); PixelShuffle: Shi et al., CVPR 2016.
    """

    def __init__(
        self, embed_dim: int, out_channels: int, channels: Sequence[int] = (192, 96, 48)
    ) -> None:
        super().__init__()
        stages = []
        width = embed_dim
        for i, stage_width in enumerate(channels):
            out = out_channels if i == len(channels) - 1 else stage_width
            stages.append(
                nn.Sequential(
                    nn.Conv2d(width, 4 * stage_width, 3, padding=1),
                    nn.PixelShuffle(2),
                    BatchNorm2d(stage_width),
                    nn.ReLU(inplace=True),
                    nn.Conv2d(stage_width, out, 3, padding=1),
                    BatchNorm2d(out),
                    nn.ReLU(inplace=True),
                )
            )
            width = out
        self.stages = nn.ModuleList(stages)
        self.logits = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, features: Float[Tensor, "b D h w"]) -> Float[Tensor, "b C sh sw"]:
        """Logits of the dense maps."""
        for stage in self.stages:
            features = stage(features)
        return self.logits(features)

    def of_clips(self, features: Features) -> Float[Tensor, "B T C sh sw"]:
        """Logits of every frame of some clips, from their patches."""
        h, w = features.grid
        maps = self(rearrange(features.patches, "B T (h w) D -> (B T) D h w", h=h, w=w))
        return rearrange(maps, "(B T) C h w -> B T C h w", B=len(features.patches))


class PyramidHead(nn.Module):
    """Conv, norm, ReLU, 1x1 conv on one map of the encoder's pyramid.

    Args:
        in_channels: of that map.
        out_channels: channels of the maps.
        level: which map; the last is the finest.
    """

    def __init__(self, in_channels: int, out_channels: int, level: int = -1) -> None:
        super().__init__()
        self.level = level
        self.hidden = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 3, padding=1, bias=False),
            BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
        )
        self.logits = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, features: Float[Tensor, "b D h w"]) -> Float[Tensor, "b C h w"]:
        """Logits of the dense maps."""
        return self.logits(self.hidden(features))

    def of_clips(self, features: Features) -> Float[Tensor, "B T C h w"]:
        """Logits of every frame of some clips, from their pyramid."""
        chosen = features.pyramid[self.level]
        maps = self(rearrange(chosen, "B T D h w -> (B T) D h w"))
        return rearrange(maps, "(B T) C h w -> B T C h w", B=len(chosen))


def dense_head(
    embed_dim: int, out_channels: int, channels: Sequence[int], pyramid_channels: int | None
) -> PixelShuffleUpsampler | PyramidHead:
    """The head of the published shape, or the one on a pyramid of so many channels."""
    if pyramid_channels is None:
        return PixelShuffleUpsampler(embed_dim, out_channels, channels)
    return PyramidHead(pyramid_channels, out_channels)
