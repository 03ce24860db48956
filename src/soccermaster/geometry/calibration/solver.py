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
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from soccermaster.geometry.calibration.observations import (
    Frame,
    gather,
    gather_frames,
    landmarks,
    with_line_ends,
)
from soccermaster.geometry.calibration.optimise import Fit, finish, search
from soccermaster.geometry.calibration.prior import CameraPrior
from soccermaster.geometry.calibration.residuals import (
    SATURATION,
    Observations,
    State,
    evaluate,
)
from soccermaster.geometry.calibration.starts import (
    POSITIONS_M,
    grid_starts,
    homography_start,
    pair_starts,
)
from soccermaster.geometry.camera import Camera
from soccermaster.geometry.pitch import LENGTH_M, WIDTH_M

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

#: A camera has 7 unknowns; one equation more is the least that can contradict it.
MIN_EQUATIONS = 8
MIN_INLIERS = 0.5  # of the weight of the observations
MAX_NOISE = 0.008  # of the width
MAX_EXPECTED_ERROR = 0.025  # of the width
_WEAK_EQUATIONS = 14  # fewer than these need a camera that the prior finds plausible ...
_PLAUSIBLE_DISTANCE2 = 20.0  # ... within this squared distance (4 degrees of freedom)
_CONFIDENT_ERROR = 0.005


@dataclass(frozen=True, eq=False)
class Calibration:
    """The camera of one frame, or why there is none.

    Attributes:
        camera: None when refused.
        reason: why there is no camera; None when there is one.
        error_px: mean distance in pixels between inliers and where the camera sees the template;
            NaN when refused.
        inliers: the points (numbers 1..73) that agree with the camera.
        inlier_lines: the lines (numbers 1..23) of `lines_px` of which both ends agree.
        inlier_polylines: for each class of `polylines_px`, which of its points agree.
        expected_error_px: how far, by the covariance, points of the visible ground may be from
            where the camera sees them (root mean square); the prior counts a ninth of its weight.
            NaN when refused.
        confidence: 0 (refused) to 1, from `expected_error_px` and the share of inliers.
        noise_px: standard deviation of the inliers in each coordinate.
        covariance: of rotation (rad, vector in camera axes), position (m, world) and log focal
            length, prior included; None when refused.
    """

    camera: Camera | None
    reason: str | None
    error_px: float = float("nan")
    inliers: tuple[int, ...] = ()
    inlier_lines: tuple[int, ...] = ()
    inlier_polylines: Mapping[str, Bool[np.ndarray, " n"]] = field(default_factory=dict)
    expected_error_px: float = float("nan")
    confidence: float = 0.0
    noise_px: float = float("nan")
    covariance: Float[np.ndarray, "7 7"] | None = None


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
        ValueError: no image size, a coordinate that is no number, a negative score.
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
    equations = _equations(frame, frame.seen.weights[0] > 0)
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
    return _conclude(frame, seen_as, fit)


def camera_from_state(state: State, index: int, image_size: tuple[int, int]) -> Camera:
    """One of the states as a camera."""
    width, height = image_size
    focal = float(np.exp(state.log_focal[index]))
    K = np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    coefficients = None
    if state.kappa.shape[1]:
        ratio = 2 * focal / width
        radial, first, second = state.kappa[index]
        coefficients = np.zeros(8)  # k1 k2 p1 p2 k3 k4 k5 k6
        coefficients[0], coefficients[5] = (radial + SATURATION) * ratio**2, SATURATION * ratio**2
        coefficients[2:4] = first * ratio, second * ratio
    return Camera(K, state.R[index], state.position_m[index], image_size, coefficients)


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
        and PRIOR.distance2(fit.state)[0] < _PLAUSIBLE_DISTANCE2
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


def _conclude(frame: Frame, seen_as: Frame, fit: Fit) -> Calibration:
    """The camera with what is known about it, unless it should not be believed.

    Args:
        frame: what was observed.
        seen_as: the same as it was fitted, see `with_line_ends`.
        fit: to `seen_as`.
    """
    seen = frame.seen
    width = 2 * seen.half_width
    weights = seen.weights[0]
    kept = seen_as.per_observation(fit.weights[0])
    inliers = (kept > 0.5 * weights) & (weights > 0)
    distance_px = np.sqrt(seen_as.per_observation(fit.distance2[0]))
    share = float(weights[inliers].sum() / weights.sum())
    equations = _equations(frame, inliers)
    noise_px = float(fit.noise_px[0])
    away2 = float(PRIOR.distance2(fit.state)[0])
    reason = None
    if equations < MIN_EQUATIONS or share < MIN_INLIERS:
        reason = f"only {inliers.sum()} of {(weights > 0).sum()} observations agree with a camera"
    elif noise_px > MAX_NOISE * width:
        reason = f"observations contradict each other by {noise_px:.1f} px"
    elif fit.state.position_m[0, 2] > -1.0:
        reason = "the only camera that fits is under the ground"
    elif equations < _WEAK_EQUATIONS and away2 > _PLAUSIBLE_DISTANCE2:
        reason = (
            "too few observations for a camera that stands at "
            f"{np.round(fit.state.position_m[0], 1).tolist()} m"
        )
    elif not (expected_px := _expected_error_px(seen, fit)) < MAX_EXPECTED_ERROR * width:
        reason = f"observations leave the camera open: points may be off by {expected_px:.0f} px"
    if reason is not None:
        return Calibration(None, reason)
    return describe(
        frame,
        camera_from_state(fit.state, 0, frame.image_size),
        inliers,
        distance_px,
        expected_px=expected_px,
        noise_px=noise_px,
        covariance=_covariance(fit),
    )


