"""The error that bad data raises, and the words that its messages share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


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
