"""Ellipses as conics: fit to points, crossings with a line, points of tangency.

A conic is a symmetric matrix C with (x, y, 1) C (x, y, 1)^T = 0.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

#: Points of a circle in perspective that lie on a straight line up to this fraction of their extent
#: do not say which ellipse they are from.
_FLAT = 0.01


def fit_ellipse(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "3 3"] | None:
    """The least-squares ellipse, or None where the points determine none.

    Four points of an arc get a fifth: the middle of their widest gap on the parabola over their
    chord, so that the same points always give the same ellipse.

    Args:
        points: on the ellipse, in any order.

    Source: Halir and Flusser, Numerically stable direct least squares fitting of ellipses.
    """
    points = np.unique(np.asarray(points, np.float64).reshape(-1, 2), axis=0)
    if len(points) < 4:
        return None
    centre = points.mean(axis=0)
    scatter = np.linalg.svd(points - centre, full_matrices=False)
    if scatter.S[1] <= _FLAT * scatter.S[0]:
        return None
    scale = np.sqrt((scatter.S**2).sum() / len(points))
    normal = (points - centre) / scale
    if len(points) == 4:
        fifth = _fifth_point(normal @ scatter.Vh.T)
        if fifth is None:
            return None
        normal = np.concatenate([normal, fifth[None] @ scatter.Vh])
    x, y = normal.T
    quadratic = np.stack([x * x, x * y, y * y], axis=1)
    linear = np.stack([x, y, np.ones_like(x)], axis=1)
    try:
        reduce = -np.linalg.solve(linear.T @ linear, linear.T @ quadratic)
    except np.linalg.LinAlgError:
        return None
    m = quadratic.T @ quadratic + quadratic.T @ linear @ reduce
    values, vectors = np.linalg.eig(np.stack([m[2] / 2, -m[1], m[0] / 2]))
    vectors = vectors.real
    convex = 4 * vectors[0] * vectors[2] - vectors[1] ** 2
    if np.iscomplexobj(values) or not (convex > 0).any():
        return None
    a = vectors[:, np.argmax(convex > 0)]
    (p, q, r), (s, t, u) = a, reduce @ a
    conic = np.array([[p, q / 2, s / 2], [q / 2, r, t / 2], [s / 2, t / 2, u]])
    to_normal = np.array([[1, 0, -centre[0]], [0, 1, -centre[1]], [0, 0, scale]]) / scale
    return to_normal.T @ conic @ to_normal


def cross_line(
    conic: Float[np.ndarray, "3 3"], line: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "2 2"] | None:
    """Both points where a line a x + b y + c = 0 meets a conic; None where it does not.

    Ordered along the direction (b, -a) of the line.
    """
    normal, c = line[:2], line[2]
    length_sq = float(normal @ normal)
    if length_sq == 0:
        return None
    foot = np.array([*(-c * normal / length_sq), 1.0])
    along = np.array([normal[1], -normal[0], 0.0]) / np.sqrt(length_sq)
    p, q, r = along @ conic @ along, along @ conic @ foot, foot @ conic @ foot
    root = q * q - p * r
    if root <= 0 or p == 0:
        return None
    steps = (-q + np.array([-1.0, 1.0]) * np.copysign(np.sqrt(root), p)) / p
    return foot[:2] + steps[:, None] * along[:2]


def tangent_points(
    conic: Float[np.ndarray, "3 3"], point: Float[np.ndarray, " 2"]
) -> Float[np.ndarray, "2 2"] | None:
    """Both points where tangents from a point touch a conic; None for a point inside.

    Source: Hartley and Zisserman, Multiple View Geometry, section 2.2.3 (the polar line).
    """
    return cross_line(conic, conic @ np.array([*point, 1.0]))


def _fifth_point(along_chord: np.ndarray) -> np.ndarray | None:
    """A point between four points of an arc, given as (along, across); None if they are no arc."""
    x, y = along_chord[np.argsort(along_chord[:, 0], kind="stable")].T
    if np.diff(x).min() <= 0:
        return None
    parabola = np.polynomial.Polynomial.fit(x, y, 2)
    gap = np.diff(x).argmax()
    middle = (x[gap] + x[gap + 1]) / 2
    return np.array([middle, parabola(middle)])
