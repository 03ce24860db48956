"""Text to token ids: the built-in tokenizer, and those of Hugging Face directories."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Int
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from soccermaster.models.weights import CheckpointError, listing

#: Words that stand for names in anonymised comments.
ANONYMOUS_WORDS = ("[PLAYER]", "[TEAM]", "[COACH]", "[REFEREE]")

SPECIAL_TOKENS = ("<pad>", *ANONYMOUS_WORDS)

#: The files that make a tokenizer directory.
SENTENCEPIECE_NAME = "tokenizer.model"
TOKENIZERS_NAME = "tokenizer.json"
TOKENIZER_CONFIG_NAME = "tokenizer_config.json"
TOKENIZER_FILES = (SENTENCEPIECE_NAME, TOKENIZERS_NAME, TOKENIZER_CONFIG_NAME)


class TextTokenizer(Protocol):
    """What the text tower needs of a tokenizer."""

    vocab_size: int

    def __call__(self, texts: Sequence[str], length: int) -> Int[Tensor, "n L"]:
        """Token ids, cut to `length` and padded at the end."""


class BuiltInTokenizer:
    """The byte-level BPE of this package for anonymised soccer comments; any text works."""

    def __init__(self) -> None:
        self.tokenizer = Tokenizer.from_str(built_in_tokenizer().decode())
        self.vocab_size = self.tokenizer.get_vocab_size()
        self.pad_id = self.tokenizer.token_to_id("<pad>")

    def __call__(self, texts: Sequence[str], length: int) -> Int[Tensor, "n L"]:
        """Token ids; a text that is too long loses its end."""
        rows = [encoding.ids[:length] for encoding in self.tokenizer.encode_batch(list(texts))]
        return _pad(rows, length, self.pad_id)


class SentencePieceTokenizer:
    """A `tokenizer.model`, with the marks that `tokenizer_config.json` asks for.

    A text that is too long loses its end, not its end mark, as in transformers.
    """

    def __init__(self, directory: Path) -> None:
        from sentencepiece import SentencePieceProcessor

        path = directory / SENTENCEPIECE_NAME
        self.pieces = SentencePieceProcessor()
        try:
            self.pieces.LoadFromSerializedProto(path.read_bytes())
        except RuntimeError as error:
            raise CheckpointError(f"expected a SentencePiece model in {path}: {error}") from error
        config = _read_config(directory)
        self.vocab_size = len(self.pieces)
        self.first, self.last = _marks(config, self._id_of, default_eos=self.pieces.eos_id())
        self.pad_id = self._id_of(_token(config.get("pad_token"), "<pad>"))
        if self.pad_id is None:
            raise CheckpointError(f"expected a pad token in the vocabulary of {path}, found none")

    def _id_of(self, token: str) -> int | None:
        index = self.pieces.PieceToId(token)
        return index if self.pieces.IdToPiece(index) == token else None

    def __call__(self, texts: Sequence[str], length: int) -> Int[Tensor, "n L"]:
        """Token ids between the marks."""
        rows = self.pieces.EncodeAsIds(list(texts)) if texts else []
        return _pad(_enclose(rows, self.first, self.last, length), length, self.pad_id)


class JsonTokenizer:
    """A `tokenizer.json`, with the marks of `tokenizer_config.json` or, failing these, its own."""

    def __init__(self, directory: Path) -> None:
        path = directory / TOKENIZERS_NAME
        try:
            self.tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception
            raise CheckpointError(f"expected a tokenizer in {path}: {error}") from error
        config = _read_config(directory)
        self.tokenizer.no_padding()
        self.vocab_size = self.tokenizer.get_vocab_size()
        self.own_marks = not {"add_bos_token", "add_eos_token"} & set(config)
        self.first, self.last = (
            ([], [])
            if self.own_marks
            else _marks(config, self.tokenizer.token_to_id, default_eos=None)
        )
        pad = _token(config.get("pad_token"), "<pad>")
        self.pad_id = self.tokenizer.token_to_id(pad)
        if self.pad_id is None:
            raise CheckpointError(f"expected the pad token '{pad}' in {path}, found none")

    def __call__(self, texts: Sequence[str], length: int) -> Int[Tensor, "n L"]:
        """Token ids between the marks."""
        if self.own_marks:
            self.tokenizer.enable_truncation(length)
        else:
            self.tokenizer.no_truncation()
        encodings = self.tokenizer.encode_batch(list(texts), add_special_tokens=self.own_marks)
        rows = _enclose([e.ids for e in encodings], self.first, self.last, length)
        return _pad(rows, length, self.pad_id)


def load_tokenizer(directory: Path | str | None = None) -> TextTokenizer:
    """The tokenizer of a directory; the built-in one when None.

    Args:
        directory: with `tokenizer.model` (SentencePiece, preferred) or `tokenizer.json`, and
            usually `tokenizer_config.json`, which says whether texts end with a mark.

    Raises:
        CheckpointError: there is none, or it cannot be read.
    """
    if directory is None:
        return BuiltInTokenizer()
    directory = Path(directory)
    if (directory / SENTENCEPIECE_NAME).is_file():
        return SentencePieceTokenizer(directory)
    if (directory / TOKENIZERS_NAME).is_file():
        return JsonTokenizer(directory)
    found = f"has {listing(directory)}" if directory.is_dir() else "does not exist"
    raise CheckpointError(
        f"expected {SENTENCEPIECE_NAME} or {TOKENIZERS_NAME} in the tokenizer's directory, but "
        f"{directory} {found}."
    )


def built_in_tokenizer() -> bytes:
    """The `tokenizer.json` of the built-in tokenizer."""
    return (resources.files("soccermaster.models") / "assets" / TOKENIZERS_NAME).read_bytes()


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


def _read_config(directory: Path) -> dict[str, Any]:
    path = directory / TOKENIZER_CONFIG_NAME
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"expected a JSON object in {path}, got: {error}") from error


def _marks(
    config: dict[str, Any], id_of: Any, default_eos: int | None
) -> tuple[list[int], list[int]]:
    """Ids before and after every text. SigLIP 2 ends texts with a mark and starts them without."""
    first, last = [], []
    if config.get("add_bos_token", False):
        first = [id_of(_token(config.get("bos_token"), "<bos>"))]
    if config.get("add_eos_token", default_eos is not None and default_eos >= 0):
        last = [id_of(_token(config.get("eos_token"), "<eos>"))]
    if None in first + last:
        raise CheckpointError(
            f"expected the begin and end marks of {TOKENIZER_CONFIG_NAME} in the vocabulary, got "
            f"bos_token={config.get('bos_token')!r}, eos_token={config.get('eos_token')!r}"
        )
    return first, last


def _token(entry: Any, default: str) -> str:
    """A token as tokenizer_config.json writes it: a string, or an object with its content."""
    if isinstance(entry, dict):
        entry = entry.get("content")
    return entry or default


def _enclose(
    rows: Sequence[Sequence[int]], first: list[int], last: list[int], length: int
) -> list[list[int]]:
    room = length - len(first) - len(last)
    return [[*first, *row[:room], *last] for row in rows]


def _pad(rows: Sequence[Sequence[int]], length: int, pad_id: int) -> Int[Tensor, "n L"]:
    ids = torch.full((len(rows), length), pad_id, dtype=torch.long)
    for row, kept in enumerate(rows):
        ids[row, : len(kept)] = torch.tensor(kept, dtype=torch.long)
    return ids
