"""The homography of the ground from annotated markings: lines and circles as a whole.

Crossings of lines give a first homography; then every annotated point is asked to lie on its
marking, however far along it. That uses short and lonely lines too, and averages out the noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from soccermaster.geometry.pitch import CIRCLE_RADIUS_M, Pitch
from soccermaster.vocabulary import CIRCLES, LINES

_STEPS = 8


@dataclass(frozen=True)
class GroundMarks:
    """Annotated points on the ground and the markings that they lie on.

    Attributes:
        points_px: all points, class after class; goal frames are left out.
        lines_m: a x + b y + c = 0 in the centred ground plane; NaN for points of circles.
        centres_m: of the circle; NaN for points of lines.
    """

    points_px: Float[np.ndarray, "n 2"]
    lines_m: Float[np.ndarray, "n 3"]
    centres_m: Float[np.ndarray, "n 2"]

    @classmethod
    def of(cls, polylines_px: Mapping[str, Float[np.ndarray, "n 2"]]) -> GroundMarks:
        """The points on the ground of an annotation by class name."""
        names = [name for name in polylines_px if name in ON_GROUND]
        marking = np.repeat(
            [_MARKINGS.index(name) for name in names], [len(polylines_px[name]) for name in names]
        ).astype(int)
        points_px = np.concatenate([np.empty((0, 2)), *(polylines_px[name] for name in names)])
        return cls(points_px, _LINES_M[marking], _CENTRES_M[marking])


def marking_errors_px(
    pitch_from_image: Float[np.ndarray, "3 3"], marks: GroundMarks
) -> Float[np.ndarray, " n"]:
    """Distance in the image of each annotated point on the ground from its marking (first order).

    Args:
        pitch_from_image: pixels to the centred ground plane (m).
        marks: annotated points.
    """
    return np.abs(_residuals(pitch_from_image, marks)[0])


def refine_homography(
    pitch_from_image: Float[np.ndarray, "3 3"],
    marks: GroundMarks,
    scale_px: float,
) -> Float[np.ndarray, "3 3"]:
    """The homography near a first one with the least distances of points from their markings.

    Args:
        pitch_from_image: pixels to the centred ground plane (m).
        marks: annotated points.
        scale_px: distance from which on points count less and less (Huber).

    Source: Gauss-Newton on Sampson distances (Hartley and Zisserman, section 4.2.6).
    """
    best = pitch_from_image / np.linalg.norm(pitch_from_image)
    error, rows = _residuals(best, marks)
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
        tried_error, tried_rows = _residuals(tried, marks)
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
    marks: GroundMarks,
    points_m: Float[np.ndarray, "k 2"],
    sigma_px: float,
) -> Float[np.ndarray, " k"]:
    """How uncertain the homography is about the image of ground points (standard deviation, px).

    Args:
        pitch_from_image: refined on the polylines.
        marks: annotated points.
        points_m: on the centred ground plane.
        sigma_px: of an annotated point.

    Source: Hartley and Zisserman, section 5.2.3 (backward, then forward transport of covariance).
    """
    matrix = pitch_from_image / np.linalg.norm(pitch_from_image)
    _, rows = _residuals(matrix, marks)
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


def _residuals(matrix: np.ndarray, marks: GroundMarks) -> tuple[np.ndarray, np.ndarray]:
    """Signed distances in pixels (n,) and their derivatives over the matrix (n, 9)."""
    lines, count = marks.lines_m, len(marks.points_px)
    points = np.concatenate([marks.points_px, np.ones((count, 1))], axis=1)
    mapped = points @ matrix.T
    ground = mapped[:, :2] / mapped[:, 2:]
    from_centre = ground - marks.centres_m
    radius = np.hypot(from_centre[:, 0], from_centre[:, 1])
    straight = np.isnan(radius)
    with np.errstate(invalid="ignore", divide="ignore"):
        normal = np.where(straight[:, None], lines[:, :2], from_centre / radius[:, None])
    on_line = (lines[:, :2] * ground).sum(axis=1) + lines[:, 2]
    error_m = np.where(straight, on_line, radius - CIRCLE_RADIUS_M)
    # derivative of the ground position along the normal: over `mapped`, then over the pixel
    over_mapped = np.concatenate([normal, -(normal * ground).sum(axis=1)[:, None]], axis=1)
    over_mapped /= mapped[:, 2:]
    metres_per_px = np.hypot(*(over_mapped @ matrix[:, :2]).T)
    rows = (over_mapped[:, :, None] * points[:, None, :]).reshape(count, 9)
    return error_m / metres_per_px, rows / metres_per_px[:, None]


def _huber(error: np.ndarray, scale: float) -> np.ndarray:
    size = np.abs(error)
    return np.where(size <= scale, 0.5 * size**2, scale * (size - 0.5 * scale))


def _ground_lines() -> dict[str, np.ndarray]:
    """Straight markings on the ground as a x + b y + c = 0 with a^2 + b^2 = 1."""
    lines = {}
    for name, (start, end) in zip(LINES, Pitch().line_ends_m, strict=True):
        if start[2] == end[2] == 0:
            along = (end - start)[:2] / np.linalg.norm(end - start)
            normal = np.array([-along[1], along[0]])
            lines[name] = np.array([*normal, -normal @ start[:2]])
    return lines


_GROUND_LINES = _ground_lines()
#: Classes on the ground plane: all but the goal frames.
ON_GROUND = frozenset(_GROUND_LINES) | frozenset(CIRCLES)
_MARKINGS = (*_GROUND_LINES, *CIRCLES)
_LINES_M = np.array([*_GROUND_LINES.values(), *[np.full(3, np.nan)] * len(CIRCLES)])
_CENTRES_M = np.concatenate(
    [np.full((len(_GROUND_LINES), 2), np.nan), Pitch().circle_centres_m[:, :2]]
)
