"""How well are identities kept, when the boxes are given? Tracking scores of a task."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from soccermaster.metrics.samples import (
    UNDEFINED,
    SampleMetric,
    check_batch,
    clip_keys,
    first_of_each,
)
from soccermaster.metrics.tracking import (
    ALPHAS,
    TrackingCounts,
    box_similarities,
    count_tracks,
    no_counts,
)
from soccermaster.structures import Athletes, Batch, IdentityPrediction
from soccermaster.vocabulary import UNKNOWN

_NUM_COUNTS = 3 * len(ALPHAS) + 5


class IdentityMetrics(SampleMetric):
    """`hota`, `assa`, `mota` and `idf1` of predicted identities, over whole clips."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_table("keys")
        self.add_table("counts", _NUM_COUNTS, dtype=torch.float64)

    def update(self, predictions: list[IdentityPrediction], batch: Batch) -> None:
        """Add clips.

        Args:
            predictions: one per frame, clip by clip.
            batch: with boxes and track ids; rows without a track id are false detections.
        """
        num_frames = batch.num_frames
        check_batch(self, predictions, batch, ("athletes",), len(batch.images) * num_frames)
        people = Athletes(
            **{name: value.cpu().numpy() for name, value in vars(batch.athletes).items()}
        )
        real = batch.frame_mask.flatten().cpu().numpy()
        known = people.select((people.track_ids != UNKNOWN) & real[people.frame])
        height, width = batch.image_size
        for clip, key in enumerate(clip_keys(batch)):
            first = clip * num_frames
            truth = known.select((known.frame >= first) & (known.frame < first + num_frames))
            found = _as_athletes(predictions[first : first + num_frames], first, (width, height))
            counts = count_tracks(*box_similarities(truth, found.select(real[found.frame])))
            self.append("keys", [key])
            self.append("counts", np.hstack(list(vars(counts).values())))

    def compute(self) -> dict[str, float]:
        """Scores by name, as fractions; NaN where there is nothing to score."""
        rows = self.table("counts")[first_of_each(self.table("keys"))]
        scores = _as_counts(rows.sum(0).cpu().numpy()).scores()
        names = ("hota", "assa", "mota", "idf1")
        return {name: scores[name] if len(rows) else UNDEFINED for name in names}


def _as_athletes(
    predictions: list[IdentityPrediction], first: int, size: tuple[int, int]
) -> Athletes:
    """Predictions of the frames from `first` on, with boxes in pixels."""
    boxes = torch.cat([p.boxes_xyxy_norm for p in predictions]).cpu().numpy()
    ids = torch.cat([p.track_ids for p in predictions]).cpu().numpy()
    frame = np.repeat(
        np.arange(first, first + len(predictions)), [len(p.track_ids) for p in predictions]
    )
    return Athletes.from_boxes(frame, boxes * (size * 2), track_ids=ids)


def _as_counts(row: np.ndarray) -> TrackingCounts:
    n = len(ALPHAS)
    arrays = [row[i * n : (i + 1) * n] for i in range(3)]
    return no_counts() + TrackingCounts(*arrays, *row[3 * n :].tolist())
