"""The people and cameras of a clip in the formats of data sets, so that models can train on them.

    OUTPUT/sn500/SNGS-10001/img1/000001.jpg ...            the frames
           extracted_info/SNGS-10001.json                  as SoccerFactory's release
           SoccerNetGS/train/SNGS-10001/Labels-GameState.json, img1/   as SoccerNet-GSR
           predictions/SNGS-10001.json                     for the evaluator of game states
           coco/train.json, coco/valid.json                boxes and roles, paths from OUTPUT on
           yolo/data.yaml, images/, labels/                the same for YOLO

The frames are on the disk once: the other folders hold hard links to them. A clip's files get their
names when they are complete; the files about all clips are written at the end of a run. The folders
hold the clips of the last run alone; those of earlier runs are written again, from their records,
when a run has them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from jaxtyping import Float

from soccermaster.data.datasets.game_state_file import LABELS_FILE, GameState, Polylines
from soccermaster.data.datasets.game_state_writer import game_state_labels, write_predictions
from soccermaster.data.images import image_size
from soccermaster.factory.detector_layouts import (
    SPLITS,
    CocoWriter,
    pictures_of,
    remove_yolo_clip,
    remove_yolo_clips,
    write_yolo_clip,
    write_yolo_description,
)
from soccermaster.factory.people import athletes_of, corners_of, gather_people
from soccermaster.factory.records import Records, array, make_table
from soccermaster.factory.stage import ClipContext, Stage
from soccermaster.factory.store import link, move_into_place, write_json
from soccermaster.geometry import Camera, Pitch, visible_polylines
from soccermaster.vocabulary import LEGIBLE_ABOVE, NO_NUMBER, ROLES, TEAMS, UNKNOWN

#: The first clip is SNGS-10001, and image ids begin with this digit, as in the release.
FIRST_NUMBER, SPLIT_DIGIT = 10000, "6"
_BALL = ROLES.index("ball")
_PITCH = Pitch("exact")


class Export(Stage):
    """Writes the data set; see the module for the files.

    A clip in which nobody is tracked gives no files.

    Args:
        jpeg_quality: of the frames.
        valid_every: every so many clips one is for validation in the COCO and YOLO layouts (by the
            number of the clip); 0: none.
        detector_every: frames from one picture of these layouts to the next.
    """

    name = "export"
    version = 2
    requires = frozenset({"detections", "track_ids", "roles", "numbers", "cameras", "positions"})
    provides = frozenset({"files"})

    def __init__(
        self, jpeg_quality: int = 95, valid_every: int = 10, detector_every: int = 5
    ) -> None:
        self.jpeg_quality, self.valid_every = jpeg_quality, valid_every
        self.detector_every = detector_every

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        name = _name(clip.number)
        frames, release, sequence, predictions = _places(clip.output, name)
        pictures = frames / "img1"
        files = [pictures, release, sequence / "img1", sequence / LABELS_FILE, predictions]
        if len(athletes_of(records)):
            self._write_frames(clip, frames)
            camera = _cameras(records, clip)
            labels = factory_labels(records, clip, camera)
            write_json(release, labels)
            state, scores = game_state(records, clip, camera, name, pictures)
            self._write_sequence(sequence, state, pictures)
            partial = predictions.with_name(f".{name}.{os.getpid()}.partial")
            write_predictions(partial, state, scores)
            move_into_place(partial, predictions)
            yolo = write_yolo_clip(
                clip.output / "yolo", self._split(clip.number), name, labels, pictures,
                clip.image_size, self.detector_every,
            )  # fmt: skip
            files += yolo[:1]
        else:  # an earlier configuration may have found somebody
            _remove(_places(clip.output, name))
            remove_yolo_clip(clip.output / "yolo", name, clip.num_frames)
        table = make_table(
            "files",
            source="export",
            frame=[0] * len(files),
            path=[str(file.relative_to(clip.output)) for file in files],
            sha256=[_digest(file) for file in files],
        )
        return records.replace(files=table)

    def still_there(self, output: Path, tables: Mapping[str, pa.Table]) -> bool:
        """Whether the files are those of this configuration; others write to the same names."""
        files = tables["files"].to_pylist()
        return all(_digest(output / file["path"]) == file["sha256"] for file in files)

    def finish(
        self, output: Path, clips: Sequence[tuple[str, int]], gone: Sequence[int]
    ) -> list[str]:
        """Write the files about all clips, and remove those of clips that are gone."""
        remarks = _remove_gone(output, [_name(number) for number in gone])
        sequences = []
        with ExitStack() as stack:
            coco = {
                split: stack.enter_context(CocoWriter(output / "coco" / f"{split}.json"))
                for split in SPLITS
            }
            for number in sorted(number for _, number in clips):
                frames, release, *_ = _places(output, name := _name(number))
                if not release.is_file():
                    continue  # nobody was found
                labels = json.loads(release.read_text(encoding="utf-8"))
                height, width = image_size(frames / "img1" / "000001.jpg")
                for frame, people in pictures_of(labels, self.detector_every):
                    picture = f"sn500/{name}/img1/{frame:06d}.jpg"
                    coco[self._split(number)].add(picture, (width, height), people)
                sequences.append(
                    {"id": FIRST_NUMBER + number, "name": name, "n_frames": len(labels)}
                )
        write_json(output / "sequences_info.json", {"sn500": sequences})
        write_yolo_description(output / "yolo")
        return remarks

    def _split(self, number: int) -> str:
        return SPLITS[bool(self.valid_every) and number % self.valid_every == 0]

    def _write_frames(self, clip: ClipContext, folder: Path) -> None:
        partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "img1").mkdir(parents=True)
        for numbers, pictures in clip.batches():
            for t, picture in zip(numbers, pictures, strict=True):
                path = partial / "img1" / f"{t + 1:06d}.jpg"
                quality = [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality]
                if not cv2.imwrite(str(path), picture[..., ::-1], quality):
                    raise OSError(f"{path}: the picture could not be written. Check the disk.")
        move_into_place(partial, folder)

    def _write_sequence(self, folder: Path, state: GameState, frames: Path) -> None:
        partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "img1").mkdir(parents=True)
        for path in sorted(frames.iterdir()):
            link(path, partial / "img1" / path.name)
        text = json.dumps(game_state_labels(state), allow_nan=False)
        (partial / LABELS_FILE).write_text(text, encoding="utf-8")
        move_into_place(partial, folder)


@dataclass(frozen=True)
class _ClipCameras:
    """Cameras of all frames; NaN where not valid."""

    K: np.ndarray
    R: np.ndarray
    position_m: np.ndarray
    valid: np.ndarray
    image_size: tuple[int, int]

    def of(self, frame: int) -> Camera:
        return Camera(self.K[frame], self.R[frame], self.position_m[frame], self.image_size)


def factory_labels(records: Records, clip: ClipContext, cameras: _ClipCameras) -> dict[str, Any]:
    """Labels per frame as in SoccerFactory's release: frames from "1" on; R is [R | t].

    A legibility that nobody judged is null, unlike there. Without a number and without a legibility
    nothing is known of the number; without a number alone, there is none to read. `track_id`,
    `team` and `position_m` (centred pitch frame) of people and the `fps` of frames are ours; the
    release has none of them.
    """
    people = gather_people(records)
    frames: dict[str, Any] = {}
    boxes = _clipped(people.boxes_xyxy_px, clip.image_size)
    rows_at = np.searchsorted(people.frame, np.arange(clip.num_frames + 1))
    for t in range(clip.num_frames):
        rows = range(rows_at[t], rows_at[t + 1])
        entry: dict[str, Any] = {
            "people": [
                _person(people, boxes, row)
                for row in rows
                if people.track_id[row] != UNKNOWN and boxes[row, 2] > boxes[row, 0]
                and boxes[row, 3] > boxes[row, 1]
            ],
            "fps": clip.fps,
            "valid_cam_params": bool(cameras.valid[t]),
            "K": None,
            "R": None,
        }  # fmt: skip
        if cameras.valid[t]:
            R, position = cameras.R[t], cameras.position_m[t]
            entry["K"] = cameras.K[t].tolist()
            entry["R"] = np.concatenate([R, -(R @ position)[:, None]], axis=1).tolist()
        frames[str(t + 1)] = entry
    return frames


def game_state(
    records: Records, clip: ClipContext, cameras: _ClipCameras, name: str, frames: Path
) -> tuple[GameState, Float[np.ndarray, " M"]]:
    """The clip as a SoccerNet game state; markings are projected by the valid cameras.

    Numbers that nobody read stay unknown.

    Returns:
        The state, and the scores of its people; NaN where the row was filled in.
    """
    people = gather_people(records)
    athletes = athletes_of(records)
    boxes = _clipped(athletes.boxes_xyxy_px.astype(np.float64), clip.image_size)
    inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    corners_m = corners_of(records)[people.tracked].reshape(-1, 3, 2)[:, [0, 2]].astype(np.float32)
    athletes = dataclasses.replace(
        athletes,
        boxes_xyxy_px=boxes.astype(np.float32),
        numbers=people.final_numbers[people.tracked],
    ).select(inside)
    polylines = {
        t: {
            marking: points_px / clip.image_size
            for marking, points_px in visible_polylines(cameras.of(t), _PITCH).items()
        }
        for t in np.flatnonzero(cameras.valid).tolist()
    }
    number = name.removeprefix("SNGS-")
    width, height = clip.image_size
    state = GameState(
        name=name,
        fps=clip.fps,
        image_size=(height, width),
        image_paths=tuple(frames / f"{t + 1:06d}.jpg" for t in range(clip.num_frames)),
        image_ids=tuple(f"{SPLIT_DIGIT}{number}{t + 1:06d}" for t in range(clip.num_frames)),
        frame_numbers=np.arange(1, clip.num_frames + 1),
        people_labeled=np.ones(clip.num_frames, bool),
        pitch_labeled=cameras.valid,
        camera_labeled=cameras.valid,
        athletes=athletes,
        corners_m=corners_m[inside],
        polylines=Polylines.pack(polylines),
    )
    return state, people.scores[people.tracked][inside]


def _person(people: Any, boxes: np.ndarray, row: int) -> dict[str, Any]:
    x0, y0, x1, y1 = (round(float(value), 3) for value in boxes[row])
    number, role = int(people.final_numbers[row]), int(people.final_roles[row])
    team, place = int(people.teams[row]), people.positions_m[row]
    legibility = float(people.legibility[row])
    if number == UNKNOWN and legibility > LEGIBLE_ABOVE:
        legibility = math.nan  # legible without a number would say that there is none to read
    return {
        "id": int(people.detection_id[row]),
        "bbox_ltwh": [x0, y0, round(x1 - x0, 3), round(y1 - y0, 3)],
        "role": None if role == UNKNOWN else ROLES[role],
        "legibility_score": round(legibility, 4) if np.isfinite(legibility) else None,
        "jersey_number": float(number) if 0 <= number < NO_NUMBER else None,
        "track_id": int(people.track_id[row]),
        "team": None if team == UNKNOWN else TEAMS[team],
        "position_m": place.round(3).tolist() if np.isfinite(place).all() else None,
    }


def _cameras(records: Records, clip: ClipContext) -> _ClipCameras:
    table, n = records["cameras"], clip.num_frames
    K, R, position = np.full((n, 3, 3), np.nan), np.full((n, 3, 3), np.nan), np.full((n, 3), np.nan)
    valid = np.zeros(n, bool)
    frame = array(table, "frame")
    K[frame] = array(table, "K").reshape(-1, 3, 3)
    R[frame] = array(table, "R").reshape(-1, 3, 3)
    position[frame] = array(table, "position_m")
    valid[frame] = array(table, "valid")
    return _ClipCameras(K, R, position, valid, clip.image_size)


def _clipped(boxes_xyxy_px: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    return np.clip(boxes_xyxy_px, 0, np.array(image_size * 2, np.float64))


def _name(number: int) -> str:
    return f"SNGS-{FIRST_NUMBER + number}"


def _places(output: Path, name: str) -> tuple[Path, Path, Path, Path]:
    """Of a clip: folder of frames, labels as in the release, SoccerNet folder, predictions."""
    return (
        output / "sn500" / name,
        output / "extracted_info" / f"{name}.json",
        output / "SoccerNetGS" / "train" / name,
        output / "predictions" / f"{name}.json",
    )


def _remove_gone(output: Path, names: Sequence[str]) -> list[str]:
    """Readers take whatever lies in the folders: what is gone must not lie there."""
    there = [name for name in names if any(p.exists() for p in _places(output, name))]
    for name in there:
        _remove(_places(output, name))
    if not there:
        return []
    remove_yolo_clips(output / "yolo", there)
    return [
        f"export: removed the files of {len(there)} clips of earlier runs that are not among the "
        "clips of this one. Their records are kept: a run with them writes the files again."
    ]


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and sizes in a folder; empty where there is nothing."""
    if not path.exists():
        return ""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    names = [f"{file.name}:{file.stat().st_size}" for file in sorted(path.iterdir())]
    return hashlib.sha256("\n".join(names).encode()).hexdigest()
