"""Datasets to batches: one loader per dataset, taking turns in training."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from soccermaster.data.augment import ResizeClip
from soccermaster.data.datasets.base import releases_of
from soccermaster.structures import Batch, unknown_fields
from soccermaster.training.sampling import AugmentedClips, EndlessBatches, EveryNth, TakingTurns
from soccermaster.training.unreadable import ReadableBatches, UnreadableClips, collate_readable
from soccermaster.vocabulary import ANNOTATION_FIELDS

_IN_SOCCERNET_TEST = ("MatchTime/valid",)
_SOCCERNET_TEST = ("SoccerNet-v2/test",)


@dataclass(frozen=True)
class Source:
    """A dataset as one run uses it.

    Attributes:
        dataset: makes the dataset of a split: `dataset(split="train")`.
        image_size: (H, W) of the network input.
        batch_size: clips per batch and process.
        augment: train on augmented clips; False resizes alone.
        keep: hold the training clips in memory after they were read once.
        splits: those that there are; an evaluation on another one leaves the dataset out.
    """

    dataset: Callable[..., Any]
    image_size: tuple[int, int]
    batch_size: int
    augment: bool = True
    keep: bool = False
    splits: Sequence[str] = ("train", "valid", "test")

    def releases(self, split: str) -> frozenset[str]:
        """Parts of public data in a split, such as "MatchTime/valid", if the dataset tells them."""
        return releases_of(self.dataset, split) if split in self.splits else frozenset()


class SharedGamesError(ValueError):
    """Clips to validate on that show the games of a test set."""


def refuse_shared_games(sources: Mapping[str, Source]) -> None:
    """Stop where MatchTime valid meets the test games of SoccerNet.

    The 49 games of MatchTime valid lie in the test split of SoccerNet: whoever chooses a model on
    the one has seen the other.

    Raises:
        SharedGamesError: the sources hold both.
    """
    held = {(name, r) for name, s in sources.items() for r in s.releases("valid")}
    held |= {(name, r) for name, s in sources.items() for r in s.releases("test")}
    valid = sorted(name for name, release in held if release in _IN_SOCCERNET_TEST)
    test = sorted(name for name, release in held if release in _SOCCERNET_TEST)
    if valid and test:
        raise SharedGamesError(
            f"expected validation and test clips of different games, got {_IN_SOCCERNET_TEST[0]} "
            f"(dataset {valid[0]}) and {_SOCCERNET_TEST[0]} (dataset {test[0]}): the games of the "
            "one are among those of the other. Leave one out, such as with "
            f"+datasets.{valid[0]}.dataset.sources.valid=[SoccerNet-v2], or accept it with "
            "allow_shared_games=true."
        )


class ClipDataModule(LightningDataModule):
    """Loaders for training and evaluation.

    Args:
        sources: by name.
        augment: makes the training transform of an image size: `augment(image_size=...)`.
        seed: of order and augmentation.
        num_workers: loader processes per dataset; None takes one per dataset, none on one core.
        strict: whether a clip that cannot be read ends the run. Else it is left out, and counted
            in `unreadable`.
        allow_shared_games: use MatchTime valid and the SoccerNet test games together, though they
            are the same games.

    Raises:
        SharedGamesError: the sources hold both, and `allow_shared_games` is False.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        augment: Callable[..., Any] | None = None,
        seed: int = 0,
        num_workers: int | None = None,
        strict: bool = True,
        allow_shared_games: bool = False,
    ) -> None:
        super().__init__()
        if not sources:
            raise ValueError("expected at least one dataset, got none. Add dataset=[...].")
        self.sources = dict(sources)
        if not allow_shared_games:
            refuse_shared_games(self.sources)
        self.augment = augment
        self.seed = seed
        self.strict = strict
        self.unreadable = UnreadableClips()
        single_core = (os.cpu_count() or 1) == 1
        self.num_workers = (0 if single_core else 1) if num_workers is None else num_workers
        self.validates_in_training = False  # else training is given no validation loaders
        self._datasets: dict[tuple[str, str], Any] = {}

    def keep(self, names: Collection[str]) -> list[str]:
        """Leave out all other sources; returns their names."""
        idle = [name for name in self.sources if name not in names]
        self.sources = {name: s for name, s in self.sources.items() if name in names}
        return idle

    def dataset(self, name: str, split: str) -> Any:
        """The dataset of a source and split, made once."""
        if (name, split) not in self._datasets:
            dataset = self.sources[name].dataset(split=split)
            if not len(dataset):
                raise ValueError(f"dataset '{name}' has no clips in split '{split}'")
            strange = unknown_fields(dataset.provides, ANNOTATION_FIELDS)
            if strange:
                raise ValueError(
                    f"dataset '{name}' provides {strange}, which are no annotation fields. "
                    f"The fields are {', '.join(ANNOTATION_FIELDS)}."
                )
            self._datasets[name, split] = dataset
        return self._datasets[name, split]

    def with_datasets(self, datasets: Mapping[tuple[str, str], Any]) -> ClipDataModule:
        """The same sources, read in this process from other datasets, by source and split.

        The clips are taken as they are, not augmented.
        """
        sources = {
            name: dataclasses.replace(source, augment=False, keep=False)
            for name, source in self.sources.items()
        }
        other = ClipDataModule(sources, None, self.seed, 0, self.strict, allow_shared_games=True)
        other.unreadable = self.unreadable
        other._datasets = dict(datasets)
        return other

    def provides(self, split: str) -> dict[str, frozenset[str]]:
        """Annotation fields of every source that has the split."""
        return {name: frozenset(self.dataset(name, split).provides) for name in self.having(split)}

    def having(self, split: str) -> list[str]:
        """Names of the sources that have a split."""
        return [name for name, source in self.sources.items() if split in source.splits]

    def sizes(self, split: str) -> dict[str, int]:
        """Clips of every source that has the split."""
        return {name: len(self.dataset(name, split)) for name in self.having(split)}

    def train_dataloader(self) -> TakingTurns:
        """Micro-batches of the sources in turn, each shuffled by itself."""
        loaders = {}
        for name, source in self.sources.items():
            size = tuple(source.image_size)
            use_augment = source.augment and self.augment is not None
            transform = self.augment(image_size=size) if use_augment else ResizeClip(size)
            dataset = self.dataset(name, "train")
            rank, world_size = self._process()
            batches = EndlessBatches(
                len(dataset),
                source.batch_size,
                self.seed,
                rank,
                world_size,
                groups=getattr(dataset, "groups", None),
            )
            clips = AugmentedClips(dataset, transform, self.seed, source.keep, self.strict)
            loaders[name] = self._loader(clips, name, batch_sampler=batches)
        return TakingTurns(loaders, self.unreadable)

    def val_dataloader(self) -> list[ReadableBatches]:
        """Lightning's hook for validation in the course of training."""
        return self.evaluation_loaders("valid") if self.validates_in_training else []

    def evaluation_loaders(self, split: str) -> list[ReadableBatches]:
        """One loader per source that has the split, every clip once, no augmentation."""
        loaders = []
        for name in self.having(split):
            source = self.sources[name]
            clips = self.resized_clips(name, split)
            sampler = EveryNth(len(clips), *self._process())
            loader = self._loader(clips, name, sampler=sampler, batch_size=source.batch_size)
            loaders.append(ReadableBatches(loader, name, self.unreadable))
        return loaders

    def resized_clips(self, name: str, split: str) -> AugmentedClips:
        """The clips of a source and split in the size of the network, not augmented."""
        resize = ResizeClip(tuple(self.sources[name].image_size))
        return AugmentedClips(self.dataset(name, split), resize, self.seed, strict=self.strict)

    def _process(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size

    def _loader(self, clips: AugmentedClips, name: str, **sampling: Any) -> DataLoader:
        collate = functools.partial(
            collate_readable, provides=frozenset(clips.dataset.provides), source=name
        )
        return DataLoader(
            clips,
            collate_fn=collate,
            num_workers=self.num_workers,
            worker_init_fn=one_thread if self.num_workers else None,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator().manual_seed(self.seed),  # leaves the global one alone
            **sampling,
        )

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Lightning's hook; a batch knows how to move itself."""
        return batch.to(device)


def one_thread(worker: int) -> None:
    """Keep a loader process to one core."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
