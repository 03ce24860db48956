"""Sequences of angles whose accelerations are small: their fit, how small, and their spread.

Everything is banded: a clip of T frames costs O(T).

Sources: Whittaker, 1922 (smoothing by second differences); MacKay, 1992 (evidence); Hartley and
Zisserman, appendix 6 (sparse normal equations).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.linalg import cholesky_banded, solveh_banded

from soccermaster.geometry.calibration.prior import CameraPrior

#: Standard deviation of accelerations (rad or log focal length per frame^2) before it is known.
FIRST_ACCELERATION = 1e-3
_ACCELERATIONS = np.geomspace(1e-7, 3e-3, 16)  # that are tried


def solve_together(
    normal: Float[np.ndarray, "T 7 7"],
    gradient: Float[np.ndarray, "T 7"],
    angles: Float[np.ndarray, "T 4"],
    accelerations: Float[np.ndarray, " 4"],
    position_m: Float[np.ndarray, " 3"],
    prior: CameraPrior,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One Gauss-Newton step of all frames and the shared position."""
    num = len(angles)
    smooth, pull = _smoothness(angles, accelerations)
    band = np.zeros((9, 4 * num))  # lower form: band[i - j, j]
    band[0::4] = smooth
    for i in range(4):
        for j in range(i + 1):
            band[i - j, j::4] += normal[:, i, j]
    band[0] += 1e-9 * np.maximum(band[0].max(), 1.0)
    arrow = normal[:, :4, 4:].reshape(4 * num, 3)
    right = np.concatenate([arrow, (gradient[:, :4].ravel() + pull)[:, None]], axis=1)
    solved = solveh_banded(band, right, lower=True)
    inverse2 = 1 / np.square(prior.position_std_m)
    corner = normal[:, 4:, 4:].sum(axis=0) + np.diag(inverse2)
    slope = gradient[:, 4:].sum(axis=0) + inverse2 * (position_m - prior.position_m)
    schur = corner - arrow.T @ solved[:, :3]
    position_step = -np.linalg.solve(schur, slope - arrow.T @ solved[:, 3])
    angle_step = -(solved[:, 3] + solved[:, :3] @ position_step)
    return angle_step.reshape(num, 4), position_step, schur


def _smoothness(
    angles: Float[np.ndarray, "T 4"], accelerations: Float[np.ndarray, " 4"]
) -> tuple[Float[np.ndarray, "3 4T"], Float[np.ndarray, " 4T"]]:
    """Normal equations of the second differences: diagonals 0, 1, 2 (in frames), and gradient."""
    num = len(angles)
    diagonals = np.zeros((3, num, 4))
    second = np.zeros((num, 4))
    weight = 1 / accelerations**2
    if num > 2:
        for offset, products in enumerate(((1.0, 4.0, 1.0), (-2.0, -2.0), (1.0,))):
            for shift, value in enumerate(products):
                diagonals[offset, shift : shift + num - 2] += value
        bend = np.diff(angles, n=2, axis=0)
        for shift, value in enumerate((1.0, -2.0, 1.0)):
            second[shift : shift + num - 2] += value * bend
    return (diagonals * weight).reshape(3, -1), (second * weight).ravel()


def best_accelerations(
    angles: Float[np.ndarray, "T 4"], information: Float[np.ndarray, "T 4 4"]
) -> Float[np.ndarray, " 4"]:
    """For each column the standard deviation of accelerations with the largest evidence."""
    num = len(angles)
    if num < 5:
        return np.full(4, FIRST_ACCELERATION)
    smooth, _ = _smoothness(angles, np.ones(4))
    smooth = smooth.reshape(3, num, 4)
    chosen = np.empty(4)
    for column in range(4):
        data = _marginal(information, column)
        evidence = []
        for acceleration in _ACCELERATIONS:
            band = smooth[:, :, column] / acceleration**2
            misfit = data * angles[:, column]
            band[0] = band[0] + data + 1e-12 * band[0].max()
            factor = cholesky_banded(band, lower=True)
            mean = solveh_banded(band, misfit, lower=True)
            fit = misfit @ angles[:, column] - misfit @ mean
            log_det = 2 * np.log(factor[0]).sum()
            evidence.append(-0.5 * (fit + log_det) - (num - 2) * np.log(acceleration))
        chosen[column] = _ACCELERATIONS[int(np.argmax(evidence))]
    return chosen


def _marginal(information: Float[np.ndarray, "T 4 4"], column: int) -> Float[np.ndarray, " T"]:
    """Information about one column when the others are unknown; 0 for frames that say nothing."""
    others = [i for i in range(4) if i != column]
    block = information[:, others][:, :, others]
    side = information[:, others, column]
    ridge = 1e-9 * np.trace(block, axis1=1, axis2=2)[:, None, None] + 1e-12
    solved = np.linalg.solve(block + ridge * np.eye(3), side[:, :, None])[:, :, 0]
    return np.maximum(information[:, column, column] - (side * solved).sum(axis=1), 0.0)


def spread_of_angles(
    information: Float[np.ndarray, "T 4 4"], accelerations: Float[np.ndarray, " 4"]
) -> Float[np.ndarray, "T 4"]:
    """Standard deviation of each column of each frame after smoothing."""
    num = len(information)
    smooth, _ = _smoothness(np.zeros((num, 4)), accelerations)
    smooth = smooth.reshape(3, num, 4)
    spread = np.empty((num, 4))
    for column in range(4):
        band = smooth[:, :, column].copy()
        band[0] += _marginal(information, column)
        band[0] += 1e-12 * band[0].max()
        for start in range(0, num, 256):
            end = min(start + 256, num)
            unit = np.zeros((num, end - start))
            unit[np.arange(start, end), np.arange(end - start)] = 1.0
            inverse = solveh_banded(band, unit, lower=True)
            spread[start:end, column] = inverse[np.arange(start, end), np.arange(end - start)]
    return np.sqrt(np.maximum(spread, 0.0))
