"""How the label file of SoccerNet game state reconstruction is read: `Labels-GameState.json`.

Its traps: numbers are strings or null, `bbox_pitch` can be null, a frame without a pitch record is
not an empty pitch, names of markings may end in a blank, and points may lie a little outside.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from soccermaster.data.datasets.base import DatasetError, nearest, some
from soccermaster.structures import Athletes
from soccermaster.vocabulary import CIRCLES, LINES, NO_NUMBER, ROLES, TEAMS, UNKNOWN

LABELS_FILE = "Labels-GameState.json"

_PITCH_CLASSES = (*LINES, *CIRCLES)
# Markings that the annotators could not name.
_IGNORED_PITCH_CLASSES = ("Goal unknown", "Line unknown")
_ROLES_WITH_NUMBER = ("player", "goalkeeper")


@dataclass(frozen=True)
class GameState:
    """The labels of one sequence of N frames; boxes are in pixels of `image_size`.

    Attributes:
        name: such as "SNGS-060".
        fps: frames per second.
        image_size: (H, W) that the boxes refer to.
        image_paths: of the N frames.
        frame_numbers: 1-based place of each frame in its video.
        people_labeled: False where nobody looked for people; `athletes` is silent there.
        pitch_labeled: False where nobody looked for lines.
        athletes: `frame` is the index of the frame, 0..N-1.
        polylines: points per marking.
    """

    name: str
    fps: float
    image_size: tuple[int, int]
    image_paths: tuple[Path, ...]
    frame_numbers: Int[np.ndarray, " N"]
    people_labeled: Bool[np.ndarray, " N"]
    pitch_labeled: Bool[np.ndarray, " N"]
    athletes: Athletes
    polylines: Polylines


@dataclass(frozen=True)
class Polylines:
    """The annotated markings of many frames, packed: S polylines, P points in all."""

    frame: Int[np.ndarray, " S"]  # ascending
    name: Int[np.ndarray, " S"]  # index in LINES + CIRCLES
    start: Int[np.ndarray, " S+1"]  # rows of points_norm
    points_norm: Float[np.ndarray, "P 2"]  # fractions of width and height

    def of_frame(
        self, frame: int, image_size: tuple[int, int]
    ) -> dict[str, Float[np.ndarray, "n 2"]]:
        """Points in pixels of `image_size` (H, W) by class name."""
        first, last = np.searchsorted(self.frame, [frame, frame + 1])
        height, width = image_size
        return {
            _PITCH_CLASSES[self.name[i]]: (
                self.points_norm[self.start[i] : self.start[i + 1]] * (width, height)
            )
            for i in range(first, last)
        }


def read_game_state(folder: Path | str) -> GameState:
    """The labels of one sequence folder, checked.

    Raises:
        DatasetError: a file is missing, or the labels break the format.
    """
    folder = Path(folder)
    file = folder / LABELS_FILE
    labels = _load_json(file)
    info = _get(labels, "info", dict, file, "top level")
    images = _get(labels, "images", list, file, "top level")
    annotations = _get(labels, "annotations", list, file, "top level")
    if not images:
        raise DatasetError.at(
            file, expected="at least one image", got="an empty list", fix="Fetch it again."
        )
    images = sorted(images, key=lambda image: _get(image, "file_name", str, file, "images"))
    image_folder = folder / str(info.get("im_dir", "img1"))
    paths = tuple(image_folder / image["file_name"] for image in images)
    _check_present(paths, image_folder)
    labeled = np.array([bool(image.get("is_labeled", True)) for image in images])
    flags = {
        key: labeled & [bool(image.get(f"has_labeled_{key}", True)) for image in images]
        for key in ("person", "pitch", "camera")
    }
    frame_of_image = {
        str(_get(image, "image_id", (str, int), file, "images")): i
        for i, image in enumerate(images)
    }
    rows, pitches = _rows_and_pitches(annotations, frame_of_image, flags, file)
    athletes = _pack_athletes(rows, file)
    athletes.positions_m[~flags["camera"][athletes.frame]] = np.nan
    return GameState(
        name=folder.name,
        fps=float(info.get("frame_rate", 25)),
        image_size=_one_image_size(images, file),
        image_paths=paths,
        frame_numbers=_frame_numbers(paths, file),
        people_labeled=flags["person"],
        pitch_labeled=np.isin(np.arange(len(images)), list(pitches)),
        athletes=athletes,
        polylines=_pack_polylines(pitches),
    )


def _load_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise DatasetError.at(
            file,
            expected="the labels of the sequence",
            got="no such file",
            fix="The challenge split has none; of other splits, fetch the labels.",
        )
    try:
        labels = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError.at(
            file, expected="JSON", got=f"something else ({error})", fix="Fetch it again."
        ) from error
    if not isinstance(labels, dict):
        raise DatasetError.at(
            file, expected="a JSON object", got=f"a {type(labels).__name__}", fix="Fetch it again."
        )
    return labels


def _get(
    record: Mapping[str, Any], key: str, kind: type | tuple[type, ...], file: Path, where: str
) -> Any:
    value = record.get(key)
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        raise DatasetError.at(
            file,
            record=where,
            expected=f"'{key}' of type {' or '.join(k.__name__ for k in kinds)}",
            got=repr(value)[:60] if key in record else "no such key",
            fix="Use label version 1.3 or newer.",
        )
    return value


def _check_present(paths: tuple[Path, ...], image_folder: Path) -> None:
    present = {p.name for p in image_folder.iterdir()} if image_folder.is_dir() else set()
    absent = [path.name for path in paths if path.name not in present]
    if absent:
        raise DatasetError.at(
            image_folder,
            expected=f"the {len(paths)} frames that {LABELS_FILE} lists",
            got=f"{len(absent)} missing: {some(absent)}",
            fix="Unpack the images of this sequence.",
        )


def _one_image_size(images: list[dict[str, Any]], file: Path) -> tuple[int, int]:
    sizes = {
        tuple(int(_get(image, key, int, file, "images")) for key in ("height", "width"))
        for image in images
    }
    if len(sizes) != 1:
        raise DatasetError.at(
            file,
            expected="one image size per sequence",
            got=f"{sorted(sizes)} (height, width)",
            fix="Split the sequence.",
        )
    return sizes.pop()


def _rows_and_pitches(
    annotations: list[dict[str, Any]],
    frame_of_image: dict[str, int],
    flags: dict[str, np.ndarray],
    file: Path,
) -> tuple[list[tuple[Any, ...]], dict[int, dict[str, np.ndarray]]]:
    """Fields per person, and polylines per frame that has a pitch record."""
    rows, pitches = [], {}
    for annotation in annotations:
        record = f"annotation {annotation.get('id')!r}"
        image_id = str(_get(annotation, "image_id", (str, int), file, record))
        if image_id not in frame_of_image:
            raise DatasetError.at(
                file,
                record=record,
                expected="an image_id of the images list",
                got=repr(image_id),
                fix="Use label version 1.3 or newer.",
            )
        frame = frame_of_image[image_id]
        kind = annotation.get("supercategory")
        if kind == "object" and flags["person"][frame]:
            rows.append((frame, *_person(annotation, file, record)))
        elif kind == "pitch" and flags["pitch"][frame]:
            if frame in pitches:
                raise DatasetError.at(
                    file,
                    record=record,
                    expected="at most one pitch record per image",
                    got=f"a second one for image {image_id}",
                    fix="Remove one.",
                )
            pitches[frame] = _pitch_lines(annotation, file, record)
    return rows, pitches


def _person(annotation: dict[str, Any], file: Path, record: str) -> tuple[Any, ...]:
    """Box corners, role, number, track id, team and position of one annotation."""
    box = _get(annotation, "bbox_image", dict, file, record)
    x, y, w, h = (float(_get(box, key, (int, float), file, record)) for key in ("x", "y", "w", "h"))
    attributes = annotation.get("attributes") or {}
    role, team = attributes.get("role"), attributes.get("team")
    for word, words in ((role, ROLES), (team, TEAMS)):
        if word is not None and word not in words:
            raise DatasetError.at(
                file,
                record=record,
                expected=f"one of {', '.join(words)}, or null",
                got=repr(word),
                fix=nearest(word, words),
            )
    position = annotation.get("bbox_pitch") or {"x_bottom_middle": None, "y_bottom_middle": None}
    position_m = [
        math.nan if position.get(key, "") is None
        else float(_get(position, key, (int, float), file, record))
        for key in ("x_bottom_middle", "y_bottom_middle")
    ]  # fmt: skip
    track_id = annotation.get("track_id")
    return (
        (x, y, x + w, y + h),
        UNKNOWN if role is None else ROLES.index(role),
        _shirt_number(attributes.get("jersey"), role),
        UNKNOWN if track_id is None else int(track_id),
        UNKNOWN if team is None else TEAMS.index(team),
        position_m,
    )


def _shirt_number(jersey: str | int | None, role: str | None) -> int:
    if jersey is None or role not in _ROLES_WITH_NUMBER:
        return NO_NUMBER
    text = str(jersey).strip()
    if not text:
        return NO_NUMBER
    is_number = text.isascii() and text.isdigit() and int(text) < NO_NUMBER
    return int(text) if is_number else UNKNOWN


def _pitch_lines(
    annotation: dict[str, Any], file: Path, record: str
) -> dict[str, Float[np.ndarray, "n 2"]]:
    polylines = {}
    for label, points in _get(annotation, "lines", dict, file, record).items():
        name = label.strip()
        if name in _IGNORED_PITCH_CLASSES:
            continue
        if name not in _PITCH_CLASSES:
            raise DatasetError.at(
                file,
                record=record,
                expected="names of pitch markings",
                got=repr(label),
                fix=nearest(name, _PITCH_CLASSES),
            )
        try:
            xy = np.array([(point["x"], point["y"]) for point in points], np.float64)
        except (TypeError, KeyError, ValueError) as error:
            raise DatasetError.at(
                file,
                record=f"{record}, {name}",
                expected="a list of points {x, y}",
                got=repr(points)[:60],
                fix="Use label version 1.3 or newer.",
            ) from error
        if len(xy):
            polylines[name] = xy
    return polylines


def _pack_athletes(rows: list[tuple[Any, ...]], file: Path) -> Athletes:
    rows.sort(key=lambda row: row[0])
    columns = list(zip(*rows, strict=True)) if rows else [()] * 7
    frame, boxes, roles, numbers, track_ids, teams, positions_m = columns
    athletes = Athletes.from_boxes(
        np.array(frame, np.int64),
        np.array(boxes, np.float32).reshape(-1, 4),
        roles=np.array(roles, np.int64),
        numbers=np.array(numbers, np.int64),
        track_ids=np.array(track_ids, np.int64),
        teams=np.array(teams, np.int64),
        positions_m=np.array(positions_m, np.float32).reshape(-1, 2),
    )
    size = athletes.boxes_xyxy_px[:, 2:] - athletes.boxes_xyxy_px[:, :2]
    empty = ~(size > 0).all(axis=1)
    if empty.any():
        warnings.warn(f"{file}: left out {empty.sum()} boxes without area.", stacklevel=2)
        athletes = athletes.select(~empty)
    first_of_pair = np.zeros(len(athletes), bool)
    pairs = np.stack([athletes.frame, athletes.track_ids], axis=1)
    first_of_pair[np.unique(pairs, axis=0, return_index=True)[1]] = True
    repeated = ~first_of_pair & (athletes.track_ids != UNKNOWN)
    if repeated.any():
        warnings.warn(
            f"{file}: {repeated.sum()} track ids appear twice in one image; the later ones are "
            "read as unknown.",
            stacklevel=3,
        )
        athletes.track_ids[repeated] = UNKNOWN
    return athletes


def _pack_polylines(pitches: dict[int, dict[str, np.ndarray]]) -> Polylines:
    packed = [
        (frame, _PITCH_CLASSES.index(name), points)
        for frame, polylines in sorted(pitches.items())
        for name, points in polylines.items()
    ]
    return Polylines(
        frame=np.array([frame for frame, _, _ in packed], np.int64),
        name=np.array([name for _, name, _ in packed], np.int64),
        start=np.cumsum([0, *(len(points) for _, _, points in packed)]),
        points_norm=np.concatenate([np.empty((0, 2)), *(points for _, _, points in packed)]),
    )


def _frame_numbers(paths: tuple[Path, ...], file: Path) -> Int[np.ndarray, " N"]:
    bad = [path.name for path in paths if not path.stem.isdigit()]
    if bad:
        raise DatasetError.at(
            file, expected="file names such as 000001.jpg", got=some(bad), fix="Rename the frames."
        )
    return np.array([int(path.stem) for path in paths], np.int64)
