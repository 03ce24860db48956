"""Where everybody is at any time: a script as closed functions of time.

There is no simulation with a state: positions at any times come from the script in one vectorised
evaluation, so a clip of two frames costs two frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from soccermaster.data.synthetic.people import GOALKEEPER, OTHER, PLAYER, REFEREE
from soccermaster.data.synthetic.scene import POSES, Recording, Script, Walk

BALL_RADIUS_M = 0.11
_RAMP_MPS = 3.5


@dataclass(frozen=True)
class Motion:
    """Everything that moves, at T times; P people as in the script."""

    times_s: Float[np.ndarray, " T"]
    positions_m: Float[np.ndarray, "T P 2"]
    headings_rad: Float[np.ndarray, "T P"]  # 0 faces +x, pi / 2 faces the main camera
    speeds_mps: Float[np.ndarray, "T P"]
    stride_rad: Float[np.ndarray, "T P"]  # phase of the gait
    fallen: Float[np.ndarray, "T P"]  # 0 upright .. 1 lies on the ground
    gestures: Int[np.ndarray, "T P"]  # index in scene.POSES
    ball_m: Float[np.ndarray, "T 3"]  # centre; z is negative above the ground
    ball_velocity_mps: Float[np.ndarray, "T 3"]


def move(script: Script, times_s: Float[np.ndarray, " T"], seed: int) -> Motion:
    """Evaluate a script.

    Args:
        script: who and what.
        times_s: any times of the script, in any order.
        seed: of the small motions that nobody wrote down; the same seed continues a stretch.
    """
    times_s = np.asarray(times_s, np.float64)
    step_s = 0.12
    around_s = np.concatenate([times_s - step_s, times_s, times_s + step_s])
    before, positions_m, after = np.split(_positions(script, around_s, seed), 3)
    velocity = (after - before) / (2 * step_s)
    speeds = np.linalg.norm(velocity, axis=-1)
    ball_m = ball_positions(script, times_s)
    watched_m = ball_m[:, :2].copy()
    for start_s, end_s, x_m, y_m in script.watched:
        watched_m[(times_s >= start_s) & (times_s < end_s)] = (x_m, y_m)
    gaze = watched_m[:, None] - positions_m
    gaze /= np.linalg.norm(gaze, axis=-1, keepdims=True) + 0.5
    facing = velocity + 0.8 * gaze
    rng = np.random.default_rng([seed, 2])
    cadence_hz, phase = rng.uniform(1.25, 1.55, len(script.people)), rng.uniform(0, 2 * np.pi)
    fallen, gestures = _poses(script, times_s, speeds.shape)
    exposure_s = 0.01
    ball_later_m = ball_positions(script, times_s + exposure_s)
    return Motion(
        times_s=times_s,
        positions_m=positions_m,
        headings_rad=np.arctan2(facing[..., 1], facing[..., 0]),
        speeds_mps=speeds,
        stride_rad=2 * np.pi * cadence_hz * times_s[:, None] + phase,
        fallen=fallen,
        gestures=gestures,
        ball_m=ball_m,
        ball_velocity_mps=(ball_later_m - ball_m) / exposure_s,
    )


def ball_positions(script: Script, times_s: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n 3"]:
    """The centre of the ball; it slows down on its way and rests before and after the script."""
    if script.recording is not None:
        return _recorded_ball(script.recording, times_s)
    keys = np.array([(k.time_s, k.x_m, k.y_m, k.height_m, k.arc_m) for k in script.ball])
    if len(keys) == 1:
        keys = np.concatenate([keys, (*keys, 1.0, 0, 0, 0, 0)])
    i = np.clip(np.searchsorted(keys[:, 0], times_s, side="right") - 1, 0, len(keys) - 2)
    start, end = keys[i], keys[i + 1]
    u = np.clip((times_s - start[..., 0]) / (end[..., 0] - start[..., 0]), 0.0, 1.0)
    eased = (1 - (1 - u) ** 1.4)[..., None]
    xy = start[..., 1:3] + (end[..., 1:3] - start[..., 1:3]) * eased
    height = start[..., 3] + (end[..., 3] - start[..., 3]) * u + 4 * end[..., 4] * u * (1 - u)
    return np.concatenate([xy, -(height + BALL_RADIUS_M)[..., None]], axis=-1)


def _recorded_ball(recording: Recording, times_s: np.ndarray) -> np.ndarray:
    x, y, height = (
        np.interp(times_s, recording.times_s, values)
        for values in (*recording.ball_m.T, recording.ball_height_m)
    )
    return np.stack([x, y, -(height + BALL_RADIUS_M)], axis=-1)


def formation(script: Script, ball_xy_m: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n P 2"]:
    """Where everybody belongs while the ball is at a place."""
    role, forward, spot = script.traits()
    ball_x, ball_y = ball_xy_m[..., 0, None], ball_xy_m[..., 1, None]
    x = np.clip(forward * (spot[:, 0] * 40 - 38) + 0.6 * ball_x, -47.0, 47.0)
    y = spot[:, 1] * 24 + 0.28 * ball_y
    keeper = role == GOALKEEPER
    from_own_goal = np.clip((forward * ball_x + 52.5) / 105, 0, 1)
    x = np.where(keeper, -forward * (50.5 - 12 * from_own_goal**2), x)
    y = np.where(keeper, np.clip(0.1 * ball_y, -2.5, 2.5), y)
    for order, i in enumerate(np.nonzero(role == REFEREE)[0]):
        if np.isfinite(spot[i]).all():
            x[..., i], y[..., i] = spot[i]
        elif order == 0:
            x[..., i], y[..., i] = 0.8 * ball_x[..., 0] - 3, 0.6 * ball_y[..., 0] + 7
        else:  # assistants watch one half each, from the far and from the near touchline
            side = 1 if order == 1 else -1
            line = side * np.clip(0.8 * side * ball_x[..., 0] + 9, 4, 50)
            x[..., i], y[..., i] = line, np.full_like(line, -35.0 * side * script.diagonal)
    other = role == OTHER
    x, y = np.where(other, spot[:, 0], x), np.where(other, spot[:, 1], y)
    return np.stack([x, y], axis=-1)


def _positions(script: Script, times_s: np.ndarray, seed: int) -> np.ndarray:
    lags_s = np.array([-5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 0.6])
    ball = ball_positions(script, times_s[:, None] + lags_s)[..., :2]  # (T, lags, 2)
    positions = formation(script, ball.mean(axis=1)) + _sway(script, times_s, seed)
    if script.recording is not None:
        recording = script.recording
        for place in range(recording.positions_m.shape[1]):
            for axis in range(2):
                positions[:, place, axis] = np.interp(
                    times_s, recording.times_s, recording.positions_m[:, place, axis]
                )
        return positions
    positions += _press(script, times_s, positions, ball[:, 3:6].mean(axis=1))
    for walk in script.walks:
        positions[:, walk.person] = _follow(walk, times_s, positions[:, walk.person])
    return positions + _keep_apart(positions)


def _poses(
    script: Script, times_s: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """How far everybody has fallen, and his gesture; later ones win."""
    fallen, gestures = np.zeros(shape), np.zeros(shape, np.int64)
    for pose in script.poses:
        if pose.kind == "lie":  # falling takes half a second, getting up longer
            down = np.clip((times_s - pose.start_s) / 0.5, 0, 1)
            up = np.clip((pose.end_s - times_s) / 0.9, 0, 1)
            amount = _smooth(np.minimum(down, up))
            fallen[:, pose.person] = np.maximum(fallen[:, pose.person], amount)
        else:
            active = (times_s >= pose.start_s) & (times_s < pose.end_s)
            gestures[active, pose.person] = POSES.index(pose.kind)
    return fallen, gestures


def _sway(script: Script, times_s: np.ndarray, seed: int) -> np.ndarray:
    """Slow wandering about the formation: two waves per person and axis."""
    rng = np.random.default_rng([seed, 1])
    shape = (2, len(script.people), 2)
    size = np.array([1.0 if p.role == PLAYER else 0.25 for p in script.people])
    size = np.where([p.role == OTHER for p in script.people], 0.02, size)
    period_s, phase = rng.uniform(6, 16, shape), rng.uniform(0, 2 * np.pi, shape)
    amplitude_m = rng.uniform(0.4, 1.7, shape) * size[:, None]
    waves = amplitude_m * np.sin(2 * np.pi * times_s[:, None, None, None] / period_s + phase)
    return waves.sum(axis=1)


def _press(
    script: Script, times_s: np.ndarray, positions: np.ndarray, ball: np.ndarray
) -> np.ndarray:
    """Players near the ball move toward it while the ball is in play."""
    players = np.array([p.role == PLAYER for p in script.people])
    to_ball = ball[:, None] - positions
    distance = np.linalg.norm(to_ball, axis=-1)
    pull = 0.45 * np.exp(-((distance / 11.0) ** 2)) * players
    for start_s, end_s in script.stops:
        stopped = np.clip(np.minimum(times_s - start_s, end_s - times_s) + 0.5, 0, 1)
        pull *= (1 - stopped)[:, None]
    return pull[..., None] * to_ball


def _follow(walk: Walk, times_s: np.ndarray, free: np.ndarray) -> np.ndarray:
    keys = walk.keys
    way = np.stack([_ease(times_s, keys[:, 0], keys[:, c]) for c in (1, 2)], axis=-1)
    # Far ways take longer, so that nobody runs faster than a sprinter.
    ramp_s = np.maximum(walk.ramp_s, np.hypot(*(way - free).T) / _RAMP_MPS)
    into = np.clip((times_s - keys[0, 0]) / ramp_s + 1, 0, 1)
    out = 1.0 if walk.stay else np.clip((keys[-1, 0] - times_s) / ramp_s + 1, 0, 1)
    weight = _smooth(np.minimum(into, out))[:, None]
    return free + weight * (way - free)


def _ease(times_s: np.ndarray, key_times_s: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Between keys: half linear, half smooth, constant outside."""
    if len(key_times_s) == 1:
        return np.full(times_s.shape, values[0])
    i = np.clip(np.searchsorted(key_times_s, times_s, side="right") - 1, 0, len(key_times_s) - 2)
    u = np.clip((times_s - key_times_s[i]) / (key_times_s[i + 1] - key_times_s[i]), 0, 1)
    u = 0.5 * u + 0.5 * _smooth(u)
    return values[i] + (values[i + 1] - values[i]) * u


def _smooth(u: np.ndarray) -> np.ndarray:
    return u * u * (3 - 2 * u)


def _keep_apart(positions: np.ndarray, distance_m: float = 0.9) -> np.ndarray:
    """A push that keeps bodies from standing in one place."""
    offset = positions[:, :, None] - positions[:, None]  # (T, P, P, 2), from the other to oneself
    distance = np.linalg.norm(offset, axis=-1)
    push = np.clip(distance_m - distance, 0, None) * 0.5 / (distance + 1e-3)
    return (push[..., None] * offset).sum(axis=2)
