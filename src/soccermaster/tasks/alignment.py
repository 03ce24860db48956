"""Vision-language alignment: a clip and its comment meet in one space.

Mean frame vector against the text tower's vector, both L2-normalised; every pair of the batch is a
yes/no question (SigLIP loss). Under data-parallel training the pairs are those of each process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from soccermaster.metrics.retrieval import RetrievalMetrics
from soccermaster.models.text import TextEncoder
from soccermaster.ops.losses import pairwise_sigmoid_loss
from soccermaster.structures import AlignmentPrediction, Batch, Features
from soccermaster.tasks.base import Recipe, Task
from soccermaster.vocabulary import INTERCHANGEABLE_EVENTS


@dataclass(frozen=True)
class AlignmentOutput:
    """Video and text vectors, L2-normalised; the N texts of `Batch.texts` that are not None."""

    video: Float[Tensor, "B D"]
    text: Float[Tensor, "N D"] | None = None
    logits: Float[Tensor, "B N"] | None = None
    text_of: tuple[int, ...] = ()  # position in Batch.texts of each text


class Alignment(Task):
    """Which comment belongs to which clip.

    Args:
        embed_dim: D of the encoder and of the shared space.
        text: the text tower; None for a model that only embeds video.
        interchangeable: events of which any comment fits any clip.
        term_weights: of the loss terms (`siglip`).
        lr: learning rate of the head, text tower included.
        recipe: "corrected" takes equal comments as positives whatever their event. "official" takes
            them as negatives, as the release does, except for the `interchangeable` events: two
            clips with the same comment then push each other away.

    Source: SoccerMaster (CVPR 2026); Zhai et al., SigLIP, ICCV 2023.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"text"})
    reads: ClassVar[frozenset[str]] = frozenset({"frames"})

    def __init__(
        self,
        embed_dim: int,
        text: TextEncoder | None = None,
        interchangeable: Sequence[str] = INTERCHANGEABLE_EVENTS,
        term_weights: Mapping[str, float] | None = None,
        lr: float | None = None,
        recipe: Recipe = "corrected",
    ) -> None:
        super().__init__(term_weights, lr, recipe)
        if text is not None and text.project.out_features != embed_dim:
            raise ValueError(
                f"expected a text tower with output_dim {embed_dim} (that of the encoder), got "
                f"{text.project.out_features}"
            )
        self.text = text
        self.interchangeable = frozenset(interchangeable)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.logit_bias = nn.Parameter(torch.tensor(-10.0))

    def forward(self, features: Features, batch: Batch | None = None) -> AlignmentOutput:
        """Embed the clips and, when the batch has texts, the texts."""
        video = F.normalize(features.mean_frame().float(), dim=-1)
        if batch is not None and batch.text_ids is not None:
            given = list(range(len(batch.text_ids)))
            text = F.normalize(self._tower()(batch.text_ids).float(), dim=-1)
        else:
            texts = () if batch is None else batch.texts
            given = [i for i, sentence in enumerate(texts) if sentence is not None]
            if not given:
                return AlignmentOutput(video=video)
            text = self.encode_text([texts[i] for i in given])  # type: ignore[misc]
        logits = video @ text.T * self.logit_scale.exp() + self.logit_bias
        return AlignmentOutput(video=video, text=text, logits=logits, text_of=tuple(given))

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "N D"]:
        """L2-normalised vectors of some texts.

        Raises:
            ValueError: the model has no text tower.
        """
        return F.normalize(self._tower().encode(texts).float(), dim=-1)

    def lacks(self) -> str | None:
        """The text tower, when the model was built without one."""
        if self.text is not None:
            return None
        return (
            "the model has no text tower. Convert the checkpoint with "
            "text=DIRECTORY_OF_A_SIGLIP_MODEL, or build the task with text=..."
        )

    def _tower(self) -> TextEncoder:
        if self.text is None:
            raise ValueError(f"texts cannot be embedded: {self.lacks()}")
        return self.text

    def loss(self, output: AlignmentOutput, batch: Batch) -> dict[str, Tensor]:
        """`siglip`: summed over the texts, averaged over the clips that have one."""
        if output.logits is None:
            return {"siglip": 0 * output.video.sum()}
        rows = torch.tensor(output.text_of, device=output.video.device)
        return {
            "siglip": pairwise_sigmoid_loss(output.logits[rows], self._positives(output, batch))
        }

    def _positives(self, output: AlignmentOutput, batch: Batch) -> Bool[Tensor, "N N"]:
        keys = []
        for i in output.text_of:
            event = batch.events[i] if batch.events else None
            words = " ".join((batch.texts[i] or "").lower().split())
            alone = f"clip: {i}" if self.recipe == "official" else f"text: {words}"
            keys.append(event if event in self.interchangeable else alone)
        index = {key: n for n, key in enumerate(dict.fromkeys(keys))}
        ids = torch.tensor([index[key] for key in keys], device=output.video.device)
        return ids[:, None] == ids[None]

    @torch.no_grad()
    def decode(
        self, output: AlignmentOutput, batch: Batch | None = None
    ) -> list[AlignmentPrediction]:
        """One video vector per clip, with the vector of its own text where there is one."""
        row_of = {clip: row for row, clip in enumerate(output.text_of)}
        return [
            AlignmentPrediction(
                video=video,
                text=output.text[row_of[i]] if output.text is not None and i in row_of else None,
            )
            for i, video in enumerate(output.video)
        ]

    def make_metrics(self) -> RetrievalMetrics:
        """Recall at 1 and 5 in pools of 48."""
        return RetrievalMetrics()
