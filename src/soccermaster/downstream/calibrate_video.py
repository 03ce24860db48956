"""From a video to a camera per frame, an overlay of the pitch template, and a map of the views.

The video is cut into shots, and long shots into windows; each window is one `calibrate_clip`: one
camera position, and pan, tilt and zoom that change smoothly. Frames are decoded twice, for the
heads and for the pictures, so that memory is bounded by the window.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8
from rich.console import Console
from rich.progress import track

from soccermaster.data.frame_source import FrameSource, ImageSource, open_source
from soccermaster.data.images import write_png
from soccermaster.data.synthetic.calibration_files import camera_record
from soccermaster.data.synthetic.files import refuse_existing, write_json
from soccermaster.data.video import VideoWriter
from soccermaster.downstream.shots import CutDetector
from soccermaster.geometry.calibration import Calibration, calibrate_clip
from soccermaster.predict import FramePredictions, Predictor
from soccermaster.viz.draw import draw_banner, draw_pitch_markings
from soccermaster.viz.pitch_map import (
    draw_field_of_view,
    draw_pitch,
    draw_positions,
    field_of_view_m,
    write_message,
)

INDEX_NAME = "cameras.jsonl"
OVERLAY_NAME, OVERLAY_PICTURE_NAME = "overlay.mp4", "overlay.png"
MAP_VIDEO_NAME, MAP_NAME = "pitch_map.mp4", "pitch_map.png"
#: Frames that are calibrated together, at most.
WINDOW_FRAMES = 500


@dataclass(frozen=True)
class CalibrationFiles:
    """What was written.

    Attributes:
        folder: with `camera_NNNNN.json` for the frames that have a camera.
        index: JSON lines, one per frame: frame, time_s, camera (file name or null), valid,
            observed, reason, confidence, expected_error_px, shot.
        overlay: video of the frames with the projected template; a picture for a picture.
        pitch_map: video of what the camera sees of the pitch.
        best_map: the map of the frame with the highest confidence.
        num_frames: in all.
        num_cameras: frames with a camera.
        num_shots: stretches without a cut.
    """

    folder: Path
    index: Path
    overlay: Path
    pitch_map: Path
    best_map: Path
    num_frames: int
    num_cameras: int
    num_shots: int


def calibrate_video(
    predictor: Predictor,
    input: Path | str,
    output: Path | str,
    pitch_threshold: float | None = None,
    athlete_threshold: float = 0.3,
    fps: float = 25.0,
) -> CalibrationFiles:
    """Find the camera of every frame of a video, a folder of pictures or a picture.

    Args:
        predictor: a model with heads for keypoints, lines or both.
        input: what to look at.
        output: folder, made if necessary.
        pitch_threshold: least score of a keypoint or line; those of their heads if None.
        athlete_threshold: least score of a person on the map.
        fps: of a folder of pictures.

    Raises:
        VideoError: the input cannot be read.
        FileExistsError: see `write_cameras`.
        ValueError: see `write_cameras`.
    """
    source = open_source(input, fps)
    found = predictor.frames(source)
    files = write_cameras(source, found, output, pitch_threshold, athlete_threshold)
    console = Console(soft_wrap=True, highlight=False)
    missing = files.num_frames - files.num_cameras
    console.print(
        f"{files.num_cameras} cameras for {files.num_frames} frames ({files.num_shots} shots): "
        f"{files.folder}/camera_*.json, {files.overlay}, {files.pitch_map}, {files.best_map}"
    )
    if missing:
        console.print(f"{missing} frames have no camera: {files.index} says why.")
    return files


def write_cameras(
    source: FrameSource,
    frames: Iterable[FramePredictions],
    output: Path | str,
    pitch_threshold: float | None = None,
    athlete_threshold: float = 0.3,
    window_frames: int = WINDOW_FRAMES,
) -> CalibrationFiles:
    """Cameras, overlay and map from what was found in each frame of a source.

    Camera files are those of SoccerNet, for pictures of 960x540: `camera_00001.json` is the first
    frame of a video, `camera_NAME.json` the picture `NAME.jpg`. A frame without a camera has none;
    the index says why. Nothing is there under its name before everything is complete.

    Args:
        source: of the pictures, and of their names.
        frames: predictions for each frame of `source`, in order.
        output: folder, made if necessary. Files of an earlier call are replaced.
        pitch_threshold: as in `calibrate_video`.
        athlete_threshold: as in `calibrate_video`.
        window_frames: calibrated together at most.

    Raises:
        FileExistsError: the folder has camera files that no earlier call wrote.
        ValueError: fewer or more predictions than frames, or from a model without heads for the
            pitch; two pictures of one name.
    """
    output = Path(output)
    earlier = _earlier_cameras(output)
    output.mkdir(parents=True, exist_ok=True)
    partial = output / ".cameras.writing"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    size, names = (source.info.height, source.info.width), _names(source)
    empty_map = draw_pitch()
    best_map, best = write_message(empty_map, "No frame has a camera"), 0.0
    num_frames = num_cameras = shot = 0
    try:
        with (
            (partial / INDEX_NAME).open("w", encoding="utf-8") as index,
            VideoWriter(partial / OVERLAY_NAME, source.info.fps, size) as overlay,
            VideoWriter(partial / MAP_VIDEO_NAME, source.info.fps, empty_map.shape[:2]) as maps,
        ):
            found = calibrated_frames(frames, pitch_threshold, athlete_threshold, window_frames)
            pictures = track(source.iter(), "calibrating", total=len(source))
            for (_, _, image), (item, result, observed) in zip(pictures, found, strict=True):
                name = f"camera_{names[num_frames]}.json"
                if result.camera is not None:
                    write_json(partial / name, camera_record(result.camera))
                    num_cameras += 1
                index.write(json.dumps(_record(item, result, observed, name)) + "\n")
                drawn, view = _draw(image, result), _map(empty_map, item, result)
                overlay.write(drawn)
                maps.write(view)
                if observed and result.confidence > best:
                    best_map, best = view, result.confidence
                num_frames, shot = num_frames + 1, item.shot
        write_png(partial / MAP_NAME, best_map)
        if num_frames == 1:
            write_png(partial / OVERLAY_PICTURE_NAME, drawn)
        for path in (*earlier, output / OVERLAY_PICTURE_NAME):
            path.unlink(missing_ok=True)
        for path in sorted(partial.iterdir()):
            path.replace(output / path.name)
    finally:
        shutil.rmtree(partial)
    return CalibrationFiles(
        output,
        output / INDEX_NAME,
        output / (OVERLAY_PICTURE_NAME if num_frames == 1 else OVERLAY_NAME),
        output / MAP_VIDEO_NAME,
        output / MAP_NAME,
        num_frames,
        num_cameras,
        shot,
    )


@dataclass(frozen=True)
class SeenFrame:
    """What the heads found in one frame, without its picture.

    Attributes:
        index: from 0.
        time_s: from the first frame.
        shot: from 1.
        image_size: (W, H) in pixels.
        points_px: keypoints by number.
        lines_px: two points on each line, by number.
        feet_px: where people stand.
        roles: of these people.
        numbers: of these people.
    """

    index: int
    time_s: float
    shot: int
    image_size: tuple[int, int]
    points_px: dict[int, Any]
    lines_px: dict[int, Any]
    feet_px: Float[np.ndarray, "n 2"]
    roles: Int[np.ndarray, " n"]
    numbers: Int[np.ndarray, " n"]


def calibrated_frames(
    frames: Iterable[FramePredictions],
    pitch_threshold: float | None,
    athlete_threshold: float,
    window_frames: int = WINDOW_FRAMES,
) -> Iterator[tuple[SeenFrame, Calibration, bool]]:
    """Each frame with its camera and whether it was observed, a window at a time.

    Args:
        frames: predictions in order; their pictures are not kept.
        pitch_threshold: as in `calibrate_video`.
        athlete_threshold: as in `calibrate_video`.
        window_frames: calibrated together at most; a cut ends a window too.

    Raises:
        ValueError: predictions from a model without heads for the pitch.
    """
    cuts, window, shot = CutDetector(), [], 0
    for frame in frames:
        begins = cuts.begins_shot(frame.image)
        if window and (begins or len(window) == window_frames):
            yield from _calibrate_window(window)
            window = []
        shot += begins
        window.append(_seen(frame, shot, pitch_threshold, athlete_threshold))
    if window:
        yield from _calibrate_window(window)


def _calibrate_window(window: list[SeenFrame]) -> Iterator[tuple[SeenFrame, Calibration, bool]]:
    clip = calibrate_clip(
        [seen.points_px for seen in window],
        [seen.lines_px for seen in window],
        window[0].image_size,
    )
    return zip(window, clip, clip.observed.tolist(), strict=True)


def _seen(
    frame: FramePredictions, shot: int, pitch_threshold: float | None, athlete_threshold: float
) -> SeenFrame:
    if frame.keypoints is None and frame.lines is None:
        raise ValueError(
            "expected a model that finds keypoints or lines of the pitch, got one without such "
            "heads. Train it with task=[pitch_keypoints,pitch_lines]."
        )
    height, width = frame.image.shape[:2]
    points_px, lines_px = frame.pitch_px(pitch_threshold)
    people = frame.feet_px(athlete_threshold)
    return SeenFrame(frame.index, frame.time_s, shot, (width, height), points_px, lines_px, *people)


def _record(seen: SeenFrame, result: Calibration, observed: bool, name: str) -> dict[str, Any]:
    known = result.camera is not None
    return {
        "frame": seen.index + 1,
        "time_s": round(seen.time_s, 4),
        "camera": name if known else None,
        "valid": known,
        "observed": observed,
        "reason": result.reason,
        "confidence": round(result.confidence, 4),
        "expected_error_px": round(result.expected_error_px, 3) if known else None,
        "shot": seen.shot,
    }


def _draw(image: UInt8[np.ndarray, "H W 3"], result: Calibration) -> UInt8[np.ndarray, "H W 3"]:
    if result.camera is None:
        return draw_banner(image, [f"no camera: {result.reason}"])
    drawn = draw_pitch_markings(image, result.camera)
    return draw_banner(drawn, [f"confidence {result.confidence:.2f}"])


def _map(
    empty_map: UInt8[np.ndarray, "h w 3"], seen: SeenFrame, result: Calibration
) -> UInt8[np.ndarray, "h w 3"]:
    camera = result.camera
    if camera is None:
        return write_message(empty_map, f"no camera: {result.reason}")
    view = draw_field_of_view(
        empty_map, field_of_view_m(camera.image_from_pitch, camera.image_size)
    )
    feet_m = camera.unproject_to_ground(seen.feet_px)
    return draw_positions(view, feet_m, roles=seen.roles, numbers=seen.numbers)


def _names(source: FrameSource) -> list[str]:
    """What each frame is called in file names."""
    if isinstance(source, ImageSource):
        names = [path.stem for path in source.paths]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(
                f"{source.info.path}: expected one picture per name, got several called '{twice}'. "
                "Their cameras would be one file: rename or remove one."
            )
        return names
    return [f"{index + 1:05d}" for index in range(len(source))]


def _earlier_cameras(output: Path) -> list[Path]:
    """The camera files that an earlier call wrote to this folder."""
    mine: list[Path] = []
    if (output / INDEX_NAME).is_file():
        lines = (output / INDEX_NAME).read_text(encoding="utf-8").splitlines()
        names = (json.loads(line).get("camera") for line in lines)
        mine = [output / name for name in names if name]
    refuse_existing(set(output.glob("camera_*.json")).difference(mine), overwrite=False)
    return mine
