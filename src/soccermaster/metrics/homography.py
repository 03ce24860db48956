"""How well does a homography place the pitch? The scores of World Cup 2014 and TS-WorldCup.

Homographies are template_from_image: pixels of a 1280x720 frame to the "yards" frame of
`geometry.frames` (115 x 74 yards, origin at the far left corner).

Source: Homayounfar et al., Sports field localization via deep structured models (IoU); Nie et al.,
A robust and efficient framework for sports-field registration (projection and re-projection error).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
from jaxtyping import Float

from soccermaster.geometry import apply_homography, change_frame

FRAME_SIZE = (1280, 720)
TEMPLATE_YARDS = (115, 74)
METRES_PER_YARD = 0.9144
#: The projection error is measured on a pitch of this size (yards).
PROJECTION_PITCH_YARDS = (100.0, 60.0)
NUM_PROJECTION_POINTS = 2500
#: Columns and rows of the grid of the re-projection error.
GRID = (13, 7)


@dataclass(frozen=True)
class HomographyScores:
    """Scores of one frame; NaN where nothing could be measured."""

    iou_part: float  #: 0..1, of the visible part of the template
    iou_whole: float  #: 0..1, of the frame with itself, moved by one and back by the other
    projection_m: float  #: mean distance on the pitch
    reprojection: float  #: mean distance in the image, in heights of the frame


def homography_scores(
    predicted: Float[np.ndarray, "3 3"],
    truth: Float[np.ndarray, "3 3"],
    rng: np.random.Generator,
) -> HomographyScores:
    """Scores of one frame.

    Args:
        predicted: template_from_image.
        truth: template_from_image.
        rng: draws the points of the projection error.
    """
    return HomographyScores(
        iou_part(predicted, truth),
        iou_whole(predicted, truth),
        projection_error_m(predicted, truth, rng),
        reprojection_error(predicted, truth),
    )


def summary(scores: Sequence[HomographyScores]) -> dict[str, tuple[float, float]]:
    """Mean and median of each score over frames, without those that could not be measured."""
    table = {
        f.name: np.array([getattr(s, f.name) for s in scores]) for f in fields(HomographyScores)
    }
    known = {name: values[~np.isnan(values)] for name, values in table.items()}
    return {
        name: (float(v.mean()), float(np.median(v))) if len(v) else (float("nan"),) * 2
        for name, v in known.items()
    }


def iou_part(predicted: Float[np.ndarray, "3 3"], truth: Float[np.ndarray, "3 3"]) -> float:
    """Overlap of the parts of the template that the frame shows, on a grid of one yard."""
    frame = np.ones(FRAME_SIZE[::-1], np.uint8)
    shown = [cv2.warpPerspective(frame, h, TEMPLATE_YARDS) > 0 for h in (predicted, truth)]
    union = (shown[0] | shown[1]).sum()
    return float((shown[0] & shown[1]).sum() / union) if union else float("nan")


def iou_whole(predicted: Float[np.ndarray, "3 3"], truth: Float[np.ndarray, "3 3"]) -> float:
    """Overlap of the frame with its corners moved by `truth` and back by `predicted`.

    0 where the moved corners make no polygon, or nothing leads back.
    """
    width, height = FRAME_SIZE
    corners_px = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
    if not _is_invertible(predicted):
        return 0.0
    moved_px = apply_homography(np.linalg.inv(predicted) @ truth, corners_px)
    if not np.isfinite(moved_px).all() or _crosses_itself(moved_px):
        return 0.0
    common = _area(_clip_to_frame(moved_px))
    return common / (width * height + _area(moved_px) - common)


def projection_error_m(
    predicted: Float[np.ndarray, "3 3"], truth: Float[np.ndarray, "3 3"], rng: np.random.Generator
) -> float:
    """Mean distance on the pitch of what both make of random pixels that show the template."""
    points_px = np.empty((0, 2))
    for _ in range(20):  # enough unless the frame shows hardly any pitch
        drawn_px = rng.uniform(0, FRAME_SIZE, (NUM_PROJECTION_POINTS, 2))
        placed = apply_homography(truth, drawn_px)
        on_pitch = ((placed >= 0) & (placed <= TEMPLATE_YARDS)).all(axis=1)
        points_px = np.concatenate([points_px, drawn_px[on_pitch]])[:NUM_PROJECTION_POINTS]
        if len(points_px) == NUM_PROJECTION_POINTS:
            break
    if not len(points_px):
        return float("nan")
    scale = np.divide(PROJECTION_PITCH_YARDS, TEMPLATE_YARDS)
    offset = (apply_homography(predicted, points_px) - apply_homography(truth, points_px)) * scale
    return float(np.linalg.norm(offset, axis=1).mean() * METRES_PER_YARD)


def reprojection_error(
    predicted: Float[np.ndarray, "3 3"], truth: Float[np.ndarray, "3 3"]
) -> float:
    """Mean distance in the image of a grid on the pitch, where both see it, over the height."""
    if not _is_invertible(predicted):
        return float("nan")
    length, width = change_frame([(105.0, 68.0)], "yards", "table")[0]
    x, y = np.meshgrid(np.linspace(0, length, GRID[0]), np.linspace(0, width, GRID[1]))
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    places_px = [apply_homography(np.linalg.inv(h), grid) for h in (predicted, truth)]
    seen = [((p >= 0) & (p < FRAME_SIZE)).all(axis=1) for p in places_px]
    both = seen[0] & seen[1]
    if not both.any():
        return float("nan")
    distance_px = np.linalg.norm(places_px[0][both] - places_px[1][both], axis=1)
    return float(distance_px.mean() / FRAME_SIZE[1])


def _is_invertible(homography: np.ndarray) -> bool:
    return np.isfinite(homography).all() and np.linalg.matrix_rank(homography) == 3


def _crosses_itself(quad: np.ndarray) -> bool:
    """Whether opposite sides of a quadrilateral meet."""

    def side(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
        return float(np.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])))

    def meet(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> bool:
        return side(a, b, c) != side(a, b, d) and side(c, d, a) != side(c, d, b)

    p0, p1, p2, p3 = quad
    return meet(p0, p1, p2, p3) or meet(p1, p2, p3, p0)


def _clip_to_frame(polygon: np.ndarray) -> np.ndarray:
    """The part of a polygon inside the frame. Source: Sutherland and Hodgman, 1974."""
    for axis in (0, 1):
        for sign, border in ((1.0, 0.0), (-1.0, -float(FRAME_SIZE[axis]))):
            if not len(polygon):
                return polygon
            height = sign * polygon[:, axis] - border  # inside where not negative
            kept = []
            for i, point in enumerate(polygon):
                before = i - 1
                if (height[i] < 0) != (height[before] < 0):
                    along = height[before] / (height[before] - height[i])
                    kept.append(polygon[before] + along * (point - polygon[before]))
                if height[i] >= 0:
                    kept.append(point)
            polygon = np.array(kept).reshape(-1, 2)
    return polygon


def _area(polygon: np.ndarray) -> float:
    if len(polygon) < 3:
        return 0.0
    x, y = polygon.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)
