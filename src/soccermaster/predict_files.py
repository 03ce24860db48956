"""Predictions of a video as files: JSON lines, an annotated video and a bird's-eye picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from rich.progress import track

from soccermaster.data.frame_source import open_source
from soccermaster.data.images import write_png
from soccermaster.data.video import VideoWriter
from soccermaster.geometry.calibration import calibrate
from soccermaster.predict import ClipPredictions, FramePredictions, Predictor
from soccermaster.viz.draw import draw_overlay
from soccermaster.viz.pitch_map import (
    draw_field_of_view,
    draw_pitch,
    draw_positions,
    field_of_view_m,
    write_message,
)
from soccermaster.vocabulary import LINES, NO_NUMBER, ROLES

PREDICTIONS_NAME = "predictions.jsonl"
VIDEO_NAME = "annotated.mp4"
PICTURE_NAME = "annotated.png"
BIRDS_EYE_NAME = "birds_eye.png"


@dataclass(frozen=True)
class PredictionFiles:
    """What was written."""

    predictions: Path
    video: Path
    birds_eye: Path
    num_frames: int
    num_clips: int
    num_registered: int  # frames whose keypoints fit the pitch


def write_predictions(
    predictor: Predictor,
    input_path: Path | str,
    output: Path | str,
    athlete_threshold: float = 0.3,
    pitch_threshold: float | None = None,
    fps: float = 25.0,
) -> PredictionFiles:
    """Predict a video, a folder of pictures or a picture, frame by frame, in bounded memory.

    `predictions.jsonl` holds one line per frame and, after the frames of a clip, one line per clip;
    all coordinates are pixels of the original frame. Files get their names when they are complete.

    Args:
        predictor: model and windows.
        input_path: what to look at.
        output: folder, made if necessary.
        athlete_threshold: least score of a person to be written and drawn.
        pitch_threshold: likewise for keypoints and lines; those of their heads if None.
        fps: of a folder of pictures.

    Raises:
        VideoError: the input cannot be read.
    """
    source = open_source(input_path, fps)
    output = Path(output)
    (output / PICTURE_NAME).unlink(missing_ok=True)  # of an earlier prediction
    output.mkdir(parents=True, exist_ok=True)
    target = output / PREDICTIONS_NAME
    partial = target.with_name(f".{target.name}.writing")
    best: _Registered | None = None
    counts = {"frames": 0, "clips": 0, "registered": 0}
    size = (source.info.height, source.info.width)
    try:
        with (
            partial.open("w", encoding="utf-8") as lines,
            VideoWriter(output / VIDEO_NAME, source.info.fps, size) as video,
        ):
            stream = _clip_by_clip(predictor, source)
            for item, clip in track(stream, "predicting", total=len(source)):
                if item is None:
                    lines.write(json.dumps(clip_record(clip)) + "\n")
                    counts["clips"] += 1
                    continue
                record = frame_record(item, athlete_threshold, pitch_threshold)
                lines.write(json.dumps(record) + "\n")
                drawn = _draw(item, clip, athlete_threshold, pitch_threshold)
                video.write(drawn)
                counts["frames"] += 1
                if counts["frames"] == 1 and len(source) == 1:
                    write_png(output / PICTURE_NAME, drawn)
                registered = _register(item, athlete_threshold, pitch_threshold)
                if registered is not None:
                    counts["registered"] += 1
                    if best is None or registered.inliers > best.inliers:
                        best = registered
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    write_png(output / BIRDS_EYE_NAME, _birds_eye(best))
    return PredictionFiles(
        target,
        output / VIDEO_NAME,
        output / BIRDS_EYE_NAME,
        counts["frames"],
        counts["clips"],
        counts["registered"],
    )


def frame_record(
    frame: FramePredictions, athlete_threshold: float, pitch_threshold: float | None
) -> dict[str, Any]:
    """One frame as JSON values, in pixels of the original frame; frames count from 1."""
    height, width = frame.image.shape[:2]
    record: dict[str, Any] = {
        "frame": frame.index + 1,
        "time_s": round(frame.time_s, 4),
        "athletes": [],
        "keypoints": {},
        "lines": {},
    }
    if frame.athletes is not None:
        people = frame.athletes
        for i in (people.scores > athlete_threshold).nonzero().flatten().tolist():
            role, number = int(people.roles[i]), int(people.numbers[i])
            record["athletes"].append(
                {
                    "box_xyxy_px": _pixels(people.boxes_xyxy_norm[i], width, height),
                    "score": _score(people.scores[i]),
                    "role": ROLES[role] if role >= 0 else None,
                    "role_score": _score(people.role_scores[i]),
                    "number": number if 0 <= number < NO_NUMBER else None,
                    "number_score": _score(people.number_scores[i]),
                }
            )
    if frame.keypoints is not None:
        points = frame.keypoints
        for i in points.present(pitch_threshold).nonzero().flatten().tolist():
            xy = _pixels(points.points_norm[i], width, height)
            record["keypoints"][str(i + 1)] = [*xy, _score(points.scores[i])]
    if frame.lines is not None:
        ends = frame.lines
        for i in ends.present(pitch_threshold).nonzero().flatten().tolist():
            first, second = (_pixels(end, width, height) for end in ends.segments_norm[i])
            record["lines"][LINES[i]] = [first, second, _score(ends.scores[i])]
    return record | _further(frame.others)


def clip_record(clip: ClipPredictions) -> dict[str, Any]:
    """One clip as JSON values; frames count from 1."""
    record: dict[str, Any] = {"clip": [clip.first + 1, clip.last + 1]}
    record["event"] = None if clip.event is None else clip.event.event
    record["event_scores"] = (
        {}
        if clip.event is None
        else {
            name: _score(score)
            for name, score in zip(clip.event.classes, clip.event.scores, strict=True)
        }
    )
    record["retrieval"] = [{"text": t, "score": round(s, 7)} for t, s in clip.retrieval]
    if clip.commentary is not None:
        record["commentary"] = clip.commentary.text
    return record | _further(clip.others)


def _further(predictions: Mapping[str, Any]) -> dict[str, Any]:
    """Predictions of tasks from elsewhere that say how they are written, by task."""
    return {name: p.to_json() for name, p in predictions.items() if hasattr(p, "to_json")}


def _clip_by_clip(
    predictor: Predictor, source: Any
) -> Iterator[tuple[FramePredictions | None, ClipPredictions]]:
    """The frames of each clip with the clip they belong to, then (None, clip)."""
    frames = predictor.frames(source)
    for clip in predictor.clips(source):
        for _ in range(clip.last - clip.first + 1):
            yield next(frames), clip
        yield None, clip


def _draw(
    frame: FramePredictions,
    clip: ClipPredictions,
    athlete_threshold: float,
    pitch_threshold: float | None,
) -> UInt8[np.ndarray, "H W 3"]:
    return draw_overlay(
        frame.image,
        frame.athletes,
        frame.keypoints,
        frame.lines,
        clip.event,
        _sentences(clip),
        athlete_threshold,
        pitch_threshold,
    )


def _sentences(clip: ClipPredictions) -> list[str]:
    """What to write under a clip: the comment on it, or else the best of the texts."""
    if clip.commentary is not None:
        return [clip.commentary.text]
    return [f'"{text}"' for text, _ in clip.retrieval[:1]]


@dataclass(frozen=True)
class _Registered:
    """A frame whose keypoints fit the pitch, with the people on it."""

    inliers: int
    view_m: Float[np.ndarray, "n 2"]  # corners of the ground in view
    feet_m: Float[np.ndarray, "n 2"]
    roles: np.ndarray
    numbers: np.ndarray


def _register(
    frame: FramePredictions, athlete_threshold: float, pitch_threshold: float | None
) -> _Registered | None:
    height, width = frame.image.shape[:2]
    points_px, lines_px = frame.pitch_px(pitch_threshold)
    found = calibrate(points_px, lines_px, (width, height))
    if found.camera is None:
        return None
    feet_px, roles, numbers = frame.feet_px(athlete_threshold)
    feet_m = found.camera.unproject_to_ground(feet_px)  # NaN above the horizon
    view_m = field_of_view_m(found.camera.image_from_pitch, (width, height))
    return _Registered(len(found.inliers), view_m, feet_m, roles, numbers)


def _birds_eye(best: _Registered | None) -> UInt8[np.ndarray, "h w 3"]:
    pitch = draw_pitch()
    if best is None:
        return write_message(
            pitch,
            "No frame could be registered: too few keypoints and lines agree on a camera",
        )
    pitch = draw_field_of_view(pitch, best.view_m)
    return draw_positions(pitch, best.feet_m, roles=best.roles, numbers=best.numbers)


def _pixels(norm: Any, width: int, height: int) -> list[float]:
    size = (width, height) * (len(norm) // 2)
    return [round(float(v) * s, 2) for v, s in zip(norm, size, strict=True)]


def _score(value: Any) -> float:
    return round(float(value), 4)
