"""A stage of the factory, what it is given, and how an ordered list of stages is checked."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from jaxtyping import Float, UInt8

from soccermaster.data.frame_source import FrameSource
from soccermaster.factory.models import Model
from soccermaster.factory.records import SCHEMAS, Records

#: Number of frames that are in memory at a time when a stage walks over a clip.
BATCH_FRAMES = 16


class StageError(RuntimeError):
    """A stage cannot do its work on this clip; the message is meant for the report."""


class ChainError(ValueError):
    """The stages do not fit together in the order in which they are listed."""


@dataclass(frozen=True)
class ClipContext:
    """A clip and where its frames are; the same for all stages.

    Attributes:
        clip_id: unique in the output.
        source: what the frames are read from.
        frames: numbers of the clip's frames in the source; frame t of the records is `frames[t]`.
        device: where models run, "cpu" or "cuda:0".
        output: folder of the data set that is built, for the exports.
        number: 1-based place of the clip among the clips of its output, for file names.
    """

    clip_id: str
    source: FrameSource
    frames: range
    device: str = "cpu"
    output: Path | None = None
    number: int = 1
    _decoded: dict[Any, np.ndarray] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def num_frames(self) -> int:
        """T."""
        return len(self.frames)

    @property
    def image_size(self) -> tuple[int, int]:
        """(W, H) in pixels."""
        return self.source.info.width, self.source.info.height

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.source.info.fps

    def read(
        self, frames: Sequence[int], size: tuple[int, int] | None = None
    ) -> UInt8[np.ndarray, "n H W 3"]:
        """Frames of the clip by number from 0, resized to `size` (H, W) if it is given.

        Neighbouring frames are decoded together and kept until others are asked for, so that
        reading one after the other costs no more than reading them at once.
        """
        wanted = [int(t) for t in frames]
        chunks = {t // BATCH_FRAMES for t in wanted}
        if len(chunks) != 1 or not 0 <= min(wanted) <= max(wanted) < self.num_frames:
            return self.source.read([self.frames[t] for t in wanted], size)
        key = (chunks.pop(), size)
        if key not in self._decoded:
            start = key[0] * BATCH_FRAMES
            run = range(start, min(start + BATCH_FRAMES, self.num_frames))
            pictures = self.source.read([self.frames[t] for t in run], size)
            self._decoded.clear()
            self._decoded[key] = pictures
        return self._decoded[key][[t % BATCH_FRAMES for t in wanted]]

    def batches(
        self, size: tuple[int, int] | None = None
    ) -> Iterator[tuple[list[int], UInt8[np.ndarray, "n H W 3"]]]:
        """Frames in order: (numbers, pictures (n, H, W, 3)), a few in memory at a time."""
        for start in range(0, self.num_frames, BATCH_FRAMES):
            some = list(range(start, min(start + BATCH_FRAMES, self.num_frames)))
            yield some, self.read(some, size)


class Stage(ABC):
    """One step of the factory. It keeps nothing from one clip to the next.

    The constructor takes plain values; models are loaded by `prepare`.

    Attributes:
        name: one word, unique in a chain unless the stage is used twice (then it is numbered).
        version: raise it when the same configuration gives other results than before.
        per_video: runs on whole videos, before they are cut into clips.
        requires: kinds of records (`records.SCHEMAS`) that must be there.
        provides: kinds that are there afterwards, new or replaced.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    per_video: ClassVar[bool] = False
    requires: frozenset[str] = frozenset()
    provides: frozenset[str] = frozenset()

    def models(self) -> Sequence[Model]:
        """The models that the stage uses; none by default."""
        return ()

    def prepare(self, device: str) -> None:
        """Load the models, before any clip is begun.

        Raises:
            ModelUnavailableError: what to download and where to put it.
        """
        for model in self.models():
            model.load(device)

    @abstractmethod
    def run(self, clip: ClipContext, records: Records) -> Records:
        """The records with those that the stage provides.

        A clip in which the stage finds nothing gives empty tables, not an error.

        Raises:
            StageError: the stage cannot say anything about this clip.
        """

    def still_there(self, output: Path, tables: Mapping[str, pa.Table]) -> bool:
        """Whether what the stage wrote besides its records is still what it wrote.

        Args:
            output: folder of the data set.
            tables: that the stage provided, read from the store.
        """
        return True

    def finish(
        self, output: Path, clips: Sequence[tuple[str, int]], gone: Sequence[int]
    ) -> list[str]:
        """Called once after all clips, for files about the whole data set.

        Args:
            output: folder of the data set.
            clips: id and number of the clips that are done.
            gone: numbers of other clips that this run, or an earlier one on the folder, had.

        Returns:
            Remarks for the report.
        """
        return []


def config_hash(config: Mapping[str, Any], version: int) -> str:
    """Twelve characters that change with any value of a stage's configuration or its version."""
    text = json.dumps([version, config], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def check_chain(stages: Sequence[Stage], given: frozenset[str] = frozenset()) -> None:
    """Check that every stage finds what it requires, before hours of work.

    Args:
        stages: in order.
        given: kinds of records that are there before the first stage.

    Raises:
        ChainError: which stage lacks what, and which stage would provide it.
    """
    there = set(given)
    for place, stage in enumerate(stages, start=1):
        unknown = sorted((stage.requires | stage.provides) - set(SCHEMAS))
        if unknown:
            raise ChainError(f"stage {place}, {stage.name}: no kind of records {unknown}")
        missing = sorted(stage.requires - there)
        if missing:
            later = [s.name for s in stages[place:] if s.provides & set(missing)]
            hint = f"Move {later[0]} before it." if later else "Add a stage that provides them."
            raise ChainError(
                f"stage {place}, {stage.name}: expected {missing} from the stages before it, "
                f"which provide {sorted(there)}. {hint}"
            )
        there |= stage.provides


def stage_labels(stages: Sequence[Stage]) -> list[str]:
    """A name for each stage of a chain: "vote", and "vote2" for the second one."""
    seen: dict[str, int] = {}
    labels = []
    for stage in stages:
        seen[stage.name] = count = seen.get(stage.name, 0) + 1
        labels.append(stage.name if count == 1 else f"{stage.name}{count}")
    return labels


def crop_pictures(
    frame: UInt8[np.ndarray, "H W 3"], boxes_xyxy_px: Float[np.ndarray, "n 4"]
) -> list[UInt8[np.ndarray, "h w 3"]]:
    """The parts of a frame inside boxes, clipped to the frame, at least one pixel each."""
    height, width = frame.shape[:2]
    crops = []
    for x0, y0, x1, y1 in np.nan_to_num(boxes_xyxy_px):
        left = int(np.clip(np.floor(x0), 0, width - 1))
        top = int(np.clip(np.floor(y0), 0, height - 1))
        right = int(np.clip(np.ceil(x1), left + 1, width))
        bottom = int(np.clip(np.ceil(y1), top + 1, height))
        crops.append(frame[top:bottom, left:right])
    return crops
