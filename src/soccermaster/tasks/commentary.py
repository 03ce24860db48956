"""Commentary: a clip is told in a sentence.

Frame vectors and their place in time -> Q-Former -> a prefix of vectors for a causal language
model, which continues it with an anonymised comment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soccermaster.metrics.commentary import CommentaryMetrics
from soccermaster.models.language import Decoding, LanguageModel
from soccermaster.models.qformer import QFormer
from soccermaster.ops.losses import masked_cross_entropy
from soccermaster.structures import Batch, CommentaryPrediction, Features
from soccermaster.tasks.base import Recipe, Task

Vocabulary = Literal["all", "training"]


@dataclass(frozen=True)
class CommentaryOutput:
    """What the language model is told about each clip."""

    prefix: Float[Tensor, "B Q C"]


class Commentary(Task):
    """A sentence for a clip of about 30 seconds.

    Args:
        embed_dim: D of the encoder.
        language: continues the prefix.
        dim, num_queries, depth, num_heads, max_frames, clip_token: see `QFormer`.
        decoding: "nucleus" samples, "beam" searches; "paper" searches among samples.
        top_p, temperature, num_beams: see `LanguageModel.generate`.
        max_tokens: most tokens of a comment.
        vocabulary: "training" allows only tokens that training comments had (those that the first
            process saw); "all" allows all.
        seed: of the samples.
        term_weights: of the loss term (`cross_entropy`).
        lr: learning rate of the head, language model included.
        recipe: both are the same here: mean cross-entropy.

    Source: Rao et al., MatchTime (MatchVoice), EMNLP 2024; used by SoccerMaster (CVPR 2026)
        downstream, with 32 queries of width 768 and Llama-3-8B-Instruct.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"text"})
    reads: ClassVar[frozenset[str]] = frozenset({"frames"})

    def __init__(
        self,
        embed_dim: int,
        language: LanguageModel,
        dim: int = 768,
        num_queries: int = 32,
        depth: int = 2,
        num_heads: int = 12,
        max_frames: int = 128,
        clip_token: bool = False,
        decoding: Decoding = "nucleus",
        top_p: float = 0.9,
        temperature: float = 0.7,
        num_beams: int = 5,
        max_tokens: int = 128,
        vocabulary: Vocabulary = "all",
        seed: int = 0,
        term_weights: Mapping[str, float] | None = None,
        lr: float | None = None,
        recipe: Recipe = "corrected",
    ) -> None:
        super().__init__(term_weights, lr, recipe)
        if vocabulary not in ("all", "training"):
            raise ValueError(f"expected vocabulary 'all' or 'training', got '{vocabulary}'")
        self.qformer = QFormer(
            embed_dim, dim, num_queries, depth, num_heads, max_frames, clip_token
        )
        self.project = nn.Linear(dim, language.dim)
        self.language = language
        self.decoding, self.max_tokens, self.seed = decoding, max_tokens, seed
        self.top_p, self.temperature, self.num_beams = top_p, temperature, num_beams
        self.vocabulary = vocabulary
        self.register_buffer("tokens_seen", torch.zeros(language.vocab_size, dtype=torch.bool))

    def forward(self, features: Features, batch: Batch | None = None) -> CommentaryOutput:
        """Read the clips."""
        if features.frames is None:
            raise ValueError("expected features with 'frames'; ask the encoder for them")
        queries = self.qformer(features.frames, features.frame_mask, features.clip)
        return CommentaryOutput(self.project(queries))

    def loss(self, output: CommentaryOutput, batch: Batch) -> dict[str, Tensor]:
        """`cross_entropy`: mean over the tokens of all comments, end marks included."""
        given = [i for i, text in enumerate(batch.texts) if text is not None]
        if not given:
            return {"cross_entropy": 0 * output.prefix.sum()}
        ids, real = self.language.tokenize([batch.texts[i] for i in given], self.max_tokens)
        ids, real = ids.to(output.prefix.device), real.to(output.prefix.device)
        if self.training:
            self.tokens_seen[ids[real]] = True
        logits = self.language(output.prefix[given], ids)
        return {"cross_entropy": masked_cross_entropy(logits[real], ids[real], real[real])}

    @torch.no_grad()
    def decode(
        self, output: CommentaryOutput, batch: Batch | None = None
    ) -> list[CommentaryPrediction]:
        """One comment per clip; the same prefixes give the same comments."""
        restricted = self.vocabulary == "training" and bool(self.tokens_seen.any())
        texts = self.language.generate(
            output.prefix,
            self.decoding,
            self.max_tokens,
            self.top_p,
            self.temperature,
            self.num_beams,
            self.tokens_seen if restricted else None,
            self.seed,
        )
        return [CommentaryPrediction(text) for text in texts]

    def make_metrics(self) -> CommentaryMetrics:
        """BLEU, METEOR, ROUGE-L, CIDEr, and CIDEr for the wrong videos."""
        return CommentaryMetrics()
