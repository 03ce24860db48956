"""One camera over a clip: a shared position, and pan, tilt, roll and zoom that change smoothly.

Frames are solved one by one first; then everything is fitted together, with accelerations (second
differences) of the angles and of the log focal length normally distributed around zero. How large
they are is read from the clip itself, by the evidence of the smoothed sequence, so a slow pan is
smoothed over many frames and a whip pan hardly at all. A frame without detections gets its camera
from its neighbours.

The clip must be one shot of one camera that does not travel.

Sources: Whittaker, 1922 (smoothing by second differences); MacKay, 1992 (evidence); Hartley and
Zisserman, appendix 6 (sparse normal equations).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from scipy.linalg import cholesky_banded, solveh_banded
from scipy.ndimage import median_filter

from soccermaster.geometry.calibration.observations import Frame, gather_frames
from soccermaster.geometry.calibration.optimise import NOISE_OF_WIDTH, trust
from soccermaster.geometry.calibration.prior import CameraPrior
from soccermaster.geometry.calibration.residuals import Observations, State, evaluate
from soccermaster.geometry.calibration.solver import (
    MAX_EXPECTED_ERROR,
    Calibration,
    camera_from_state,
    describe,
    solve,
)
from soccermaster.geometry.camera import Camera
from soccermaster.geometry.rotation import rotation_from_pan_tilt_roll

#: Standard deviations of accelerations that are tried (rad or log focal length per frame^2).
_ACCELERATIONS = np.geomspace(1e-7, 3e-3, 16)
_FIRST_ACCELERATION = 1e-3
#: Scales of the loss in the first steps, fractions of the image width.
_SCALES = (0.01, 0.007, 0.005, 0.004)
_STEPS = 12
#: A camera that is this far from the median of its neighbours was solved wrongly (rad, log focal).
_MEDIAN_FRAMES = 9
_LARGEST_JUMP = np.array([0.1, 0.05, 0.05, 0.3])
#: A frame whose own observations mostly contradict the clip shows something else.
_LEAST_SHARE, _LEAST_OBSERVATIONS = 0.5, 4


@dataclass(frozen=True, eq=False)
class ClipCalibration:
    """Cameras of T frames; also a sequence of one `Calibration` per frame.

    Attributes:
        frames: the smoothed camera of each frame, with the points that agree with it. The camera is
            None where `valid` is False.
        valid: whether the camera of the frame should be believed.
        observed: whether the frame had observations that agree with its camera; a valid frame that
            is not observed was filled in from its neighbours.
        position_m: where the camera stands; None if no frame could be solved.
        independent: what `calibrate` says of each frame alone.
    """

    frames: tuple[Calibration, ...]
    valid: Bool[np.ndarray, " T"]
    observed: Bool[np.ndarray, " T"]
    position_m: Float[np.ndarray, " 3"] | None
    independent: tuple[Calibration, ...]

    @property
    def cameras(self) -> tuple[Camera | None, ...]:
        """The camera of each frame, None where it is not valid."""
        return tuple(frame.camera for frame in self.frames)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Calibration:
        return self.frames[index]

    def __iter__(self) -> Iterator[Calibration]:
        return iter(self.frames)


def calibrate_clip(
    points_px: Sequence[Mapping[int, tuple[float, float]]],
    lines_px: Sequence[Mapping[int, tuple[tuple[float, float], tuple[float, float]]] | None]
    | None = None,
    image_size: tuple[int, int] | None = None,
    *,
    polylines_px: Sequence[Mapping[str, ArrayLike] | None] | None = None,
    point_scores: Sequence[Mapping[int, float] | None] | None = None,
    line_scores: Sequence[Mapping[int, float] | None] | None = None,
    template: str = "table",
) -> ClipCalibration:
    """The cameras of consecutive frames of one shot.

    Args:
        points_px: per frame as in `calibrate`; empty for a frame without detections.
        lines_px: per frame.
        image_size: (W, H) in pixels.
        polylines_px: per frame.
        point_scores: per frame.
        line_scores: per frame.
        template: as in `calibrate`.

    Raises:
        ValueError: no frames, or lists of different lengths; and as in `calibrate`.
        KeyError: as in `calibrate`.
    """
    frames = gather_frames(
        points_px, lines_px, image_size, polylines_px, point_scores, line_scores, template
    )
    if not frames:
        raise ValueError("expected at least one frame, got none")
    alone = tuple(solve(frame) for frame in frames)
    solved = np.array([result.camera is not None for result in alone])
    none = np.zeros(len(frames), dtype=bool)
    if not solved.any():
        return ClipCalibration(alone, none, none, None, alone)
    position_m = _middle_position([result for result in alone if result.camera is not None])
    angles = _first_angles(alone, position_m, image_size)
    return _fit_together(frames, alone, position_m, angles)


def stack(frames: Sequence[Frame]) -> Observations:
    """The observations of all frames, padded with weight 0."""
    all_seen = [frame.seen for frame in frames]
    n = max(seen.num_points for seen in all_seen)
    m = max(seen.num_lines for seen in all_seen)
    k = max(seen.num_circles for seen in all_seen)
    num = len(frames)
    anchors, directions = np.zeros((num, 3, n + m)), np.zeros((num, 3, m))
    directions[:, 0] = 1.0
    centres, pixels = np.zeros((num, k)), np.zeros((num, 2, n + m + k))
    weights = np.zeros((num, n + m + k))
    for t, seen in enumerate(all_seen):
        own_n, own_m, own_k = seen.num_points, seen.num_lines, seen.num_circles
        slots = np.r_[:own_n, n : n + own_m, n + m : n + m + own_k]
        anchors[t][:, slots[: own_n + own_m]] = seen.anchors_m[0]
        directions[t][:, :own_m] = seen.directions[0]
        centres[t, :own_k] = seen.centres_x_m[0]
        pixels[t][:, slots] = seen.pixels[0]
        weights[t, slots] = seen.weights[0]
    first = all_seen[0]
    return Observations(
        anchors, directions, centres, first.radius_m, pixels, weights, first.half_width
    )


def _middle_position(solved: list[Calibration]) -> Float[np.ndarray, " 3"]:
    """Mean position by information, of the frames near the median."""
    positions = np.stack([result.camera.position_m for result in solved])
    information = np.linalg.inv(np.stack([result.covariance[3:6, 3:6] for result in solved]))
    offset = positions - np.median(positions, axis=0)
    away = np.linalg.norm(offset, axis=1)
    near = away <= 3 * np.median(away) + 1e-6
    total = information[near].sum(axis=0)
    return np.linalg.solve(total, (information[near] @ positions[near, :, None]).sum(axis=0))[:, 0]


def _first_angles(
    alone: Sequence[Calibration], position_m: np.ndarray, image_size: tuple[int, int]
) -> Float[np.ndarray, "T 4"]:
    """Pan, tilt, roll (rad) and log focal length, as if each camera stood at the position."""
    values = np.full((len(alone), 4), np.nan)
    middle = np.array([image_size], np.float64) / 2
    for t, result in enumerate(alone):
        if result.camera is None:
            continue
        camera = result.camera
        target = np.append(camera.unproject_to_ground(middle)[0], 0.0)
        angles = np.radians(camera.pan_tilt_roll())
        log_focal = np.log(camera.K[0, 0])
        if np.isfinite(target).all():
            ahead, before = target - position_m, target - camera.position_m
            angles[0] = np.arctan2(ahead[0], -ahead[1])
            angles[1] = np.arctan2(np.hypot(ahead[0], ahead[1]), ahead[2])
            log_focal += np.log(np.linalg.norm(ahead) / np.linalg.norm(before))
        values[t] = (*angles, log_focal)
    times = np.flatnonzero(np.isfinite(values[:, 0]))
    values[times, 0] = np.unwrap(values[times, 0])
    usual = median_filter(values[times], size=(_MEDIAN_FRAMES, 1), mode="nearest")
    sane = (np.abs(values[times] - usual) < _LARGEST_JUMP).all(axis=1)
    times = times[sane] if sane.any() else times
    for column in values.T:
        column[:] = np.interp(np.arange(len(alone)), times, column[times])
    return values


def _fit_together(
    frames: list[Frame],
    alone: tuple[Calibration, ...],
    position_m: np.ndarray,
    angles: np.ndarray,
) -> ClipCalibration:
    seen = stack(frames)
    num, width = len(frames), 2 * seen.half_width
    prior = CameraPrior()
    noise2 = (NOISE_OF_WIDTH * width) ** 2
    accelerations = np.full(4, _FIRST_ACCELERATION)
    for step in range(_STEPS):
        state = _state(angles, position_m)
        residuals, distance2, jac = evaluate(state, seen)
        if step < len(_SCALES):
            scale2 = (_SCALES[step] * width) ** 2
            weights = seen.weights * (scale2 / (scale2 + distance2)) ** 2
        else:
            weights = seen.weights * trust(distance2 / noise2)
            rows = weights.sum() + weights[:, : seen.num_points].sum()
            noise2 = (weights * distance2).sum() / max(rows - 4 * num, 0.2 * rows, 1.0)
            noise2 = max(noise2, (0.1 * NOISE_OF_WIDTH * width) ** 2)
        turn = _by_angles(angles)
        moved = np.concatenate(
            [
                np.swapaxes(turn, 1, 2) @ jac[:, :3],
                jac[:, 6:7],
                np.swapaxes(state.R, 1, 2) @ jac[:, 3:6],
            ],
            axis=1,
        )  # by angles, log focal length and the position in the world: (T, 7, rows)
        weighted = moved * seen.rows(weights)[:, None]
        normal = weighted @ np.swapaxes(moved, 1, 2) / noise2
        gradient = (weighted @ residuals[:, :, None])[:, :, 0] / noise2
        if step == len(_SCALES):
            accelerations = _accelerations(angles, normal[:, :4, :4])
        step_angles, step_position, _ = _solve_arrow(
            normal, gradient, angles, accelerations, position_m, prior
        )
        angles = angles + step_angles
        position_m = position_m + step_position
    state = _state(angles, position_m)
    _, distance2, _ = evaluate(state, seen, jacobian=False)
    good = trust(distance2 / noise2) > 0.5
    spread = _spread(normal[:, :4, :4], accelerations)
    pitch_px = _lever(state, width)  # how far the ground moves per unit of each column
    expected_px = np.sqrt(((spread * pitch_px) ** 2).sum(axis=1))
    slots = (seen.num_points, seen.num_lines)
    results, valid, observed = [], np.zeros(num, bool), np.zeros(num, bool)
    for t, frame in enumerate(frames):
        own = frame.seen
        used = np.r_[
            : own.num_points,
            slots[0] : slots[0] + own.num_lines,
            sum(slots) : sum(slots) + own.num_circles,
        ]
        weights = own.weights[0]
        inliers = good[t, used] & (weights > 0)
        share = weights[inliers].sum() / weights.sum() if weights.sum() > 0 else 1.0
        reason = None
        if share < _LEAST_SHARE and (weights > 0).sum() >= _LEAST_OBSERVATIONS:
            reason = "the observations contradict the camera of the clip"
        elif not expected_px[t] < MAX_EXPECTED_ERROR * width:
            reason = f"too far from observed frames: points may be off by {expected_px[t]:.0f} px"
        valid[t] = reason is None
        observed[t] = valid[t] and inliers.any()
        distance_px = np.sqrt(distance2[t, used])
        results.append(
            Calibration(None, reason)
            if reason is not None
            else describe(
                frame,
                camera_from_state(state, t, frame.image_size),
                inliers,
                distance_px,
                expected_px=float(expected_px[t]),
                noise_px=float(np.sqrt(noise2)),
                covariance=None,
            )
        )
    return ClipCalibration(tuple(results), valid, observed, position_m, alone)


def _lever(state: State, width: float) -> Float[np.ndarray, "T 4"]:
    """Pixels that the image moves per radian of pan, tilt and roll, and per log focal length."""
    focal = np.exp(state.log_focal)
    sine = np.sqrt(1 - np.clip(state.R[:, 2, 2], -1, 1) ** 2)  # pan turns about the vertical
    quarter = np.full(len(state), width / 4)
    return np.stack([focal * sine, focal, quarter, quarter], axis=1)


def _state(angles: np.ndarray, position_m: np.ndarray) -> State:
    R = rotation_from_pan_tilt_roll(*np.degrees(angles[:, :3]).T)
    num = len(angles)
    return State(R, np.tile(position_m, (num, 1)), angles[:, 3], np.zeros((num, 0)))


def _by_angles(angles: np.ndarray) -> Float[np.ndarray, "T 3 3"]:
    """Rotation vectors in camera axes (rows) by pan, tilt and roll (columns)."""
    R = rotation_from_pan_tilt_roll(*np.degrees(angles[:, :3]).T)
    out = np.zeros((len(angles), 3, 3))
    out[:, :, 0] = -R[:, :, 2]
    out[:, 0, 1], out[:, 1, 1] = -np.cos(angles[:, 2]), np.sin(angles[:, 2])
    out[:, 2, 2] = -1.0
    return out


def _solve_arrow(
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


def _accelerations(
    angles: Float[np.ndarray, "T 4"], information: Float[np.ndarray, "T 4 4"]
) -> Float[np.ndarray, " 4"]:
    """For each column the standard deviation of accelerations with the largest evidence."""
    num = len(angles)
    if num < 5:
        return np.full(4, _FIRST_ACCELERATION)
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


def _spread(
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
