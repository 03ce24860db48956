"""Camera calibration from pitch markings: one frame, many frames, a clip."""

from soccermaster.geometry.calibration.solver import Calibration, calibrate, calibrate_batch

__all__ = ["Calibration", "calibrate", "calibrate_batch"]
