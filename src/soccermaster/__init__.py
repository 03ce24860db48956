"""soccermaster: one video encoder, many soccer tasks.

    import soccermaster as sm

    encoder = sm.load_encoder("outputs/my_run/checkpoint")
    features = encoder(images)  # images (B, T, 3, H, W) in [-1, 1]

The names below are imported on first use, so that `import soccermaster` stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from soccermaster import _torchvision

_torchvision.install()

if TYPE_CHECKING:
    from soccermaster.geometry.calibration import (
        Calibration,
        calibrate,
        calibrate_batch,
        calibrate_clip,
    )
    from soccermaster.geometry.camera import Camera
    from soccermaster.geometry.pitch import Pitch
    from soccermaster.model import load_encoder, load_model
    from soccermaster.predict import Predictor
    from soccermaster.structures import Clip

__version__ = "0.1.0"
__all__ = [
    "Calibration",
    "Camera",
    "Clip",
    "Pitch",
    "Predictor",
    "calibrate",
    "calibrate_batch",
    "calibrate_clip",
    "load_encoder",
    "load_model",
]

_HOMES = {
    "Calibration": "soccermaster.geometry.calibration",
    "Camera": "soccermaster.geometry.camera",
    "Clip": "soccermaster.structures",
    "Pitch": "soccermaster.geometry.pitch",
    "Predictor": "soccermaster.predict",
    "calibrate": "soccermaster.geometry.calibration",
    "calibrate_batch": "soccermaster.geometry.calibration",
    "calibrate_clip": "soccermaster.geometry.calibration",
    "load_encoder": "soccermaster.model",
    "load_model": "soccermaster.model",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'soccermaster' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
