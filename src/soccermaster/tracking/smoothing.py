"""Places of a track over time: smoothed, and filled in where it was not seen for a moment."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import solveh_banded

from soccermaster.tracking.tracklets import known_rows, rows_of_tracks

_ROUNDS = 3
#: Residuals beyond so many standard deviations lose weight (Huber).
_HUBER = 2.0


def smooth_curve(
    frames: Int[np.ndarray, " n"],
    values: Float[np.ndarray, "n d"],
    at: Int[np.ndarray, " m"],
    noise: float,
    acceleration: float,
) -> Float[np.ndarray, "m d"]:
    """A smooth curve through noisy values, at some frames between the first and the last.

    The most likely curve when each value has a normal error of `noise` and each second difference
    from frame to frame one of `acceleration`; gross errors lose weight (Huber).

    Args:
        frames: of the values, ascending, each once.
        values: to smooth.
        at: frames at which the curve is wanted, within the range of `frames`.
        noise: standard deviation of a value.
        acceleration: standard deviation of a second difference, in units of the values per frame^2.

    Source: Whittaker, 1922; Huber, 1964.
    """
    first, size = int(frames[0]), int(frames[-1] - frames[0]) + 1
    place = frames - first
    if size < 3:
        return np.stack(
            [np.interp(at, frames, values[:, d]) for d in range(values.shape[1])], axis=1
        )
    weight = np.ones(len(frames))
    curve = np.zeros((size, values.shape[1]))
    for _ in range(_ROUNDS):
        bands = _roughness(size) * (noise / acceleration) ** 2
        bands[2] += np.bincount(place, weights=weight, minlength=size)
        # A long hole leaves the matrix nearly singular in single places.
        bands[2] += 1e-9
        target = np.zeros_like(curve)
        np.add.at(target, place, weight[:, None] * values)
        curve = solveh_banded(bands, target)
        residual = np.linalg.norm(curve[place] - values, axis=1) / (noise * np.sqrt(2))
        weight = np.minimum(1.0, _HUBER / np.maximum(residual, 1e-9))
    return curve[np.asarray(at) - first]


def smooth_positions(
    frame: Int[np.ndarray, " M"],
    track_id: Int[np.ndarray, " M"],
    positions_m: Float[np.ndarray, "M 2"],
    fps: float = 25.0,
    noise_m: float = 0.4,
    acceleration_m_s2: float = 3.0,
    max_gap_frames: int = 25,
) -> Float[np.ndarray, "M 2"]:
    """The places of every track on a smooth curve; unknown places stay unknown.

    Args:
        frame: of each row.
        track_id: of each row; rows of -1 are left alone.
        positions_m: see `tracklets`.
        fps: frames per second.
        noise_m: of a place, per axis.
        acceleration_m_s2: how hard people change their velocity.
        max_gap_frames: a curve does not reach over longer holes.
    """
    smoothed = np.array(positions_m, np.float64)
    frame = np.asarray(frame)
    for rows in rows_of_tracks(track_id, frame).values():
        rows = rows[known_rows(smoothed[rows])]
        rows = rows[np.unique(frame[rows], return_index=True)[1]]
        holes = np.flatnonzero(np.diff(frame[rows]) > max_gap_frames) + 1
        for run in np.split(rows, holes):
            if len(run) > 2:
                smoothed[run] = smooth_curve(
                    frame[run], smoothed[run], frame[run], noise_m, acceleration_m_s2 / fps**2
                )
    return smoothed


def short_gaps(
    frame: Int[np.ndarray, " M"], track_id: Int[np.ndarray, " M"], max_gap_frames: int
) -> list[tuple[int, int]]:
    """Pairs of rows (before, after) of one track with 1..`max_gap_frames` frames between them."""
    frame = np.asarray(frame)
    gaps = []
    for rows in rows_of_tracks(track_id, frame).values():
        steps = np.diff(frame[rows])
        for at in np.flatnonzero((steps > 1) & (steps <= max_gap_frames + 1)).tolist():
            gaps.append((int(rows[at]), int(rows[at + 1])))
    return gaps


def crossable_gaps(
    frame: Int[np.ndarray, " M"],
    track_id: Int[np.ndarray, " M"],
    positions_m: Float[np.ndarray, "M 2"],
    max_gap_frames: int,
    fps: float = 25.0,
    max_speed_m_s: float = 12.0,
    slack_m: float = 2.0,
) -> list[tuple[int, int]]:
    """The `short_gaps` that a runner can cross: at most `slack_m + max_speed_m_s * time`.

    A gap with an unknown place at one end counts as crossable.
    """
    frame, positions_m = np.asarray(frame), np.asarray(positions_m, np.float64)
    gaps = []
    for before, after in short_gaps(frame, track_id, max_gap_frames):
        way_m = np.linalg.norm(positions_m[after] - positions_m[before])
        if not way_m > slack_m + max_speed_m_s * (frame[after] - frame[before]) / fps:
            gaps.append((before, after))
    return gaps


def _roughness(size: int) -> Float[np.ndarray, "3 size"]:
    """The upper bands of D^T D, D being the second differences, as `solveh_banded` takes them."""
    bands = np.zeros((3, size))
    diagonal = np.full(size, 6.0)
    diagonal[[0, -1]], diagonal[[1, -2]] = 1.0, 5.0
    off = np.full(size, -4.0)
    off[[1, -1]] = -2.0
    if size == 3:
        diagonal[1], off[1:] = 4.0, -2.0
    bands[2], bands[1], bands[0] = diagonal, off, 1.0
    return bands
