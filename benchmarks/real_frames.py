"""How a model, trained on whatever, places the pitch in real broadcast frames.

    python benchmarks/real_frames.py --samples ../shared/samples/frames

`wc14_train_016.jpg` has a known homography: IoU part of the camera that the solver finds from the
model's own heatmaps. `leicester_liverpool/` has 51 consecutive frames without annotation: how many
get a camera, and how far the ground moves from one to the next. Writes a report and pictures of
all of it, failures included. The frames are read in place; they do not belong to the project.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from soccermaster.data.frame_source import open_source
from soccermaster.data.images import write_png
from soccermaster.geometry import Camera
from soccermaster.geometry.calibration import Calibration, calibrate, calibrate_clip
from soccermaster.geometry.frames import planar_transform
from soccermaster.metrics.homography import iou_part
from soccermaster.model import load_model
from soccermaster.predict import FramePredictions, Predictor
from soccermaster.viz.contact_sheet import contact_sheet
from soccermaster.viz.draw import draw_banner, draw_overlay, draw_pitch_markings

KNOWN = "wc14_train_016"
CLIP = "leicester_liverpool"
LARGEST_SHIFT_M = 1.0
#: The consecutive frames are a 16:9 broadcast squeezed into squares: a camera has square pixels.
ASPECT = 16 / 9
#: Pixels in which the ground of adjacent frames is compared: columns and rows of a grid.
GRID = (9, 9)
#: Ground that far beyond the pitch still counts.
MARGIN_M = np.array([52.5 + 5, 34 + 5])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default="soccermaster-tiny")
    parser.add_argument("--samples", type=Path, default=Path("../shared/samples/frames"))
    parser.add_argument("--output", type=Path, default=Path("outputs/real_frames"))
    parser.add_argument("--threshold", type=float, help="of keypoints and lines; of the heads")
    arguments = parser.parse_args()
    predictor = Predictor(load_model(arguments.checkpoint))
    arguments.output.mkdir(parents=True, exist_ok=True)
    report = known_frame(predictor, arguments.samples, arguments.output, arguments.threshold)
    report |= consecutive(predictor, arguments.samples, arguments.output, arguments.threshold)
    text = json.dumps(report, indent=2)
    (arguments.output / "report.json").write_text(text + "\n", encoding="utf-8")
    for key, value in report.items():
        if not isinstance(value, list):
            print(f"{key:24s} {value if value is None or isinstance(value, str) else f'{value:g}'}")
    print(f"pictures and report.json in {arguments.output}")


def known_frame(
    predictor: Predictor, samples: Path, output: Path, threshold: float | None
) -> dict[str, Any]:
    """The frame whose homography is known."""
    truth = json.loads((samples / f"{KNOWN}.json").read_text(encoding="utf-8"))
    yards_from_image = np.linalg.inv(truth["homography_template_yards_to_image"])
    (frame,) = predictor.frames(open_source(samples / f"{KNOWN}.jpg"))
    points_px, lines_px = frame.pitch_px(threshold)
    found = calibrate(points_px, lines_px, frame.image.shape[1::-1])
    iou = None
    if found.camera is not None:
        pitch_from_image = np.linalg.inv(found.camera.image_from_pitch)
        iou = iou_part(planar_transform("yards", "centred") @ pitch_from_image, yards_from_image)
    write_png(output / f"{KNOWN}_heads.png", drawn_heads(frame, threshold))
    write_png(output / f"{KNOWN}_camera.png", drawn_camera(frame, found))
    return {
        "iou_part": iou,
        "iou_part_reason": found.reason,
        "num_keypoints": len(points_px),
        "num_lines": len(lines_px),
    }


def consecutive(
    predictor: Predictor, samples: Path, output: Path, threshold: float | None
) -> dict[str, Any]:
    """Consecutive frames, solved together and each by itself."""
    source = open_source(samples / CLIP)
    size = (round(source.info.height * ASPECT), source.info.height)
    pictures = list(source.iter(size[::-1]))
    frames = [
        f
        for start in range(0, len(pictures), predictor.window)
        for f in predictor.predict_frames(pictures[start : start + predictor.window])
    ]
    seen = [frame.pitch_px(threshold) for frame in frames]
    clip = calibrate_clip([points for points, _ in seen], [lines for _, lines in seen], size)
    report: dict[str, Any] = {"num_frames": len(frames)}
    for name, results in (("clip", list(clip)), ("alone", list(clip.independent))):
        shifts_m = [ground_shift_m(a.camera, b.camera) for a, b in pairwise(results)]
        known = np.array([shift for shift in shifts_m if shift is not None])
        report |= {
            f"{name}_camera_share": np.mean([r.camera is not None for r in results]).item(),
            f"{name}_pairs_under_1m": float((known < LARGEST_SHIFT_M).sum() / len(shifts_m)),
            f"{name}_median_shift_m": float(np.median(known)) if len(known) else None,
            f"{name}_largest_shift_m": float(known.max()) if len(known) else None,
            f"{name}_shifts_m": [None if s is None else round(s, 3) for s in shifts_m],
        }
    shown = range(0, len(frames), 5)
    for name, pictures in (
        ("heads", [drawn_heads(frames[i], threshold) for i in shown]),
        ("camera", [drawn_camera(frames[i], clip[i]) for i in shown]),
        ("camera_alone", [drawn_camera(frames[i], clip.independent[i]) for i in shown]),
    ):
        sheet = contact_sheet(pictures, captions=[f"frame {i}" for i in shown])
        write_png(output / f"{CLIP}_{name}.png", sheet)
    return report


def ground_shift_m(one: Camera | None, other: Camera | None) -> float | None:
    """Mean distance between where two cameras of one size place the same pixels on the ground.

    The camera of a broadcast moves between frames, so that this is not 0 for true cameras. None
    where one is missing or no pixel shows the pitch in both.
    """
    if one is None or other is None:
        return None
    width, height = one.image_size
    x, y = np.meshgrid((np.arange(GRID[0]) + 0.5) / GRID[0], (np.arange(GRID[1]) + 0.5) / GRID[1])
    points_px = np.stack([x.ravel() * width, y.ravel() * height], axis=1)
    places_m = np.stack([camera.unproject_to_ground(points_px) for camera in (one, other)])
    inside = (np.abs(places_m) <= MARGIN_M).all(axis=(0, 2))  # False for NaN, above the horizon
    if not inside.any():
        return None
    return float(np.linalg.norm(places_m[0] - places_m[1], axis=-1)[inside].mean())


def drawn_heads(frame: FramePredictions, threshold: float | None) -> np.ndarray:
    """The frame with everything that the heads found in it."""
    return draw_overlay(
        frame.image,
        frame.athletes,
        frame.keypoints,
        frame.lines,
        athlete_threshold=0.3,
        pitch_threshold=threshold,
    )


def drawn_camera(frame: FramePredictions, found: Calibration) -> np.ndarray:
    """The frame with the template as the camera sees it, or why there is no camera."""
    if found.camera is None:
        return draw_banner(frame.image, [f"no camera: {found.reason}"])
    return draw_pitch_markings(frame.image, found.camera)


if __name__ == "__main__":
    main()
