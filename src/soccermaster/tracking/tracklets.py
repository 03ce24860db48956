"""What a track is: rows with one id, and what the rules read from them.

All of tracking works on plain columns, one row per detection:

* `frame` (M,) int: 0-based, any start; rows may come in any order unless a rule says otherwise.
* `track_id` (M,) int: the track of the row; -1 belongs to none, and is left alone by every rule.
* `boxes_xyxy_px` (M, 4), `scores` (M,) in 0..1.
* `embeddings` (M, D): appearance, any scale; a row of NaN is unknown.
* `positions_m` (M, 2): feet on the pitch in the centred frame; NaN is unknown.
* `roles` (M,) int: index in vocabulary.ROLES, -1 unknown.
* `numbers` (M,) int: 0..99; anything else (-1, 100) is not a number.
* `teams` (M,) int: index in vocabulary.TEAMS, or of a cluster; -1 unknown.

Rules return new columns and change nothing in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from soccermaster.vocabulary import NO_NUMBER, UNKNOWN


@dataclass(frozen=True, eq=False)
class Tracklet:
    """One track, summarised: n rows in order of time."""

    track_id: int
    frames: Int[np.ndarray, " n"]  # ascending
    positions_m: Float[np.ndarray, "n 2"]  # NaN unknown
    embedding: Float[np.ndarray, " D"]  # mean; NaN when no row has one
    role: int = UNKNOWN  # of most rows
    number: int = UNKNOWN
    team: int = UNKNOWN


def track_ids(track_id: Int[np.ndarray, " M"]) -> Int[np.ndarray, " K"]:
    """The ids in use, ascending, without -1."""
    ids = np.unique(track_id)
    return ids[ids != UNKNOWN]


def rows_of_tracks(
    track_id: Int[np.ndarray, " M"], frame: Int[np.ndarray, " M"] | None = None
) -> dict[int, Int[np.ndarray, " n"]]:
    """The rows of every track, by id: in order of time if `frame` is given, else of the table."""
    track_id = np.asarray(track_id)
    order = np.arange(len(track_id)) if frame is None else np.argsort(frame, kind="stable")
    order = order[np.argsort(track_id[order], kind="stable")]
    ids, starts = np.unique(track_id[order], return_index=True)
    return {
        int(i): rows
        for i, rows in zip(ids, np.split(order, starts[1:]), strict=len(ids) > 0)
        if i != UNKNOWN
    }


def summarise(
    frame: Int[np.ndarray, " M"],
    track_id: Int[np.ndarray, " M"],
    embeddings: Float[np.ndarray, "M D"] | None = None,
    positions_m: Float[np.ndarray, "M 2"] | None = None,
    roles: Int[np.ndarray, " M"] | None = None,
    numbers: Int[np.ndarray, " M"] | None = None,
    teams: Int[np.ndarray, " M"] | None = None,
) -> list[Tracklet]:
    """One summary per track, by id; a column that is not given is unknown."""
    frame = np.asarray(frame)
    summaries = []
    for i, rows in rows_of_tracks(track_id, frame).items():
        summaries.append(
            Tracklet(
                track_id=i,
                frames=frame[rows],
                positions_m=(
                    np.full((len(rows), 2), np.nan)
                    if positions_m is None
                    else np.asarray(positions_m, np.float64)[rows]
                ),
                embedding=(
                    np.full(1, np.nan)
                    if embeddings is None
                    else mean_embedding(np.asarray(embeddings)[rows])
                ),
                role=most_frequent(None if roles is None else np.asarray(roles)[rows]),
                number=most_frequent(
                    None if numbers is None else read_numbers(np.asarray(numbers)[rows])
                ),
                team=most_frequent(None if teams is None else np.asarray(teams)[rows]),
            )
        )
    return summaries


def mean_embedding(embeddings: Float[np.ndarray, "n D"]) -> Float[np.ndarray, " D"]:
    """The mean of the rows that are known; NaN when none is."""
    known = np.isfinite(embeddings).all(axis=1)
    if not known.any():
        return np.full(embeddings.shape[1], np.nan)
    return embeddings[known].astype(np.float64).mean(axis=0)


def cosine_distances(
    a: Float[np.ndarray, "n D"], b: Float[np.ndarray, "m D"]
) -> Float[np.ndarray, "n m"]:
    """1 - cosine of every pair, in 0..2; NaN where one is unknown or 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        a = a / np.linalg.norm(a, axis=1, keepdims=True)
        b = b / np.linalg.norm(b, axis=1, keepdims=True)
        return np.clip(1 - a @ b.T, 0, 2)


def most_frequent(values: Int[np.ndarray, " n"] | None) -> int:
    """The value of most rows, of equals the one seen first; -1 when all are unknown."""
    if values is None or not (values != UNKNOWN).any():
        return UNKNOWN
    known = values[values != UNKNOWN]
    unique, first, counts = np.unique(known, return_index=True, return_counts=True)
    return int(unique[np.lexsort((first, -counts))[0]])


def read_numbers(numbers: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Shirt numbers 0..99; everything else becomes -1."""
    numbers = np.asarray(numbers)
    return np.where((numbers >= 0) & (numbers < NO_NUMBER), numbers, UNKNOWN)


def share_a_frame(a: Tracklet, b: Tracklet) -> bool:
    """Whether both are seen in one frame, so that they cannot be one person."""
    if a.frames[-1] < b.frames[0] or b.frames[-1] < a.frames[0]:
        return False
    return len(np.intersect1d(a.frames, b.frames, assume_unique=False)) > 0


def renumber(track_id: Int[np.ndarray, " M"]) -> Int[np.ndarray, " M"]:
    """Ids 1, 2, ... in the order of the old ids; -1 stays."""
    track_id = np.asarray(track_id)
    ids = track_ids(track_id)
    new = np.searchsorted(ids, track_id) + 1
    return np.where(track_id == UNKNOWN, UNKNOWN, new)


def replace_ids(
    track_id: Int[np.ndarray, " M"], groups: Sequence[Sequence[int]]
) -> Int[np.ndarray, " M"]:
    """Every id of a group becomes the smallest of the group."""
    new = np.array(track_id, copy=True)
    for group in groups:
        new[np.isin(track_id, list(group))] = min(group)
    return new


def known_rows(values: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, " n"]:
    """Rows without NaN."""
    return np.isfinite(values).all(axis=1)
