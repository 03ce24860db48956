"""Lens distortion on the normalised image plane, and its inverse.

The model is OpenCV's rational one: radial (six coefficients), tangential (two) and thin prism
(four), in OpenCV's order `k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4`. Normalised coordinates are x / z,
y / z in the camera's axes, so the coefficients do not depend on the size of the image.

Source: OpenCV, camera calibration and 3D reconstruction, "detailed description".
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

#: Lengths of coefficient lists that OpenCV has too.
_LENGTHS = (4, 5, 8, 12)
#: Newton steps of the inverse; it needs about six.
_MAX_STEPS = 40
#: Largest error that the inverse may leave, on the normalised plane: 1e-7 px at a focal length of
#: 10,000 px.
_TOLERANCE = 1e-11
#: The inverse starts, and stays, this far inside of the circle where the model folds back.
_INSIDE = 1 - 1e-6
#: Leading coefficients below this bend nothing within ten focal lengths of the axis.
_NEGLIGIBLE = 1e-14


def all_coefficients(
    given: Float[np.ndarray, "*b n"] | None, batch_shape: tuple[int, ...]
) -> Float[np.ndarray, "*b 12"]:
    """The first 4, 5, 8 or all coefficients, filled up with zeros; zeros alone for None.

    Raises:
        ValueError: another number of coefficients.
    """
    coefficients = np.zeros((*batch_shape, 12))
    if given is not None:
        given = np.asarray(given, np.float64)
        if given.ndim == 0 or given.shape[-1] not in _LENGTHS:
            raise ValueError(
                f"expected {_LENGTHS} distortion coefficients in OpenCV's order, "
                f"got shape {given.shape}"
            )
        coefficients[..., : given.shape[-1]] = given
    return coefficients


def distort(
    points: Float[np.ndarray, "*p n 2"], coefficients: Float[np.ndarray, "*b 12"]
) -> Float[np.ndarray, "*bp n 2"]:
    """Where the lens moves points of the normalised plane.

    Nothing is hidden: beyond `valid_radius` the polynomials fold the plane back onto itself.

    Args:
        points: leading dimensions `*p` broadcast with those of the coefficients.
        coefficients: in OpenCV's order.
    """
    return _distort(np.asarray(points, np.float64), np.asarray(coefficients, np.float64))[0]


def undistort(
    points: Float[np.ndarray, "*p n 2"], coefficients: Float[np.ndarray, "*b 12"]
) -> Float[np.ndarray, "*bp n 2"]:
    """The inverse of `distort` within `valid_radius`; NaN for points that no such point goes to.

    Args:
        points: distorted points of the normalised plane; leading dimensions broadcast.
        coefficients: in OpenCV's order.

    Source: Newton's method with the analytic Jacobian, kept inside of the fold.
    """
    target = np.asarray(points, np.float64)
    coefficients = np.asarray(coefficients, np.float64)
    limit = _INSIDE * valid_radius(coefficients)
    limit = limit[..., None] if coefficients.ndim > 1 else limit
    shape = np.broadcast_shapes(target.shape[:-1], limit.shape)
    target = np.broadcast_to(target, (*shape, 2))
    x = _within(target, limit)
    for _ in range(_MAX_STEPS):
        moved, jacobian = _distort(x, coefficients)
        error = moved - target
        with np.errstate(invalid="ignore"):
            if not (np.abs(error) > _TOLERANCE / 10).any():
                break
        a, b, c, d = (jacobian[..., i, j] for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)))
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = 1 / (a * d - b * c)
            step_x = (d * error[..., 0] - b * error[..., 1]) * inverse
            step_y = (a * error[..., 1] - c * error[..., 0]) * inverse
        step = np.nan_to_num(np.stack([step_x, step_y], axis=-1), posinf=0.0, neginf=0.0)
        x = _within(x - step, limit)
    error = np.abs(_distort(x, coefficients)[0] - target).max(axis=-1)
    return np.where((error <= _TOLERANCE * (1 + np.abs(target).max(axis=-1)))[..., None], x, np.nan)


def valid_radius(coefficients: Float[np.ndarray, "*b 12"]) -> Float[np.ndarray, "*b"]:
    """Distance from the axis, before distortion, up to which the radial part keeps its order.

    Farther points would land nearer to the middle again: they are outside of any real picture that
    the coefficients were made for. Infinite where the model never folds.
    """
    coefficients = np.asarray(coefficients, np.float64)
    flat = coefficients.reshape(-1, 12)
    radii = np.array([_first_fold(*row[[0, 1, 4, 5, 6, 7]]) for row in flat])
    return radii.reshape(coefficients.shape[:-1])


def _distort(points: np.ndarray, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distorted points and the Jacobian (..., n, 2, 2)."""
    per_point = coefficients[..., None, :] if coefficients.ndim > 1 else coefficients
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = np.moveaxis(per_point, -1, 0)
    x, y = points[..., 0], points[..., 1]
    u = x * x + y * y
    numerator = 1 + u * (k1 + u * (k2 + u * k3))
    denominator = 1 + u * (k4 + u * (k5 + u * k6))
    with np.errstate(divide="ignore", invalid="ignore"):
        radial = numerator / denominator
        slope = (
            k1 + u * (2 * k2 + u * 3 * k3) - radial * (k4 + u * (2 * k5 + u * 3 * k6))
        ) / denominator  # of `radial` over u
    moved_x = x * radial + 2 * p1 * x * y + p2 * (u + 2 * x * x) + u * (s1 + u * s2)
    moved_y = y * radial + p1 * (u + 2 * y * y) + 2 * p2 * x * y + u * (s3 + u * s4)
    prism_x, prism_y = 2 * (s1 + 2 * u * s2), 2 * (s3 + 2 * u * s4)
    cross = 2 * x * y * slope
    jacobian = np.stack(
        [
            radial + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x + prism_x * x,
            cross + 2 * p1 * x + 2 * p2 * y + prism_x * y,
            cross + 2 * p1 * x + 2 * p2 * y + prism_y * x,
            radial + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x + prism_y * y,
        ],
        axis=-1,
    )
    return np.stack([moved_x, moved_y], axis=-1), jacobian.reshape(*jacobian.shape[:-1], 2, 2)


def _first_fold(k1: float, k2: float, k3: float, k4: float, k5: float, k6: float) -> float:
    """The first radius where d(r n(r^2) / d(r^2)) / dr or the denominator d is zero."""
    n = np.polynomial.Polynomial([1.0, k1, k2, k3])
    d = np.polynomial.Polynomial([1.0, k4, k5, k6])
    u = np.polynomial.Polynomial([0.0, 1.0])
    slope = (n + 2 * u * n.deriv()) * d - 2 * u * n * d.deriv()
    first = np.inf
    for polynomial in (slope, d):
        roots = polynomial.trim(_NEGLIGIBLE).roots()
        real = roots.real[(np.abs(roots.imag) <= 1e-9 * np.abs(roots)) & (roots.real > 0)]
        first = min(first, real.min(initial=np.inf))
    return float(np.sqrt(first))


def _within(points: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Points pulled toward the axis until their radius is at most `limit`."""
    radius = np.hypot(points[..., 0], points[..., 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(radius > limit, limit / radius, 1.0)
    return points * scale[..., None]
