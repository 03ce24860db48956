"""The text tower: a SigLIP-style transformer over subword tokens, and its tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources

import torch
from jaxtyping import Float, Int
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn

from soccermaster.models.layers import Block

SPECIAL_TOKENS = ("<pad>", "[PLAYER]", "[TEAM]", "[COACH]", "[REFEREE]")


class TextEncoder(nn.Module):
    """Token ids (n, L) -> one vector per text (n, output_dim).

    As in SigLIP there is no attention mask: padding takes part, and the text is pooled at the last
    position, which sees all tokens.

    Args:
        embed_dim: width of the tower.
        depth, num_heads: of its blocks.
        output_dim: width of the space shared with the video.
        max_length: L, tokens per text; longer texts are cut.
        vocab_size: of the tokenizer; the built-in one when None.

    Source: Zhai et al., SigLIP, ICCV 2023.
    """

    def __init__(
        self,
        embed_dim: int,
        depth: int,
        num_heads: int,
        output_dim: int,
        max_length: int = 64,
        vocab_size: int | None = None,
    ) -> None:
        super().__init__()
        self.tokenizer = load_tokenizer()
        self.max_length = max_length
        size = self.tokenizer.get_vocab_size()
        if vocab_size is not None and vocab_size != size:
            raise ValueError(
                f"expected vocab_size {size}, that of the built-in tokenizer, got {vocab_size}"
            )
        self.token_embedding = nn.Embedding(size, embed_dim)
        self.position_embedding = nn.Parameter(torch.randn(max_length, embed_dim) * 0.02)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        self.blocks = nn.ModuleList(
            Block(embed_dim, num_heads, 4 * embed_dim) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.project = nn.Linear(embed_dim, output_dim)

    def forward(self, input_ids: Int[Tensor, "n L"]) -> Float[Tensor, "n D"]:
        """Encode token ids, not normalised."""
        tokens = self.token_embedding(input_ids) + self.position_embedding[: input_ids.shape[1]]
        for block in self.blocks:
            tokens = block(tokens)
        return self.project(self.norm(tokens)[:, -1])

    def encode(self, texts: Sequence[str]) -> Float[Tensor, "n D"]:
        """Tokenize and encode; an empty list gives (0, D)."""
        ids = tokenize(self.tokenizer, texts, self.max_length)
        return self(ids.to(self.position_embedding.device))


def load_tokenizer() -> Tokenizer:
    """The built-in byte-level BPE tokenizer for anonymised soccer comments (any text works)."""
    asset = resources.files("soccermaster.models") / "assets" / "tokenizer.json"
    return Tokenizer.from_str(asset.read_text(encoding="utf-8"))


def tokenize(tokenizer: Tokenizer, texts: Sequence[str], length: int) -> Int[Tensor, "n L"]:
    """Token ids, padded at the end and cut to `length`."""
    pad = tokenizer.token_to_id("<pad>")
    ids = torch.full((len(texts), length), pad, dtype=torch.long)
    for row, encoding in enumerate(tokenizer.encode_batch(list(texts))):
        kept = torch.tensor(encoding.ids[:length], dtype=torch.long)
        ids[row, : len(kept)] = kept
    return ids


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A byte-level BPE tokenizer learned from `texts`, with the anonymised words as single tokens.

    Source: Sennrich et al., Neural Machine Translation of Rare Words with Subword Units, ACL 2016.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
