"""Synthetic pictures in the format of SoccerNet-calibration, with the camera that made them.

`calibration/{split}/NNNNN.jpg`, `NNNNN.json` with polylines in fractions of the picture, and
`camera_NNNNN.json` as the official evaluator reads it (parameters for 960x540).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from soccermaster.data.datasets.soccernet_calibration import CAMERA_FILE_SIZE, polylines_record
from soccermaster.data.synthetic.dataset import render_sequence
from soccermaster.data.synthetic.events import ACTS
from soccermaster.data.synthetic.files import (
    derived_seed,
    refuse_existing,
    write_image,
    write_json,
)
from soccermaster.geometry import Camera, Pitch, visible_polylines


def write_calibration(
    output: Path | str,
    split: str,
    count: int,
    *,
    seed: int = 0,
    image_size: tuple[int, int] = (540, 960),
    overwrite: bool = False,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Path:
    """Writes single pictures with their pitch markings and cameras.

    Args:
        output: folder for `calibration/{split}`.
        split: "train", "valid" or "test".
        count: number of pictures.
        seed: same seed, same pictures.
        image_size: (H, W); real ones have (540, 960).
        overwrite: replace a split that is there.
        progress: goes around the loop over the pictures, to show how far it is.

    Returns:
        The folder of the split.

    Raises:
        FileExistsError: the split is there and `overwrite` is False; nothing was written then.
    """
    folder = Path(output) / "calibration" / split
    refuse_existing([folder / "match_info.json"], overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    events = (None, *ACTS)
    info = {}
    for index in progress(range(count)):
        picture_seed = derived_seed(seed, "calibration", split, str(index))
        event = events[picture_seed % len(events)] if picture_seed % 2 else None
        clip = render_sequence(picture_seed, 1, 25.0, image_size, event)
        cameras = clip.annotations.cameras
        size = image_size[::-1]
        camera = Camera(cameras.K[0], cameras.R[0], cameras.position_m[0], size)
        write_picture(folder, f"{index:05d}", clip.frames[0], camera)
        info[f"{index:05d}.jpg"] = {
            "ms_time": str(1000 * index),
            "replay_time": str(1000 * index),
            "camera": "Main camera center",
        }
    write_json(folder / "match_info.json", info)
    return folder


def write_picture(folder: Path, name: str, frame: np.ndarray, camera: Camera) -> None:
    """Writes one picture (H, W, 3) with its polylines and its camera."""
    write_image(folder / f"{name}.jpg", frame)
    write_json(folder / f"{name}.json", markings_record(camera))
    write_json(folder / f"camera_{name}.json", camera_record(camera))


def markings_record(camera: Camera) -> dict[str, list[dict[str, float]]]:
    """What an annotator would draw: the markings that a camera sees, in fractions of its image."""
    return polylines_record(
        {
            marking: (points_px / camera.image_size).round(6)
            for marking, points_px in visible_polylines(camera, Pitch("exact")).items()
        }
    )


def camera_record(camera: Camera) -> dict[str, Any]:
    """A single camera as in prediction files, for pictures of `CAMERA_FILE_SIZE`."""
    return camera.resize(CAMERA_FILE_SIZE).to_soccernet()
