"""The people and cameras of a clip in the formats of data sets, so that models can train on them.

    OUTPUT/sn500/SNGS-10001/img1/000001.jpg ...            the frames
           extracted_info/SNGS-10001.json                  as SoccerFactory's release
           SoccerNetGS/train/SNGS-10001/Labels-GameState.json, img1/   as SoccerNet-GSR
           predictions/SNGS-10001.json                     for the evaluator of game states
           coco/train.json, coco/valid.json                boxes and roles, paths from OUTPUT on
           yolo/data.yaml, images/, labels/                the same for YOLO

The frames are on the disk once: the other folders hold hard links to them. A clip's files get their
names when they are complete; the files about all clips are written at the end of a run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from soccermaster.data.datasets.game_state_file import LABELS_FILE, GameState, Polylines
from soccermaster.data.datasets.game_state_writer import game_state_labels, write_predictions
from soccermaster.data.images import image_size
from soccermaster.factory.people import athletes_of, corners_of, gather_people
from soccermaster.factory.records import Records, array, make_table
from soccermaster.factory.stage import ClipContext, Stage
from soccermaster.factory.store import move_into_place, write_json, write_text
from soccermaster.geometry import Camera, Pitch, visible_polylines
from soccermaster.vocabulary import LEGIBLE_ABOVE, NO_NUMBER, ROLES, UNKNOWN

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
    requires = frozenset({"detections", "track_ids", "roles", "numbers", "cameras", "positions"})
    provides = frozenset({"files"})

    def __init__(
        self, jpeg_quality: int = 95, valid_every: int = 10, detector_every: int = 5
    ) -> None:
        self.jpeg_quality, self.valid_every = jpeg_quality, valid_every
        self.detector_every = detector_every

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        name = f"SNGS-{FIRST_NUMBER + clip.number}"
        frames = clip.output / "sn500" / name
        release = clip.output / "extracted_info" / f"{name}.json"
        sequence = clip.output / "SoccerNetGS" / "train" / name
        predictions = clip.output / "predictions" / f"{name}.json"
        files: list[Path] = []
        if len(athletes_of(records)):
            self._write_frames(clip, frames)
            camera = _cameras(records, clip)
            write_json(release, factory_labels(records, clip, camera))
            state = game_state(records, clip, camera, name, frames / "img1")
            self._write_sequence(sequence, state, frames / "img1")
            partial = predictions.with_name(f".{name}.{os.getpid()}.partial")
            write_predictions(partial, state)
            move_into_place(partial, predictions)
            files = [release, sequence / LABELS_FILE, predictions]
        else:  # an earlier configuration may have found somebody
            for folder in (frames, sequence):
                shutil.rmtree(folder, ignore_errors=True)
            for file in (release, predictions):
                file.unlink(missing_ok=True)
        table = make_table(
            "files",
            source="export",
            frame=[0] * len(files),
            path=[str(file.relative_to(clip.output)) for file in files],
            sha256=[_sha256(file) for file in files],
        )
        return records.replace(files=table)

    def still_there(self, output: Path, tables: Mapping[str, pa.Table]) -> bool:
        """Whether the files are those of this configuration; others write to the same names."""
        files = tables["files"].to_pylist()
        return all(
            (output / file["path"]).is_file() and _sha256(output / file["path"]) == file["sha256"]
            for file in files
        )

    def finish(self, output: Path, clips: Sequence[tuple[str, int]]) -> None:
        """Write the files about all clips; those of clips that are gone lose their entries."""
        names = [f"SNGS-{FIRST_NUMBER + number}" for _, number in clips]
        names = [name for name in names if (output / "extracted_info" / f"{name}.json").is_file()]
        sequences = []
        labels: dict[str, dict[str, Any]] = {}
        for name in sorted(names):
            file = output / "extracted_info" / f"{name}.json"
            labels[name] = json.loads(file.read_text(encoding="utf-8"))
            number = int(name.removeprefix("SNGS-"))
            sequences.append({"id": number, "name": name, "n_frames": len(labels[name])})
        write_json(output / "sequences_info.json", {"sn500": sequences})
        for split in ("train", "valid"):
            chosen = {
                name: frames
                for name, frames in labels.items()
                if self._is_valid(name) == (split == "valid")
            }
            write_json(output / "coco" / f"{split}.json", self._coco(output, chosen))
            self._write_yolo(output / "yolo", output, split, chosen)
        lines = ["path: .", "train: images/train", "val: images/valid", "names:"]
        lines += [f"  {index}: {role}" for index, role in enumerate(ROLES)]
        write_text(output / "yolo" / "data.yaml", "\n".join(lines) + "\n")

    def _is_valid(self, name: str) -> bool:
        number = int(name.removeprefix("SNGS-")) - FIRST_NUMBER
        return bool(self.valid_every) and number % self.valid_every == 0

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
            _link(path, partial / "img1" / path.name)
        text = json.dumps(game_state_labels(state), allow_nan=False)
        (partial / LABELS_FILE).write_text(text, encoding="utf-8")
        move_into_place(partial, folder)

    def _pictures(self, labels: dict[str, dict[str, Any]]) -> list[tuple[str, int, list[dict]]]:
        """Sequence, frame number and people of the pictures that a detector learns from."""
        return [
            (name, int(key), frame["people"])
            for name, frames in labels.items()
            for key, frame in frames.items()
            if (int(key) - 1) % self.detector_every == 0
        ]

    def _coco(self, output: Path, labels: dict[str, dict[str, Any]]) -> dict[str, Any]:
        images, annotations = [], []
        sizes = {name: _picture_size(output, name) for name in labels}
        for name, number, people in self._pictures(labels):
            width, height = sizes[name]
            path = f"sn500/{name}/img1/{number:06d}.jpg"
            image = {"id": len(images) + 1, "file_name": path, "width": width, "height": height}
            images.append(image)
            for person in people:
                if person["role"] is None:
                    continue
                x, y, w, h = person["bbox_ltwh"]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image["id"],
                        "category_id": ROLES.index(person["role"]),
                        "bbox": [x, y, w, h],
                        "area": round(w * h, 3),
                        "iscrowd": 0,
                    }
                )
        categories = [{"id": index, "name": role} for index, role in enumerate(ROLES)]
        return {"images": images, "annotations": annotations, "categories": categories}

    def _write_yolo(
        self, folder: Path, output: Path, split: str, labels: dict[str, dict[str, Any]]
    ) -> None:
        for kind in ("images", "labels"):
            shutil.rmtree(folder / kind / split, ignore_errors=True)
            (folder / kind / split).mkdir(parents=True)
        sizes = {name: _picture_size(output, name) for name in labels}
        for name, number, people in self._pictures(labels):
            width, height = sizes[name]
            stem = f"{name}_{number:06d}"
            frame = output / f"sn500/{name}/img1/{number:06d}.jpg"
            _link(frame, folder / "images" / split / f"{stem}.jpg")
            lines = []
            for person in people:
                if person["role"] is None:
                    continue
                x, y, w, h = person["bbox_ltwh"]
                centre = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
                values = " ".join(f"{value:.6f}" for value in centre)
                lines.append(f"{ROLES.index(person['role'])} {values}\n")
            path = folder / "labels" / split / f"{stem}.txt"
            path.write_text("".join(lines), encoding="utf-8")


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
    nothing is known of the number; without a number alone, there is none to read.
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
) -> GameState:
    """The clip as a SoccerNet game state; markings are projected by the valid cameras.

    Numbers that nobody read stay unknown.
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
    return GameState(
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


def _person(people: Any, boxes: np.ndarray, row: int) -> dict[str, Any]:
    x0, y0, x1, y1 = (round(float(value), 3) for value in boxes[row])
    number, role = int(people.final_numbers[row]), int(people.final_roles[row])
    legibility = float(people.legibility[row])
    if number == UNKNOWN and legibility > LEGIBLE_ABOVE:
        legibility = math.nan  # legible without a number would say that there is none to read
    return {
        "id": int(people.detection_id[row]),
        "bbox_ltwh": [x0, y0, round(x1 - x0, 3), round(y1 - y0, 3)],
        "role": None if role == UNKNOWN else ROLES[role],
        "legibility_score": round(legibility, 4) if np.isfinite(legibility) else None,
        "jersey_number": float(number) if 0 <= number < NO_NUMBER else None,
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


def _picture_size(output: Path, name: str) -> tuple[int, int]:
    height, width = image_size(output / f"sn500/{name}/img1/000001.jpg")
    return width, height


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _link(source: Path, target: Path) -> None:
    """A hard link, or a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
