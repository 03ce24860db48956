"""What every dataset is: a map from an index to a `Clip`, and the error that bad data raises."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Int
from torch.utils.data import Dataset

from soccermaster.data.undecoded import UndecodedClip
from soccermaster.structures import Clip


class DatasetError(ValueError):
    """A file of a dataset is missing, or holds something that its format does not allow.

    It takes one message, so that it also crosses the border of a worker process; `at` writes one.
    """

    @classmethod
    def at(
        cls, file: Path | str, *, expected: str, got: str, fix: str, record: str | None = None
    ) -> DatasetError:
        """The error with the usual sentence: where, expected, got, what to do.

        Args:
            file: the file (or folder) at fault.
            expected: what the format asks for.
            got: what is there.
            fix: what the reader of the message can do.
            record: the place inside the file, such as "record 12" or "annotation '77'".
        """
        where = f"{file}, {record}" if record else f"{file}"
        return cls(f"{where}: expected {expected}, got {got}. {fix}")


class ClipDataset(Dataset[Clip], ABC):
    """Clips of one kind of video with the annotations that it provides, in natural units.

    Map-style: a torch `DataLoader` can index it. Everything that can be wrong with the labels is
    found by the constructor, not by a worker in the middle of an epoch.

    Attributes:
        name: the name of the dataset; becomes `Clip.source`.
        provides: the fields of `vocabulary.ANNOTATION_FIELDS` that its clips annotate.
        groups: the large file that each clip lies in, if there are such; training reads the clips
            of a few files at a time.
    """

    name: str
    provides: frozenset[str]
    groups: Int[np.ndarray, " n"] | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Clip: ...

    def undecoded(self, index: int) -> Clip | UndecodedClip:
        """Clip `index` before its frames are decoded, for a transform that knows their size.

        A dataset that draws its frames itself, or has no use for this, gives the clip.
        """
        return self[index]


def nearest(word: str, words: Iterable[str]) -> str:
    """The words that look most like `word`, as the end of an error message.

    Returns:
        "Did you mean 'goal'?", or the whole list when nothing looks alike.
    """
    words = list(words)
    close = difflib.get_close_matches(str(word), words, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Allowed: {', '.join(map(repr, words))}."


def some(items: Iterable[object], limit: int = 3) -> str:
    """The first few of `items` and how many more there are, for an error message."""
    items = list(items)
    text = ", ".join(str(item) for item in items[:limit])
    more = len(items) - limit
    return f"{text}, ... ({more} more)" if more > 0 else text
