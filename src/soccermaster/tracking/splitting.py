"""Tracks of more than one person, which are split, and of nobody: off the pitch, or short."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int

from soccermaster.tracking.tracklets import known_rows, rows_of_tracks


def split_gaps(
    frame: Int[np.ndarray, " M"], track_id: Int[np.ndarray, " M"], max_gap_frames: int
) -> Int[np.ndarray, " M"]:
    """A track that is unseen for more than `max_gap_frames` frames is another one afterwards."""

    def cuts(rows: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n-1"]:
        return np.diff(np.asarray(frame)[rows]) > max_gap_frames + 1

    return _split(frame, track_id, cuts)


def split_jumps(
    frame: Int[np.ndarray, " M"],
    track_id: Int[np.ndarray, " M"],
    positions_m: Float[np.ndarray, "M 2"],
    fps: float = 25.0,
    max_speed_m_s: float = 12.0,
    slack_m: float = 4.0,
) -> Int[np.ndarray, " M"]:
    """A track that moves farther than a runner can is another one afterwards.

    Between two rows with known places the limit is `slack_m + max_speed_m_s * time`. One row that
    is far from both its neighbours, which are near each other, is an outlier and splits nothing.
    """
    frame = np.asarray(frame)

    def cuts(rows: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n-1"]:
        cut = np.zeros(len(rows) - 1, bool)
        last: int | None = None  # row of the current piece
        suspect: int | None = None  # row that is out of reach

        def reachable(a: int, b: int) -> bool:
            time_s = (frame[rows[b]] - frame[rows[a]]) / fps
            way_m = np.linalg.norm(positions_m[rows[b]] - positions_m[rows[a]])
            return bool(way_m <= slack_m + max_speed_m_s * time_s)

        for place in np.flatnonzero(known_rows(positions_m[rows])).tolist():
            if last is None or reachable(last, place):
                last, suspect = place, None
            elif suspect is not None and reachable(suspect, place):
                cut[suspect - 1] = True  # two rows agree on the new place
                last, suspect = place, None
            else:
                suspect = place
        return cut

    return _split(frame, track_id, cuts)


def split_appearance(
    frame: Int[np.ndarray, " M"],
    track_id: Int[np.ndarray, " M"],
    embeddings: Float[np.ndarray, "M D"],
    window: int = 25,
    max_distance: float = 0.3,
) -> Int[np.ndarray, " M"]:
    """A track whose appearance changes for good is another one afterwards.

    At every row the mean embedding of the `window` rows before is compared with that of the
    `window` rows from there on; where their cosine distance is above `max_distance` and largest
    within a window, the track is cut. Ends shorter than a window are not cut off.
    """

    def cuts(rows: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n-1"]:
        cut = np.zeros(len(rows) - 1, bool)
        places = np.arange(window, len(rows) - window + 1)
        if len(places) == 0:
            return cut
        known = known_rows(embeddings[rows])
        values = np.where(known[:, None], embeddings[rows].astype(np.float64), 0.0)
        sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
        before = sums[places] - sums[places - window]
        after = sums[places + window] - sums[places]
        distances = np.full(len(rows) + 1, -np.inf)
        with np.errstate(invalid="ignore", divide="ignore"):
            norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
            distances[places] = 1 - np.sum(before * after, axis=1) / norms
        distances[~np.isfinite(distances)] = -np.inf
        while True:
            at = int(np.argmax(distances))
            if not distances[at] > max_distance:
                return cut
            cut[at - 1] = True
            distances[max(0, at - window) : at + window + 1] = -np.inf

    return _split(frame, track_id, cuts)


def split_duplicates(
    frame: Int[np.ndarray, " M"], track_id: Int[np.ndarray, " M"]
) -> Int[np.ndarray, " M"]:
    """Of rows of one track in one frame the later ones (in the table) get fresh ids.

    Rows that are the second of their frame form one new track, those that are the third another.
    """
    return _renumber_duplicates(frame, track_id, lambda ids, old: int(ids.max()) + 1)


def offset_duplicates(
    frame: Int[np.ndarray, " M"], track_id: Int[np.ndarray, " M"], offset: int = 100
) -> Int[np.ndarray, " M"]:
    """The official rule: of rows of one track in one frame the later get their id + 100.

    Repeated until the id is free in all those frames.

    Source: the released pipeline, refinement.
    """

    def free_id(ids: Int[np.ndarray, " M"], old: int) -> int:
        new = old + offset
        while (ids == new).any():
            new += offset
        return new

    return _renumber_duplicates(frame, track_id, free_id)


def tracks_off_pitch(
    track_id: Int[np.ndarray, " M"],
    positions_m: Float[np.ndarray, "M 2"],
    max_x_m: float = 62.5,
    max_y_m: float = 39.0,
    min_share_inside: float = 0.5,
) -> Bool[np.ndarray, " M"]:
    """The rows of tracks that are mostly off the pitch.

    A track is off the pitch when less than `min_share_inside` of its known places have |x| <=
    `max_x_m` and |y| <= `max_y_m`. A track without a known place is kept. The defaults are the
    official ones: 10 m behind the goal lines and 5 m beside the touchlines are inside.

    Source: the released pipeline, removal of people outside.
    """
    positions_m = np.asarray(positions_m, np.float64)
    off = np.zeros(len(track_id), bool)
    for rows in rows_of_tracks(track_id).values():
        placed = positions_m[rows][known_rows(positions_m[rows])]
        inside = (np.abs(placed) <= (max_x_m, max_y_m)).all(axis=1)
        if len(placed) and inside.mean() < min_share_inside:
            off[rows] = True
    return off


def short_tracks(track_id: Int[np.ndarray, " M"], min_rows: float) -> Bool[np.ndarray, " M"]:
    """The rows of tracks with fewer than `min_rows` rows: mostly false detections."""
    short = np.zeros(len(track_id), bool)
    for rows in rows_of_tracks(track_id).values():
        short[rows] = len(rows) < min_rows
    return short


def _split(
    frame: Int[np.ndarray, " M"],
    track_id: Int[np.ndarray, " M"],
    cuts: Callable[[Int[np.ndarray, " n"]], Bool[np.ndarray, " n-1"]],
) -> Int[np.ndarray, " M"]:
    """New ids from each cut on; `cuts` says after which of a track's rows, in order of time."""
    new = np.array(track_id, copy=True)
    fresh = int(new.max(initial=0)) + 1
    for rows in rows_of_tracks(track_id, frame).values():
        for piece in np.split(rows, np.flatnonzero(cuts(rows)) + 1)[1:]:
            new[piece] = fresh
            fresh += 1
    return new


def _renumber_duplicates(
    frame: Int[np.ndarray, " M"],
    track_id: Int[np.ndarray, " M"],
    free_id: Callable[[Int[np.ndarray, " M"], int], int],
) -> Int[np.ndarray, " M"]:
    frame, new = np.asarray(frame), np.array(track_id, copy=True)
    for i, rows in rows_of_tracks(track_id, frame).items():
        starts = np.flatnonzero(np.diff(frame[rows], prepend=frame[rows[0]] - 1))
        sizes = np.diff(np.append(starts, len(rows)))
        rank = np.arange(len(rows)) - np.repeat(starts, sizes)
        for repeat in range(1, int(rank.max()) + 1):
            new[rows[rank == repeat]] = free_id(new, i)
    return new
