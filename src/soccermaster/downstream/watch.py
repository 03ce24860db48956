"""A stretch of a video to look at: people and pitch in the picture, and from above.

Some frames per second are looked at; the camera of each shot is found from all of its frames.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from soccermaster.data.frame_source import FrameSource
from soccermaster.data.images import resize_image
from soccermaster.data.video import VideoWriter
from soccermaster.downstream.shots import CutDetector
from soccermaster.geometry.calibration import Calibration, calibrate_clip
from soccermaster.predict import FramePredictions, Predictor
from soccermaster.viz.draw import draw_athletes, draw_pitch_markings
from soccermaster.viz.pitch_map import (
    draw_field_of_view,
    draw_pitch,
    draw_positions,
    field_of_view_m,
    write_message,
)
from soccermaster.vocabulary import NO_NUMBER, ROLES

OVERLAY_NAME, MAP_NAME = "overlay.mp4", "map.mp4"
#: Frames are made no wider than this; the heads look at smaller ones anyway.
LARGEST_WIDTH_PX = 960
#: Frames of one shot share more than this of their colours; with few frames per second, neighbours
#: of one shot have less in common than `shots.LEAST_SHARED`.
_LEAST_SHARED = 0.55


@dataclass(frozen=True)
class ShirtNumber:
    """A number that was read, by whom it belongs to."""

    number: int
    role: str
    frames: int  # in how many frames
    score: float  # the best


@dataclass(frozen=True)
class Watched:
    """What was written, and what was seen."""

    overlay: Path  # video
    pitch_map: Path  # video
    num_frames: int
    num_cameras: int  # frames whose camera was found
    people_per_frame: float
    numbers: tuple[ShirtNumber, ...]  # most often seen first


def watch(
    predictor: Predictor,
    source: FrameSource,
    output: Path | str,
    start_s: float = 0.0,
    duration_s: float = 20.0,
    fps: float = 5.0,
    athlete_threshold: float = 0.3,
) -> Watched:
    """Write two videos of a stretch: the frames with everything in them, and the map.

    Args:
        predictor: a model; what it has no heads for is left out.
        source: of the frames.
        output: folder, made if necessary.
        start_s: where to begin.
        duration_s: how long; the stretch ends with the video.
        fps: frames that are looked at per second; no more than there are.
        athlete_threshold: least score of a person.

    Raises:
        ValueError: the stretch has no frame, or `fps` is not positive.
    """
    if not fps > 0:
        raise ValueError(f"expected fps above 0, got {fps}")
    fps = min(fps, source.info.fps)
    stop_s = min(start_s + duration_s, len(source) / source.info.fps)
    indices = (np.arange(start_s, stop_s, 1 / fps) * source.info.fps).astype(int)
    indices = indices[(indices >= 0) & (indices < len(source))]
    if not len(indices):
        raise ValueError(
            f"expected a stretch inside of the video, which lasts "
            f"{len(source) / source.info.fps:.1f} s, got {duration_s:g} s from {start_s:g} s"
        )
    output = Path(output)
    frames = list(_looked_at(predictor, source, indices))
    calibrations = [found for shot in _shots(frames) for found in _calibrated(shot)]
    empty_map = draw_pitch()
    with (
        VideoWriter(output / OVERLAY_NAME, fps, frames[0].image.shape[:2]) as overlay,
        VideoWriter(output / MAP_NAME, fps, empty_map.shape[:2]) as maps,
    ):
        for frame, found in zip(frames, calibrations, strict=True):
            overlay.write(_drawn(frame, found, athlete_threshold))
            maps.write(_map(empty_map, frame, found, athlete_threshold))
    people = [len(frame.feet_px(athlete_threshold)[0]) for frame in frames]
    return Watched(
        output / OVERLAY_NAME,
        output / MAP_NAME,
        len(frames),
        sum(found.camera is not None for found in calibrations),
        float(np.mean(people)),
        shirt_numbers(frames, athlete_threshold),
    )


def shirt_numbers(
    frames: Sequence[FramePredictions], athlete_threshold: float
) -> tuple[ShirtNumber, ...]:
    """The numbers that were read, most often seen first."""
    seen: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)
    for frame in frames:
        if (people := frame.athletes) is None:
            continue
        for i in (people.scores > athlete_threshold).nonzero().flatten().tolist():
            number, role = int(people.numbers[i]), int(people.roles[i])
            if 0 <= number < NO_NUMBER and role >= 0:
                of_frames = seen[number, role]
                score = float(people.number_scores[i])
                of_frames[frame.index] = max(score, of_frames.get(frame.index, 0.0))
    found = [
        ShirtNumber(number, ROLES[role], len(of_frames), max(of_frames.values()))
        for (number, role), of_frames in seen.items()
    ]
    return tuple(sorted(found, key=lambda n: (-n.frames, n.number, n.role)))


def _looked_at(
    predictor: Predictor, source: FrameSource, indices: np.ndarray
) -> Iterator[FramePredictions]:
    height, width = source.info.height, source.info.width
    scale = min(1.0, LARGEST_WIDTH_PX / width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    window = []
    for index, image in zip(indices.tolist(), source.stream(indices.tolist()), strict=True):
        window.append((index, index / source.info.fps, resize_image(image, size)))
        if len(window) == predictor.window:
            yield from predictor.predict_frames(window)
            window = []
    if window:
        yield from predictor.predict_frames(window)


def _shots(frames: Sequence[FramePredictions]) -> Iterator[list[FramePredictions]]:
    cuts, shot = CutDetector(_LEAST_SHARED), []
    for frame in frames:
        if cuts.begins_shot(frame.image) and shot:
            yield shot
            shot = []
        shot.append(frame)
    yield shot


def _calibrated(shot: Sequence[FramePredictions]) -> Iterator[Calibration]:
    seen = [frame.pitch_px() for frame in shot]
    height, width = shot[0].image.shape[:2]
    points_px, lines_px = [p for p, _ in seen], [lines for _, lines in seen]
    yield from calibrate_clip(points_px, lines_px, (width, height))


def _drawn(
    frame: FramePredictions, found: Calibration, athlete_threshold: float
) -> UInt8[np.ndarray, "H W 3"]:
    image = frame.image
    if found.camera is not None:
        image = draw_pitch_markings(image, found.camera)
    if frame.athletes is not None:
        image = draw_athletes(image, frame.athletes, athlete_threshold)
    return image


def _map(
    empty_map: UInt8[np.ndarray, "h w 3"],
    frame: FramePredictions,
    found: Calibration,
    athlete_threshold: float,
) -> UInt8[np.ndarray, "h w 3"]:
    if found.camera is None:
        return write_message(empty_map, f"no camera: {found.reason}")
    camera = found.camera
    view_m = field_of_view_m(camera.image_from_pitch, camera.image_size)
    feet_px, roles, numbers = frame.feet_px(athlete_threshold)
    feet_m = camera.unproject_to_ground(feet_px)
    return draw_positions(
        draw_field_of_view(empty_map, view_m), feet_m, roles=roles, numbers=numbers
    )
