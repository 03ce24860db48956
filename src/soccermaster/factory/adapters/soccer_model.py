"""Our own heads as models of the factory: athletes as a detector, pitch heads for calibration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from soccermaster.factory.adapters.detector_classes import frame_boxes
from soccermaster.factory.adapters.loading import LazyModel
from soccermaster.factory.adapters.user_weights import find_weights
from soccermaster.factory.models import FrameBoxes, ModelUnavailableError, PitchMarkings
from soccermaster.model import SoccerModel, load_model
from soccermaster.models.weights import CheckpointError
from soccermaster.predict import FramePredictions, Predictor
from soccermaster.structures import KeypointsPrediction, LinesPrediction
from soccermaster.tasks.athletes import AthleteDetection
from soccermaster.tasks.base import Task
from soccermaster.tasks.pitch_keypoints import PitchKeypoints
from soccermaster.tasks.pitch_lines import PitchLines
from soccermaster.vocabulary import LINES, NUM_KEYPOINTS

_DOWNLOAD = (
    "a checkpoint of this library (folder with config.json and model.safetensors), or train one "
    "with scripts/train.py,"
)


class SoccerDetector(LazyModel):
    """The athletes head of a checkpoint: boxes with roles.

    Args:
        weights: a checkpoint folder, the run folder around it, or the name of a model of ours.
        min_score: boxes below it are not reported.
        batch_size: frames per pass.
    """

    name = "soccermaster_athletes"

    def __init__(
        self, weights: Path | str | None = None, min_score: float = 0.4, batch_size: int = 8
    ) -> None:
        self.weights = weights
        self.min_score = min_score
        self.batch_size = batch_size

    def _load(self, device: torch.device) -> None:
        kinds = (AthleteDetection,)
        self.predictor = _predictor(self.weights, "SoccerDetector", kinds, self.batch_size, device)

    def detect(self, frames: UInt8[np.ndarray, "n H W 3"]) -> list[FrameBoxes]:
        """People (and the ball where the head learned it) in each frame, best first."""
        self._check_loaded()
        return [self._convert(found) for found in _predict(self.predictor, frames)]

    def _convert(self, found: FramePredictions) -> FrameBoxes:
        height, width = found.image.shape[:2]
        boxes = found.athletes.boxes_xyxy_norm.numpy() * [width, height, width, height]
        scores = found.athletes.scores.numpy()
        kept = scores >= self.min_score
        roles = found.athletes.roles.numpy()
        return frame_boxes(found.image, boxes[kept], scores[kept], roles[kept])


class SoccerPitch(LazyModel):
    """The pitch heads of a checkpoint; one of them is enough.

    Args:
        weights: a checkpoint folder, the run folder around it, or the name of a model of ours.
        threshold: score above which a keypoint or line is there; that of the heads when None.
        batch_size: frames per pass.
    """

    name = "soccermaster_pitch"

    def __init__(
        self,
        weights: Path | str | None = None,
        threshold: float | None = None,
        batch_size: int = 8,
    ) -> None:
        self.weights = weights
        self.threshold = threshold
        self.batch_size = batch_size

    def _load(self, device: torch.device) -> None:
        kinds = (PitchKeypoints, PitchLines)
        self.predictor = _predictor(self.weights, "SoccerPitch", kinds, self.batch_size, device)

    def markings(self, frames: UInt8[np.ndarray, "n H W 3"]) -> list[PitchMarkings]:
        """Keypoints and lines in each frame."""
        self._check_loaded()
        return [
            pitch_markings(
                found.image.shape[:2],
                found.keypoints,
                found.lines,
                self.threshold,
                self.threshold,
            )
            for found in _predict(self.predictor, frames)
        ]


def pitch_markings(
    image_size: tuple[int, int],
    keypoints: KeypointsPrediction | None,
    lines: LinesPrediction | None,
    point_threshold: float | None,
    line_threshold: float | None,
) -> PitchMarkings:
    """Predictions of one frame in pixels, NaN where the score is not above the threshold.

    Args:
        image_size: (H, W) of the frame.
        keypoints: None where they were not predicted.
        lines: None where they were not predicted.
        point_threshold: for keypoints; that of the head if None.
        line_threshold: for lines, of the weaker end; likewise.
    """
    scale = np.array(image_size[::-1], np.float64)
    points_px = np.full((NUM_KEYPOINTS, 2), np.nan)
    segments_px = np.full((len(LINES), 2, 2), np.nan)
    point_scores, line_scores = np.zeros(NUM_KEYPOINTS), np.zeros(len(LINES))
    if keypoints is not None:
        point_scores = keypoints.scores.double().numpy()
        there = keypoints.present(point_threshold).numpy()
        points_px[there] = keypoints.points_norm.double().numpy()[there] * scale
    if lines is not None:
        line_scores = lines.scores.double().numpy()
        there = lines.present(line_threshold).numpy()
        segments_px[there] = lines.segments_norm.double().numpy()[there] * scale
    return PitchMarkings(points_px, point_scores, segments_px, line_scores)


def _predictor(
    weights: Path | str | None,
    system: str,
    kinds: tuple[type[Task], ...],
    batch_size: int,
    device: torch.device,
) -> Predictor:
    try:
        model = load_model(weights if weights is not None else "")
    except CheckpointError:
        find_weights(weights, system, "weights", _DOWNLOAD)
        raise
    heads = {
        name: task
        for name, task in model.tasks.items()
        if isinstance(task, kinds) and task.baseline_of is None
    }
    if not heads:
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise ModelUnavailableError(
            f"{system} has no head: {weights} holds {', '.join(model.tasks) or 'none'}, no "
            f"{wanted}. Give a checkpoint that was trained with such a task."
        )
    chosen = SoccerModel(model.encoder, heads, model.config)
    return Predictor(chosen, window=batch_size, device=str(device))


def _predict(predictor: Predictor, frames: UInt8[np.ndarray, "n H W 3"]) -> list[FramePredictions]:
    found: list[FramePredictions] = []
    for start in range(0, len(frames), predictor.window):
        some = frames[start : start + predictor.window]
        found += predictor.predict_frames([(i, 0.0, frame) for i, frame in enumerate(some)])
    return found
