"""Planar homographies: estimation from point pairs, and application."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

#: Relative size of the second-smallest singular value of the normalised DLT system below which the
#: points do not determine a homography (three of four on a line, ...).
_DEGENERATE = 1e-4


def estimate_homography(
    points_src: Float[np.ndarray, "n 2"],
    points_dst: Float[np.ndarray, "n 2"],
    ransac_px: float | None = None,
) -> Float[np.ndarray, "3 3"] | None:
    """The homography target-from-source, or None where the points do not determine one.

    Pairs with a NaN are ignored. Deterministic.

    Args:
        points_src: source points, any unit.
        points_dst: target points, any unit.
        ransac_px: inlier threshold of RANSAC, in units of the target; None fits all pairs.

    Returns:
        A matrix with lower right entry 1, or None with fewer than 4 pairs or a degenerate
        arrangement.

    Source: Hartley and Zisserman, Multiple View Geometry, chapter 4 (normalised DLT).
    """
    src = np.asarray(points_src, np.float64).reshape(-1, 2)
    dst = np.asarray(points_dst, np.float64).reshape(-1, 2)
    if len(src) != len(dst):
        raise ValueError(f"expected as many target as source points, got {len(src)}, {len(dst)}")
    finite = np.isfinite(src).all(axis=1) & np.isfinite(dst).all(axis=1)
    src, dst = src[finite], dst[finite]
    if len(src) < 4 or _is_degenerate(src, dst):
        return None
    if ransac_px is None:
        homography, _ = cv2.findHomography(src, dst, 0)
    else:
        homography, inliers = cv2.findHomography(src, dst, cv2.RANSAC, ransac_px)
        if homography is not None:
            kept = inliers.ravel().astype(bool)
            if kept.sum() < 4 or _is_degenerate(src[kept], dst[kept]):
                return None
    if homography is None or not np.isfinite(homography).all() or homography[2, 2] == 0:
        return None
    return homography / homography[2, 2]


def apply_homography(
    target_from_source: Float[np.ndarray, "*b 3 3"], points: Float[np.ndarray, "*p n 2"]
) -> Float[np.ndarray, "*bp n 2"]:
    """Points mapped by a homography; NaN at or beyond its line at infinity stays out of reach.

    A homography alone does not know which side of its horizon is visible, so points beyond the
    horizon are mapped too; only points on it become NaN.

    Args:
        target_from_source: one matrix, or a stack whose batch dimensions broadcast with `*p`.
        points: source points.
    """
    points = np.asarray(points, np.float64)
    homogeneous = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1)
    mapped = homogeneous @ np.swapaxes(np.asarray(target_from_source, np.float64), -1, -2)
    scale = mapped[..., 2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(scale == 0, np.nan, mapped[..., :2] / scale)


def _is_degenerate(src: np.ndarray, dst: np.ndarray) -> bool:
    """Whether the direct linear transform has more than one solution."""
    x, y = _normalise(src).T
    u, v = _normalise(dst).T
    one, zero = np.ones_like(x), np.zeros_like(x)
    rows_u = np.stack([x, y, one, zero, zero, zero, -u * x, -u * y, -u], axis=1)
    rows_v = np.stack([zero, zero, zero, x, y, one, -v * x, -v * y, -v], axis=1)
    singular = np.linalg.svd(np.concatenate([rows_u, rows_v]), compute_uv=False)
    return bool(singular[7] < _DEGENERATE * singular[0])


def _normalise(points: np.ndarray) -> np.ndarray:
    """Centred, with mean distance sqrt(2) from the origin."""
    centred = points - points.mean(axis=0)
    distance = np.linalg.norm(centred, axis=1).mean()
    return centred * (np.sqrt(2) / distance) if distance > 0 else centred
