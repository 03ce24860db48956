"""Pitch lines: one heatmap per straight line with its two visible ends, and one with all lines.

Features -> PixelShuffle upsampler -> sigmoid per channel. Targets are drawn on the device from the
sparse segments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from soccermaster.metrics.keypoints import LinesMetrics
from soccermaster.models.upsampler import PyramidHead, dense_head
from soccermaster.ops.heatmaps import Canvas
from soccermaster.ops.losses import heatmap_focal, heatmap_loss, heatmap_mse
from soccermaster.ops.peaks import find_peaks
from soccermaster.ops.segments import choose_ends
from soccermaster.structures import Batch, Features, LinesPrediction
from soccermaster.tasks.base import Recipe, Task
from soccermaster.vocabulary import LINES


@dataclass(frozen=True)
class LinesOutput:
    """Channels 0..22 hold the two ends of each line, channel 23 all lines drawn."""

    heatmaps: Float[Tensor, "B T 24 sh sw"]  # sigmoid
    masks: Float[Tensor, "B T 23 h w"] | None = None  # sigmoid; every line drawn by itself


#: Of the drawn lines, in cells.
MASK_SIGMA = 1.0
#: Peaks among which the two ends of a line with a mask are chosen.
CANDIDATES = 6


class PitchLines(Task):
    """Where the visible part of each of the 23 straight lines begins and ends.

    Args:
        embed_dim: D of the encoder.
        channels: of the upsampler; the default is the published shape.
        pyramid_channels: instead of upsampling the patches, read the finest map of the encoder's
            pyramid, which has so many channels; places are exact much sooner.
        mask_channels: of the coarsest map of the pyramid, from which the head then also learns to
            draw every line by itself: an auxiliary loss that teaches which line is which much
            sooner than the ends do. None in the paper.
        loss: of the corrected recipe. "mse" averages the squared error over pixels and known
            channels (the paper); "focal" is faster from scratch.
        sigma: of the target Gaussians, in heatmap cells.
        min_distance: between the two ends of a line, in heatmap cells.
        threshold: a line is present when its score is above it; 0.1 in the paper, with loss "mse".
        term_weights: of the loss terms (`heatmap`).
        lr: learning rate of the head.
        recipe: "corrected" is `loss`. "official" is the mean squared error of "mse" over all
            channels of the frames with pitch labels, whatever `loss` says and whatever lines are
            undecidable. The targets stay ours: the release adds the two blobs of a short line, up
            to 1.88, which a sigmoid cannot reach. Frames without pitch labels teach nothing in
            either recipe; the release takes them for frames without a pitch.

    Source: SoccerMaster (CVPR 2026), pitch registration heads; targets after PnLCalib. The two
    blobs of a short line are joined by their maximum, so that targets stay within [0, 1].
    """

    requires: ClassVar[frozenset[str]] = frozenset({"lines"})
    reads: frozenset[str] = frozenset({"patches"})

    def __init__(
        self,
        embed_dim: int,
        channels: Sequence[int] = (192, 96, 48),
        pyramid_channels: int | None = None,
        mask_channels: int | None = None,
        loss: Literal["mse", "focal"] = "mse",
        sigma: float = 2.0,
        min_distance: int = 10,
        threshold: float = 0.1,
        term_weights: Mapping[str, float] | None = None,
        lr: float | None = None,
        recipe: Recipe = "corrected",
    ) -> None:
        super().__init__(term_weights, lr, recipe)
        official = recipe == "official"
        self.criterion = heatmap_mse if official else heatmap_loss(loss)
        self.canvas = Canvas()
        self.sigma = sigma
        self.threshold = threshold
        self.min_distance = min_distance
        self.upsample = dense_head(embed_dim, len(LINES) + 1, channels, pyramid_channels)
        if pyramid_channels is not None:
            self.reads = frozenset({"pyramid"})
        self.masks = None
        if mask_channels is not None:
            self.reads = self.reads | {"pyramid"}
            self.masks = PyramidHead(mask_channels, len(LINES), level=0)
            self.mask_canvas = Canvas()
            torch.nn.init.constant_(self.masks.logits.bias, -4.595)
        if loss == "focal" and not official:
            torch.nn.init.constant_(self.upsample.logits.bias, -4.595)  # a prior of 1 %

    def forward(self, features: Features, batch: Batch | None = None) -> LinesOutput:
        """Heatmaps at 8 times the patch grid by default."""
        logits = self.upsample.of_clips(features)
        masks = None if self.masks is None else self.masks.of_clips(features).float().sigmoid()
        return LinesOutput(logits.float().sigmoid(), masks)

    def loss(self, output: LinesOutput, batch: Batch) -> dict[str, Tensor]:
        """`heatmap` over the pixels of the known channels of the real frames.

        `masks` likewise, where the head has them.
        """
        with torch.no_grad():
            size = (output.heatmaps.shape[-2], output.heatmaps.shape[-1])
            targets, valid = make_targets(batch, size, self.sigma, self.canvas)
            if self.recipe == "official":
                valid = valid.any(-1, keepdim=True).expand_as(valid)
        terms = {"heatmap": self.criterion(output.heatmaps, targets, valid)}
        if output.masks is not None:
            with torch.no_grad():
                size = (output.masks.shape[-2], output.masks.shape[-1])
                drawn, known = make_masks(batch, size, MASK_SIGMA, self.mask_canvas)
            terms["masks"] = heatmap_focal(output.masks, drawn, known)
        return terms

    @torch.no_grad()
    def decode(self, output: LinesOutput, batch: Batch | None = None) -> list[LinesPrediction]:
        """The two highest peaks of every line channel; the score is that of the weaker one.

        A head with masks looks at some more peaks and chooses two by `choose_ends`, whose worth is
        then the score.
        """
        heatmaps = rearrange(output.heatmaps[:, :, :-1], "B T L h w -> (B T) L h w")
        height, width = heatmaps.shape[-2:]
        candidates = 2 if output.masks is None else CANDIDATES
        peaks, scores = find_peaks(heatmaps, candidates, min_distance=self.min_distance)
        size = peaks.new_tensor([width, height])
        if output.masks is None:
            segments, worth = peaks / size, scores.amin(-1)
        else:
            rows, columns = output.masks.shape[-2:]
            cells = peaks.new_tensor([columns, rows])
            flat, worth = choose_ends(
                (peaks / size * cells).flatten(0, 1),
                scores.flatten(0, 1),
                output.masks.flatten(0, 2),
                MASK_SIGMA,
                least=self.threshold / 2,
            )
            segments = rearrange(flat / cells, "(f L) ends xy -> f L ends xy", L=len(LINES))
            worth = rearrange(worth, "(f L) -> f L", L=len(LINES))
        return [
            LinesPrediction(ends, score, self.threshold)
            for ends, score in zip(segments, worth, strict=True)
        ]

    def make_metrics(self) -> LinesMetrics:
        """F1 with both ends within 5 px of a 512 x 512 frame."""
        return LinesMetrics(self.threshold)


def make_targets(
    batch: Batch, size: tuple[int, int], sigma: float, canvas: Canvas | None = None
) -> tuple[Float[Tensor, "B T 24 h w"], Bool[Tensor, "B T 24"]]:
    """Target heatmaps of the batch and which of their channels may teach.

    The channel of all lines teaches where every line of the frame is known.

    Args:
        batch: with lines.
        size: (h, w) of the heatmaps.
        sigma: of the Gaussians, in cells.
        canvas: to draw on; its earlier drawing is gone. A new one when None.

    Raises:
        ValueError: the batch has no lines.
    """
    cells, known = _segments_in_cells(batch, size)
    clips, frames, count = known.shape
    canvas = Canvas() if canvas is None else canvas
    targets = canvas.clear((clips, frames, count + 1, *size), cells.device)
    frame = torch.arange(clips * frames, device=cells.device).repeat_interleave(count)
    channel = torch.arange(count, device=cells.device).repeat(clips * frames)
    of_ends = (frame * (count + 1) + channel).repeat_interleave(2)
    canvas.points(cells.flatten(0, 1), of_ends, sigma)
    canvas.segments(cells, frame * (count + 1) + count, sigma)
    valid = torch.cat([known, known.all(-1, keepdim=True)], dim=-1)
    return targets, valid


def make_masks(
    batch: Batch, size: tuple[int, int], sigma: float, canvas: Canvas | None = None
) -> tuple[Float[Tensor, "B T 23 h w"], Bool[Tensor, "B T 23"]]:
    """Every line drawn into a channel of its own, and which channels may teach; see `make_targets`.

    Raises:
        ValueError: the batch has no lines.
    """
    cells, known = _segments_in_cells(batch, size)
    canvas = Canvas() if canvas is None else canvas
    drawn = canvas.clear((*known.shape, *size), cells.device)
    canvas.segments(cells, torch.arange(len(cells), device=cells.device), sigma)
    return drawn, known


def _segments_in_cells(
    batch: Batch, size: tuple[int, int]
) -> tuple[Float[Tensor, "n 2 2"], Bool[Tensor, "B T 23"]]:
    """All segments in cells of a map, clip by clip and frame by frame, and which are known."""
    if batch.lines is None:
        raise ValueError(
            f"expected a batch with lines, got none from '{batch.source}' "
            f"(provides {sorted(batch.provides)})"
        )
    height, width = batch.image_size
    segments = batch.lines.segments_px.float()
    cells = segments * segments.new_tensor([size[1] / width, size[0] / height])
    # an end on the frame's edge belongs to the last cell
    last = segments.new_tensor([size[1], size[0]]) - 1e-3
    known = batch.lines.known & batch.frame_mask.unsqueeze(-1)
    return torch.minimum(cells.clamp(min=0), last).flatten(0, 2), known