def describe(
    frame: Frame,
    camera: Camera,
    inliers: Bool[np.ndarray, " o"],
    distance_px: Float[np.ndarray, " o"],
    expected_px: float,
    noise_px: float,
    covariance: Float[np.ndarray, "7 7"] | None,
) -> Calibration:
    """An accepted camera, with which of the observations of its frame agree."""
    seen = frame.seen
    n, m = seen.num_points, seen.num_lines
    lines = [
        index + 1
        for index, start, end in frame.line_spans[: frame.num_segments]
        if inliers[n + start : n + end].all()
    ]
    polylines = {}
    for name, start, end in frame.polyline_spans:
        polylines[name] = inliers[n + start : n + end]
    for name, start, end in frame.circle_spans:
        polylines[name] = inliers[n + m + start : n + m + end]
    total = seen.weights.sum()
    share = float(seen.weights[0, inliers].sum() / total) if total > 0 else 1.0
    return Calibration(
        camera,
        None,
        float(distance_px[inliers].mean()) if inliers.any() else float("nan"),
        tuple(number for number, good in zip(frame.point_ids, inliers, strict=False) if good),
        tuple(lines),
        polylines,
        expected_px,
        share / (1 + (expected_px / (_CONFIDENT_ERROR * frame.image_size[0])) ** 2),
        noise_px,
        covariance,
    )


def _equations(frame: Frame, use: Bool[np.ndarray, " o"]) -> int:
    """Independent equations of these observations.

    A line is known from two points and a circle from five, however many there are.
    """
    n, m = frame.seen.num_points, frame.seen.num_lines
    count = 2 * int(use[:n].sum())
    for _, start, end in frame.line_spans:
        count += min(2, int(use[n + start : n + end].sum()))
    for _, start, end in frame.circle_spans:
        count += min(5, int(use[n + m + start : n + m + end].sum()))
    return count


def _covariance(fit: Fit) -> Float[np.ndarray, "7 7"]:
    covariance = np.linalg.inv(fit.data_information[0] + fit.prior_information[0])[:7, :7]
    to_world = np.eye(7)
    to_world[3:6, 3:6] = fit.state.R[0].T
    return to_world @ covariance @ to_world.T


def _expected_error_px(seen: Observations, fit: Fit) -> float:
    """Root mean square displacement of the visible ground under the uncertainty of the camera."""
    x, y = np.meshgrid((-0.8, -0.3, 0.3, 0.8), (-0.45, -0.2, 0.1, 0.4))
    focal = np.exp(fit.state.log_focal[0])
    rays = np.stack([x.ravel(), y.ravel(), np.full(x.size, focal / seen.half_width)])
    world = fit.state.R[0].T @ rays
    position = fit.state.position_m[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        ground = position[:2, None] - position[2] / world[2] * world[:2]
    inside = (world[2] > 0) & (
        np.abs(ground) < np.array([[LENGTH_M / 2 + 5], [WIDTH_M / 2 + 5]])
    ).all(axis=0)
    if not inside.any():
        return float("nan")
    points = np.zeros((1, 3, int(inside.sum())))
    points[0, :2] = ground[:, inside]
    count = points.shape[2]
    probe = replace(
        seen,
        anchors_m=points,
        directions=np.zeros((1, 3, 0)),
        centres_x_m=np.zeros((1, 0)),
        pixels=np.zeros((1, 2, count)),
        weights=np.ones((1, count)),
    )
    jac = evaluate(replace(fit.state, kappa=np.zeros((1, 0))), probe)[2][0]
    # Given the distortion: it moves the image border and says little about the ground.
    weak = fit.data_information[0, :7, :7] + fit.prior_information[0, :7, :7] / 9
    try:
        covariance = np.linalg.inv(weak)
    except np.linalg.LinAlgError:  # nothing holds the camera
        return float("inf")
    return float(np.sqrt(max(((covariance @ jac) * jac).sum() / count, 0.0)))
