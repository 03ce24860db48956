"""Event classification: one class for a 30-second clip.

Frame vectors -> transformer encoder over time -> mean over the real frames -> linear.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soccermaster.metrics.classification import EventMetrics
from soccermaster.ops.losses import masked_cross_entropy
from soccermaster.structures import Batch, EventPrediction, Features
from soccermaster.tasks.base import Recipe, Task
from soccermaster.vocabulary import EVENTS, UNKNOWN


@dataclass(frozen=True)
class EventsOutput:
    """Scores before the softmax, in the order of the task's classes."""

    logits: Float[Tensor, "B C"]


class EventTask(Task):
    """What every classifier of events shares: targets, loss, decode and metrics.

    Args:
        classes: the event vocabulary, in classifier order. Weights of the release have the 23
            classes of vocabulary.RELEASE_EVENTS.
        term_weights: of the loss terms (`cross_entropy`).
        lr: learning rate of the head.
        recipe: "corrected" and "official" are the same here: mean cross-entropy.

    Source: SoccerMaster (CVPR 2026), event classification head.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"event"})

    def __init__(
        self,
        classes: Sequence[str],
        term_weights: Mapping[str, float] | None = None,
        lr: float | None = None,
        recipe: Recipe = "corrected",
    ) -> None:
        super().__init__(term_weights, lr, recipe)
        self.classes = tuple(classes)
        self._index = {name: i for i, name in enumerate(self.classes)}
        if len(self._index) != len(self.classes):
            raise ValueError("expected distinct event classes, got some of them twice")

    def loss(self, output: EventsOutput, batch: Batch) -> dict[str, Tensor]:
        """`cross_entropy`: mean over the clips with an event.

        Raises:
            ValueError: an event is not among the classes.
        """
        targets = self.targets(batch).to(output.logits.device)
        return {"cross_entropy": masked_cross_entropy(output.logits, targets, targets != UNKNOWN)}

    def targets(self, batch: Batch) -> Tensor:
        """Class index per clip (B,); -1 where the event is not annotated."""
        indices = []
        for clip_id, event in zip(batch.clip_ids, batch.events, strict=True):
            if event is not None and event not in self._index:
                raise ValueError(
                    f"clip '{clip_id}' of '{batch.source}' has the event '{event}', which is not "
                    f"among the {len(self.classes)} classes of the task: {', '.join(self.classes)}"
                )
            indices.append(UNKNOWN if event is None else self._index[event])
        return torch.tensor(indices, dtype=torch.long)

    @torch.no_grad()
    def decode(self, output: EventsOutput, batch: Batch | None = None) -> list[EventPrediction]:
        """Class probabilities per clip."""
        return [EventPrediction(self.classes, p) for p in output.logits.float().softmax(-1)]

    def make_metrics(self) -> EventMetrics:
        """Accuracies and macro F1."""
        return EventMetrics(self.classes)


class EventClassification(EventTask):
    """What happened in a clip.

    Args:
        embed_dim: D of the encoder.
        classes, term_weights, lr, recipe: see `EventTask`.
        depth, num_heads, ffn_dim: of the transformer encoder; the defaults (2, D / 64, 4 D) are the
            published shape. With depth 0 the encoder's clip vector is classified as it is.

    Source: SoccerMaster (CVPR 2026), event classification head.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"frames"})

    def __init__(
        self,
        embed_dim: int,
        classes: Sequence[str] = EVENTS,
        depth: int = 2,
        num_heads: int | None = None,
        ffn_dim: int | None = None,
        term_weights: Mapping[str, float] | None = None,
        lr: float | None = None,
        recipe: Recipe = "corrected",
    ) -> None:
        super().__init__(classes, term_weights, lr, recipe)
        self.norm_in = nn.LayerNorm(embed_dim) if depth else None
        self.layers = (
            nn.TransformerEncoder(
                nn.TransformerEncoderLayer(
                    embed_dim,
                    num_heads or max(1, embed_dim // 64),
                    ffn_dim or 4 * embed_dim,
                    dropout=0.0,
                    batch_first=True,
                ),
                depth,
                enable_nested_tensor=False,
            )
            if depth
            else None
        )
        self.norm_out = nn.LayerNorm(embed_dim)
        self.classifier = nn.Linear(embed_dim, len(self.classes))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, features: Features, batch: Batch | None = None) -> EventsOutput:
        """Classify each clip."""
        if features.frames is None:
            raise ValueError("expected features with 'frames'; ask the encoder for them")
        if self.layers is None:
            clip = features.clip_vector()
        else:
            padding = None if features.frame_mask is None else ~features.frame_mask
            frames = self.layers(self.norm_in(features.frames), src_key_padding_mask=padding)
            clip = dataclasses.replace(features, frames=frames).mean_frame()
        return EventsOutput(self.classifier(self.norm_out(clip)))
