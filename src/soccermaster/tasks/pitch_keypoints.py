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
from soccermaster.models.upsampler import dense_head
from soccermaster.ops.heatmaps import Canvas
from soccermaster.ops.losses import heatmap_loss, heatmap_squared_error
from soccermaster.ops.peaks import find_peaks
from soccermaster.structures import Batch, Features, KeypointsPrediction
from soccermaster.tasks.base import Recipe, Task
from soccermaster.vocabulary import NUM_KEYPOINTS


@dataclass(frozen=True)
class KeypointsOutput:
    """Channels 0..56 are keypoints 1..57, channel 57 is the background."""

    heatmaps: Float[Tensor, "B T 58 sh sw"]  # softmax over the channels


class PitchKeypoints(Task):
    """Where the 57 template points are in the frame.

    Args:
        embed_dim: D of the encoder.
        channels: of the upsampler; the default is the published shape.
        pyramid_channels: instead of upsampling the patches, read the finest map of the encoder's
            pyramid, which has so many channels; places are exact much sooner.
        loss: of the corrected recipe. "mse" averages the squared error over pixels and decidable
            channels; "focal" is faster from scratch.
        sigma: of the target Gaussians, in heatmap cells.
        threshold: a point is present when its score is above it; 0.1 in the paper, with loss "mse".
        term_weights: of the loss terms (`heatmap`).
        lr: learning rate of the head.
        recipe: "corrected" is `loss`. "official" is the squared error summed over the pixels and
            averaged over the decidable channels, whatever `loss` says: h * w times "mse", 65536 at
            256 x 256. In the release it is about 1170 of a first total loss of 1222, so that the
            encoder learns from little else. Frames without pitch labels teach nothing in either
            recipe; the release takes them for frames without a pitch.

    Source: SoccerMaster (CVPR 2026), pitch registration heads; targets after PnLCalib.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"keypoints"})
    reads: frozenset[str] = frozenset({"patches"})

    def __init__(
        self,
        embed_dim: int,
        channels: Sequence[int] = (192, 96, 48),
        pyramid_channels: int | None = None,
        loss: Literal["mse", "focal"] = "mse",
        sigma: float = 2.0,
        threshold: float = 0.1,
        term_weights: Mapping[str, float] | None = None,
        lr: float | None = None,
        recipe: Recipe = "corrected",
    ) -> None:
        super().__init__(term_weights, lr, recipe)
        official = recipe == "official"
        self.criterion = heatmap_squared_error if official else heatmap_loss(loss)
        self.canvas = Canvas()
        self.sigma = sigma
        self.threshold = threshold
        self.upsample = dense_head(embed_dim, NUM_KEYPOINTS + 1, channels, pyramid_channels)
        if pyramid_channels is not None:
            self.reads = frozenset({"pyramid"})
        if loss == "focal" and not official:
            # start from "almost everything is background", or the background drowns the points
            torch.nn.init.constant_(self.upsample.logits.bias[-1], 6.0)

    def forward(self, features: Features, batch: Batch | None = None) -> KeypointsOutput:
        """Heatmaps at 8 times the patch grid by default."""
        logits = self.upsample.of_clips(features)
        return KeypointsOutput(logits.float().softmax(dim=2))

    def loss(self, output: KeypointsOutput, batch: Batch) -> dict[str, Tensor]:
        """`heatmap`: over the pixels of the decidable channels of the real frames.

        The background counts wherever any channel of the frame is decidable.
        """
        with torch.no_grad():
            size = (output.heatmaps.shape[-2], output.heatmaps.shape[-1])
            targets, valid = make_targets(batch, size, self.sigma, self.canvas)
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
            KeypointsPrediction(points[:, 0] / size, score[:, 0], self.threshold)
            for points, score in zip(peaks, scores, strict=True)
        ]

    def make_metrics(self) -> KeypointsMetrics:
        """F1 within 5 px of a 512 x 512 frame."""
        return KeypointsMetrics(self.threshold)


def make_targets(
    batch: Batch, size: tuple[int, int], sigma: float, canvas: Canvas | None = None
) -> tuple[Float[Tensor, "B T 58 h w"], Bool[Tensor, "B T 58"]]:
    """Target heatmaps of the batch and which of their channels may teach.

    Args:
        batch: with keypoints; points outside the frame draw nothing.
        size: (h, w) of the heatmaps.
        sigma: of the Gaussians, in cells.
        canvas: to draw on; its earlier drawing is gone. A new one when None.

    Raises:
        ValueError: the batch has no keypoints.
    """
    if batch.keypoints is None:
        raise ValueError(
            f"expected a batch with keypoints, got none from '{batch.source}' "
            f"(provides {sorted(batch.provides)})"
        )
    height, width = batch.image_size
    points = batch.keypoints.points_px.float()
    clips, frames, count, _ = points.shape
    cells = (points * points.new_tensor([size[1] / width, size[0] / height])).flatten(0, 2)
    canvas = Canvas() if canvas is None else canvas
    targets = canvas.clear((clips, frames, count + 1, *size), points.device, last=1.0)
    frame = torch.arange(clips * frames, device=points.device).repeat_interleave(count)
    channel = torch.arange(count, device=points.device).repeat(clips * frames)
    canvas.points(cells, frame * (count + 1) + channel, sigma)
    canvas.background(cells, frame * (count + 1) + count, sigma)
    known = batch.keypoints.known & batch.frame_mask.unsqueeze(-1)
    return targets, torch.cat([known, known.any(-1, keepdim=True)], dim=-1)
