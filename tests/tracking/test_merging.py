import dataclasses

import numpy as np
import pytest

from soccermaster.tracking.merging import (
    MergeGuards,
    merge_by_number,
    merge_by_reid,
    merge_mean_embeddings,
    merge_number_groups,
)

FREE = MergeGuards(
    max_gap_s=np.inf, max_speed_m_s=np.inf, max_distance_m=np.inf, max_reid_distance=0.1
)


def rows(*tracks):
    """Frames and ids of tracks given as (first, last) frame, with ids 1, 2, ..."""
    frame = np.concatenate([np.arange(first, last + 1) for first, last in tracks])
    lengths = [last - first + 1 for first, last in tracks]
    return frame, np.repeat(np.arange(1, len(tracks) + 1), lengths)


def per_track(track_id, *values):
    return np.array(values)[track_id - 1]


def ids(track_id, merged):
    """The new id of every old one."""
    return [int(merged[track_id == i][0]) for i in np.unique(track_id)]


def angle(degrees):
    return [np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]


@pytest.mark.parametrize(
    ("spans", "numbers", "expected"),
    [
        ([(0, 9), (20, 29)], [7, 7], [1, 1]),
        ([(0, 9), (20, 29)], [7, 8], [1, 2]),
        ([(0, 9), (20, 29)], [-1, -1], [1, 2]),
        ([(0, 9), (5, 29)], [7, 7], [1, 2]),
        ([(0, 9), (5, 14), (40, 49)], [7, 7, 7], [1, 2, 3]),  # one pair meets: none merges
        ([(0, 9), (20, 29), (30, 39)], [7, -1, 7], [1, 2, 1]),
    ],
)
def test_official_merge_by_number_is_all_or_nothing(spans, numbers, expected):
    frame, track_id = rows(*spans)
    merged = merge_number_groups(frame, track_id, per_track(track_id, *numbers))
    assert ids(track_id, merged) == expected


def test_official_merge_by_number_counts_ids_from_one_and_takes_the_mode():
    frame = np.array([0, 1, 2, 10, 11, 12, 5])
    track_id = np.array([40, 40, 40, 90, 90, 90, -1])
    numbers = np.array([7, 7, 9, 7, 7, -1, 7])
    merged = merge_number_groups(frame, track_id, numbers)
    assert merged.tolist() == [1, 1, 1, 1, 1, 1, -1]


@pytest.mark.parametrize(
    ("spans", "numbers", "teams", "expected"),
    [
        ([(0, 9), (20, 29)], [7, 7], [0, 0], [1, 1]),
        ([(0, 9), (20, 29)], [7, 7], [0, 1], [1, 2]),  # a number is worn in both teams
        ([(0, 9), (20, 29)], [7, 7], [0, -1], [1, 1]),
        ([(0, 9), (20, 29)], [-1, -1], [0, 0], [1, 2]),
        ([(0, 9), (5, 14), (40, 49)], [7, 7, 7], [0, 0, 0], [1, 2, 2]),  # pair by pair
        ([(0, 9), (20, 29), (40, 49)], [7, 7, 7], [0, 1, 0], [1, 2, 1]),
    ],
)
def test_guarded_merge_by_number_resolves_pairs(spans, numbers, teams, expected):
    frame, track_id = rows(*spans)
    merged = merge_by_number(
        frame,
        track_id,
        per_track(track_id, *numbers),
        FREE,
        teams=per_track(track_id, *teams),
    )
    assert ids(track_id, merged) == expected


@pytest.mark.parametrize(
    ("changes", "x_m", "gap_s", "merges"),
    [
        ({}, 3.0, 1.0, True),
        ({"max_speed_m_s": 9.0}, 40.0, 1.0, False),  # nobody runs 40 m in a second
        ({"max_speed_m_s": 9.0}, 40.0, 6.0, True),
        ({"max_gap_s": 5.0}, 3.0, 6.0, False),
        ({"max_distance_m": 30.0}, 40.0, 6.0, False),
        ({"max_speed_m_s": 9.0, "max_gap_s": 5.0, "max_distance_m": 30.0}, np.nan, 1.0, True),
    ],
)
@pytest.mark.parametrize("rule", ["number", "reid"])
def test_guards_of_time_speed_and_place(rule, changes, x_m, gap_s, merges):
    gap = round(25 * gap_s)
    frame, track_id = rows((0, 9), (9 + gap, 30 + gap))
    position_m = np.stack([np.where(track_id == 1, 0.0, x_m), np.zeros(len(frame))], axis=1)
    guards = dataclasses.replace(FREE, **changes)
    if rule == "number":
        numbers = per_track(track_id, 7, 7)
        merged = merge_by_number(frame, track_id, numbers, guards, positions_m=position_m)
    else:
        alike = np.ones((len(frame), 4))
        merged = merge_by_reid(frame, track_id, alike, guards, positions_m=position_m)
    assert (len(np.unique(merged)) == 1) == merges


