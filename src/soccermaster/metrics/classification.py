"""How often is the event of a clip named rightly? Top-k accuracy and macro F1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from soccermaster.metrics.samples import (
    UNDEFINED,
    SampleMetric,
    check_batch,
    clip_keys,
    first_of_each,
    ratio,
)
from soccermaster.structures import Batch, EventPrediction


class EventMetrics(SampleMetric):
    """`top1`, `top5` and `macro_f1` over the clips whose event is known."""

    def __init__(self, classes: Sequence[str], **kwargs: Any) -> None:
        """Empty counts.

        Args:
            classes: event names, in the order of the predicted scores.
            **kwargs: of torchmetrics.Metric.
        """
        super().__init__(**kwargs)
        self.classes = tuple(classes)
        self.add_table("keys")
        self.add_table("targets")
        self.add_table("predicted")
        self.add_table("ranks")

    def update(self, predictions: list[EventPrediction], batch: Batch) -> None:
        """Count the clips of one batch.

        Args:
            predictions: one per clip.
            batch: with events; clips whose event is None are skipped.

        Raises:
            ValueError: if an event or the classes of a prediction are not those of this metric.
        """
        check_batch(self, predictions, batch, ("events",), len(batch.images))
        rows = [i for i, event in enumerate(batch.events) if event is not None]
        if not rows:
            return
        for row in rows:
            self._check_classes(predictions[row], batch.events[row], batch.source)
        keys = clip_keys(batch)
        targets = torch.tensor([self.classes.index(batch.events[i]) for i in rows])
        scores = torch.stack([predictions[i].scores for i in rows]).float().cpu()
        self.append("keys", [keys[i] for i in rows])
        self.append("targets", targets)
        self.append("predicted", scores.argmax(1))
        self.append("ranks", target_ranks(scores, targets))

    def compute(self) -> dict[str, float]:
        """Scores by name; `top5` is undefined with fewer than 6 classes."""
        rows = first_of_each(self.table("keys"))
        ranks = self.table("ranks")[rows]
        return {
            "top1": ratio((ranks < 1).sum(), len(rows)),
            "top5": ratio((ranks < 5).sum(), len(rows)) if len(self.classes) > 5 else UNDEFINED,
            "macro_f1": macro_f1(self.confusion_matrix()),
        }

    def confusion_matrix(self) -> Int[Tensor, "C C"]:
        """Clips by true class (row) and predicted class (column), of this process."""
        rows = first_of_each(self.table("keys"))
        return count_confusions(
            self.table("targets")[rows], self.table("predicted")[rows], len(self.classes)
        )

    def _check_classes(self, prediction: EventPrediction, event: str, source: str) -> None:
        if tuple(prediction.classes) != self.classes:
            raise ValueError(
                f"expected predictions over the {len(self.classes)} classes of the metric "
                f"{self.classes}, got {prediction.classes}. Build both from one list of events."
            )
        if event not in self.classes:
            raise ValueError(
                f"the batch of {source or 'no name'} has the event {event!r}, which is none of the "
                f"classes {self.classes}. Add it to the classes of the task or map it in the "
                "dataset."
            )


def target_ranks(scores: Float[Tensor, "n C"], targets: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """How many classes the true one does not beat; 0 is best.

    Ties and NaN count against the prediction, so that a constant output earns nothing.
    """
    own = scores.gather(1, targets.unsqueeze(1))
    return (~(own > scores)).sum(1) - 1


def count_confusions(
    targets: Int[Tensor, " n"], predicted: Int[Tensor, " n"], num_classes: int
) -> Int[Tensor, "C C"]:
    """Number of rows by target (row) and prediction (column)."""
    pairs = targets * num_classes + predicted
    return torch.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def macro_f1(confusion: Int[Tensor, "C C"]) -> float:
    """Mean F1 of the classes that have at least one target; NaN when there are none."""
    targets, predicted = confusion.sum(1), confusion.sum(0)
    present = targets > 0
    if not present.any():
        return UNDEFINED
    f1 = 2 * confusion.diagonal() / (targets + predicted).clamp(min=1)
    return f1[present].mean().item()
