"""Several datasets as one, so that they are shuffled and batched together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from soccermaster.data.datasets.base import ClipDataset, DatasetError, releases_of
from soccermaster.data.undecoded import UndecodedClip
from soccermaster.structures import Clip


class JoinedClips(ClipDataset):
    """The clips of several datasets, one after the other.

    A clip keeps the name of its own dataset in `Clip.source`. The whole provides what every part
    provides.

    Args:
        split: "train", "valid" or "test".
        parts: makes the dataset of a split, by name: `part(split="train")`.
        splits: the splits of those parts that do not have them all.

    Raises:
        DatasetError: no part has the split.
    """

    name = "joined"

    def __init__(
        self,
        split: str,
        parts: Mapping[str, Callable[..., ClipDataset]],
        splits: Mapping[str, Any] | None = None,
    ) -> None:
        unknown = sorted(set(splits or {}) - set(parts))
        if unknown:
            raise DatasetError(f"expected splits of {sorted(parts)}, got some of {unknown}")
        self.parts = {name: part(split=split) for name, part in _having(split, parts, splits)}
        if not self.parts:
            raise DatasetError(f"expected a dataset with split '{split}' among {sorted(parts)}")
        datasets = list(self.parts.values())
        self.provides = frozenset.intersection(*(d.provides for d in datasets))
        self.fingerprint = " ".join(filter(None, (d.fingerprint for d in datasets)))
        self.releases = frozenset().union(*(d.releases for d in datasets))
        self._ends = np.cumsum([len(d) for d in datasets])
        if any(d.groups is not None for d in datasets):
            groups, count = [], 0
            for dataset in datasets:
                own = np.zeros(len(dataset), np.int64) if dataset.groups is None else dataset.groups
                groups.append(np.asarray(own) + count)
                count = groups[-1].max(initial=count) + 1
            self.groups = np.concatenate(groups)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Clip:
        dataset, own = self._of(index)
        return dataset[own]

    def undecoded(self, index: int) -> Clip | UndecodedClip:
        """See `ClipDataset.undecoded`."""
        dataset, own = self._of(index)
        return dataset.undecoded(own)

    @classmethod
    def releases_with(
        cls,
        split: str,
        parts: Mapping[str, Callable[..., ClipDataset]],
        splits: Mapping[str, Any] | None = None,
    ) -> frozenset[str]:
        """See `ClipDataset.releases_with`."""
        having = _having(split, parts, splits)
        return frozenset().union(*(releases_of(part, split) for _, part in having))

    def _of(self, index: int) -> tuple[ClipDataset, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"expected a clip from 0 to {len(self) - 1}, got {index}")
        part = int(np.searchsorted(self._ends, index, side="right"))
        first = 0 if part == 0 else int(self._ends[part - 1])
        return list(self.parts.values())[part], index - first


def _having(
    split: str,
    parts: Mapping[str, Callable[..., ClipDataset]],
    splits: Mapping[str, Any] | None,
) -> list[tuple[str, Callable[..., ClipDataset]]]:
    """The parts that have a split."""
    given = splits or {}
    return [(name, part) for name, part in parts.items() if split in given.get(name, (split,))]
