"""Levenberg-Marquardt on a batch of cameras with a robust loss.

Source: Nocedal and Wright, Numerical Optimization, chapter 10; iteratively reweighted least squares
with the loss of Geman and McClure while searching (graduated non-convexity: its scale shrinks), and
with one that trusts inliers in full, as maximum likelihood does, at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float

from soccermaster.geometry.calibration.prior import CameraPrior
from soccermaster.geometry.calibration.residuals import Observations, State, evaluate

#: Full weight up to the first, none from the second on, in standard deviations.
TRUSTED_UNTIL, REJECTED_FROM = 3.5, 6.0
#: Standard deviation of detections expected before seeing any, in fractions of the image width
#: (1.5 px at 1920), and how many observations that expectation counts for.
NOISE_OF_WIDTH, NOISE_WEIGHT = 0.0008, 3.0
#: The noise is never taken to be smaller than this fraction of the expectation.
_LEAST_NOISE = 0.1
#: Bounds of one step: rotation (rad), position (m), log focal length.
_LONGEST_STEP = np.array([0.3, 0.3, 0.3, 40.0, 40.0, 40.0, 0.7])
_RIDGE = 1e-6  # keeps the equations solvable where neither data nor prior say anything
_CONVERGED = 1e-4  # decrease of the cost in squared standard deviations


@dataclass(frozen=True)
class Fit:
    """States at the minimum, with what the last evaluation said."""

    state: State
    residuals: Float[np.ndarray, "B r"]
    distance2: Float[np.ndarray, "B o"]  # squared pixels
    weights: Float[np.ndarray, "B o"]
    noise_px: Float[np.ndarray, " B"]
    #: Of the local parameters: from the observations alone, and from the prior alone.
    data_information: Float[np.ndarray, "B p p"]
    prior_information: Float[np.ndarray, "B p p"]

    def __getitem__(self, index: slice | np.ndarray) -> Fit:
        """Some of the fits; `index` keeps the batch dimension."""
        return Fit(*(getattr(self, field.name)[index] for field in fields(self)))


def search(state: State, seen: Observations, prior: CameraPrior, scales_px: Sequence[float]) -> Fit:
    """A few steps from each start, one per scale of the loss."""
    scales = iter(np.square(scales_px))
    noise2 = np.full(len(state), _expected_noise2(seen))

    def reweight(distance2: np.ndarray, _: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scale2 = next(scales)
        return seen.weights * (scale2 / (scale2 + distance2)) ** 2, noise2

    return _minimise(state, seen, prior, reweight, len(scales_px), tolerance=0.0)


def finish(
    state: State, seen: Observations, prior: CameraPrior, steps: int, noise_px: np.ndarray
) -> Fit:
    """The maximum-likelihood camera of the inliers, with their noise estimated on the way."""
    expected2 = _expected_noise2(seen)
    count = seen.num_points

    def reweight(distance2: np.ndarray, noise2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weights = seen.weights * trust(distance2 / noise2[:, None])
        rows = weights.sum(axis=1) + weights[:, :count].sum(axis=1)
        spare = np.maximum(rows - state.num_parameters, 0.0)
        squares = (weights * distance2).sum(axis=1)
        noise2 = (NOISE_WEIGHT * expected2 + squares) / (NOISE_WEIGHT + spare)
        return weights, np.maximum(noise2, _LEAST_NOISE**2 * expected2)

    return _minimise(state, seen, prior, reweight, steps, _CONVERGED, np.square(noise_px))


def trust(distance2: Float[np.ndarray, "B o"]) -> Float[np.ndarray, "B o"]:
    """Weights of observations at this squared distance in standard deviations."""
    return np.clip((REJECTED_FROM**2 - distance2) / (REJECTED_FROM**2 - TRUSTED_UNTIL**2), 0.0, 1.0)


def _expected_noise2(seen: Observations) -> float:
    return (NOISE_OF_WIDTH * 2 * seen.half_width) ** 2


def _minimise(
    state: State,
    seen: Observations,
    prior: CameraPrior,
    reweight: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    steps: int,
    tolerance: float,
    noise2: np.ndarray | None = None,
) -> Fit:
    believe2 = _expected_noise2(seen)
    damping = np.full(len(state), 1e-5)
    diagonal = np.arange(state.num_parameters)
    residuals, distance2, jac = evaluate(state, seen)
    believed = prior.normal_equations(state)
    for step in range(steps):
        weights, noise2 = reweight(distance2, noise2)
        weighted = jac * seen.rows(weights)[:, None]
        normal = weighted @ np.swapaxes(jac, 1, 2) + believe2 * believed[2]
        gradient = (weighted @ residuals[:, :, None])[:, :, 0] + believe2 * believed[1]
        damped = normal.copy()
        damped[:, diagonal, diagonal] = (
            damped[:, diagonal, diagonal] * (1 + damping[:, None]) + _RIDGE
        )
        delta = -np.linalg.solve(damped, gradient[:, :, None])[:, :, 0]
        delta /= np.maximum(np.abs(delta[:, :7] / _LONGEST_STEP).max(axis=1), 1.0)[:, None]
        moved = state.step(delta)
        new = evaluate(moved, seen)
        new_believed = prior.normal_equations(moved)
        gain = (weights * (distance2 - new[1])).sum(axis=1)
        gain += believe2 * (believed[0] - new_believed[0])
        better = gain > 0
        if better.all():
            state, (residuals, distance2, jac), believed = moved, new, new_believed
        else:
            state = moved.where(better, state)
            column = better[:, None]
            residuals = np.where(column, new[0], residuals)
            distance2 = np.where(column, new[1], distance2)
            jac = np.where(column[:, None], new[2], jac)
            believed = (
                np.where(better, new_believed[0], believed[0]),
                np.where(column, new_believed[1], believed[1]),
                np.where(column[:, None], new_believed[2], believed[2]),
            )
        damping = np.where(better, np.maximum(damping * 0.1, 1e-9), damping * 10)
        if step > 0 and (gain < tolerance * noise2).all():
            break
    weighted = jac * seen.rows(weights)[:, None]
    information = (weighted @ np.swapaxes(jac, 1, 2)) / noise2[:, None, None]
    return Fit(state, residuals, distance2, weights, np.sqrt(noise2), information, believed[2])
