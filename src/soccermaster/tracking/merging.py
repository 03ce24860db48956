"""Which tracks are one person: merges by shirt number and by appearance.

The official rules (`merge_number_groups`, `merge_mean_embeddings`) know nothing of team, place and
time. The guarded ones (`merge_by_number`, `merge_by_reid`) ask every pair of tracks that would meet
in one group, and resolve conflicts pair by pair.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from soccermaster.tracking.tracklets import (
    Tracklet,
    cosine_distances,
    known_rows,
    renumber,
    replace_ids,
    share_a_frame,
    summarise,
)
from soccermaster.vocabulary import UNKNOWN

# Rows at each end of a track over which its position is taken.
_END_ROWS = 5


@dataclass(frozen=True)
class MergeGuards:
    """What forbids that two tracks are one person; see `may_be_one_person` and `can_get_there`.

    A limit of infinity switches its guard off.

    Attributes:
        fps: frames per second.
        max_gap_s: longest time unseen.
        max_speed_m_s: fastest run over the gap.
        speed_slack_m: error of the positions that the speed guard forgives.
        max_distance_m: farthest place from where the track was lost.
        max_reid_distance: cosine distance of the mean embeddings.
        same_team: teams that are both known must be equal.
        same_role: the same for roles.
    """

    fps: float = 25.0
    max_gap_s: float = 20.0
    max_speed_m_s: float = 9.0
    speed_slack_m: float = 3.0
    max_distance_m: float = 40.0
    max_reid_distance: float = 0.5
    same_team: bool = True
    same_role: bool = True


def may_be_one_person(a: Tracklet, b: Tracklet, guards: MergeGuards) -> bool:
    """Whether what the two look like lets them be one person.

    They must never share a frame; number, team and role must not differ where both are known. What
    is unknown does not forbid.
    """
    attributes = [(a.number, b.number)]
    attributes += [(a.team, b.team)] if guards.same_team else []
    attributes += [(a.role, b.role)] if guards.same_role else []
    if any(UNKNOWN not in pair and pair[0] != pair[1] for pair in attributes):
        return False
    return not share_a_frame(a, b)


def can_get_there(a: Tracklet, b: Tracklet, guards: MergeGuards) -> bool:
    """Whether one person can be where the two are, in time and on the pitch.

    Wherever one follows the other in time, the gap must be short, and the place where the person
    comes back must be near and within reach of a runner. An unknown place does not forbid.
    """
    for gap_s, distance_m in changes_of_hand(a, b, guards.fps):
        if gap_s > guards.max_gap_s or distance_m > guards.max_distance_m:
            return False
        if distance_m > guards.speed_slack_m + guards.max_speed_m_s * gap_s:
            return False
    return True


def merge_by_number(
    frame: Int[np.ndarray, " M"],
    track_id: Int[np.ndarray, " M"],
    numbers: Int[np.ndarray, " M"],
    guards: MergeGuards,
    roles: Int[np.ndarray, " M"] | None = None,
    teams: Int[np.ndarray, " M"] | None = None,
    embeddings: Float[np.ndarray, "M D"] | None = None,
    positions_m: Float[np.ndarray, "M 2"] | None = None,
) -> Int[np.ndarray, " M"]:
    """Tracks with the same number become one person where nothing forbids it.

    `may_be_one_person` and `max_reid_distance` are asked of every pair that would meet,
    `can_get_there` of the two groups. The pair with the shortest time between them goes first, so a
    conflict (a number that is misread once, or worn in both teams) costs that pair alone and not
    the whole group.

    Returns:
        The new track ids; a group takes its smallest.
    """
    tracklets = summarise(frame, track_id, embeddings, positions_m, roles, numbers, teams)
    costs = np.full((len(tracklets), len(tracklets)), np.inf)
    for i, a in enumerate(tracklets):
        for j, b in enumerate(tracklets):
            if i < j and a.number == b.number != UNKNOWN:
                costs[i, j] = time_apart(a, b)
    return replace_ids(track_id, merge_greedily(tracklets, costs, guards))


def merge_by_reid(
    frame: Int[np.ndarray, " M"],
    track_id: Int[np.ndarray, " M"],
    embeddings: Float[np.ndarray, "M D"],
    guards: MergeGuards,
    roles: Int[np.ndarray, " M"] | None = None,
    teams: Int[np.ndarray, " M"] | None = None,
    numbers: Int[np.ndarray, " M"] | None = None,
    positions_m: Float[np.ndarray, "M 2"] | None = None,
) -> Int[np.ndarray, " M"]:
    """Tracks that look alike become one person where nothing forbids it.

    `may_be_one_person` is asked of every pair that would meet, `can_get_there` of the two groups.
    The nearest pair goes first. Every member of one group must be within `max_reid_distance` of
    every member of the other (complete linkage), so chains of resemblance do not form. A track
    without an embedding merges with nobody.

    Returns:
        The new track ids; a group takes its smallest.
    """
    tracklets = summarise(frame, track_id, embeddings, positions_m, roles, numbers, teams)
    costs = np.nan_to_num(reid_distances(tracklets), nan=np.inf)
    costs[costs > guards.max_reid_distance] = np.inf  # the guards would refuse them one by one
    return replace_ids(track_id, merge_greedily(tracklets, costs, guards))


def merge_number_groups(
    frame: Int[np.ndarray, " M"],
    track_id: Int[np.ndarray, " M"],
    numbers: Int[np.ndarray, " M"],
) -> Int[np.ndarray, " M"]:
    """The official rule: all tracks of one number become one, or none of them.

    The number of a track is that of most of its rows. If any two tracks of a number share a frame
    the whole group is left alone. Neither team nor place nor time is asked. Ids count from 1
    afterwards.

    Source: the released pipeline, merge by jersey number.
    """
    tracklets = summarise(frame, track_id, numbers=numbers)
    by_number: dict[int, list[Tracklet]] = {}
    for tracklet in tracklets:
        if tracklet.number != UNKNOWN:
            by_number.setdefault(tracklet.number, []).append(tracklet)
    groups = []
    for group in by_number.values():
        frames = np.concatenate([np.unique(tracklet.frames) for tracklet in group])
        if len(np.unique(frames)) == len(frames):
            groups.append([tracklet.track_id for tracklet in group])
    return renumber(replace_ids(track_id, groups))


def merge_mean_embeddings(
    frame: Int[np.ndarray, " M"],
    track_id: Int[np.ndarray, " M"],
    embeddings: Float[np.ndarray, "M D"],
    max_distance: float = 0.1,
) -> Int[np.ndarray, " M"]:
    """The official rule: the nearest two tracks become one, until the nearest are too far apart.

    The distance is the cosine distance of the mean embeddings, at most `max_distance`; the two must
    not share a frame, and a track without an embedding, or with one of zero, merges with nobody.
    The embedding of the merged track is the mean weighted by frames, so chains
    of resemblance can form. Neither team nor place nor time is asked.

    Returns:
        The new track ids; a group takes its smallest.

    Source: the released pipeline, merge by ReID.
    """
    tracklets = summarise(frame, track_id, embeddings)
    tracklets = [t for t in tracklets if np.isfinite(t.embedding).all() and t.embedding.any()]
    means = np.array([t.embedding for t in tracklets])
    weights = np.array([float(len(t.frames)) for t in tracklets])
    frames = [set(t.frames.tolist()) for t in tracklets]
    groups = [[t.track_id] for t in tracklets]
    if len(groups) < 2:
        return np.array(track_id, copy=True)
    distances = cosine_distances(means, means)
    for i, mine in enumerate(frames):
        for j in range(len(frames)):
            if j <= i or mine & frames[j]:
                distances[i, j] = np.inf
    while True:
        i, j = np.unravel_index(np.argmin(distances), distances.shape)
        if not distances[i, j] <= max_distance:
            break
        means[i] = (weights[i] * means[i] + weights[j] * means[j]) / (weights[i] + weights[j])
        weights[i] += weights[j]
        frames[i] |= frames[j]
        groups[i] += groups[j]
        distances[j, :] = distances[:, j] = np.inf
        fresh = cosine_distances(means[i : i + 1], means)[0]
        for k in range(len(groups)):
            if k in (i, j) or weights[k] == 0:
                continue
            low, high = min(i, k), max(i, k)
            apart = not frames[i] & frames[k]
            distances[low, high] = fresh[k] if apart else np.inf
        weights[j], frames[j] = 0.0, set()
    return replace_ids(track_id, [g for g, w in zip(groups, weights, strict=True) if w > 0])


def merge_greedily(
    tracklets: list[Tracklet], costs: Float[np.ndarray, "K K"], guards: MergeGuards
) -> list[list[int]]:
    """Groups of track ids: pairs in order of cost, joined where the guards allow it.

    Args:
        tracklets: to group.
        costs: of the pairs above the diagonal; infinity is no candidate.
        guards: of the pairs and groups.

    Returns:
        The ids of every group, singletons included.
    """
    count = len(tracklets)
    too_unlike = reid_distances(tracklets) > guards.max_reid_distance  # NaN: unknown, not too far
    first, second = np.nonzero(np.triu(np.isfinite(costs), 1))
    order = np.lexsort((second, first, costs[first, second]))
    may_meet: dict[tuple[int, int], bool] = {}

    def compatible(i: int, j: int) -> bool:
        key = (min(i, j), max(i, j))
        if key not in may_meet:
            a, b = tracklets[key[0]], tracklets[key[1]]
            may_meet[key] = not too_unlike[key] and may_be_one_person(a, b, guards)
        return may_meet[key]

    group_of = list(range(count))
    members = [[i] for i in range(count)]
    people = list(tracklets)
    for i, j in zip(first[order].tolist(), second[order].tolist(), strict=True):
        a, b = group_of[i], group_of[j]
        if a == b or not all(compatible(m, n) for m in members[a] for n in members[b]):
            continue
        if not can_get_there(people[a], people[b], guards):
            continue
        people[a] = _path_of_both(people[a], people[b])
        for member in members[b]:
            group_of[member] = a
        members[a] += members[b]
        members[b] = []
    return [[tracklets[m].track_id for m in group] for group in members if group]


def reid_distances(tracklets: list[Tracklet]) -> Float[np.ndarray, "K K"]:
    """Cosine distances of the mean embeddings, in 0..2; NaN where one is unknown."""
    if not tracklets:
        return np.zeros((0, 0))
    means = np.stack([tracklet.embedding for tracklet in tracklets])
    return cosine_distances(means, means)


def time_apart(a: Tracklet, b: Tracklet) -> float:
    """Frames between the two; 0 where they interleave."""
    return float(max(a.frames[0] - b.frames[-1], b.frames[0] - a.frames[-1], 0))


def changes_of_hand(a: Tracklet, b: Tracklet, fps: float) -> list[tuple[float, float]]:
    """Seconds and metres wherever one track follows the other in time.

    The place is the mean over up to five known rows next to the change, within half a second of it;
    the distance is NaN where there is none.
    """
    frames = np.concatenate([a.frames, b.frames])
    order = np.argsort(frames, kind="stable")
    frames = frames[order]
    owner = (order >= len(a.frames)).astype(int)
    positions_m = np.concatenate([a.positions_m, b.positions_m])[order]
    changes = []
    for at in np.flatnonzero(np.diff(owner)) + 1:
        before = _end(frames[:at], positions_m[:at], owner[:at] == owner[at - 1], -1, fps)
        after = _end(frames[at:], positions_m[at:], owner[at:] == owner[at], 1, fps)
        distance = float(np.linalg.norm(after - before))
        changes.append((float(frames[at] - frames[at - 1]) / fps, distance))
    return changes


def _path_of_both(a: Tracklet, b: Tracklet) -> Tracklet:
    """Where and when both are, in order of time; what they look like stays that of `a`."""
    frames = np.concatenate([a.frames, b.frames])
    order = np.argsort(frames, kind="stable")
    positions_m = np.concatenate([a.positions_m, b.positions_m])[order]
    return dataclasses.replace(a, frames=frames[order], positions_m=positions_m)


def _end(
    frames: Int[np.ndarray, " n"],
    positions_m: Float[np.ndarray, "n 2"],
    mine: np.ndarray,
    direction: int,
    fps: float,
) -> Float[np.ndarray, " 2"]:
    """Mean place of the rows next to a change: the last ones (direction -1) or the first ones."""
    edge = frames[-1] if direction < 0 else frames[0]
    near = mine & known_rows(positions_m) & (np.abs(frames - edge) <= fps / 2)
    rows = np.flatnonzero(near)
    rows = rows[-_END_ROWS:] if direction < 0 else rows[:_END_ROWS]
    return positions_m[rows].mean(axis=0) if len(rows) else np.full(2, np.nan)
