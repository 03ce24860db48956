"""Camera calibration from pitch markings: one frame, many frames, a clip."""

from soccermaster.geometry.calibration.clip import ClipCalibration, calibrate_clip
from soccermaster.geometry.calibration.conclusion import Calibration
from soccermaster.geometry.calibration.solver import calibrate, calibrate_batch

__all__ = [
    "Calibration",
    "ClipCalibration",
    "calibrate",
    "calibrate_batch",
    "calibrate_clip",
]
