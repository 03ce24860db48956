"""What happens to clips that cannot be read: they are left out, counted, and reported."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from soccermaster.data.collate import collate_clips
from soccermaster.structures import Batch, Clip

_EXAMPLES = 3  # of the clips that a report names


@dataclass(frozen=True)
class Unreadable:
    """A clip that could not be read."""

    dataset: str
    clip: int  # its index in the dataset
    reason: str


@dataclass(frozen=True)
class Loaded:
    """What a loader process makes of the clips of one batch."""

    batch: Batch | None  # None: not one of them could be read
    unreadable: tuple[Unreadable, ...]
    num_clips: int

    def pin_memory(self) -> Loaded:
        """The same in page-locked memory."""
        batch = None if self.batch is None else self.batch.pin_memory()
        return Loaded(batch, self.unreadable, self.num_clips)


def collate_readable(
    clips: Sequence[Clip | tuple[int, Exception]], provides: Collection[str], source: str
) -> Loaded:
    """Collates the clips that could be read; the others are pairs of an index and an error."""
    readable = [clip for clip in clips if isinstance(clip, Clip)]
    errors = [item for item in clips if not isinstance(item, Clip)]
    return Loaded(
        batch=collate_clips(readable, provides, source) if readable else None,
        unreadable=tuple(Unreadable(source, index, str(error)) for index, error in errors),
        num_clips=len(clips),
    )


class UnreadableClips:
    """The clips that could not be read since the last report.

    Attributes:
        clips: one entry per attempt.
        attempts: how many clips of each dataset were asked for.
    """

    def __init__(self) -> None:
        self.clips: list[Unreadable] = []
        self.attempts: Counter[str] = Counter()

    def add(self, loaded: Loaded, dataset: str) -> None:
        """Count the clips of one batch."""
        self.clips += loaded.unreadable
        self.attempts[dataset] += loaded.num_clips

    def gather(self) -> UnreadableClips:
        """Those of all processes; the same in each of them. Forgets what it gathered."""
        parts: list[UnreadableClips] = [UnreadableClips()]
        parts[0].clips, parts[0].attempts = self.clips, self.attempts
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            gathered: list[UnreadableClips] = [self] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(gathered, parts[0])
            parts = gathered
        everything = UnreadableClips()
        for part in parts:
            everything.clips += part.clips
            everything.attempts += part.attempts
        self.clips, self.attempts = [], Counter()
        return everything

    def report(self) -> str:
        """How many of how many, per dataset, with examples; empty if every clip could be read."""
        lines = []
        for dataset, number in sorted(Counter(clip.dataset for clip in self.clips).items()):
            lines.append(
                f"{dataset}: {number} of {self.attempts[dataset]} clips could not be read and "
                "were left out"
            )
            reasons = {c.clip: c.reason for c in self.clips if c.dataset == dataset}
            shown = sorted(reasons.items())[:_EXAMPLES]
            lines += [f"  clip {index}: {reason}" for index, reason in shown]
            if len(reasons) > len(shown):
                lines.append(f"  ... and {len(reasons) - len(shown)} more")
        return "\n".join(lines)

    def append_to(self, path: Path, **when: object) -> None:
        """Add one JSON line per clip to a file; `when` goes into each."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            for clip in self.clips:
                file.write(json.dumps({**when, **asdict(clip)}, ensure_ascii=False) + "\n")


class ReadableBatches:
    """The batches of a loader of `Loaded`, once; a batch without a readable clip is left out.

    Args:
        loader: for evaluation.
        dataset: its name.
        unreadable: counts what is left out.
    """

    def __init__(self, loader: DataLoader, dataset: str, unreadable: UnreadableClips) -> None:
        self.loader = loader
        self.dataset = dataset
        self.unreadable = unreadable

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        return readable_batches(self.loader, self.dataset, self.unreadable)


def readable_batches(
    loaded: Iterable[Loaded], dataset: str, unreadable: UnreadableClips
) -> Iterator[Batch]:
    """The batches among `loaded`, after `unreadable` has counted what is missing."""
    for item in loaded:
        unreadable.add(item, dataset)
        if item.batch is not None:
            yield item.batch
