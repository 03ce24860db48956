"""The fields of a SoccerNet calibration file (`camera_NNNNN.json`), as arrays and back.

The files count pixel centres as integers, the library their corners: principal points differ by
half a pixel.

Source: SoccerNet camera calibration development kit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from soccermaster.geometry.rotation import pan_tilt_roll_from_rotation, rotation_from_pan_tilt_roll

#: Coefficients of the distortion fields, by their place in OpenCV's order.
_DISTORTION = {
    "radial_distortion": (0, 1, 4, 5, 6, 7),
    "tangential_distortion": (2, 3),
    "thin_prism_distortion": (8, 9, 10, 11),
}


def parse_record(
    record: Mapping[str, Any],
) -> tuple[
    Float[np.ndarray, "3 3"],
    Float[np.ndarray, "3 3"],
    Float[np.ndarray, " 3"],
    Float[np.ndarray, " 12"],
]:
    """K, R, position (m) and distortion of a `Camera`.

    Raises:
        ValueError: a field is missing.
    """
    try:
        R = rotation_from_pan_tilt_roll(
            *(record[f"{name}_degrees"] for name in ("pan", "tilt", "roll"))
        )
        principal_px = np.array(record["principal_point"], np.float64)
        focal_px = (record["x_focal_length"], record["y_focal_length"])
        position_m = np.array(record["position_meters"], np.float64)
    except KeyError as error:
        raise ValueError(f"expected a SoccerNet camera, got no field {error}") from None
    K = np.diag([*focal_px, 1.0])
    K[:2, 2] = principal_px + 0.5
    coefficients = np.zeros(12)
    for field, places in _DISTORTION.items():
        values = record.get(field) or []
        coefficients[list(places[: len(values)])] = values
    return K, R, position_m, coefficients


def fitting_size(K: Float[np.ndarray, "3 3"]) -> tuple[int, int]:
    """The image size (W, H) that the parameters of a file are for, which it does not say.

    Even numbers at or above twice the principal point of the file: 479.5 and 480 both stand for
    960.
    """
    width, height = 2 * np.ceil(K[:2, 2] - 0.5 - 1e-6)
    return int(width), int(height)


def make_record(
    K: Float[np.ndarray, "3 3"],
    R: Float[np.ndarray, "3 3"],
    position_m: Float[np.ndarray, " 3"],
    distortion: Float[np.ndarray, " 12"],
) -> dict[str, Any]:
    """The fields of a file.

    Raises:
        ValueError: the camera has skewed pixels, which the format cannot say.
    """
    if abs(K[0, 1]) > 1e-9 * K[0, 0]:
        raise ValueError(f"the format has no skew, this camera has {K[0, 1]:.3g} px")
    pan_deg, tilt_deg, roll_deg = pan_tilt_roll_from_rotation(R).tolist()
    return {
        "pan_degrees": pan_deg,
        "tilt_degrees": tilt_deg,
        "roll_degrees": roll_deg,
        "position_meters": position_m.tolist(),
        "x_focal_length": float(K[0, 0]),
        "y_focal_length": float(K[1, 1]),
        "principal_point": (K[:2, 2] - 0.5).tolist(),
        **{field: distortion[list(places)].tolist() for field, places in _DISTORTION.items()},
        "rotation_matrix": R.tolist(),
    }
