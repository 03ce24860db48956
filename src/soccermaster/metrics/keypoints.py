"""How well are pitch keypoints and lines found? Precision, recall and F1 within a few pixels.

Counts are summed over all frames before any ratio is taken (micro average), so a frame that is
rightly empty adds true negatives and nothing else. What the annotation could not decide is left
out.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from soccermaster.metrics.samples import (
    SampleMetric,
    check_batch,
    clip_keys,
    first_of_each,
    ratio,
)
from soccermaster.structures import Batch, KeypointsPrediction, LinesPrediction

#: Columns of a count table. A point that is found at the wrong place is one false positive and one
#: false negative, but one point in `decided`.
COUNTS: tuple[str, ...] = ("true_positive", "false_positive", "false_negative", "true_negative")
COLUMNS: tuple[str, ...] = (*COUNTS, "decided")


class _LocalisationMetrics(SampleMetric):
    """Scores from counts per clip; the sub-class says what a distance is."""

    def __init__(
        self, threshold: float = 0.1, radius_px: float = 5.0, frame_px: int = 512, **kwargs: Any
    ) -> None:
        """Empty counts.

        Args:
            threshold: a prediction is present when its score is above it.
            radius_px: a present prediction is right when it is nearer than this.
            frame_px: side of the square frame in which distances are measured.
            **kwargs: of torchmetrics.Metric.
        """
        super().__init__(**kwargs)
        self.threshold = threshold
        self.radius_px = radius_px
        self.frame_px = frame_px
        self.add_table("keys")
        self.add_table("counts", len(COLUMNS))
        self.add_table("error_sums_px", dtype=torch.float32)

    def compute(self) -> dict[str, float]:
        """`f1`, `precision`, `recall` and `accuracy` at the radius, and the mean `error_px`.

        The error is over true positives only, hence below the radius by construction.
        """
        rows = first_of_each(self.table("keys"))
        counts = self.table("counts")[rows].sum(0)
        error_px = ratio(self.table("error_sums_px")[rows].double().sum(), counts[0])
        scores = localisation_scores(counts)
        names = {f"{name}_{self.radius_px:g}px": score for name, score in scores.items()}
        return names | {"error_px": error_px}

    def _append(
        self,
        batch: Batch,
        near: Bool[Tensor, "B T K"],
        error_px: Float[Tensor, "B T K"],
        predicted: Bool[Tensor, "B T K"],
        present: Bool[Tensor, "B T K"],
        known: Bool[Tensor, "B T K"],
    ) -> None:
        decided = known & batch.frame_mask.unsqueeze(-1)
        hits = predicted & present & decided & near
        counts = count_outcomes(hits, predicted, present, decided)
        self.append("keys", clip_keys(batch))
        self.append("counts", counts.sum(1))
        self.append("error_sums_px", error_px.where(hits, 0).sum((1, 2)))


class KeypointsMetrics(_LocalisationMetrics):
    """Pitch keypoints. A point is present when it is known and inside the frame."""

    def update(self, predictions: list[KeypointsPrediction], batch: Batch) -> None:
        """Count the frames of one batch.

        Args:
            predictions: one per frame, clip by clip.
            batch: with keypoints.
        """
        frames = len(batch.images) * batch.num_frames
        check_batch(self, predictions, batch, ("keypoints",), frames)
        truth = batch.keypoints.points_px / _frame_scale(batch)
        points = _stack([p.points_norm for p in predictions], batch, truth)
        scores = _stack([p.scores for p in predictions], batch, truth)
        inside = ((truth >= 0) & (truth <= 1)).all(-1)  # false for NaN: known to be absent
        error_px = (points - truth).norm(dim=-1) * self.frame_px
        near = error_px < self.radius_px
        self._append(batch, near, error_px, scores > self.threshold, inside, batch.keypoints.known)


class LinesMetrics(_LocalisationMetrics):
    """Straight pitch lines, right when both ends are within the radius, in either order.

    The error of a line is the mean over its two ends.
    """

    def update(self, predictions: list[LinesPrediction], batch: Batch) -> None:
        """Count the frames of one batch.

        Args:
            predictions: one per frame, clip by clip.
            batch: with lines.
        """
        frames = len(batch.images) * batch.num_frames
        check_batch(self, predictions, batch, ("lines",), frames)
        truth = batch.lines.segments_px / _frame_scale(batch)
        segments = _stack([p.segments_norm for p in predictions], batch, truth)
        scores = _stack([p.scores for p in predictions], batch, truth)
        present = truth.isfinite().all(-1).all(-1)
        worst, mean = segment_distances(segments, truth)
        near = worst * self.frame_px < self.radius_px
        self._append(
            batch, near, mean * self.frame_px, scores > self.threshold, present, batch.lines.known
        )


def segment_distances(
    a: Float[Tensor, "*b 2 2"], b: Float[Tensor, "*b 2 2"]
) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
    """Distance between the ends of two segments, in the order of ends that fits better.

    Returns:
        The larger and the mean of the two distances.
    """
    straight = (a - b).norm(dim=-1)
    crossed = (a - b.flip(-2)).norm(dim=-1)
    swap = crossed.amax(-1) < straight.amax(-1)
    ends = torch.where(swap.unsqueeze(-1), crossed, straight)
    return ends.amax(-1), ends.mean(-1)


def count_outcomes(
    hits: Bool[Tensor, "*b K"],
    predicted: Bool[Tensor, "*b K"],
    present: Bool[Tensor, "*b K"],
    decided: Bool[Tensor, "*b K"],
) -> Int[Tensor, "*b 5"]:
    """Outcomes per row, in the order of `COLUMNS`.

    Args:
        hits: predicted at the right place.
        predicted: the prediction says that the point is there.
        present: the annotation says so.
        decided: False: the annotation does not know, the point is left out.
    """
    outcomes = (
        hits,
        predicted & ~hits,
        present & ~hits,
        ~predicted & ~present,
        torch.ones_like(decided),
    )
    return torch.stack([(o & decided).sum(-1) for o in outcomes], dim=-1)


def localisation_scores(counts: Int[Tensor, " 5"]) -> dict[str, float]:
    """F1, precision, recall and accuracy of summed counts; undefined ones are NaN.

    Args:
        counts: in the order of `COLUMNS`.
    """
    tp, fp, fn, tn, decided = counts.tolist()
    return {
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, tp + fn),
        "accuracy": ratio(tp + tn, decided),
    }


def _frame_scale(batch: Batch) -> Float[Tensor, " 2"]:
    height, width = batch.image_size
    return torch.tensor([width, height], dtype=torch.float32, device=batch.frame_mask.device)


def _stack(values: list[Tensor], batch: Batch, like: Tensor) -> Tensor:
    """Predictions of B * T frames as (B, T, ...)."""
    stacked = torch.stack(values).to(like.device, like.dtype)
    return stacked.reshape(len(batch.images), batch.num_frames, *stacked.shape[1:])
