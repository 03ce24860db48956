"""HRNet: parallel branches at 1/4, 1/8, 1/16 and 1/32 of the image that exchange what they know.

Tensor names are those of the published implementations, so that trained files load without a table.

Source: Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition" (2019),
sections 3.1 to 3.3. HRNet-W32 has `width=32`, HRNet-W48 has `width=48`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Interpolation = Literal["nearest", "bilinear"]

_STEM = 64
_FIRST_PLANES = 64  # the bottlenecks of the first stage


class HRNet(nn.Module):
    """The stem and the four stages; maps at every resolution come out.

    Args:
        width: channels of the branch at 1/4 of the image; each coarser one has twice as many.
        modules: exchange units in the stages two, three and four.
        blocks: residual blocks per branch of a unit, and bottlenecks of the first stage.
        interpolation: how coarse maps are enlarged in an exchange unit.
    """

    def __init__(
        self,
        width: int,
        modules: tuple[int, int, int] = (1, 4, 3),
        blocks: int = 4,
        interpolation: Interpolation = "bilinear",
    ) -> None:
        super().__init__()
        self.channels = tuple(width * 2**i for i in range(4))
        self.conv1 = nn.Conv2d(3, _STEM, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM)
        self.conv2 = nn.Conv2d(_STEM, _STEM, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(_STEM)
        inputs = [_STEM, *[_FIRST_PLANES * Bottleneck.expansion] * (blocks - 1)]
        self.layer1 = nn.Sequential(*(Bottleneck(n, _FIRST_PLANES) for n in inputs))
        before: Sequence[int] = (_FIRST_PLANES * Bottleneck.expansion,)
        for stage, count in enumerate(modules, start=2):
            after = self.channels[:stage]
            self.add_module(f"transition{stage - 1}", _transition(before, after))
            units = (ExchangeUnit(after, blocks, interpolation) for _ in range(count))
            self.add_module(f"stage{stage}", nn.Sequential(*units))
            before = after

    def forward(
        self, images: Float[Tensor, "B 3 H W"]
    ) -> tuple[Float[Tensor, "B 64 rows columns"], list[Tensor]]:
        """The map after the first convolution (1/2 of the image), and one per branch, fine first.

        Branch i has `channels[i]` channels at 1 / 2^(i + 2) of the image, sizes rounded up.
        """
        early = self.conv1(images)
        x = F.relu(self.bn1(early))
        maps = [self.layer1(F.relu(self.bn2(self.conv2(x))))]
        for stage in (2, 3, 4):
            last = len(maps) - 1
            moved = enumerate(getattr(self, f"transition{stage - 1}"))
            maps = [layer(maps[min(index, last)]) for index, layer in moved]
            maps = getattr(self, f"stage{stage}")(maps)
        return early, maps


class ExchangeUnit(nn.Module):
    """Residual blocks on every branch, then every branch hears all others.

    Args:
        channels: per branch, fine first.
        blocks: per branch.
        interpolation: how coarse maps are enlarged.
    """

    def __init__(self, channels: Sequence[int], blocks: int, interpolation: Interpolation) -> None:
        super().__init__()
        self.interpolation = interpolation
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width) for _ in range(blocks))) for width in channels
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_fuse(channels, source, target) for source in range(len(channels)))
            for target in range(len(channels))
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps of the same shapes."""
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        fused = []
        for target, layers in enumerate(self.fuse_layers):
            size = maps[target].shape[-2:]
            heard = [layer(x) for layer, x in zip(layers, maps, strict=True)]
            fused.append(F.relu(sum(resize(x, size, self.interpolation) for x in heard)))
        return fused


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around which the input goes on."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """Same shape."""
        return F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions; four times `planes` channels come out."""

    expansion = 4

    def __init__(self, inputs: int, planes: int) -> None:
        super().__init__()
        outputs = planes * self.expansion
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = None if inputs == outputs else _conv_bn(inputs, outputs, 1)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D h w"]:
        """Same height and width."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(y)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def resize(
    x: Float[Tensor, "B C h w"], size: Sequence[int], interpolation: Interpolation
) -> Float[Tensor, "B C rows columns"]:
    """Maps of another size (rows, columns); pixel corners stay in place."""
    if x.shape[-2:] == tuple(size):
        return x
    corners = False if interpolation == "bilinear" else None
    return F.interpolate(x, tuple(size), mode=interpolation, align_corners=corners)


def concatenate(maps: Sequence[Tensor]) -> Float[Tensor, "B C rows columns"]:
    """Maps of several resolutions as one at the finest."""
    size = maps[0].shape[-2:]
    return torch.cat([resize(x, size, "bilinear") for x in maps], dim=1)


def _transition(before: Sequence[int], after: Sequence[int]) -> nn.ModuleList:
    layers: list[nn.Module] = []
    for index, width in enumerate(after):
        if index >= len(before):
            inputs = before[-1]
            layers.append(nn.Sequential(_conv_bn(inputs, width, 3, stride=2, relu=True)))
        elif width != before[index]:
            layers.append(_conv_bn(before[index], width, 3, relu=True))
        else:
            layers.append(nn.Identity())
    return nn.ModuleList(layers)


def _fuse(channels: Sequence[int], source: int, target: int) -> nn.Module:
    if source == target:
        return nn.Identity()
    if source > target:
        return _conv_bn(channels[source], channels[target], 1)
    between = [channels[source]] * (target - source - 1)
    return nn.Sequential(
        *(_conv_bn(width, width, 3, stride=2, relu=True) for width in between),
        _conv_bn(channels[source], channels[target], 3, stride=2),
    )


def _conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int = 1, relu: bool = False
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU()) if relu else nn.Sequential(*layers)
