"""Rendered clips with exact labels, as datasets.

A clip is a function of (seed, split, index) alone: nothing is stored, and any worker gives the
same clip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from soccermaster.data.datasets.base import ClipDataset
from soccermaster.data.synthetic.events import ACTS
from soccermaster.data.synthetic.take import Take, draw, stage
from soccermaster.structures import Clip
from soccermaster.vocabulary import ANNOTATION_FIELDS

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


class SyntheticSpatial(ClipDataset):
    """Short clips with everything that can be known about their frames.

    Args:
        split: splits have no clip in common.
        num_clips: number of clips, or one per split.
        num_frames: T; one for all splits, or one per split.
        fps: frames per second.
        image_size: (H, W) in pixels.
        seed: another seed gives another world; one for all splits, or one per split.
        event_share: share of the clips that show a moment of an acted event.
        distortion: the most that a lens bends the picture, see `lens.Lens`; 0 is never.
    """

    name = "synthetic_spatial"
    provides = frozenset(ANNOTATION_FIELDS) - {"event", "text"}

    def __init__(
        self,
        split: Split,
        num_clips: Mapping[str, int] | int,
        num_frames: Mapping[str, int] | int = 2,
        fps: float = 25.0,
        image_size: tuple[int, int] = (360, 640),
        seed: Mapping[str, int] | int = 0,
        event_share: float = 0.4,
        distortion: float = 0.0,
    ) -> None:
        self.split, self._length = _check_split(split, num_clips)
        self.num_frames = _of_split(num_frames, split, "num_frames")
        self.fps, self.image_size = fps, image_size
        self.seed, self.event_share = _of_split(seed, split, "seed"), event_share
        self.distortion = distortion

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Clip:
        """Clip `index`: one moment of its own match.

        Raises:
            IndexError: beyond the length.
        """
        clip_id = f"{self.split}-{index % len(self):06d}"
        return draw(self.take(index), clip_id, self.name)

    def take(self, index: int) -> Take:
        """Clip `index`, staged and not drawn."""
        rng = _clip_rng(self.seed, self.split, index, len(self), salt=0)
        middle_s = rng.uniform(-12, 12)
        event = str(rng.choice(list(ACTS))) if rng.random() < self.event_share else None
        times_s = middle_s + (np.arange(self.num_frames) - (self.num_frames - 1) / 2) / self.fps
        return stage(rng, times_s, self.image_size, event, distortion=self.distortion)


class SyntheticSemantic(ClipDataset):
    """Clips of acted events with their class and a comment.

    The other labels are in the clips as well, but the dataset does not provide them, as clip lists
    of real matches do not either.

    Args:
        split: splits have no clip in common.
        num_clips: number of clips, or one per split.
        num_frames: T.
        fps: frames per second; the clip is centred on the event, give or take a second.
        image_size: (H, W) in pixels.
        seed: another seed gives another world; one for all splits, or one per split.
        events: classes to act. Every block of as many clips holds each class once: in this order
            in evaluation, in a seeded order in training.
    """

    name = "synthetic_semantic"
    provides = frozenset(("event", "text"))

    def __init__(
        self,
        split: Split,
        num_clips: Mapping[str, int] | int,
        num_frames: int = 30,
        fps: float = 1.0,
        image_size: tuple[int, int] = (360, 640),
        seed: Mapping[str, int] | int = 0,
        events: Sequence[str] = tuple(ACTS),
    ) -> None:
        self.split, self._length = _check_split(split, num_clips)
        if unknown := sorted(set(events) - set(ACTS)):
            raise ValueError(f"expected events that can be acted {sorted(ACTS)}, got {unknown}")
        self.num_frames, self.fps, self.image_size = num_frames, fps, image_size
        self.seed, self.events = _of_split(seed, split, "seed"), tuple(events)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Clip:
        """Clip `index`.

        Raises:
            IndexError: beyond the length.
        """
        clip_id = f"{self.split}-{index % len(self):06d}"
        return draw(self.take(index), clip_id, self.name)

    def take(self, index: int) -> Take:
        """Clip `index`, staged and not drawn."""
        rng = _clip_rng(self.seed, self.split, index, len(self), salt=1)
        event = self._event(index % len(self))
        times_s = (np.arange(self.num_frames) - (self.num_frames - 1) / 2) / self.fps
        times_s += rng.uniform(-1, 1)
        return stage(rng, times_s, self.image_size, event)

    def _event(self, index: int) -> str:
        block, place = divmod(index, len(self.events))
        if self.split == "train":
            order = np.random.default_rng([self.seed, block, 2]).permutation(len(self.events))
            place = int(order[place])
        return self.events[place]


def render_sequence(
    seed: int,
    num_frames: int,
    fps: float = 25.0,
    image_size: tuple[int, int] = (360, 640),
    event: str | None = None,
) -> Clip:
    """A continuous shot with all annotations, for writers of on-disk formats and for demos.

    Args:
        seed: everything follows from it.
        num_frames: T.
        fps: frames per second.
        image_size: (H, W) in pixels.
        event: class acted in the middle of the shot; None is open play.
    """
    rng = np.random.default_rng([seed, 99])
    times_s = (np.arange(num_frames) - (num_frames - 1) / 2) / fps
    return draw(stage(rng, times_s, image_size, event), f"sequence-{seed:06d}", "synthetic")


def _check_split(split: str, num_clips: Mapping[str, int] | int) -> tuple[Split, int]:
    if split not in SPLITS:
        raise ValueError(f"expected a split of {SPLITS}, got {split!r}")
    return split, _of_split(num_clips, split, "num_clips")


def _of_split(value: Mapping[str, int] | int, split: str, name: str) -> int:
    if isinstance(value, Mapping):
        if split not in value:
            raise ValueError(f"expected {name} for {split!r}, got only {sorted(value)}")
        return int(value[split])
    return int(value)


def _clip_rng(seed: int, split: str, index: int, length: int, salt: int) -> np.random.Generator:
    if not -length <= index < length:
        raise IndexError(f"expected an index below {length}, got {index}")
    return np.random.default_rng([seed, SPLITS.index(split), index % length, salt])
