"""In which order clips are read: reproducible, resumable, the same for any number of workers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int
from torch.utils.data import DataLoader, Dataset, Sampler

from soccermaster.data.datasets.base import ClipDataset, DatasetError
from soccermaster.data.images import VideoError
from soccermaster.data.undecoded import UndecodedClip
from soccermaster.structures import Batch, Clip
from soccermaster.training.unreadable import Loaded, UnreadableClips


class EndlessBatches(Sampler[list[tuple[int, int]]]):
    """Shuffled batches without end; batch k is a function of the seed and k alone.

    Each pass over the clips has its own shuffle; the tail that fills no batch is left to the next
    pass. Yields (clip index, draw), where `draw` seeds the augmentation of this visit.

    Args:
        num_clips: in the dataset.
        batch_size: clips per batch and process.
        seed: of the shuffles.
        rank, world_size: of this process; the processes share each pass.
        groups: the file that each clip lies in. A pass then goes through the files in a random
            order and shuffles the clips of `files_at_once` of them at a time.
        files_at_once: see `groups`.
    """

    def __init__(
        self,
        num_clips: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        groups: Sequence[int] | np.ndarray | None = None,
        files_at_once: int = 16,
    ) -> None:
        self.num_clips = num_clips
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.groups = np.zeros(num_clips, np.int64) if groups is None else np.asarray(groups)
        self.files_at_once = files_at_once
        self.start = 0  # the batch that a new iteration begins with
        self.batches_per_pass = num_clips // (batch_size * world_size)
        if self.batches_per_pass == 0:
            raise ValueError(
                f"expected at least {batch_size * world_size} clips (batch size {batch_size} x "
                f"{world_size} processes), got {num_clips}. Lower batch_size or add clips."
            )

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order, shuffled_pass = np.empty(0, np.int64), -1
        for k in itertools.count(self.start):
            this_pass, position = divmod(k, self.batches_per_pass)
            if this_pass != shuffled_pass:
                rng = np.random.default_rng((self.seed, this_pass))
                order, shuffled_pass = self._shuffled(rng), this_pass
            first = (position * self.world_size + self.rank) * self.batch_size
            yield [(int(i), this_pass) for i in order[first : first + self.batch_size]]

    def _shuffled(self, rng: np.random.Generator) -> Int[np.ndarray, " num_clips"]:
        files, file = np.unique(self.groups, return_inverse=True)
        if len(files) <= self.files_at_once:
            return rng.permutation(self.num_clips)
        window = rng.permutation(len(files))[file] // self.files_at_once
        return np.lexsort((rng.random(self.num_clips), window))


class AugmentedClips(Dataset[Clip]):
    """A dataset seen through a transform whose randomness is a function of seed, clip and draw.

    Args:
        dataset: of clips. The transform of a `ClipDataset` gets the clip before it is decoded.
        transform: `transform(clip, rng) -> Clip`.
        seed: of the transform's randomness.
        keep: hold the clips, as they were before the transform, in the memory of the process that
            read them; for small sets that are dear to read or to render.
        strict: whether a clip that cannot be read is an error; else its index and the error take
            its place.
    """

    def __init__(
        self, dataset: Any, transform: Any, seed: int, keep: bool = False, strict: bool = True
    ) -> None:
        self.dataset = dataset
        self.transform = transform
        self.seed = seed
        self.strict = strict
        self._kept: dict[int, Clip] | None = {} if keep else None

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: int | tuple[int, int]) -> Clip | tuple[int, Exception]:
        index, draw = key if isinstance(key, tuple) else (key, 0)
        rng = np.random.default_rng((self.seed, draw, index))
        try:
            return self.transform(self._clip(index), rng)
        except (VideoError, DatasetError) as error:
            if self.strict:
                raise
            return index, error

    def _clip(self, index: int) -> Clip | UndecodedClip:
        if self._kept is None:
            undecoded = isinstance(self.dataset, ClipDataset)
            return self.dataset.undecoded(index) if undecoded else self.dataset[index]
        if index not in self._kept:
            self._kept[index] = self.dataset[index]
        return self._kept[index]


class TakingTurns:
    """Batches of several loaders, one after the other, for one pass over the longest.

    The position survives in `state_dict`, so that a resumed run reads the batches that an
    uninterrupted one would have read. A batch of which no clip could be read is left out, and the
    loader's next one takes its turn.

    Args:
        loaders: of `Loaded`, by dataset.
        unreadable: counts the clips that could not be read.
    """

    def __init__(
        self, loaders: Mapping[str, DataLoader], unreadable: UnreadableClips | None = None
    ) -> None:
        self.loaders = dict(loaders)
        self.unreadable = UnreadableClips() if unreadable is None else unreadable
        self.served = 0
        self.read = dict.fromkeys(self.loaders, 0)  # batches of each, with those left out
        self._iterators: dict[str, Iterator[Loaded]] | None = None

    def __len__(self) -> int:
        return max(map(self._batches_per_pass, self.loaders)) * len(self.loaders)

    def __iter__(self) -> Iterator[Batch]:
        names = list(self.loaders)
        if self._iterators is None:
            for name, loader in self.loaders.items():
                loader.batch_sampler.start = self.read[name]
            self._iterators = {name: iter(loader) for name, loader in self.loaders.items()}
        while True:
            batch = self._next(names[self.served % len(names)])
            self.served += 1
            yield batch
            if self.served % len(self) == 0:
                return

    def state_dict(self) -> dict[str, Any]:
        """How many batches were served, and read from each dataset."""
        return {"served": self.served, "read": dict(self.read)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue after those batches."""
        self.served = int(state["served"])
        self.read = {name: int(state["read"][name]) for name in self.loaders}
        self._iterators = None

    def _next(self, name: str) -> Batch:
        assert self._iterators is not None
        for _ in range(self._batches_per_pass(name)):
            loaded = next(self._iterators[name])
            self.read[name] += 1
            self.unreadable.add(loaded, name)
            if loaded.batch is not None:
                return loaded.batch
        raise DatasetError(
            f"dataset '{name}': expected a clip that can be read, got none in a whole pass.\n"
            f"{self.unreadable.report()}"
        )

    def _batches_per_pass(self, name: str) -> int:
        return self.loaders[name].batch_sampler.batches_per_pass


class EveryNth(Sampler[int]):
    """The clips rank, rank + world_size, ...: each is evaluated exactly once, nothing is padded."""

    def __init__(self, num_clips: int, rank: int = 0, world_size: int = 1) -> None:
        self.indices = range(rank, num_clips, world_size)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)
