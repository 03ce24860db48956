"""Which part of the pitch a frame shows, from its keypoints: a ground homography, or none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from soccermaster.geometry.homography import apply_homography, estimate_homography
from soccermaster.geometry.pitch import Pitch

MIN_INLIERS = 6
MIN_INLIER_FRACTION = 0.6
INLIER_FRACTION_OF_WIDTH = 0.01
#: Ground that the centre of the lower frame edge may show: the pitch and some run-off (metres).
NEAR_PITCH_M = (75.0, 60.0)
#: Metres of ground per pixel, along x at the centre of the lower half of a 1920 px wide frame.
METRES_PER_PX = (0.003, 0.15)


@dataclass(frozen=True)
class GroundRegistration:
    """A frame on the pitch."""

    image_from_pitch: Float[np.ndarray, "3 3"]  # centred ground plane (m) to pixels
    inliers: Bool[np.ndarray, " 57"]  # keypoints that agree

    @property
    def pitch_from_image(self) -> Float[np.ndarray, "3 3"]:
        """Pixels to the centred ground plane (m)."""
        inverse = np.linalg.inv(self.image_from_pitch)
        return inverse / inverse[2, 2]


def register_ground(
    points_px: Float[np.ndarray, "57 2"], image_size: tuple[int, int]
) -> GroundRegistration | None:
    """Fit the ground plane to the keypoints that lie on it, or refuse.

    Refused are fits that too few points agree with, and views that no broadcast camera has: a
    mirrored pitch, a scale that is far off, a look away from the ground.

    Args:
        points_px: keypoints 1..57 in pixels; NaN where not seen.
        image_size: (W, H) in pixels.
    """
    width, height = image_size
    template_m = Pitch().keypoints_m
    seen = np.isfinite(points_px).all(axis=1) & (template_m[:, 2] == 0)
    if seen.sum() < MIN_INLIERS:
        return None
    tolerance_px = INLIER_FRACTION_OF_WIDTH * width
    ground_m = template_m[:, :2]
    image_from_pitch = estimate_homography(ground_m[seen], points_px[seen], tolerance_px)
    if image_from_pitch is None:
        return None
    error_px = np.linalg.norm(apply_homography(image_from_pitch, ground_m) - points_px, axis=1)
    inliers = seen & (np.nan_to_num(error_px, nan=np.inf) < tolerance_px)
    if inliers.sum() < max(MIN_INLIERS, MIN_INLIER_FRACTION * seen.sum()):
        return None
    registration = GroundRegistration(image_from_pitch, inliers)
    return registration if _is_broadcast_view(registration, width, height) else None


def _is_broadcast_view(registration: GroundRegistration, width: int, height: int) -> bool:
    step = width / 1920
    low = np.array([width / 2, 0.75 * height])
    steps = np.array([[0.0, 0.0], [step, 0.0], [0.0, step], [0.0, height / 4]])
    probes_px = low + steps
    probes_m = apply_homography(registration.pitch_from_image, probes_px)
    if not np.isfinite(probes_m).all():
        return False
    right_m, down_m = probes_m[1] - probes_m[0], probes_m[2] - probes_m[0]
    mirrored = right_m[0] * down_m[1] - right_m[1] * down_m[0] <= 0
    scale = np.hypot(*right_m)
    near = (np.abs(probes_m[[0, 3]]) < NEAR_PITCH_M).all()
    return bool(near and not mirrored and METRES_PER_PX[0] < scale < METRES_PER_PX[1])
