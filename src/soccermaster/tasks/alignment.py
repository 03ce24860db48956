"""Vision-language alignment: a clip and its comment meet in one space.

Mean frame vector against the text tower's vector, both L2-normalised; every pair of the batch is a
yes/no question (SigLIP loss). Under data-parallel training the pairs are those of all processes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from soccermaster.metrics.retrieval import RetrievalMetrics
from soccermaster.metrics.samples import hash64
from soccermaster.models.text import TextEncoder
from soccermaster.models.text_cache import TextCache
from soccermaster.models.words import WordPrediction
from soccermaster.ops.distributed import gather_rows, num_processes, process_rank
from soccermaster.ops.losses import pairwise_sigmoid_loss, pairwise_softmax_loss
from soccermaster.structures import AlignmentPrediction, Batch, Features
from soccermaster.tasks.base import Recipe, Task
from soccermaster.vocabulary import INTERCHANGEABLE_EVENTS

_LOSSES = {"siglip": pairwise_sigmoid_loss, "clip": pairwise_softmax_loss}


@dataclass(frozen=True)
class AlignmentOutput:
    """Video and text vectors, L2-normalised; the N texts of `Batch.texts` that are not None."""

    video: Float[Tensor, "B D"]
    text: Float[Tensor, "N D"] | None = None
    logits: Float[Tensor, "B N"] | None = None
    text_of: tuple[int, ...] = ()  # position in Batch.texts of each text
    words: Float[Tensor, "B V"] | None = None  # logits of the words of each clip's comment


class Alignment(Task):
    """Which comment belongs to which clip.

    Args:
        embed_dim: D of the encoder and of the shared space.
        text: the text tower; None for a model that only embeds video.
        project: a linear layer between the clip and the shared space; none in the paper.
        loss: "siglip" asks of every pair whether it belongs together (the paper); "clip" lets each
            clip choose its text and each text its clip, which learns sooner in small batches.
        words: predict the words of the comment as well (`WordPrediction`), a further loss term.
            From scratch and in small batches the shared space is learnt much sooner with it.
        initial_scale, initial_bias: of the logits. The published -10 suits large batches; the
            bias that a small batch of B clips starts well from is about -log(B - 1).
        interchangeable: events of which any comment fits any clip.
        term_weights: of the loss terms: one is named as `loss` is, the other "words".
        lr: learning rate of the head, text tower included.
        recipe: "corrected" takes equal comments as positives whatever their event. "official" takes
            them as negatives, as the release does, except for the `interchangeable` events: two
            clips with the same comment then push each other away. The gradient of both is that of
            all pairs of all processes; in the release the part of the vectors is too small by the
            number of processes.

    Source: SoccerMaster (CVPR 2026); Zhai et al., SigLIP, ICCV 2023.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"text"})
    reads: ClassVar[frozenset[str]] = frozenset({"frames"})

    def __init__(
        self,
        embed_dim: int,
        text: TextEncoder | None = None,
        project: bool = False,
        loss: Literal["siglip", "clip"] = "siglip",
        words: bool = False,
        initial_scale: float = 10.0,
        initial_bias: float = -10.0,
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
        if loss not in _LOSSES:
            raise ValueError(f"expected a loss among {sorted(_LOSSES)}, got '{loss}'")
        self.loss_name = loss
        self.text = text
        self.text_cache = TextCache()
        self.project = nn.Linear(embed_dim, embed_dim) if project else None
        self.words = None
        if words:
            tower = self._tower()
            vocabulary, pad = tower.token_embedding.num_embeddings, tower.tokenizer.pad_id
            self.words = WordPrediction(embed_dim, vocabulary, pad)
        self.interchangeable = frozenset(interchangeable)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(initial_scale)))
        self.logit_bias = nn.Parameter(torch.tensor(float(initial_bias)))

    def forward(self, features: Features, batch: Batch | None = None) -> AlignmentOutput:
        """Embed the clips and, when the batch has texts, the texts."""
        clips = features.clip_vector()
        if self.project is not None:
            clips = self.project(clips)
        video = F.normalize(clips.float(), dim=-1)
        words = None if self.words is None or batch is None else self.words(clips)
        if batch is not None and batch.text_ids is not None:
            given = list(range(len(batch.text_ids)))
            text = F.normalize(self._tower()(batch.text_ids).float(), dim=-1)
        else:
            texts = () if batch is None else batch.texts
            given = [i for i, sentence in enumerate(texts) if sentence is not None]
            if not given:
                return AlignmentOutput(video=video, words=words)
            text = self.encode_text([texts[i] for i in given])  # type: ignore[misc]
        logits = video @ text.T * self.logit_scale.exp() + self.logit_bias
        return AlignmentOutput(video, text, logits, tuple(given), words)

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "N D"]:
        """L2-normalised vectors of some texts.

        Those of a frozen tower are computed once and kept on disk.

        Raises:
            ValueError: the model has no text tower.
        """
        tower = self._tower()
        frozen = not any(p.requires_grad for p in tower.parameters())
        vectors = self.text_cache(tower, texts) if frozen else tower.encode(texts)
        return F.normalize(vectors.float(), dim=-1)

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
        """A term named after the loss, over the clips that have a text; "words" where predicted.

        `siglip` is summed over the texts and averaged over the clips; `clip` averages the
        cross-entropies of clips and of texts.
        """
        rows = torch.tensor(output.text_of, dtype=torch.long, device=output.video.device)
        keys = self._keys(output, batch)
        if num_processes() > 1:
            texts = output.video[:0] if output.text is None else output.text
            pairs = gather_rows(torch.cat([output.video[rows], texts], dim=1))
            keys = gather_rows(keys)
            video, text = pairs.chunk(2, dim=1)
            logits = video @ text.T * self.logit_scale.exp() + self.logit_bias
        elif output.logits is None:
            return {name: 0 * output.video.sum() for name in self._terms()}
        else:
            logits = output.logits[rows]
        terms = {self.loss_name: _LOSSES[self.loss_name](logits, keys[:, None] == keys[None])}
        if self.words is not None:
            terms["words"] = self.words.loss(output.words[rows], self._ids(output, batch))
        return terms

    def _terms(self) -> tuple[str, ...]:
        return (self.loss_name,) if self.words is None else (self.loss_name, "words")

    def _ids(self, output: AlignmentOutput, batch: Batch) -> Int[Tensor, "N L"]:
        if batch.text_ids is not None:
            return batch.text_ids
        ids = self._tower().tokenize([batch.texts[i] or "" for i in output.text_of])
        return ids.to(output.video.device)

    def _positives(self, output: AlignmentOutput, batch: Batch) -> Bool[Tensor, "N N"]:
        keys = self._keys(output, batch)
        return keys[:, None] == keys[None]

    def _keys(self, output: AlignmentOutput, batch: Batch) -> Int[Tensor, " N"]:
        """A number per text; texts that fit each other's clips have the same."""
        keys = []
        for i in output.text_of:
            event = batch.events[i] if batch.events else None
            words = " ".join((batch.texts[i] or "").lower().split())
            alone = f"clip: {process_rank()} {i}" if self.recipe == "official" else f"text: {words}"
            keys.append(hash64(event if event in self.interchangeable else alone))
        return torch.tensor(keys, dtype=torch.long, device=output.video.device)

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
