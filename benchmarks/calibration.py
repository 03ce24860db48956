"""How accurate and how fast the camera solver is: `python benchmarks/calibration.py`.

Synthetic broadcast cameras: position N(0, 4) x U(60, 100) x -U(10, 25) m, looking at a point of the
pitch, 20-75 m of pitch in view, 1920x1080, at least 4 keypoints visible. The error is the mean
distance, in pixels, between where the true and the found camera see the visible ground; a refusal
counts as infinite. "from the truth" is a maximum-likelihood fit by scipy that starts at the true
camera, without a prior, and with a soft loss where points are wrong.

Real data (skipped with a reason where absent): the solver was not tuned on it, with one exception:
that ends of lines count, and which coefficients of distortion, was decided on every second file of
the SN22 annotations. The other half is therefore listed by itself.

Time is processor time of this process on one core.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

import soccermaster as sm
from soccermaster.downstream.calibration import read_annotations, read_predictions
from soccermaster.downstream.json_records import read_records
from soccermaster.geometry import Camera, Pitch, visible_segments
from soccermaster.geometry.calibration import calibrate
from soccermaster.geometry.intersections import points_from_polylines, segments_from_polylines
from soccermaster.metrics.calibration import EVALUATION_SIZE, CalibrationMetrics, annotation_px

SAMPLES = Path(__file__).resolve().parents[2] / "shared" / "samples" / "calibration"
SIZE = (1920, 1080)
HEATMAP = 256


@dataclass(frozen=True)
class Case:
    """A camera and what was seen through it."""

    camera: Camera
    points_px: dict[int, tuple[float, float]]
    lines_px: dict[int, tuple[tuple[float, float], tuple[float, float]]]


@dataclass(frozen=True)
class Kind:
    """How observations are disturbed."""

    name: str
    noise_px: float = 0.0
    wrong: float = 0.0  # fraction of the points that N(0, 60 px) moves
    heatmap: bool = False
    lines: bool = True
    least_percent: float | None = None  # under 5 px, from the goals of the project


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
    options = parser.parse_args()
    console = Console(width=150)
    console.print(synthetic_table(options.cases, options.seed))
    console.print(clip_table(options.seed))
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
        position_m, phase = _position(rng), rng.uniform(0, 2 * np.pi, 3)
        cameras, points, lines = [], [], []
        for t in range(num_frames):
            sway = np.sin(2 * np.pi * t / np.array([150, 200, 170]) + phase)
            target = np.array([25 * sway[0], 8 * sway[1] - 5, 0.0])
            case = observe(_look_at(position_m, target, 45 + 12 * sway[2]), rng, kind)
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


def draw_case(rng: np.random.Generator, kind: Kind) -> Case:
    """A random broadcast camera that sees at least 4 keypoints."""
    while True:
        position_m = _position(rng)
        target = np.array([rng.uniform(-52.5, 52.5), rng.uniform(-34, 34), 0.0])
        camera = _look_at(position_m, target, rng.uniform(20, 75))
        points_px, _ = camera.project(Pitch().keypoints_m)
        if _inside(points_px).sum() >= 4:
            return observe(camera, rng, kind)


def observe(camera: Camera, rng: np.random.Generator, kind: Kind) -> Case:
    """What a detector says of the image of a camera."""
    points_px, _ = camera.project(Pitch().keypoints_m)
    numbers = np.flatnonzero(_inside(points_px))
    points_px = _disturb(points_px[numbers], rng, kind)
    wrong = rng.uniform(size=len(numbers)) < kind.wrong
    points_px[wrong] += rng.normal(0, 60, (int(wrong.sum()), 2))
    segments_px = visible_segments(camera, Pitch())
    seen = np.flatnonzero(np.isfinite(segments_px).all(axis=(1, 2)))
    ends_px = _disturb(segments_px[seen], rng, kind)
    return Case(
        camera,
        {int(i) + 1: tuple(p) for i, p in zip(numbers, points_px, strict=True)},
        {int(i) + 1: (tuple(a), tuple(b)) for i, (a, b) in zip(seen, ends_px, strict=True)}
        if kind.lines
        else {},
    )


def fit_from_truth(case: Case, robust: bool) -> Camera:
    """The maximum-likelihood camera of the same observations, started at the true one."""
    pitch = Pitch()
    numbers = np.array(list(case.points_px)) - 1
    points_m, points_px = pitch.keypoints_m[numbers], np.array(list(case.points_px.values()))
    lines = np.array(list(case.lines_px), dtype=int) - 1
    ends_m = pitch.line_ends_m[lines]
    ends_px = np.array(list(case.lines_px.values())).reshape(-1, 2, 2)
    middle = np.array(SIZE) / 2
    focal = case.camera.K[0, 0]

    def camera_at(change: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        R = Rotation.from_rotvec(change[:3]).as_matrix() @ case.camera.R
        return R, case.camera.position_m + change[3:6] * 10, focal * np.exp(change[6])

    def residuals(change: np.ndarray) -> np.ndarray:
        R, position_m, f = camera_at(change)
        seen = (points_m - position_m) @ R.T
        misses = [(f * seen[:, :2] / seen[:, 2:] + middle - points_px).ravel()]
        if len(lines):
            a, b = ((ends_m[:, i] - position_m) @ R.T for i in (0, 1))
            normal = np.cross(a, b)
            normal /= np.linalg.norm(normal[:, :2], axis=1, keepdims=True)
            offset = np.einsum("nc,nec->ne", normal[:, :2], ends_px - middle)
            misses.append((offset + f * normal[:, 2:]).ravel())
        return np.concatenate(misses)

    # A scale that leaves inliers alone and takes what is far off by its logarithm.
    loss = {"loss": "cauchy", "f_scale": 3.0} if robust else {}
    best = least_squares(residuals, np.zeros(7), x_scale="jac", max_nfev=200, **loss)
    R, position_m, f = camera_at(best.x)
    K = np.array([[f, 0, middle[0]], [0, f, middle[1]], [0, 0, 1]])
    return Camera(K, R, position_m, SIZE)


def ground_error_px(truth: Camera, camera: Camera | None) -> float:
    """Mean distance over the visible pitch; infinite without a camera."""
    if camera is None:
        return float("inf")
    x, y = np.meshgrid(np.linspace(-52.5, 52.5, 43), np.linspace(-34, 34, 29))
    ground_m = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    points_px, _ = truth.project(ground_m)
    inside = _inside(points_px)
    moved_px, _ = camera.project(ground_m[inside])
    distance_px = np.linalg.norm(moved_px - points_px[inside], axis=1)
    return float(np.nan_to_num(distance_px, nan=np.inf).mean())


def _position(rng: np.random.Generator) -> np.ndarray:
    return np.array([rng.normal(0, 4), rng.uniform(60, 100), -rng.uniform(10, 25)])


def _look_at(position_m: np.ndarray, target_m: np.ndarray, width_m: float) -> Camera:
    """A level camera with this much of the pitch across its image."""
    ahead = target_m - position_m
    pan = np.degrees(np.arctan2(ahead[0], -ahead[1]))
    tilt = np.degrees(np.arctan2(np.hypot(ahead[0], ahead[1]), ahead[2]))
    focal_px = SIZE[0] * np.linalg.norm(ahead) / width_m
    return Camera.from_pan_tilt_roll(pan, tilt, 0.0, focal_px, position_m, SIZE)


def _inside(points_px: np.ndarray) -> np.ndarray:
    return ((points_px >= 0) & (points_px < SIZE)).all(axis=-1)


def _disturb(points_px: np.ndarray, rng: np.random.Generator, kind: Kind) -> np.ndarray:
    if kind.heatmap:
        cell = np.array(SIZE) / HEATMAP
        points_px = (np.clip(np.floor(points_px / cell), 0, HEATMAP - 1) + 0.5) * cell
    return points_px + kind.noise_px * rng.normal(size=points_px.shape)


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