def test_a_track_between_two_others_bridges_their_gap():
    frame, track_id = rows((0, 9), (500, 509), (250, 259))
    numbers = per_track(track_id, 7, 7, 7)
    guards = dataclasses.replace(FREE, max_gap_s=12.0)
    assert ids(track_id, merge_by_number(frame, track_id, numbers, guards)) == [1, 1, 1]
    without = track_id != 3
    merged = merge_by_number(frame[without], track_id[without], numbers[without], guards)
    assert ids(track_id[without], merged) == [1, 2]


@pytest.mark.parametrize(
    ("spans", "degrees", "guarded", "official"),
    [
        ([(0, 9), (20, 29)], [0, 10], [1, 1], [1, 1]),
        ([(0, 9), (20, 29)], [0, 60], [1, 2], [1, 2]),
        ([(0, 9), (5, 29)], [0, 0], [1, 2], [1, 2]),  # they share frames
        # Each is near the next (20 degrees are 0.06), the ends are not (40 degrees are 0.23).
        ([(0, 99), (100, 109), (120, 129)], [0, 20, 41], [1, 1, 3], [1, 1, 3]),
        ([(0, 9), (100, 199), (220, 229)], [0, 20, 41], [1, 1, 3], [1, 1, 1]),  # a chain
    ],
)
def test_merges_by_reid(spans, degrees, guarded, official):
    frame, track_id = rows(*spans)
    embeddings = per_track(track_id, *[angle(d) for d in degrees])
    assert ids(track_id, merge_by_reid(frame, track_id, embeddings, FREE)) == guarded
    assert ids(track_id, merge_mean_embeddings(frame, track_id, embeddings, 0.1)) == official


@pytest.mark.parametrize(
    ("column", "values", "merges"),
    [
        ("teams", (0, 1), False),
        ("teams", (0, -1), True),
        ("numbers", (7, 8), False),
        ("numbers", (7, 100), True),
        ("roles", (3, 1), False),
        ("roles", (3, 3), True),
    ],
)
def test_merge_by_reid_asks_the_attributes(column, values, merges):
    frame, track_id = rows((0, 9), (20, 29))
    alike = np.ones((len(frame), 4))
    known = {column: per_track(track_id, *values)}
    merged = merge_by_reid(frame, track_id, alike, FREE, **known)
    assert (len(np.unique(merged)) == 1) == merges


@pytest.mark.parametrize("vector", [np.zeros(2), np.full(2, np.nan)], ids=["zero", "unknown"])
def test_a_track_that_looks_like_nothing_does_not_end_the_merging(vector):
    frame, track_id = rows((0, 9), (20, 29), (40, 49))
    embeddings = per_track(track_id, vector, angle(0), angle(10))
    assert ids(track_id, merge_mean_embeddings(frame, track_id, embeddings)) == [1, 2, 2]
    assert ids(track_id, merge_by_reid(frame, track_id, embeddings, FREE)) == [1, 2, 2]


def test_unknown_embeddings_merge_with_nobody():
    frame, track_id = rows((0, 9), (20, 29))
    embeddings = np.full((len(frame), 4), np.nan)
    assert ids(track_id, merge_by_reid(frame, track_id, embeddings, FREE)) == [1, 2]
    assert ids(track_id, merge_mean_embeddings(frame, track_id, embeddings)) == [1, 2]
    empty = np.zeros(0, int)
    assert len(merge_by_reid(empty, empty, np.zeros((0, 4)), FREE)) == 0
    assert len(merge_mean_embeddings(empty, empty, np.zeros((0, 4)))) == 0
    assert len(merge_number_groups(empty, empty, empty)) == 0
