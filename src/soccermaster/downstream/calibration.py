"""Score camera calibration on files: cameras, or keypoints that our solver makes cameras of.

Pixels: annotations are fractions of (W - 1, H - 1), keypoint files fractions of (W, H); both give
pixels of the official evaluator (960x540, integers at pixel centres), and half a pixel more gives
those of the library.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from soccermaster.data.datasets import DatasetError
from soccermaster.data.synthetic.files import write_json
from soccermaster.downstream.json_records import read_records
from soccermaster.geometry import Camera
from soccermaster.geometry.calibration import calibrate
from soccermaster.metrics.calibration import (
    EVALUATION_SIZE,
    CalibrationMetrics,
    CalibrationScores,
    Counts,
    Polylines,
)
from soccermaster.vocabulary import CIRCLES, LINES

_CAMERA_PREFIX = "camera_"
#: Other JSON files of a calibration data set.
_NOT_ANNOTATIONS = (_CAMERA_PREFIX, "match_info")


@dataclass(frozen=True)
class Predictions:
    """Cameras by image; None where the solver refused."""

    cameras: dict[str, Camera | None]
    from_keypoints: bool


def evaluate_files(
    predictions: Path | str, ground_truth: Path | str, report: Path | str | None = None
) -> CalibrationScores:
    """Score predictions against annotations; print the table and write the report.

    Args:
        predictions: folder or zip file of `camera_NNNNN.json` (SoccerNet, for 960x540), or of
            keypoint files `NNNNN.json`, which the solver turns into cameras.
        ground_truth: folder or zip file of polyline annotations `NNNNN.json`.
        report: JSON file for the scores.

    Raises:
        DatasetError: a file is not what its format asks for, or no prediction belongs to an
            annotated image.
    """
    annotations = read_annotations(ground_truth)
    predicted = read_predictions(predictions, set(annotations))
    if not predicted.cameras:
        raise DatasetError.at(
            predictions, expected=f"predictions for images such as {min(annotations)}",
            got="none for any annotated image", fix="Check that both are of the same split.",
        )  # fmt: skip
    metrics = CalibrationMetrics()
    for image, annotation in annotations.items():
        metrics.update(predicted.cameras.get(image), annotation)
    scores = metrics.compute()
    refused = sum(camera is None for camera in predicted.cameras.values())
    console = Console(soft_wrap=True, highlight=False)
    for table in score_tables(scores):
        console.print(table)
    if predicted.from_keypoints:
        console.print(f"Cameras solved from keypoints and lines; {refused} refused.")
    if report is not None:
        write_json(Path(report), score_report(scores))
        console.print(f"Report: {report}")
    return scores


def read_annotations(path: Path | str) -> dict[str, Polylines]:
    """Annotated points in fractions of the image, by class and image.

    Raises:
        DatasetError: there are no annotations, or a record is none.
    """
    annotations = {}
    for image, record in read_records(path).items():
        if not image.startswith(_NOT_ANNOTATIONS):
            annotations[image] = _polylines(path, image, record)
    if not annotations:
        raise DatasetError.at(
            path, expected="annotations NNNNN.json", got="other files alone",
            fix="Give the folder with the polylines as ground_truth.",
        )  # fmt: skip
    return annotations


def read_predictions(path: Path | str, images: set[str]) -> Predictions:
    """Cameras of the given images; other images are passed over.

    Camera files count if there are any, keypoint files otherwise.

    Raises:
        DatasetError: a record is neither a camera nor keypoints.
    """
    records = read_records(path)
    cameras = {
        name.removeprefix(_CAMERA_PREFIX): record
        for name, record in records.items()
        if name.startswith(_CAMERA_PREFIX)
    }
    if cameras:
        read = {n: _camera(path, n, r) for n, r in cameras.items() if n in images}
        return Predictions(read, from_keypoints=False)
    solved = {n: _solve(path, n, r) for n, r in records.items() if n in images}
    return Predictions(solved, from_keypoints=True)


def score_report(scores: CalibrationScores) -> dict[str, Any]:
    """The scores as in the JSON report: JaC and final scores in percent, completeness 0..1."""
    report: dict[str, Any] = {}
    for threshold, values in scores.thresholds.items():
        report[f"jac_{threshold:g}"] = _percent(values.jac)
        report[f"final_{threshold:g}"] = _percent(values.final)
    report["completeness"] = scores.completeness
    report["num_images"] = scores.num_images
    report["num_predictions"] = scores.num_predictions
    report["num_rotated"] = {f"{t:g}": v.num_rotated for t, v in scores.thresholds.items()}
    report["per_class"] = {
        name: {f"jac_{t:g}": _percent(counts.jac) for t, counts in by_threshold.items()}
        for name, by_threshold in _by_class(scores).items()
    }
    return report


def score_tables(scores: CalibrationScores) -> list[Table]:
    """The scores for a person: one table of the set, one of the classes."""
    summary = Table(title="Camera calibration")
    for column in ("threshold", "JaC %", "completeness", "final %"):
        summary.add_column(column, justify="right")
    for threshold, values in scores.thresholds.items():
        summary.add_row(
            f"{threshold:g} px", f"{100 * values.jac:.3f}", f"{scores.completeness:.5f}",
            f"{100 * values.final:.3f}",
        )  # fmt: skip
    summary.caption = f"{scores.num_predictions} cameras for {scores.num_images} annotated images"
    classes = Table(title="Classes")
    classes.add_column("class")
    classes.add_column("images", justify="right")
    for threshold in scores.thresholds:
        classes.add_column(f"JaC@{threshold:g} %", justify="right")
    for name, by_threshold in _by_class(scores).items():
        first = next(iter(by_threshold.values()))
        shares = [f"{100 * counts.jac:.1f}" for counts in by_threshold.values()]
        classes.add_row(name, str(first.tp + first.fp + first.fn), *shares)
    return [summary, classes]


def _by_class(scores: CalibrationScores) -> dict[str, dict[float, Counts]]:
    found = {name for values in scores.thresholds.values() for name in values.per_class}
    return {
        name: {t: v.per_class.get(name, Counts()) for t, v in scores.thresholds.items()}
        for name in (*LINES, *CIRCLES)
        if name in found
    }


def _percent(share: float) -> float | None:
    return None if np.isnan(share) else 100 * share


def _polylines(path: Path | str, image: str, record: Any) -> Polylines:
    try:
        points = {
            name: np.array([(p["x"], p["y"]) for p in points], np.float64).reshape(-1, 2)
            for name, points in record.items()
        }
        if not all(np.isfinite(p).all() for p in points.values()):
            raise ValueError("a coordinate that is no number")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DatasetError.at(
            path, record=f"{image}.json", expected='{"class": [{"x": 0..1, "y": 0..1}, ...], ...}',
            got=repr(error), fix="Give the folder with the polylines as ground_truth.",
        ) from error  # fmt: skip
    return points


def _camera(path: Path | str, image: str, record: Any) -> Camera:
    try:
        camera = Camera.from_soccernet(record, EVALUATION_SIZE)
        values = (camera.K, camera.R, camera.position_m, camera.distortion)
        if not all(np.isfinite(v).all() for v in values):
            raise ValueError("a parameter that is no number")
        principal_px = camera.K[:2, 2]
        if not ((principal_px >= 0) & (principal_px < EVALUATION_SIZE)).all():
            raise ValueError(f"principal point {record['principal_point']} outside of the image")
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError.at(
            path, record=f"camera_{image}.json",
            expected=f"a SoccerNet camera for images of {EVALUATION_SIZE}", got=str(error),
            fix="Write it with Camera.resize((960, 540)).to_soccernet().",
        ) from error  # fmt: skip
    return camera


def _solve(path: Path | str, image: str, record: Any) -> Camera | None:
    """The camera from a record {"kp": {"7": {x, y}}, "lines": {"3": {x_1, y_1, x_2, y_2}}}.

    Scores in the record say how sure a detector is that a point is there, not how exact its place
    is; they are not used.
    """
    try:
        points, lines = record.get("kp", {}), record.get("lines", {})
        if "kp" not in record and "lines" not in record:
            raise KeyError("kp")
        points_px = {int(k): _pixel(v["x"], v["y"]) for k, v in points.items()}
        lines_px = {
            int(k): (_pixel(v["x_1"], v["y_1"]), _pixel(v["x_2"], v["y_2"]))
            for k, v in lines.items()
        }
        # Scores say whether a marking is there, not how precisely it was found: no weights.
        return calibrate(points_px, lines_px, EVALUATION_SIZE).camera
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DatasetError.at(
            path, record=f"{image}.json",
            expected='a camera "camera_NNNNN.json" or keypoints {"kp": ..., "lines": ...}',
            got=repr(error), fix="Give the folder with the predictions as predictions.",
        ) from error  # fmt: skip


def _pixel(x: float, y: float) -> tuple[float, float]:
    width, height = EVALUATION_SIZE
    return float(x) * width + 0.5, float(y) * height + 0.5
