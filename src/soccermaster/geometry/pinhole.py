"""Matrices of pinhole cameras: intrinsics, and what they make of the ground plane z = 0."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def centred_intrinsics(
    focal_px: Float[np.ndarray, "*b"], image_size: tuple[int, int]
) -> Float[np.ndarray, "*b 3 3"]:
    """K of square pixels with the principal point in the middle of an image of (W, H) pixels."""
    K = np.zeros((*np.shape(focal_px), 3, 3))
    K[..., 0, 0] = K[..., 1, 1] = focal_px
    K[..., 0, 2], K[..., 1, 2] = image_size[0] / 2, image_size[1] / 2
    K[..., 2, 2] = 1.0
    return K


def ground_homography(
    K: Float[np.ndarray, "*b 3 3"],
    R: Float[np.ndarray, "*b 3 3"],
    position_m: Float[np.ndarray, "*b 3"],
) -> Float[np.ndarray, "*b 3 3"]:
    """From the ground (x, y, 1) in metres to pixels; the third row gives the depth (m)."""
    translation = -(R @ position_m[..., None])
    return K @ np.concatenate([R[..., :2], translation], axis=-1)


def ground_horizon(
    K: Float[np.ndarray, "*b 3 3"], R: Float[np.ndarray, "*b 3 3"]
) -> Float[np.ndarray, "*b 3"]:
    """The horizon as a line (a, b, c).

    a x + b y + c is the signed distance in pixels, positive where the ground is seen. For a view
    straight down the horizon is infinitely far: (0, 0, inf).
    """
    line = np.linalg.solve(np.swapaxes(K, -1, -2), R[..., 2:])[..., 0]
    length = np.hypot(line[..., 0], line[..., 1])[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = line / length
    zeros = np.zeros_like(line[..., 2])
    far = np.stack([zeros, zeros, np.copysign(np.inf, line[..., 2])], axis=-1)
    return np.where(length < 1e-15, far, unit)
