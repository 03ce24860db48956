"""A yardstick for event classification: what one frame alone says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import nn

from soccermaster.models.layers import LayoutPooling
from soccermaster.structures import Batch, Features
from soccermaster.tasks.base import Recipe
from soccermaster.tasks.events import EventsOutput, EventTask
from soccermaster.vocabulary import EVENTS


class MiddleFrameEvents(EventTask):
    """The event from the middle frame of the clip, through features that have seen no other.

    It learns beside the other tasks and teaches the encoder nothing. Its scores are printed as the
    baseline "middle_frame" of `baseline_of`, and prediction leaves it out.

    Args:
        embed_dim: D of the encoder.
        classes, term_weights, lr, recipe: see `EventTask`.
        hidden_dim: of the classifier, an MLP with one hidden layer.
        cells: (rows, columns) of the grid in which the patches are averaged first.
        baseline_of: name of the task that it is compared with.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"patches", "frames"})

    def __init__(
        self,
        embed_dim: int,
        classes: Sequence[str] = EVENTS,
        hidden_dim: int = 128,
        cells: tuple[int, int] = (3, 5),
        baseline_of: str = "events",
        term_weights: Mapping[str, float] | None = None,
        lr: float | None = None,
        recipe: Recipe = "corrected",
    ) -> None:
        super().__init__(classes, term_weights, lr, recipe)
        self.baseline_of = baseline_of
        self.norm = nn.LayerNorm(embed_dim)
        self.pool = LayoutPooling(embed_dim, cells)
        self.classifier = nn.Sequential(
            nn.Linear(embed_dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, len(self.classes))
        )

    def forward(self, features: Features, batch: Batch | None = None) -> EventsOutput:
        """Classify each clip by its middle frame."""
        if features.patches is None:
            raise ValueError("expected features with 'patches'; ask the encoder for them")
        middle = features.patches[:, features.patches.shape[1] // 2].detach()
        pooled = self.pool(self.norm(middle), features.grid)
        return EventsOutput(self.classifier(pooled))
