"""Pitch keypoints: one heatmap per template point, and one for the background.

Features -> PixelShuffle upsampler -> softmax over 58 channels at every cell. Targets are drawn on
the device from the sparse points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from soccermaster.metrics.keypoints import KeypointsMetrics
from soccermaster.models.upsampler import PixelShuffleUpsampler
from soccermaster.ops.heatmaps import draw_background, draw_points, find_peaks
from soccermaster.ops.losses import heatmap_loss
from soccermaster.structures import Batch, Features, KeypointsPrediction
from soccermaster.tasks.base import Task
from soccermaster.vocabulary import NUM_KEYPOINTS


@dataclass(frozen=True)
class KeypointsOutput:
    """Channels 0..56 are keypoints 1..57, channel 57 is the background."""

    heatmaps: Float[Tensor, "B T 58 sh sw"]  # softmax over the channels


class PitchKeypoints(Task):
    """Where the 57 template points are in the frame.

    Args:
        embed_dim: D of the encoder.
        channels, skips: of the upsampler; the defaults are the published shape.
        loss: "mse" averages the squared error over pixels and decidable channels (the paper, with
            the pixel normalisation that the release lacks); "focal" is faster from scratch.
        sigma: of the target Gaussians, in heatmap cells.
        threshold: a point is present when its score is above it; 0.1 in the paper, with loss "mse".
        term_weights: of the loss terms (`heatmap`).
        lr: learning rate of the head.

    Source: SoccerMaster (CVPR 2026), pitch registration heads; targets after PnLCalib.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"keypoints"})
    reads: frozenset[str] = frozenset({"patches"})

    def __init__(
        self,
        embed_dim: int,
        channels: Sequence[int] = (192, 96, 48),
        skips: Sequence[int] = (),
        loss: Literal["mse", "focal"] = "mse",
        sigma: float = 2.0,
        threshold: float = 0.1,
        term_weights: Mapping[str, float] | None = None,
        lr: float | None = None,
    ) -> None:
        super().__init__(term_weights, lr)
        self.criterion = heatmap_loss(loss)
        self.sigma = sigma
        self.threshold = threshold
        self.upsample = PixelShuffleUpsampler(embed_dim, NUM_KEYPOINTS + 1, channels, skips)
        if skips:
            self.reads = self.reads | {"pyramid"}
        if loss == "focal":
            # start from "almost everything is background", or the background drowns the points
            torch.nn.init.constant_(self.upsample.logits.bias[-1], 6.0)

    def forward(self, features: Features, batch: Batch | None = None) -> KeypointsOutput:
        """Heatmaps at 2^stages times the patch grid (8 by default)."""
        logits = self.upsample.of_clips(features)
        return KeypointsOutput(logits.float().softmax(dim=2))

    def loss(self, output: KeypointsOutput, batch: Batch) -> dict[str, Tensor]:
        """`heatmap`: over the pixels of the decidable channels of the real frames.

        The background counts wherever any channel of the frame is decidable.
        """
        with torch.no_grad():
            size = (output.heatmaps.shape[-2], output.heatmaps.shape[-1])
            targets, valid = make_targets(batch, size, self.sigma)
        return {"heatmap": self.criterion(output.heatmaps, targets, valid)}

    @torch.no_grad()
    def decode(
        self, output: KeypointsOutput, batch: Batch | None = None
    ) -> list[KeypointsPrediction]:
        """The highest peak of every keypoint channel, at sub-pixel precision."""
        heatmaps = rearrange(output.heatmaps[:, :, :-1], "B T K h w -> (B T) K h w")
        height, width = heatmaps.shape[-2:]
        peaks, scores = find_peaks(heatmaps, num_peaks=1, min_distance=1)
        size = peaks.new_tensor([width, height])
        return [
            KeypointsPrediction(points_norm=points[:, 0] / size, scores=score[:, 0])
            for points, score in zip(peaks, scores, strict=True)
        ]

    def make_metrics(self) -> KeypointsMetrics:
        """F1 within 5 px of a 512 x 512 frame."""
        return KeypointsMetrics(self.threshold)


def make_targets(
    batch: Batch, size: tuple[int, int], sigma: float
) -> tuple[Float[Tensor, "B T 58 h w"], Bool[Tensor, "B T 58"]]:
    """Target heatmaps of the batch and which of their channels may teach.

    Raises:
        ValueError: the batch has no keypoints.
    """
    if batch.keypoints is None:
        raise ValueError(
            f"expected a batch with keypoints, got none from '{batch.source}' "
            f"(provides {sorted(batch.provides)})"
        )
    height, width = batch.image_size
    points = batch.keypoints.points_px
    cells = points * points.new_tensor([size[1] / width, size[0] / height])
    heatmaps = draw_points(cells, size, sigma)  # (B, T, 57, h, w)
    targets = torch.cat([heatmaps, draw_background(heatmaps)], dim=2)
    known = batch.keypoints.known & batch.frame_mask.unsqueeze(-1)
    return targets, torch.cat([known, known.any(-1, keepdim=True)], dim=-1)
