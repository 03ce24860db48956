"""How the label file of SoccerNet game state reconstruction is read: `Labels-GameState.json`.

Its traps: numbers are strings or null, `bbox_pitch` can be null, a frame without a pitch record is
not an empty pitch, names of markings may end in a blank, and points may lie a little outside.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from soccermaster.data.datasets.label_files import Record, load_json, path_inside
from soccermaster.data.datasets.pitch_labels import PITCH_CLASSES, polylines_of
from soccermaster.data.errors import DatasetError, nearest, some
from soccermaster.data.indexing.problems import Problems
from soccermaster.structures import Athletes
from soccermaster.vocabulary import NO_NUMBER, ROLES, TEAMS, UNKNOWN

LABELS_FILE = "Labels-GameState.json"

#: Who wears a number.
ROLES_WITH_NUMBER = ("player", "goalkeeper")

_FIX = "Use label version 1.3 or newer."
_RELIABLE_VERSION = (1, 3)
_LARGEST_SIDE_PX = 65_500


@dataclass(frozen=True)
class GameState:
    """The labels of one sequence of N frames; boxes are in pixels of `image_size`.

    Attributes:
        name: such as "SNGS-060".
        fps: frames per second.
        image_size: (H, W) that the boxes refer to.
        image_paths: of the N frames.
        image_ids: of the N frames.
        frame_numbers: 1-based place of each frame in its video.
        people_labeled: False where nobody looked for people; `athletes` is silent there.
        pitch_labeled: False where nobody looked for lines.
        camera_labeled: False where positions on the pitch are unknown.
        athletes: `frame` is the index of the frame, 0..N-1.
        corners_m: where the left and the right lower corner of each box are on the pitch; NaN
            unknown.
        polylines: points per marking.
    """

    name: str
    fps: float
    image_size: tuple[int, int]
    image_paths: tuple[Path, ...]
    image_ids: tuple[str, ...]
    frame_numbers: Int[np.ndarray, " N"]
    people_labeled: Bool[np.ndarray, " N"]
    pitch_labeled: Bool[np.ndarray, " N"]
    camera_labeled: Bool[np.ndarray, " N"]
    athletes: Athletes
    corners_m: Float[np.ndarray, "M 2 2"]
    polylines: Polylines


@dataclass(frozen=True)
class Polylines:
    """The annotated markings of many frames, packed: S polylines, P points in all."""

    frame: Int[np.ndarray, " S"]  # ascending
    name: Int[np.ndarray, " S"]  # index in LINES + CIRCLES
    start: Int[np.ndarray, " S+1"]  # rows of points_norm
    points_norm: Float[np.ndarray, "P 2"]  # fractions of width and height

    @classmethod
    def pack(cls, frames: dict[int, dict[str, Float[np.ndarray, "n 2"]]]) -> Polylines:
        """Points by frame and class name."""
        packed = [
            (frame, PITCH_CLASSES.index(name), points)
            for frame, polylines in sorted(frames.items())
            for name, points in polylines.items()
        ]
        return cls(
            frame=np.array([frame for frame, _, _ in packed], np.int64),
            name=np.array([name for _, name, _ in packed], np.int64),
            start=np.cumsum([0, *(len(points) for _, _, points in packed)]),
            points_norm=np.concatenate([np.empty((0, 2)), *(points for _, _, points in packed)]),
        )

    def of_frame(
        self, frame: int, image_size: tuple[float, float] = (1, 1)
    ) -> dict[str, Float[np.ndarray, "n 2"]]:
        """Points in pixels of `image_size` (H, W), or in fractions of it, by class name."""
        first, last = np.searchsorted(self.frame, [frame, frame + 1])
        height, width = image_size
        return {
            PITCH_CLASSES[self.name[i]]: (
                self.points_norm[self.start[i] : self.start[i + 1]] * (width, height)
            )
            for i in range(first, last)
        }


def read_game_state(
    folder: Path | str, problems: Problems | None = None, labels_file: str = LABELS_FILE
) -> GameState:
    """The labels of one sequence folder, checked.

    Args:
        folder: of the sequence.
        problems: where to count records that break the format, which are then left out; None
            raises an error for the first one.
        labels_file: name of the file in it.

    Raises:
        DatasetError: a file is missing, or the labels break the format.
    """
    folder = Path(folder)
    file = path_inside(folder, labels_file, folder, "labels")
    labels = Record(
        load_json(
            file,
            "JSON labels of the sequence",
            "The challenge split has none; of other splits, fetch the labels.",
        ),
        file,
        "top level",
        _FIX,
    )
    info = labels.object("info")
    if problems is not None:
        _count_old_labels(info, problems)
    annotations = labels.items("annotations")
    images = [
        Record(image, file, f"image {i}", _FIX) for i, image in enumerate(labels.items("images"))
    ]
    if not images:
        raise DatasetError.at(
            file, expected="at least one image", got="an empty list", fix="Fetch it again."
        )
    images.sort(key=lambda image: image.text("file_name"))
    paths = _image_paths(folder, info, images, file)
    check_present(paths, problems)
    labeled = np.array([bool(image.value.get("is_labeled", True)) for image in images])
    flags = {
        key: labeled & [bool(image.value.get(f"has_labeled_{key}", True)) for image in images]
        for key in ("person", "pitch", "camera")
    }
    image_ids = tuple(_identifier(image) for image in images)
    if len(set(image_ids)) != len(image_ids):
        raise labels.wrong("a different image_id for every image", "one that occurs twice")
    frame_of_image = {image_id: i for i, image_id in enumerate(image_ids)}
    rows, pitches = [], {}
    for record in _readable_records(annotations, file, problems):
        try:
            frame = _frame_of(record, frame_of_image)
            kind = record.value.get("supercategory")
            if kind == "object" and flags["person"][frame]:
                rows.append((frame, *_person(record)))
            elif kind == "pitch" and flags["pitch"][frame]:
                if frame in pitches:
                    raise record.wrong("at most one pitch record per image", "a second one")
                pitches[frame] = polylines_of(record.object("lines"), problems)
        except DatasetError as error:
            if problems is None:
                raise
            problems.refuse(error)
    image_size = _one_image_size(images, labels)
    athletes, corners_m = without_mistakes(*_pack_athletes(rows), image_size, file, problems)
    unplaced = ~flags["camera"][athletes.frame]
    athletes.positions_m[unplaced] = np.nan
    corners_m[unplaced] = np.nan
    return GameState(
        name=folder.name,
        fps=_frame_rate(info),
        image_size=image_size,
        image_paths=paths,
        image_ids=image_ids,
        frame_numbers=_frame_numbers(paths, file),
        people_labeled=flags["person"],
        pitch_labeled=np.isin(np.arange(len(images)), list(pitches)),
        camera_labeled=flags["camera"],
        athletes=athletes,
        corners_m=corners_m,
        polylines=Polylines.pack(pitches),
    )


def read_predictions(file: Path | str, image_ids: Sequence[str]) -> Athletes:
    """The people of a prediction file, as the official evaluator reads it.

    Args:
        file: JSON with "predictions", as `game_state_writer.write_predictions` writes it.
        image_ids: of the frames 0, 1, ... of the sequence (`GameState.image_ids`).

    Raises:
        DatasetError: a record breaks the format, or lacks what the evaluator needs: an image_id
            that is a string of the list (frames count from 1), a track id, and all six keys of
            `bbox_pitch`.
    """
    file = Path(file)
    fix = "Write it with game_state_writer.write_predictions."
    content = Record(load_json(file, "JSON predictions of a sequence", fix), file, "top level", fix)
    frame_of_image = {image_id: i for i, image_id in enumerate(image_ids)}
    rows = []
    for i, value in enumerate(content.items("predictions")):
        record = Record(value, file, f"prediction {i}", fix)
        if record.value.get("supercategory") != "object":
            continue
        if not isinstance(record.value.get("image_id"), str):
            raise record.wrong("a string as 'image_id'", record.value.get("image_id"))
        record.integer("track_id")
        person = _person(record)
        if not np.isfinite(np.concatenate([person[-2], *person[-1]])).all():
            raise record.wrong(
                "six numbers in 'bbox_pitch': x and y of bottom_left, bottom_middle, bottom_right",
                record.value.get("bbox_pitch"),
            )
        rows.append((_frame_of(record, frame_of_image), *person))
    return _pack_athletes(rows)[0]


def shirt_number(jersey: object) -> int:
    """The number that a label gives: 0..99, `NO_NUMBER` without one, -1 for anything else."""
    if jersey is None or jersey == "":
        return NO_NUMBER
    text = str(jersey).strip()[:20]
    if not text:
        return NO_NUMBER
    if text.endswith(".0"):  # a float, as tables with gaps hold numbers
        text = text.removesuffix(".0")
    is_number = text.isascii() and text.isdigit() and int(text) < NO_NUMBER
    return int(text) if is_number else UNKNOWN


def _readable_records(
    annotations: Sequence[Any], file: Path, problems: Problems | None
) -> Iterator[Record]:
    for number, annotation in enumerate(annotations):
        name = annotation.get("id", number) if isinstance(annotation, dict) else number
        try:
            yield Record(annotation, file, f"annotation {str(name)[:40]!r}", _FIX)
        except DatasetError as error:
            if problems is None:
                raise
            problems.refuse(error)


def _count_old_labels(info: Record, problems: Problems) -> None:
    """Files that do not say their version are not doubted."""
    version = str(info.value.get("version", ""))
    match = re.fullmatch(r"(\d{1,4})\.(\d{1,4})(?:\.\d+)*", version)
    if match is not None and (int(match[1]), int(match[2])) < _RELIABLE_VERSION:
        problems.add("old_labels", f"{info.file}: version {version}. {_FIX}")


def _image_paths(folder: Path, info: Record, images: list[Record], file: Path) -> tuple[Path, ...]:
    name = info.text("im_dir") if "im_dir" in info.value else "img1"
    image_folder = path_inside(folder, name, file, "info, 'im_dir'")
    return tuple(
        path_inside(image_folder, image.text("file_name"), file, image.where) for image in images
    )


def check_present(paths: Sequence[Path], problems: Problems | None) -> None:
    """Missing pictures are counted in `problems`, or raise an error."""
    folder = paths[0].parent
    present = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
    absent = [path.name for path in paths if path.parent != folder or path.name not in present]
    if not absent:
        return
    error = DatasetError.at(
        folder,
        expected=f"the {len(paths)} frames that the labels list",
        got=f"{len(absent)} missing: {some(absent)}",
        fix="Unpack the images of this sequence.",
    )
    if problems is None:
        raise error
    problems.add("missing_frame", str(error), count=len(absent), refused=True)


def _one_image_size(images: list[Record], labels: Record) -> tuple[int, int]:
    sizes = {(image.integer("height"), image.integer("width")) for image in images}
    if len(sizes) != 1:
        raise labels.wrong(
            "one image size per sequence", f"{sorted(sizes)} (height, width)", "Split the sequence."
        )
    (size,) = sizes
    if not all(0 < side <= _LARGEST_SIDE_PX for side in size):
        raise labels.wrong("the height and width of a picture", size)
    return size


def _frame_rate(info: Record) -> float:
    fps = info.number("frame_rate") if "frame_rate" in info.value else 25.0
    if not fps > 0:
        raise info.wrong("frames per second as 'frame_rate'", fps)
    return fps


def _identifier(record: Record) -> str:
    """An image_id: a string, in some files a number."""
    value = record.take("image_id", (str, int), "a string")
    if isinstance(value, int) and abs(value) >= 10**18:
        raise record.wrong("a string as 'image_id'", value)
    return str(value)


def _frame_of(record: Record, frame_of_image: dict[str, int]) -> int:
    image_id = _identifier(record)
    if image_id not in frame_of_image:
        raise record.wrong("an image_id of the images list", image_id)
    return frame_of_image[image_id]


def _person(record: Record) -> tuple[Any, ...]:
    """Box corners, role, number, track id, team, position and corners of one annotation."""
    box = record.object("bbox_image")
    x, y, w, h = (box.number(key) for key in ("x", "y", "w", "h"))
    has_attributes = record.value.get("attributes") is not None
    attributes = record.object("attributes").value if has_attributes else {}
    role, team = attributes.get("role"), attributes.get("team")
    for word, words in ((role, ROLES), (team, TEAMS)):
        if word is not None and word not in words:
            raise record.wrong(f"one of {', '.join(words)}, or null", word, nearest(word, words))
    jersey = attributes.get("jersey")
    if not isinstance(jersey, str | int | float | None):
        raise record.wrong("a string or null as 'jersey'", jersey)
    track_id = record.value.get("track_id")
    return (
        (x, y, x + w, y + h),
        UNKNOWN if role is None else ROLES.index(role),
        NO_NUMBER if role not in ROLES_WITH_NUMBER else shirt_number(jersey),
        UNKNOWN if track_id is None else record.integer("track_id"),
        UNKNOWN if team is None else TEAMS.index(team),
        *_positions(record),
    )


def _positions(record: Record) -> tuple[list[float], list[list[float]]]:
    """The middle of the lower edge of the box on the pitch, and its left and right end."""
    if record.value.get("bbox_pitch") is None:
        return [math.nan] * 2, [[math.nan] * 2] * 2
    pitch = record.object("bbox_pitch")

    def point(name: str, *, required: bool) -> list[float]:
        keys = [f"{axis}_bottom_{name}" for axis in "xy"]
        return [
            math.nan
            if pitch.value.get(key, "" if required else None) is None
            else pitch.number(key)
            for key in keys
        ]

    corners = [point(name, required=False) for name in ("left", "right")]
    return point("middle", required=True), corners


def _pack_athletes(rows: list[tuple[Any, ...]]) -> tuple[Athletes, np.ndarray]:
    rows.sort(key=lambda row: row[0])
    columns = list(zip(*rows, strict=True)) if rows else [()] * 8
    frame, boxes, roles, numbers, track_ids, teams, positions_m, corners = columns
    athletes = Athletes.from_boxes(
        np.array(frame, np.int64),
        np.array(boxes, np.float32).reshape(-1, 4),
        roles=np.array(roles, np.int64),
        numbers=np.array(numbers, np.int64),
        track_ids=np.array(track_ids, np.int64),
        teams=np.array(teams, np.int64),
        positions_m=np.array(positions_m, np.float32).reshape(-1, 2),
    )
    return athletes, np.array(corners, np.float32).reshape(-1, 2, 2)


def without_mistakes(
    athletes: Athletes,
    corners_m: Float[np.ndarray, "M 2 2"],
    image_size: tuple[int, int],
    file: Path,
    problems: Problems | None,
) -> tuple[Athletes, Float[np.ndarray, "n 2 2"]]:
    """Leaves out boxes that cannot be; a track id that a picture repeats becomes unknown.

    Args:
        athletes: as labelled.
        corners_m: of the same rows.
        image_size: (H, W).
        file: the labels, for messages.
        problems: where to count what is wrong; None warns about it.
    """

    def tell(kind: str, mistakes: np.ndarray, message: str) -> None:
        if not mistakes.any():
            return
        count, first = int(mistakes.sum()), int(athletes.frame[mistakes][0])
        text = f"{file}: {count} {message}, first in frame {first + 1}."
        if problems is None:
            warnings.warn(text, stacklevel=4)
        else:
            problems.add(kind, text, count=count)

    low, high = athletes.boxes_xyxy_px[:, :2], athletes.boxes_xyxy_px[:, 2:]
    empty = ~(high > low).all(axis=1)
    outside = ((low >= image_size[::-1]) | (high <= 0)).any(axis=1) & ~empty
    tell("impossible_box", empty, "boxes without area are left out")
    tell("impossible_box", outside, "boxes outside of the picture are left out")
    keep = ~(empty | outside)
    athletes, corners_m = athletes.select(keep), corners_m[keep]
    first_of_pair = np.zeros(len(athletes), bool)
    pairs = np.stack([athletes.frame, athletes.track_ids], axis=1)
    first_of_pair[np.unique(pairs, axis=0, return_index=True)[1]] = True
    repeated = ~first_of_pair & (athletes.track_ids != UNKNOWN)
    tell("repeated_track", repeated, "track ids that a picture repeats are read as unknown")
    athletes.track_ids[repeated] = UNKNOWN
    return athletes, corners_m


def _frame_numbers(paths: tuple[Path, ...], file: Path) -> Int[np.ndarray, " N"]:
    bad = [path.name for path in paths if not (path.stem.isascii() and path.stem.isdigit())]
    bad += [path.name for path in paths if len(path.stem) > 9]
    if bad:
        raise DatasetError.at(
            file, expected="file names such as 000001.jpg", got=some(bad), fix="Rename the frames."
        )
    return np.array([int(path.stem) for path in paths], np.int64)
