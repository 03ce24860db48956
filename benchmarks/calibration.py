"""How accurate and how fast the camera solver is: `python benchmarks/calibration.py`.

Synthetic cameras, see `broadcast_cases`: the error is the mean distance, in pixels, between where
the true and the found camera see the visible ground; a refusal counts as infinite. "from the truth"
is a maximum-likelihood fit by scipy that starts at the true camera, without a prior, and with a
soft loss where points are wrong. The solver was tuned on such cameras; `--seed` gives fresh ones.

The whole chain, with `--checkpoint`: rendered frames to heads to heatmaps to solver. A name for the
training budget may precede the folder: `--checkpoint "620 steps=outputs/first"`.

Real files (skipped with a reason where absent) are no untouched test sets:
* SN22: every second file decided that ends of lines count and that p1 and p2 are fitted; the others
  are the second half, which is listed by itself. The form of the radial distortion was chosen when
  the scores of all files were known.
* WC14: scores were seen along with several settings, among them whether scores of keypoints are
  weights: they are not, it would cost 0.5.

Time is processor time of this process on one core.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from broadcast_cases import (
    SIZE,
    Kind,
    draw_case,
    fit_from_truth,
    ground_error_px,
    look_at,
    observe,
    random_position_m,
)
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from rich.console import Console
from rich.table import Table

import soccermaster as sm
from soccermaster.downstream.calibration import read_annotations, read_predictions
from soccermaster.downstream.json_records import read_records
from soccermaster.geometry import Camera, Pitch, visible_polylines
from soccermaster.geometry.calibration import calibrate
from soccermaster.geometry.intersections import points_from_polylines, segments_from_polylines
from soccermaster.metrics.calibration import EVALUATION_SIZE, CalibrationMetrics, annotation_px
from soccermaster.predict import Predictor

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT.parent / "shared" / "samples" / "calibration"

KINDS = (
    Kind("1 px", 1.0, least_percent=98.5),
    Kind("2 px", 2.0, least_percent=96.5),
    Kind("1 px, 10 % wrong points", 1.0, wrong=0.1, least_percent=96.0),
    Kind("256x256 heatmap", heatmap=True, least_percent=94.0),
    Kind("1 px, points alone", 1.0, lines=False),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=400, help="per row of the synthetic table")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=Path, default=SAMPLES, help="folder of the real files")
    parser.add_argument(
        "--checkpoint", action="append", default=[], help="DIR or BUDGET=DIR; may be repeated"
    )
    parser.add_argument("--frames", type=int, default=240, help="of the whole chain")
    options = parser.parse_args()
    console = Console(width=150)
    console.print(synthetic_table(options.cases, options.seed))
    console.print(clip_table(options.seed))
    if options.checkpoint:
        console.print(chain_table(options.checkpoint, options.frames))
    else:
        console.print("The whole chain skipped: no --checkpoint was given")
    if not options.samples.is_dir():
        console.print(f"Real files skipped: there is no folder {options.samples}")
        return
    console.print(keypoint_table(options.samples))
    console.print(polyline_table(options.samples))


def synthetic_table(num: int, seed: int) -> Table:
    """Accuracy and time on synthetic cameras."""
    table = Table(title=f"Synthetic cameras, {num} cases each")
    for column in ("seen", "< 5 px, %", "goal", "median px", "from the truth: < 5 px, %"):
        table.add_column(column, justify="right")
    for column in ("median px", "ratio", "refused", "median ms", "p99 ms"):
        table.add_column(column, justify="right")
    for kind in KINDS:
        rng = np.random.default_rng(seed)
        cases = [draw_case(rng, kind) for _ in range(num)]
        errors, best, times = np.empty((3, num))
        for i, case in enumerate(cases):
            start = time.process_time()
            found = calibrate(case.points_px, case.lines_px, SIZE)
            times[i] = 1000 * (time.process_time() - start)
            errors[i] = ground_error_px(case.camera, found.camera)
            best[i] = ground_error_px(case.camera, fit_from_truth(case, kind.wrong > 0))
        table.add_row(
            kind.name,
            f"{100 * np.mean(errors < 5):.1f}",
            "" if kind.least_percent is None else f"{kind.least_percent}",
            f"{np.median(errors):.3f}",
            f"{100 * np.mean(best < 5):.1f}",
            f"{np.median(best):.3f}",
            f"{np.median(errors) / np.median(best):.3f}",
            f"{np.isinf(errors).sum()}",
            f"{np.median(times):.2f}",
            f"{np.percentile(times, 99):.1f}",
        )
    return table


def clip_table(seed: int, num_clips: int = 4, num_frames: int = 100) -> Table:
    """`calibrate_clip` against frame by frame, on panning clips."""
    table = Table(title="Panning clips, 2 px, every tenth frame without detections (by chance)")
    for column in ("clip", "frame by frame, px", "together, px", "ratio", "gaps", "ms per frame"):
        table.add_column(column, justify="right")
    kind = Kind("clip", 2.0)
    for index in range(num_clips):
        rng = np.random.default_rng((seed, index))
        position_m, phase = random_position_m(rng), rng.uniform(0, 2 * np.pi, 3)
        cameras, points, lines = [], [], []
        for t in range(num_frames):
            sway = np.sin(2 * np.pi * t / np.array([150, 200, 170]) + phase)
            target = np.array([25 * sway[0], 8 * sway[1] - 5, 0.0])
            case = observe(look_at(position_m, target, 45 + 12 * sway[2]), rng, kind)
            empty = rng.uniform() < 0.1
            cameras.append(case.camera)
            points.append({} if empty else case.points_px)
            lines.append({} if empty else case.lines_px)
        start = time.process_time()
        clip = sm.calibrate_clip(points, lines, SIZE)
        spent_ms = 1000 * (time.process_time() - start) / num_frames
        together = [
            ground_error_px(camera, frame.camera)
            for camera, frame in zip(cameras, clip, strict=True)
        ]
        alone = [
            ground_error_px(camera, frame.camera)
            for camera, frame in zip(cameras, clip.independent, strict=True)
            if frame.camera is not None
        ]
        table.add_row(
            str(index + 1), f"{np.mean(alone):.3f}", f"{np.mean(together):.3f}",
            f"{np.mean(together) / np.mean(alone):.2f}", f"{(~clip.valid).sum()}",
            f"{spent_ms:.1f}",
        )  # fmt: skip
    return table


def chain_table(checkpoints: list[str], num: int) -> Table:
    """Heads, heatmaps and solver on frames of the frozen synthetic benchmark."""
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        config = compose("train", overrides=["dataset=synthetic_benchmark", "encoder=tiny"])
    clips = instantiate(config.datasets.synthetic_spatial.dataset, _convert_="all")("valid")
    num = min(num, len(clips))
    table = _scores_table(f"The whole chain: {num} frames of the synthetic benchmark, one by one")
    frames, cameras, annotations = {}, {}, {}
    for index in range(num):
        clip, name = clips[index], str(index)
        image, seen = clip.frames[0], clip.annotations.cameras
        frames[name] = image
        cameras[name] = Camera(seen.K[0], seen.R[0], seen.position_m[0], image.shape[1::-1])
        markings_px = visible_polylines(cameras[name], Pitch("exact"))
        annotations[name] = {k: p / cameras[name].image_size for k, p in markings_px.items()}
    _add_scores(table, "true cameras", annotations, cameras.get, "")
    for checkpoint in checkpoints:
        budget, _, folder = checkpoint.rpartition("=")
        predictor = Predictor(sm.load_model(folder))

        def camera_of(name: str, predictor: Predictor = predictor) -> Camera | None:
            (found,) = predictor.predict_frames([(0, 0.0, frames[name])])
            return calibrate(*found.pitch_px(), frames[name].shape[1::-1]).camera

        _add_scores(table, budget or folder, annotations, camera_of)
    return table


def keypoint_table(samples: Path) -> Table:
    """Cameras from the keypoint files of WC14, against those of PnLCalib."""
    table = _scores_table("WC14 test: cameras from the keypoints that PnLCalib's networks found")
    annotations = read_annotations(samples / "wc14_ground_truth.zip")
    for name, file in (
        ("PnLCalib", "wc14_pnlcalib_cameras.zip"),
        ("ours", "wc14_pnlcalib_keypoints.zip"),
    ):
        start = time.process_time()
        predicted = read_predictions(samples / file, set(annotations)).cameras
        spent_ms = 1000 * (time.process_time() - start) / len(annotations)
        _add_scores(
            table,
            name,
            annotations,
            predicted.get,
            "" if name == "PnLCalib" else f"{spent_ms:.1f} with reading",
        )
    records = read_records(samples / "wc14_pnlcalib_keypoints.zip")
    times = []
    for image in annotations:
        points, lines = _in_pixels(records[image])
        start = time.process_time()
        calibrate(points, lines, EVALUATION_SIZE)
        times.append(1000 * (time.process_time() - start))
    table.caption = f"{np.median(times):.2f} ms median, {np.percentile(times, 99):.1f} ms p99"
    return table


def polyline_table(samples: Path) -> Table:
    """Cameras from the annotations of SN22."""
    table = _scores_table("SN22 test: cameras from the annotations themselves")
    everything = read_annotations(samples / "sn22_ground_truth.zip")
    unseen = {image: everything[image] for image in sorted(everything)[1::2]}
    cameras = read_predictions(samples / "sn22_pnlcalib_cameras.zip", set(everything)).cameras
    _add_scores(table, "PnLCalib, from the image", everything, cameras.get)
    for name, chosen in (("all", everything), ("second half", unseen)):
        for distortion in (False, True):
            _add_scores(
                table,
                f"polylines, {'with distortion' if distortion else 'pinhole'}, {name}",
                chosen,
                lambda image, distortion=distortion: (
                    calibrate(
                        {},
                        None,
                        EVALUATION_SIZE,
                        polylines_px=_continuous(everything[image]),
                        distortion=distortion,
                    ).camera
                ),
            )
    _add_scores(
        table,
        "derived keypoints and line ends",
        everything,
        lambda image: calibrate(*_derived(everything[image]), EVALUATION_SIZE).camera,
    )
    return table


def _scores_table(title: str) -> Table:
    table = Table(title=title)
    table.add_column("cameras")
    for column in ("JaC@5", "JaC@10", "JaC@20", "completeness", "ms per image"):
        table.add_column(column, justify="right")
    return table


def _add_scores(
    table: Table,
    name: str,
    annotations: dict,
    camera_of: Callable[[str], Camera | None],
    spent: str | None = None,
) -> None:
    metrics, seconds = CalibrationMetrics(), 0.0
    for image, annotation in annotations.items():
        start = time.process_time()
        camera = camera_of(image)
        seconds += time.process_time() - start
        metrics.update(camera, annotation)
    scores = metrics.compute()
    values = [f"{100 * value.jac:.2f}" for value in scores.thresholds.values()]
    if spent is None:
        spent = f"{1000 * seconds / len(annotations):.1f}"
    table.add_row(name, *values, f"{scores.completeness:.3f}", spent)


def _in_pixels(record: dict) -> tuple[dict, dict]:
    """A keypoint file as the evaluator reads it."""
    width, height = EVALUATION_SIZE

    def pixel(x: float, y: float) -> tuple[float, float]:
        return x * width + 0.5, y * height + 0.5

    points = {int(n): pixel(p["x"], p["y"]) for n, p in record["kp"].items()}
    lines = {
        int(n): (pixel(p["x_1"], p["y_1"]), pixel(p["x_2"], p["y_2"]))
        for n, p in record["lines"].items()
    }
    return points, lines


def _continuous(annotation: dict) -> dict[str, np.ndarray]:
    return {name: points + 0.5 for name, points in annotation_px(annotation).items()}


def _derived(annotation: dict) -> tuple[dict, dict]:
    """Keypoints in the image and line ends, as training targets are derived."""
    polylines_px = _continuous(annotation)
    points_px = points_from_polylines(polylines_px, EVALUATION_SIZE).points_px
    inside = ((points_px >= 0) & (points_px < EVALUATION_SIZE)).all(axis=1)
    segments_px, _ = segments_from_polylines(polylines_px, EVALUATION_SIZE)
    seen = np.flatnonzero(np.isfinite(segments_px).all(axis=(1, 2)))
    return (
        {int(i) + 1: tuple(points_px[i]) for i in np.flatnonzero(inside)},
        {int(i) + 1: (tuple(segments_px[i, 0]), tuple(segments_px[i, 1])) for i in seen},
    )


if __name__ == "__main__":
    main()
