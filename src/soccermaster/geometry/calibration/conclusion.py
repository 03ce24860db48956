"""What to believe of a fit: the camera with its errors and inliers, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float

from soccermaster.geometry.calibration.observations import Frame
from soccermaster.geometry.calibration.optimise import Fit
from soccermaster.geometry.calibration.prior import CameraPrior
from soccermaster.geometry.calibration.residuals import (
    SATURATION,
    Observations,
    State,
    evaluate,
)
from soccermaster.geometry.camera import Camera
from soccermaster.geometry.pitch import LENGTH_M, WIDTH_M

#: A camera has 7 unknowns; one equation more is the least that can contradict it.
MIN_EQUATIONS = 8
MIN_INLIERS = 0.5  # of the weight of the observations
MAX_NOISE = 0.008  # of the image width
MAX_EXPECTED_ERROR = 0.025  # of the width
_UNSEEN_SHARE = 0.5  # confidence in frames without observations, in the place of their share
_WEAK_EQUATIONS = 14  # fewer than these need a camera that the prior finds plausible ...
PLAUSIBLE_DISTANCE2 = 20.0  # ... within this squared distance (4 degrees of freedom)
_CONFIDENT_ERROR = 0.005  # of the width


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


def conclude(frame: Frame, seen_as: Frame, fit: Fit, prior: CameraPrior) -> Calibration:
    """The camera with what is known about it, unless it should not be believed.

    Args:
        frame: what was observed.
        seen_as: the same as it was fitted, see `with_line_ends`.
        fit: to `seen_as`.
        prior: of the fit.
    """
    seen = frame.seen
    width = 2 * seen.half_width
    weights = seen.weights[0]
    kept = seen_as.per_observation(fit.weights[0])
    inliers = (kept > 0.5 * weights) & (weights > 0)
    distance_px = np.sqrt(seen_as.per_observation(fit.distance2[0]))
    share = float(weights[inliers].sum() / weights.sum())
    equations = count_equations(frame, inliers)
    noise_px = float(fit.noise_px[0])
    away2 = float(prior.distance2(fit.state)[0])
    reason = None
    if equations < MIN_EQUATIONS or share < MIN_INLIERS:
        reason = f"only {inliers.sum()} of {(weights > 0).sum()} observations agree with a camera"
    elif noise_px > MAX_NOISE * width:
        reason = f"observations contradict each other by {noise_px:.1f} px"
    elif fit.state.position_m[0, 2] > -1.0:
        reason = "the only camera that fits is under the ground"
    elif equations < _WEAK_EQUATIONS and away2 > PLAUSIBLE_DISTANCE2:
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
    # a frame in which nothing was seen has its camera from others
    share = float(seen.weights[0, inliers].sum() / total) if total > 0 else _UNSEEN_SHARE
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


def count_equations(frame: Frame, use: Bool[np.ndarray, " o"]) -> int:
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
