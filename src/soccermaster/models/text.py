"""The text tower: a SigLIP-style transformer over subword tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from soccermaster.models.huggingface import find_directory
from soccermaster.models.layers import Block
from soccermaster.models.tokenizer import load_tokenizer


class TextEncoder(nn.Module):
    """Token ids (n, L) -> one vector per text (n, output_dim).

    As in SigLIP there is no attention mask: padding takes part, and the text is pooled at the last
    position, which sees all tokens, unless `pool` says otherwise.

    Args:
        embed_dim: width of the tower.
        depth, num_heads: of its blocks. Without blocks (depth 0) a text is the mean of its words,
            which is learnt within a few batches.
        output_dim: width of the space shared with the video.
        max_length: L, tokens per text; longer texts are cut.
        mlp_dim: hidden width of the MLPs; 4 * embed_dim when None.
        vocab_size: rows of the token embedding; as many as the tokenizer has tokens when None.
        tokenizer: directory with `tokenizer.model` or `tokenizer.json` (see `load_tokenizer`); the
            built-in tokenizer when None. A hub id will do as well.
        lowercase: lower-case the texts first. The release does not.
        pool: "last" takes the last position (SigLIP); "mean" averages the tokens that are no
            padding, which learns sooner from scratch.

    Source: Zhai et al., SigLIP, ICCV 2023.
    """

    def __init__(
        self,
        embed_dim: int,
        depth: int,
        num_heads: int,
        output_dim: int,
        max_length: int = 64,
        mlp_dim: int | None = None,
        vocab_size: int | None = None,
        tokenizer: Path | str | None = None,
        lowercase: bool = False,
        pool: Literal["last", "mean"] = "last",
    ) -> None:
        super().__init__()
        if pool not in ("last", "mean"):
            raise ValueError(f"expected pool 'last' or 'mean', got '{pool}'")
        self.pool = pool
        self.tokenizer_directory = None if tokenizer is None else find_directory(tokenizer)
        self.tokenizer = load_tokenizer(self.tokenizer_directory)
        self.max_length = max_length
        self.lowercase = lowercase
        tokens = self.tokenizer.vocab_size
        if vocab_size is not None and vocab_size < tokens:
            raise ValueError(
                f"expected a vocab_size of at least {tokens}, the tokens of the tokenizer, got "
                f"{vocab_size}"
            )
        self.token_embedding = nn.Embedding(vocab_size or tokens, embed_dim)
        self.position_embedding = nn.Parameter(torch.randn(max_length, embed_dim) * 0.02)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        self.blocks = nn.ModuleList(
            Block(embed_dim, num_heads, mlp_dim or 4 * embed_dim) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.project = nn.Linear(embed_dim, output_dim)

    def forward(self, input_ids: Int[Tensor, "n L"]) -> Float[Tensor, "n D"]:
        """Encode token ids, not normalised.

        Raises:
            ValueError: more tokens than positions, or ids outside of the vocabulary.
        """
        rows, length = self.token_embedding.num_embeddings, self.max_length
        if input_ids.ndim != 2 or input_ids.shape[1] > length:
            raise ValueError(
                f"expected token ids (n, L) with L up to {length}, got {tuple(input_ids.shape)}"
            )
        on_cpu = input_ids.device.type == "cpu"  # elsewhere a look at the values would wait
        if on_cpu and not ((input_ids >= 0) & (input_ids < rows)).all():
            raise ValueError(
                f"expected token ids from 0 to {rows - 1}, got {int(input_ids.min())} to "
                f"{int(input_ids.max())}: they are of another tokenizer."
            )
        tokens = self.token_embedding(input_ids) + self.position_embedding[: input_ids.shape[1]]
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        if self.pool == "last":
            return self.project(tokens[:, -1])
        words = (input_ids != self.tokenizer.pad_id).to(tokens.dtype).unsqueeze(-1)
        return self.project((tokens * words).sum(1) / words.sum(1).clamp(min=1))

    def encode(self, texts: Sequence[str]) -> Float[Tensor, "n D"]:
        """Tokenize and encode; an empty list gives (0, D)."""
        ids = self.tokenize(texts)
        return self(ids.to(self.position_embedding.device))

    def tokenize(self, texts: Sequence[str]) -> Int[Tensor, "n L"]:
        """Token ids of some texts, cut and padded to `max_length`."""
        if self.lowercase:
            texts = [text.lower() for text in texts]
        return self.tokenizer(texts, self.max_length)
