"""What can be wrong with the files of a dataset, counted by kind, with the first examples."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from soccermaster.data.errors import DatasetError

#: Every kind of problem that a report can name, with what it means.
KINDS: dict[str, str] = {
    "bad_record": "a record breaks the format; training refuses it",
    "unreadable_labels": "a label file cannot be read at all; training refuses it",
    "unknown_class": "an event or marking that is not in the vocabulary; training refuses it",
    "missing_video": "a listed video that is not there",
    "unreadable_video": "a video that does not open, or is cut short",
    "missing_frame": "a listed picture that is not there",
    "unreadable_frame": "a picture that does not decode, or has another size than its labels say",
    "impossible_box": "a box without area, or outside of its picture; it is left out",
    "off_pitch_position": "a position far off the pitch: an airborne ball, or a bad ray",
    "repeated_track": "a track id twice in one picture; the later one is read as unknown",
    "single_point_line": "a marking with one point, which is no line",
    "invisible_marking": "a marking with points far outside of the picture",
    "duplicate": "a video or picture that is listed more than once",
    "multi_label": "a video with more than one class",
    "leak_between_splits": "the same video, match or sequence in two splits",
    "old_labels": "labels of a version that had wrong team sides or positions; fetch newer ones",
    "unknown_tracklet": "a track id without a line in gameinfo.ini",
    "missing_legibility": "a legibility file that does not know some of the people",
}
EXAMPLES_PER_KIND = 5
#: Kinds that change what training reads without stopping it.
_CORRECTED = ("impossible_box", "repeated_track", "missing_legibility")


@dataclass
class Found:
    """How often a kind of problem was seen.

    Attributes:
        count: of all.
        examples: the first few, each a sentence that names the file and the place.
        refused: how many of them the reader of the dataset refuses.
    """

    count: int = 0
    examples: list[str] = field(default_factory=list)
    refused: int = 0


class Problems:
    """Problems by kind. Every kind is counted in full; a few examples of each are kept."""

    def __init__(self) -> None:
        self.by_kind: dict[str, Found] = {}

    def __len__(self) -> int:
        return sum(found.count for found in self.by_kind.values())

    def add(self, kind: str, message: str, *, count: int = 1, refused: bool = False) -> None:
        """Count a problem.

        Args:
            kind: one of `KINDS`.
            message: an example.
            count: how many there are of it.
            refused: the reader of the dataset raises an error for it.
        """
        if kind not in KINDS:
            raise ValueError(f"expected one of {', '.join(KINDS)}, got {kind!r}.")
        found, count = self.by_kind.setdefault(kind, Found()), int(count)
        found.count += count
        found.refused += count if refused else 0
        # What the reader refuses comes first: it is what stops a training run.
        position = 0 if refused and found.refused == count else len(found.examples)
        found.examples.insert(position, message)
        del found.examples[EXAMPLES_PER_KIND:]

    def refuse(self, error: DatasetError, kind: str = "bad_record") -> None:
        """Count something that the reader of the dataset raises an error for."""
        self.add(kind, str(error), refused=True)

    def merge(self, other: Problems) -> None:
        """Take over what another scan found."""
        for kind, found in other.by_kind.items():
            mine = self.by_kind.setdefault(kind, Found())
            mine.examples = (
                found.examples + mine.examples
                if found.refused and not mine.refused
                else mine.examples + found.examples
            )[:EXAMPLES_PER_KIND]
            mine.count += found.count
            mine.refused += found.refused

    def raise_if_refused(self) -> None:
        """Stop at what the reader of a dataset does not accept.

        Raises:
            DatasetError: with the first problem and the number of others.
        """
        refused = [found for found in self.by_kind.values() if found.refused]
        if refused:
            others = sum(found.refused for found in refused) - 1
            more = f" ({others} more; scripts/prepare_data.py lists them.)" if others else ""
            raise DatasetError(refused[0].examples[0] + more)

    def warn_if_corrected(self) -> None:
        """Warn about what is read otherwise than it is labelled."""
        for kind in _CORRECTED:
            if kind in self.by_kind:
                found = self.by_kind[kind]
                warnings.warn(
                    f"{found.examples[0]} {found.count} of the kind in all "
                    f"({kind}: {KINDS[kind]}); scripts/prepare_data.py lists more.",
                    stacklevel=5,
                )

    def to_json(self) -> dict[str, Any]:
        """Plain values, by kind."""
        return {
            kind: {"count": f.count, "examples": f.examples, "refused": f.refused}
            for kind, f in sorted(self.by_kind.items())
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Problems:
        """What `to_json` gave."""
        problems = cls()
        problems.by_kind = {kind: Found(**found) for kind, found in values.items()}
        return problems
