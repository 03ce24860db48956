"""How SoccerNet game state files are written: label files, and predictions for the evaluator."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from soccermaster.data.datasets.game_state_file import LABELS_FILE, GameState
from soccermaster.vocabulary import NO_NUMBER, ROLES, TEAMS, UNKNOWN

CATEGORIES: dict[str, int] = {
    "player": 1,
    "goalkeeper": 2,
    "referee": 3,
    "ball": 4,
    "pitch": 5,
    "other": 7,
}
#: First digit of the image ids of a split.
SPLIT_DIGITS: dict[str, int] = {"train": 1, "valid": 2, "test": 3, "challenge": 4}

# Stands for a number that is there but unknown; a reader finds no digits in it.
_UNKNOWN_JERSEY = "X"


def write_game_state(folder: Path | str, state: GameState) -> None:
    """Writes a sequence folder: the labels and copies of the frames.

    What `read_game_state` reads from it is `state`, but for the name and the paths.

    Args:
        folder: is made; labels that are there are replaced.
        state: to write.
    """
    folder = Path(folder)
    images = folder / "img1"
    images.mkdir(parents=True, exist_ok=True)
    for path in state.image_paths:
        if path.parent.resolve() != images.resolve():
            shutil.copyfile(path, images / path.name)
    (folder / LABELS_FILE).write_text(json.dumps(game_state_labels(state)), encoding="utf-8")


def write_predictions(
    file: Path | str, state: GameState, scores: Float[np.ndarray, " M"] | None = None
) -> None:
    """Writes people as predictions, in the form that the SoccerNet evaluator reads.

    A person without a position on the pitch or without a role is left out, for the evaluator
    compares both. A number that nobody knows is null, for the evaluator knows no unknown.

    Args:
        file: `SNGS-xxx.json`; the evaluator wants a zip of them.
        state: of the sequence.
        scores: how sure each person of the state was seen, 0..1; NaN, written as 0, where nobody
            was seen and the row was filled in. None: people whom somebody annotated, written as 1.
    """
    athletes = state.athletes
    sure = np.ones(len(athletes)) if scores is None else np.nan_to_num(scores)
    numbers = np.where(athletes.numbers == UNKNOWN, NO_NUMBER, athletes.numbers)
    state = replace(state, athletes=replace(athletes, numbers=numbers))
    placed = np.isfinite(athletes.positions_m).all(axis=1) & (athletes.roles != UNKNOWN)
    predictions = [
        {
            "id": str(i),
            "video_id": state.name.removeprefix("SNGS-"),
            **_object(state, int(row)),
            "bbox_pitch": _bbox_pitch(state, int(row), default=athletes.positions_m[row]),
            "confidence": _short(sure[row]),
        }
        for i, row in enumerate(np.flatnonzero(placed), start=1)
    ]
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"predictions": predictions}), encoding="utf-8")


def game_state_labels(state: GameState, info: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The content of a label file.

    Args:
        state: of the sequence.
        info: further values of the "info" block.
    """
    num_frames = len(state.frame_numbers)
    objects = []
    for row in range(len(state.athletes)):
        bbox_pitch = _bbox_pitch(state, row)
        place = {"bbox_pitch": bbox_pitch, "bbox_pitch_raw": bbox_pitch}
        objects.append(_object(state, row) | place)
    pitches = [_pitch(state, t) for t in range(num_frames) if state.pitch_labeled[t]]
    height, width = state.image_size
    return {
        "info": {
            "version": "1.3",
            "id": state.name.removeprefix("SNGS-"),
            "num_tracklets": str(len(np.unique(state.athletes.track_ids))),
            "name": state.name,
            "im_dir": "img1",
            "frame_rate": int(state.fps) if state.fps == int(state.fps) else state.fps,
            "seq_length": num_frames,
            "im_ext": state.image_paths[0].suffix,
            **(info or {}),
        },
        "images": [
            {
                "is_labeled": True,
                "image_id": state.image_ids[t],
                "file_name": state.image_paths[t].name,
                "height": height,
                "width": width,
                "has_labeled_person": bool(state.people_labeled[t]),
                "has_labeled_pitch": bool(state.pitch_labeled[t]),
                "has_labeled_camera": bool(state.camera_labeled[t]),
                "ignore_regions_y": [],
                "ignore_regions_x": [],
            }
            for t in range(num_frames)
        ],
        "annotations": [
            {"id": str(i), **annotation} for i, annotation in enumerate(objects + pitches, start=1)
        ],
        "categories": [
            {"id": i, "name": name, "supercategory": "pitch" if name == "pitch" else "object"}
            for name, i in CATEGORIES.items()
        ],
    }


def _object(state: GameState, row: int) -> dict[str, Any]:
    athletes = state.athletes
    role = None if athletes.roles[row] == UNKNOWN else ROLES[athletes.roles[row]]
    number, team = int(athletes.numbers[row]), int(athletes.teams[row])
    track_id = int(athletes.track_ids[row])
    jersey = None if number == NO_NUMBER else str(number) if number >= 0 else _UNKNOWN_JERSEY
    x0, y0, x1, y1 = (_short(value) for value in athletes.boxes_xyxy_px[row])
    return {
        "image_id": state.image_ids[athletes.frame[row]],
        "track_id": None if track_id == UNKNOWN else track_id,
        "supercategory": "object",
        "category_id": CATEGORIES[role or "other"],
        "attributes": {
            "role": role,
            "jersey": jersey,
            "team": None if team == UNKNOWN else TEAMS[team],
        },
        "bbox_image": {
            "x": x0,
            "y": y0,
            "x_center": (x0 + x1) / 2,
            "y_center": (y0 + y1) / 2,
            "w": x1 - x0,
            "h": y1 - y0,
        },
    }


def _bbox_pitch(
    state: GameState, row: int, default: np.ndarray | None = None
) -> dict[str, float | None] | None:
    """All six keys; None without a position. `default` stands for corners that are not known."""
    middle, corners = state.athletes.positions_m[row], state.corners_m[row]
    if np.isnan(middle).all():
        return None
    if default is not None and not np.isfinite(corners).all():
        corners = np.stack([default, default])
    points = {"left": corners[0], "right": corners[1], "middle": middle}
    return {
        f"{axis}_bottom_{name}": None if math.isnan(point[i]) else _short(point[i])
        for name, point in points.items()
        for i, axis in enumerate("xy")
    }


def _pitch(state: GameState, frame: int) -> dict[str, Any]:
    return {
        "image_id": state.image_ids[frame],
        "supercategory": "pitch",
        "category_id": CATEGORIES["pitch"],
        "lines": {
            name: [{"x": float(x), "y": float(y)} for x, y in points]
            for name, points in state.polylines.of_frame(frame).items()
        },
    }


def _short(value: np.floating) -> float:
    """The shortest decimal that a float32 reads as the same number."""
    return float(str(np.float32(value)))
