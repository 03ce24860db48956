"""What can be read off a person: legibility, shirt number, role."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Int

from soccermaster.factory.models import (
    LegibilityModel,
    NumberReader,
    NumberReading,
    RoleReader,
    RoleReading,
)
from soccermaster.factory.people import People, gather_people
from soccermaster.factory.records import Records, empty_table, make_table
from soccermaster.factory.stage import ClipContext, Stage, StageError, crop_pictures
from soccermaster.tracking.tracklets import rows_of_tracks
from soccermaster.vocabulary import LEGIBLE_ABOVE, ROLES, UNKNOWN

#: (W, H) within which a reader of roles sees the whole frame.
SCENE_SIZE = (480, 270)
_BATCH = 16
#: After so many batches in a row without any answer a reader is not asked again in this clip.
_MOST_SILENT = 3


class Legibility(Stage):
    """How well the number on each tracked person can be read.

    Args:
        model: of crops.
        crops_per_track: only the tallest crops of every track are looked at, the others stay
            unknown: for a model as dear as a VLM. None: all.
        min_gap_frames: between two crops of a track, as far as there are enough.
    """

    name = "legibility"
    requires = frozenset({"detections", "track_ids"})
    provides = frozenset({"legibility"})

    def __init__(
        self,
        model: LegibilityModel,
        crops_per_track: int | None = None,
        min_gap_frames: int = 5,
    ) -> None:
        self.model = model
        self.crops_per_track, self.min_gap_frames = crops_per_track, min_gap_frames

    def models(self) -> list[LegibilityModel]:
        """See `Stage.models`."""
        return [self.model]

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people = gather_people(records)
        rows = np.flatnonzero(people.tracked & ~people.is_ball)
        if self.crops_per_track is not None:
            height = people.boxes_xyxy_px[:, 3] - people.boxes_xyxy_px[:, 1]
            rows = best_rows(people, rows, height, self.crops_per_track, self.min_gap_frames)
        judged = ask(clip, people, rows, lambda crops, scenes: self.model.legibility(crops), np.nan)
        table = make_table(
            "legibility",
            source=self.model.name,
            frame=people.frame[rows],
            detection_id=people.detection_id[rows],
            confidence=np.asarray(judged, np.float32),
        )
        return records.replace(legibility=table)


class Numbers(Stage):
    """Asks a reader for shirt numbers.

    Args:
        reader: of crops.
        crops_per_track: only the best crops of every track are asked about; None: all (the paper).
        min_legibility: crops below are not asked about.
        min_gap_frames: between two crops of a track, as far as there are enough.
    """

    name = "numbers"
    requires = frozenset({"detections", "track_ids", "legibility"})
    provides = frozenset({"numbers"})

    def __init__(
        self,
        reader: NumberReader,
        crops_per_track: int | None = 12,
        min_legibility: float = LEGIBLE_ABOVE,
        min_gap_frames: int = 5,
    ) -> None:
        self.reader, self.crops_per_track = reader, crops_per_track
        self.min_legibility, self.min_gap_frames = min_legibility, min_gap_frames

    def models(self) -> list[NumberReader]:
        """See `Stage.models`."""
        return [self.reader]

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people = gather_people(records)
        rows = np.flatnonzero(
            people.tracked & ~people.is_ball & (people.legibility >= self.min_legibility)
        )
        if self.crops_per_track is not None:
            height = people.boxes_xyxy_px[:, 3] - people.boxes_xyxy_px[:, 1]
            rows = best_rows(
                people, rows, people.legibility * np.sqrt(np.maximum(height, 0)),
                self.crops_per_track, self.min_gap_frames,
            )  # fmt: skip
        unread = NumberReading(UNKNOWN, 0.0, "no answer")
        read = ask(
            clip, people, rows, lambda crops, scenes: self.reader.read_numbers(crops), unread
        )
        table = make_table(
            "numbers",
            source=self.reader.name,
            frame=people.frame[rows],
            detection_id=people.detection_id[rows],
            number=[reading.number for reading in read],
            answer=[reading.answer for reading in read],
            confidence=[reading.confidence for reading in read],
        )
        return records.replace(numbers=table)


class Roles(Stage):
    """Asks a reader for roles; arguments as those of `Numbers`.

    Args:
        reader: of crops and scenes.
        crops_per_track: as in `Numbers`.
        min_gap_frames: as in `Numbers`.
    """

    name = "roles"
    requires = frozenset({"detections", "track_ids"})
    provides = frozenset({"roles"})

    def __init__(
        self, reader: RoleReader, crops_per_track: int | None = 12, min_gap_frames: int = 5
    ) -> None:
        self.reader = reader
        self.crops_per_track, self.min_gap_frames = crops_per_track, min_gap_frames

    def models(self) -> list[RoleReader]:
        """See `Stage.models`."""
        return [self.reader]

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people = gather_people(records)
        rows = np.flatnonzero(people.tracked & ~people.is_ball)
        if self.crops_per_track is not None:
            height = people.boxes_xyxy_px[:, 3] - people.boxes_xyxy_px[:, 1]
            rows = best_rows(people, rows, height, self.crops_per_track, self.min_gap_frames)
        read = ask(
            clip, people, rows, self.reader.read_roles, RoleReading(UNKNOWN, 0.0, "no answer")
        )
        table = make_table(
            "roles",
            source=self.reader.name,
            frame=people.frame[rows],
            detection_id=people.detection_id[rows],
            role=[reading.role for reading in read],
            answer=[reading.answer for reading in read],
            confidence=[reading.confidence for reading in read],
        )
        return records.replace(roles=table)


class DetectorRoles(Stage):
    """The roles that the detector gives, where nobody else reads them; no numbers are known.

    A detector's score is of the box, not of the role: the confidence is NaN, and all rows of a
    track weigh the same in a vote.
    """

    name = "detector_roles"
    version = 2
    requires = frozenset({"detections", "track_ids"})
    provides = frozenset({"roles", "numbers"})

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people = gather_people(records)
        rows = np.flatnonzero(people.tracked & (people.category != UNKNOWN) & ~people.is_ball)
        roles = make_table(
            "roles",
            source="detector",
            frame=people.frame[rows],
            detection_id=people.detection_id[rows],
            role=people.category[rows],
            answer=[ROLES[role] for role in people.category[rows]],
        )
        return records.replace(roles=roles, numbers=empty_table("numbers"))


def best_rows(
    people: People,
    rows: Int[np.ndarray, " n"],
    quality: Float[np.ndarray, " M"],
    count: int,
    min_gap_frames: int,
) -> Int[np.ndarray, " k"]:
    """The best rows of every track, apart in time as far as there are enough; in order of time.

    Args:
        people: all rows.
        rows: to choose from.
        quality: of all rows; more is better.
        count: per track, at most.
        min_gap_frames: wanted between two rows of a track; given up when fewer than `count` remain.
    """
    chosen: list[int] = []
    for mine in rows_of_tracks(people.track_id[rows]).values():
        candidates = rows[mine]
        candidates = candidates[np.argsort(-np.nan_to_num(quality[candidates]), kind="stable")]
        picked: list[int] = []
        for row in candidates.tolist():
            if len(picked) < count and all(
                abs(people.frame[row] - people.frame[other]) >= min_gap_frames for other in picked
            ):
                picked.append(row)
        rest = [row for row in candidates.tolist() if row not in set(picked)]
        chosen += picked + rest[: count - len(picked)]
    return np.sort(np.array(chosen, int))


def ask(
    clip: ClipContext,
    people: People,
    rows: Int[np.ndarray, " n"],
    reader: Callable[[list[np.ndarray], list[np.ndarray]], Sequence[Any]],
    unread: Any,
) -> list[Any]:
    """The readings of some rows, `unread` for those that a reader did not answer in time.

    Raises:
        StageError: the reader went away: the clip has to be tried again when it is back.
    """
    readings: dict[int, Any] = {}
    silent = 0
    gone: ConnectionError | None = None

    def look(batch: np.ndarray, crops: list, scenes: list) -> None:
        nonlocal silent, gone
        if silent >= _MOST_SILENT:
            return
        try:
            answers = reader(crops, scenes)
        except (TimeoutError, ConnectionError) as error:
            silent += 1
            gone = error if isinstance(error, ConnectionError) else None
            return
        silent, gone = 0, None
        readings.update(zip(batch.tolist(), answers, strict=True))

    for_each_batch(clip, people, rows, look)
    if gone is not None:
        raise StageError(f"{gone}. Start it and run again.") from gone
    return [readings.get(row, unread) for row in rows.tolist()]


def for_each_batch(
    clip: ClipContext,
    people: People,
    rows: Int[np.ndarray, " n"],
    look: Callable[[np.ndarray, list[np.ndarray], list[np.ndarray]], None],
) -> None:
    """Call `look(rows, crops, scenes)` for batches of rows in order of time."""
    waiting: list[tuple[int, np.ndarray, np.ndarray]] = []

    def flush() -> None:
        if waiting:
            batch, crops, scenes = zip(*waiting, strict=True)
            look(np.array(batch), list(crops), list(scenes))
            waiting.clear()

    for t in np.unique(people.frame[rows]).tolist():
        picture = clip.read([t])[0]
        scene = _scene(picture)
        here = rows[people.frame[rows] == t]
        crops = crop_pictures(picture, people.boxes_xyxy_px[here])
        for row, crop in zip(here.tolist(), crops, strict=True):
            waiting.append((row, crop, scene))
            if len(waiting) == _BATCH:
                flush()
    flush()


def _scene(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    factor = min(SCENE_SIZE[0] / width, SCENE_SIZE[1] / height, 1.0)
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
