"""What every dataset is: a map from an index to a `Clip`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int
from torch.utils.data import Dataset

from soccermaster.data.errors import DatasetError, nearest, some
from soccermaster.data.undecoded import UndecodedClip
from soccermaster.structures import Clip

__all__ = ["ClipDataset", "DatasetError", "nearest", "releases_of", "some"]


class ClipDataset(Dataset[Clip], ABC):
    """Clips of one kind of video with the annotations that it provides, in natural units.

    Map-style: a torch `DataLoader` can index it. Everything that can be wrong with the labels is
    found by the constructor, not by a worker in the middle of an epoch.

    Attributes:
        name: the name of the dataset; becomes `Clip.source`.
        provides: the fields of `vocabulary.ANNOTATION_FIELDS` that its clips annotate.
        groups: the large file that each clip lies in, if there are such; training reads the clips
            of a few files at a time.
        fingerprint: changes with the files that the clips are read from, and with how they are
            read; "" where there are no files.
        releases: the lists of public clips that they are from, such as "MatchTime/valid".
    """

    name: str
    provides: frozenset[str]
    groups: Int[np.ndarray, " n"] | None = None
    fingerprint: str = ""
    releases: frozenset[str] = frozenset()

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Clip: ...

    def undecoded(self, index: int) -> Clip | UndecodedClip:
        """Clip `index` before its frames are decoded, for a transform that knows their size.

        A dataset that draws its frames itself, or has no use for this, gives the clip.
        """
        return self[index]

    @classmethod
    def releases_with(cls, *args: Any, **kwargs: Any) -> frozenset[str]:
        """The `releases` of a dataset that is made with these arguments; it is not opened."""
        return frozenset()


def releases_of(make: Callable[..., ClipDataset], split: str) -> frozenset[str]:
    """The `releases` of `make(split=split)`, a class or a partial of one, without making it."""
    kind = getattr(make, "func", make)
    if not (isinstance(kind, type) and issubclass(kind, ClipDataset)):
        return frozenset()
    args, keywords = getattr(make, "args", ()), getattr(make, "keywords", {})
    return kind.releases_with(*args, **keywords, split=split)
