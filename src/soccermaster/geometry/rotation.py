"""Pan, tilt and roll of a broadcast camera, and the rotation matrix they stand for.

Source: SoccerNet camera convention: camera_from_world = (Rz(pan) Rx(tilt) Rz(roll))^T with
right-handed elementary rotations.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def rotation_from_pan_tilt_roll(
    pan_deg: Float[np.ndarray, "*b"] | float,
    tilt_deg: Float[np.ndarray, "*b"] | float,
    roll_deg: Float[np.ndarray, "*b"] | float,
) -> Float[np.ndarray, "*b 3 3"]:
    """The camera_from_world rotation; the angles (degrees) broadcast."""
    pan, tilt, roll = np.broadcast_arrays(
        *(np.radians(np.asarray(v, np.float64)) for v in (pan_deg, tilt_deg, roll_deg))
    )
    world_from_camera = _rotation_z(pan) @ _rotation_x(tilt) @ _rotation_z(roll)
    return np.swapaxes(world_from_camera, -1, -2)


def pan_tilt_roll_from_rotation(R: Float[np.ndarray, "*b 3 3"]) -> Float[np.ndarray, "*b 3"]:
    """Pan, tilt and roll in degrees; of the two solutions the one with the smaller |roll|.

    Looking straight up or down only pan + roll (or their difference) is determined: roll is 0.
    """
    m = np.swapaxes(np.asarray(R, np.float64), -1, -2)
    sine = np.hypot(m[..., 0, 2], m[..., 1, 2])
    tilt = np.arctan2(sine, m[..., 2, 2])
    pan = np.arctan2(m[..., 0, 2], -m[..., 1, 2])
    roll = np.arctan2(m[..., 2, 0], m[..., 2, 1])
    turned = np.abs(roll) > np.pi / 2
    half_turn = np.where(turned, np.pi, 0.0)
    pan = np.where(turned, pan - np.copysign(half_turn, pan), pan)
    roll = np.where(turned, roll - np.copysign(half_turn, roll), roll)
    tilt = np.where(turned, -tilt, tilt)
    vertical = sine < 1e-12
    pan = np.where(vertical, np.arctan2(m[..., 1, 0], m[..., 0, 0]), pan)
    roll = np.where(vertical, 0.0, roll)
    return np.degrees(np.stack([pan, tilt, roll], axis=-1))


def _rotation_z(angle_rad: np.ndarray) -> np.ndarray:
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    o, i = np.zeros_like(c), np.ones_like(c)
    return np.stack([c, -s, o, s, c, o, o, o, i], axis=-1).reshape(*c.shape, 3, 3)


def _rotation_x(angle_rad: np.ndarray) -> np.ndarray:
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    o, i = np.zeros_like(c), np.ones_like(c)
    return np.stack([i, o, o, o, c, -s, o, s, c], axis=-1).reshape(*c.shape, 3, 3)
