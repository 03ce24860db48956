"""The homography of the ground from annotated markings: lines and circles as a whole.

Crossings of lines give a first homography; then every annotated point is asked to lie on its
marking, however far along it. That uses short and lonely lines too, and averages out the noise.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from soccermaster.geometry.pitch import CIRCLE_RADIUS_M, Pitch
from soccermaster.vocabulary import CIRCLES, LINES

_STEPS = 8
_PITCH = Pitch("exact")
#: Straight markings on the ground as a x + b y + c = 0 with a^2 + b^2 = 1, by class.
_GROUND_LINES: dict[str, np.ndarray] = {}
for _name, (_start, _end) in zip(LINES, _PITCH.line_ends_m, strict=True):
    if _start[2] == _end[2] == 0:
        _along = (_end - _start)[:2] / np.linalg.norm(_end - _start)
        _normal = np.array([-_along[1], _along[0]])
        _GROUND_LINES[_name] = np.array([*_normal, -_normal @ _start[:2]])
_CENTRES = {n: c[:2] for n, c in zip(CIRCLES, _PITCH.circle_centres_m, strict=True)}


def marking_errors_px(
    pitch_from_image: Float[np.ndarray, "3 3"], polylines_px: Mapping[str, Float[np.ndarray, "n 2"]]
) -> Float[np.ndarray, " n"]:
    """Distance in the image of each annotated point on the ground from its marking (first order).

    Args:
        pitch_from_image: pixels to the centred ground plane (m).
        polylines_px: annotated points by class; goal frames are left out.
    """
    points, lines, centres = _observations(polylines_px)
    return np.abs(_residuals(pitch_from_image, points, lines, centres)[0])


def refine_homography(
    pitch_from_image: Float[np.ndarray, "3 3"],
    polylines_px: Mapping[str, Float[np.ndarray, "n 2"]],
    scale_px: float,
) -> Float[np.ndarray, "3 3"]:
    """The homography near a first one with the least distances of points from their markings.

    Args:
        pitch_from_image: pixels to the centred ground plane (m).
        polylines_px: annotated points by class; goal frames are left out.
        scale_px: distance from which on points count less and less (Huber).

    Source: Gauss-Newton on Sampson distances (Hartley and Zisserman, section 4.2.6).
    """
    points, lines, centres = _observations(polylines_px)
    best = pitch_from_image / np.linalg.norm(pitch_from_image)
    error, rows = _residuals(best, points, lines, centres)
    best_cost = _huber(error, scale_px).sum()
    damping = 1e-3
    for _ in range(_STEPS):
        weight = 1 / np.maximum(1, np.abs(error) / scale_px)
        normal = rows.T @ (rows * weight[:, None])
        gradient = rows.T @ (error * weight)
        # the step keeps the scale: what is along `best` itself changes nothing
        normal += np.outer(best.ravel(), best.ravel()) * np.trace(normal)
        normal += damping * np.diag(np.diag(normal))
        step = np.linalg.solve(normal, -gradient).reshape(3, 3)
        tried = best + step
        tried /= np.linalg.norm(tried)
        tried_error, tried_rows = _residuals(tried, points, lines, centres)
        cost = _huber(tried_error, scale_px).sum()
        if not cost < best_cost:
            damping *= 100
            if damping > 1e3:
                break
            continue
        done = best_cost - cost < 1e-4 * best_cost
        best, best_cost, error, rows = tried, cost, tried_error, tried_rows
        damping = max(damping / 10, 1e-9)
        if done:
            break
    return best / best[2, 2]


def placement_std_px(
    pitch_from_image: Float[np.ndarray, "3 3"],
    polylines_px: Mapping[str, Float[np.ndarray, "n 2"]],
    points_m: Float[np.ndarray, "k 2"],
    sigma_px: float,
) -> Float[np.ndarray, " k"]:
    """How uncertain the homography is about the image of ground points (standard deviation, px).

    Args:
        pitch_from_image: refined on the polylines.
        polylines_px: annotated points by class.
        points_m: on the centred ground plane.
        sigma_px: of an annotated point.

    Source: Hartley and Zisserman, section 5.2.3 (backward, then forward transport of covariance).
    """
    matrix = pitch_from_image / np.linalg.norm(pitch_from_image)
    _, rows = _residuals(matrix, *_observations(polylines_px))
    normal = rows.T @ rows
    free = np.eye(9) - np.outer(matrix.ravel(), matrix.ravel())  # without the scale
    covariance = sigma_px**2 * free @ np.linalg.pinv(normal, rcond=1e-15, hermitian=True) @ free
    inverse = np.linalg.inv(matrix)
    mapped = np.concatenate([points_m, np.ones((len(points_m), 1))], axis=1) @ inverse.T
    image_px = mapped[:, :2] / mapped[:, 2:]
    # of (x, y, w) over the matrix: -inverse dM mapped; then of x / w and y / w
    over_matrix = -(inverse[None, :, :, None] * mapped[:, None, None, :]).reshape(-1, 3, 9)
    over_pixel = over_matrix[:, :2] - image_px[..., None] * over_matrix[:, 2:]
    over_pixel /= mapped[:, 2, None, None]
    variance = np.einsum("kia,ab,kib->k", over_pixel, covariance, over_pixel)
    return np.sqrt(np.maximum(variance, 0.0))


def _observations(
    polylines_px: Mapping[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (n, 3), their lines (n, 3; NaN for circles) and circle centres (n, 2; NaN)."""
    points, lines, centres = [np.empty((0, 2))], [np.empty((0, 3))], [np.empty((0, 2))]
    for name, points_px in polylines_px.items():
        if name in _GROUND_LINES or name in _CENTRES:
            count = (len(points_px), 1)
            points.append(points_px)
            lines.append(np.tile(_GROUND_LINES.get(name, np.full(3, np.nan)), count))
            centres.append(np.tile(_CENTRES.get(name, np.full(2, np.nan)), count))
    xy = np.concatenate(points)
    homogeneous = np.concatenate([xy, np.ones((len(xy), 1))], axis=1)
    return homogeneous, np.concatenate(lines), np.concatenate(centres)


def _residuals(
    matrix: np.ndarray, points: np.ndarray, lines: np.ndarray, centres: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Signed distances in pixels (n,) and their derivatives over the matrix (n, 9)."""
    mapped = points @ matrix.T
    ground = mapped[:, :2] / mapped[:, 2:]
    from_centre = ground - centres
    radius = np.linalg.norm(from_centre, axis=1)
    straight = np.isnan(radius)
    with np.errstate(invalid="ignore", divide="ignore"):
        normal = np.where(straight[:, None], lines[:, :2], from_centre / radius[:, None])
    on_line = (lines[:, :2] * ground).sum(axis=1) + lines[:, 2]
    error_m = np.where(straight, on_line, radius - CIRCLE_RADIUS_M)
    # derivative of the ground position along the normal: over `mapped`, then over the pixel
    over_mapped = np.concatenate([normal, -(normal * ground).sum(axis=1)[:, None]], axis=1)
    over_mapped /= mapped[:, 2:]
    metres_per_px = np.linalg.norm(over_mapped @ matrix[:, :2], axis=1)
    rows = (over_mapped[:, :, None] * points[:, None, :]).reshape(-1, 9)
    return error_m / metres_per_px, rows / metres_per_px[:, None]


def _huber(error: np.ndarray, scale: float) -> np.ndarray:
    size = np.abs(error)
    return np.where(size <= scale, 0.5 * size**2, scale * (size - 0.5 * scale))
