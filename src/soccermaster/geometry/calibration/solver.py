"""From points, lines and circles in an image to the camera that took it.

The camera is the maximum-likelihood fit of everything that was seen, focal length included, with a
loss that ignores gross mistakes, and a weak belief about where broadcast cameras stand
(`CameraPrior`). Most frames need one closed-form start; the rest explore many starts at once and
keep the best. What cannot be decided is refused.

Pixels are continuous: (0, 0) is the top-left corner of the top-left pixel, so a pixel of a heatmap
or an annotation that counts pixel centres as integers is at +0.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from soccermaster.geometry.calibration.conclusion import (
    MIN_EQUATIONS,
    PLAUSIBLE_DISTANCE2,
    Calibration,
    conclude,
    count_equations,
)
from soccermaster.geometry.calibration.observations import (
    Frame,
    gather,
    gather_frames,
    landmarks,
    with_line_ends,
)
from soccermaster.geometry.calibration.optimise import Fit, finish, search
from soccermaster.geometry.calibration.prior import CameraPrior
from soccermaster.geometry.calibration.residuals import Observations, State, evaluate
from soccermaster.geometry.calibration.starts import (
    POSITIONS_M,
    grid_starts,
    homography_start,
    pair_starts,
)

PRIOR = CameraPrior()

# Lengths are fractions of the image width.
_QUICK_SCALES = (0.02, 0.01, 0.005)
_EXPLORE_SCALES = (0.04, 0.03, 0.02, 0.01, 0.006, 0.004)
_CHOICE_SCALE = 0.0025
_CLEAR_NOISE = 0.0025
_START_NOISE = 0.0014
#: Cost of one squared standard deviation of the prior, when cameras are compared.
_PRIOR_COST = 0.02
#: A start is good enough to skip the others with this many equations and this share of inliers.
_CLEAR_EQUATIONS, _CLEAR_INLIERS = 12, 0.9
_MOST_PAIR_STARTS = 8
_MOST_GRID_STARTS = 12
_END_ROUNDS = 2


def calibrate(
    points_px: Mapping[int, tuple[float, float]],
    lines_px: Mapping[int, tuple[tuple[float, float], tuple[float, float]]] | None = None,
    image_size: tuple[int, int] | None = None,
    *,
    polylines_px: Mapping[str, ArrayLike] | None = None,
    point_scores: Mapping[int, float] | None = None,
    line_scores: Mapping[int, float] | None = None,
    distortion: bool = False,
    template: str = "table",
) -> Calibration:
    """The camera that sees the pitch like this.

    Args:
        points_px: pixels of keypoints 1..57 and auxiliary points 58..73, by number. Wrong ones are
            recognised as long as most are right.
        lines_px: lines 1..23, each by any two points on its visible part.
        image_size: (W, H) in pixels. The principal point is in the middle.
        polylines_px: points (n, 2) along lines and circles, by class name.
        point_scores: relative weight of each point, by number; 0 ignores it. All the same if None.
        line_scores: likewise for `lines_px`.
        distortion: also fit the lens: radial (k1 and k4, one unknown), p1, p2.
        template: "table" if the points follow the rounded keypoint table, else "exact".

    Returns:
        Always a `Calibration`; its `camera` is None, with a reason, where the observations are too
        few, contradict each other, or leave the camera open.

    Raises:
        KeyError: an unknown number or class.
        ValueError: no image size, a point that is not two numbers, a negative score.
    """
    frame = gather(
        points_px, lines_px, image_size, polylines_px, point_scores, line_scores, template
    )
    return solve(frame, distortion)


def calibrate_batch(
    points_px: Sequence[Mapping[int, tuple[float, float]]],
    lines_px: Sequence[Mapping[int, tuple[tuple[float, float], tuple[float, float]]] | None]
    | None = None,
    image_size: tuple[int, int] | None = None,
    *,
    polylines_px: Sequence[Mapping[str, ArrayLike] | None] | None = None,
    point_scores: Sequence[Mapping[int, float] | None] | None = None,
    line_scores: Sequence[Mapping[int, float] | None] | None = None,
    distortion: bool = False,
    template: str = "table",
) -> list[Calibration]:
    """`calibrate` for each of many independent frames of one image size.

    Raises:
        KeyError: as in `calibrate`.
        ValueError: lists of different lengths; and as in `calibrate`.
    """
    frames = gather_frames(
        points_px, lines_px, image_size, polylines_px, point_scores, line_scores, template
    )
    return [solve(frame, distortion) for frame in frames]


def solve(frame: Frame, distortion: bool = False) -> Calibration:
    """The camera of gathered observations, see `calibrate`."""
    equations = count_equations(frame, frame.seen.weights[0] > 0)
    if equations < MIN_EQUATIONS:
        return Calibration(
            None,
            f"too few observations: {equations} independent equations, at least {MIN_EQUATIONS} "
            "are needed (a point gives 2, a line 2, a circle 5)",
        )
    fit = _quick(frame.seen)
    if fit is None or equations < _CLEAR_EQUATIONS or not _is_clear(frame.seen, fit):
        fit = _explore(frame, fit)
    if fit is None:
        return Calibration(None, "no camera sees the observations like this")
    if distortion:
        fit = _with_distortion(frame.seen, fit)
    seen_as = frame
    for _ in range(_END_ROUNDS if frame.line_spans else 0):
        bounded = with_line_ends(frame, fit.state)
        if bounded is None:
            break
        width = 2 * frame.seen.half_width
        fit = finish(fit.state, bounded.seen, PRIOR, 12, np.array([width * _START_NOISE]))
        seen_as = bounded
    return conclude(frame, seen_as, fit, PRIOR)


def _quick(seen: Observations) -> Fit | None:
    """The fit from the homography of all observations together."""
    starts = homography_start(seen)
    if starts is None:
        return None
    width = 2 * seen.half_width
    best = int(_misfit(starts, seen, 0.02 * width).argmin())
    found = search(starts[best : best + 1], seen, PRIOR, [width * s for s in _QUICK_SCALES])
    return finish(found.state, seen, PRIOR, 10, np.array([width * _START_NOISE]))


def _is_clear(seen: Observations, fit: Fit) -> bool:
    weights = seen.weights[0]
    inliers = fit.weights[0] > 0.5 * weights
    return bool(
        weights[inliers].sum() > _CLEAR_INLIERS * weights.sum()
        and fit.noise_px[0] < 2 * seen.half_width * _CLEAR_NOISE
        and PRIOR.distance2(fit.state)[0] < PLAUSIBLE_DISTANCE2
    )


def _explore(frame: Frame, quick: Fit | None) -> Fit | None:
    """The best of many starts."""
    seen = frame.seen
    width = 2 * seen.half_width
    scales = [width * s for s in _EXPLORE_SCALES]
    points_m, pixels = landmarks(frame)
    guesses = []
    pairs = pair_starts(points_m, pixels, seen.half_width)
    if pairs is not None:
        misfit = _misfit(pairs, seen, 0.02 * width)
        best = []
        for position in POSITIONS_M:  # the best pair from each position
            here = np.flatnonzero(pairs.position_m[:, 2] == position[2])
            if len(here):
                best.append(here[misfit[here].argmin()])
        best = sorted(best, key=misfit.__getitem__)[:_MOST_PAIR_STARTS]
        guesses.append(pairs[np.array(best)])
    if seen.num_circles or points_m.shape[1] < 4:
        grid = grid_starts(seen.half_width)
        order = _misfit(grid, seen, 0.1 * width).argsort()
        guesses.append(grid[order[:_MOST_GRID_STARTS]])
    candidates = [search(guess, seen, PRIOR, scales).state for guess in guesses]
    if quick is not None:
        candidates += [quick.state, *_without_each_point(seen, quick)]
    if not candidates:
        return None
    states = candidates[0]
    for more in candidates[1:]:
        states = states.and_also(more)
    found = search(states, seen, PRIOR, [scales[-1], 0.75 * scales[-1]])
    best = _choice_cost(seen, found).argsort()[:3]
    fits = finish(found.state[best], seen, PRIOR, 10, np.full(len(best), width * _START_NOISE))
    best = int(_choice_cost(seen, fits).argmin())
    return fits[best : best + 1]


def _without_each_point(seen: Observations, quick: Fit) -> list[State]:
    """Where the fit goes when one of the points is left out: one wrong point bends it the most."""
    n = seen.num_points
    if n <= 4:
        return []
    weights = np.repeat(seen.weights, n, axis=0)
    weights[np.arange(n), np.arange(n)] = 0
    starts = quick.state[np.zeros(n, dtype=int)]
    scales = [2 * seen.half_width * s for s in _QUICK_SCALES]
    return [search(starts, replace(seen, weights=weights), PRIOR, scales).state]


def _misfit(state: State, seen: Observations, scale_px: float) -> Float[np.ndarray, " B"]:
    """Robust mean distance, 0..1."""
    distance2 = evaluate(state, seen, jacobian=False)[1]
    return (seen.weights * distance2 / (distance2 + scale_px**2)).sum(axis=1) / seen.weights.sum()


def _choice_cost(seen: Observations, fit: Fit) -> Float[np.ndarray, " B"]:
    scale2 = (2 * seen.half_width * _CHOICE_SCALE) ** 2
    misfit = (seen.weights * fit.distance2 / (fit.distance2 + scale2)).sum(axis=1)
    return misfit + _PRIOR_COST * PRIOR.distance2(fit.state)


def _with_distortion(seen: Observations, fit: Fit) -> Fit:
    width = 2 * seen.half_width
    found = search(
        fit.state.with_distortion(), seen, PRIOR, [width * s for s in (0.008, 0.006, 0.004)]
    )
    return finish(found.state, seen, PRIOR, 12, np.array([width * _START_NOISE]))
