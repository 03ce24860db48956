"""One camera over a clip: a shared position, and pan, tilt, roll and zoom that change smoothly.

Frames are solved one by one first; then everything is fitted together, with accelerations (second
differences) of the angles and of the log focal length normally distributed around zero. How large
they are is read from the clip itself, by the evidence of the smoothed sequence, so a slow pan is
smoothed over many frames and a whip pan hardly at all. A frame without detections gets its camera
from its neighbours.

The clip must be one shot of one camera that does not travel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from scipy.ndimage import median_filter

from soccermaster.geometry.calibration.conclusion import (
    MAX_EXPECTED_ERROR,
    Calibration,
    camera_from_state,
    describe,
)
from soccermaster.geometry.calibration.observations import Frame, gather_frames
from soccermaster.geometry.calibration.optimise import NOISE_OF_WIDTH, trust
from soccermaster.geometry.calibration.prior import CameraPrior
from soccermaster.geometry.calibration.residuals import Observations, State, evaluate
from soccermaster.geometry.calibration.smoothing import (
    FIRST_ACCELERATION,
    best_accelerations,
    solve_together,
    spread_of_angles,
)
from soccermaster.geometry.calibration.solver import solve
from soccermaster.geometry.camera import Camera
from soccermaster.geometry.rotation import rotation_from_pan_tilt_roll

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
    """The cameras of consecutive frames of one shot; a single frame is as in `calibrate`.

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
    if len(frames) == 1:  # nothing to share
        return ClipCalibration(alone, solved, solved, alone[0].camera.position_m, alone)
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
    accelerations = np.full(4, FIRST_ACCELERATION)
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
            accelerations = best_accelerations(angles, normal[:, :4, :4])
        step_angles, step_position, _ = solve_together(
            normal, gradient, angles, accelerations, position_m, prior
        )
        angles = angles + step_angles
        position_m = position_m + step_position
    state = _state(angles, position_m)
    _, distance2, _ = evaluate(state, seen, jacobian=False)
    good = trust(distance2 / noise2) > 0.5
    spread = spread_of_angles(normal[:, :4, :4], accelerations)
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
