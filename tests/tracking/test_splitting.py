import numpy as np
import pytest

from soccermaster.tracking.splitting import (
    offset_duplicates,
    short_tracks,
    split_appearance,
    split_duplicates,
    split_gaps,
    split_jumps,
    tracks_off_pitch,
)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([], []),
        ([5], [1]),
        ([0, 1, 2, 3], [1, 1, 1, 1]),
        ([0, 1, 4, 5], [1, 1, 1, 1]),  # two frames unseen
        ([0, 1, 5, 6], [1, 1, 2, 2]),  # three
        ([6, 5, 1, 0], [2, 2, 1, 1]),  # the order of the table does not matter
        ([0, 9, 18], [1, 2, 3]),
    ],
)
def test_gaps(frames, expected):
    frame = np.array(frames, int)
    assert split_gaps(frame, np.ones(len(frame), int), 2).tolist() == expected


@pytest.mark.parametrize(
    ("x_m", "expected"),
    [
        ([0, 1, 2, 3], [1, 1, 1, 1]),
        ([0, 1, 30, 31], [1, 1, 2, 2]),
        ([0, 1, 30, 2], [1, 1, 1, 1]),  # an outlier
        ([0, 1, 30, 60, 61], [1, 1, 1, 2, 2]),
        ([0, np.nan, 30, 31], [1, 1, 2, 2]),
        ([0, 1, 30], [1, 1, 1]),  # one row does not prove it
        ([np.nan, np.nan], [1, 1]),
    ],
)
def test_jumps(x_m, expected):
    positions_m = np.stack([np.array(x_m, float), np.zeros(len(x_m))], axis=1)
    frame = np.arange(len(x_m))
    assert split_jumps(frame, np.ones(len(x_m), int), positions_m).tolist() == expected


@pytest.mark.parametrize(
    ("looks", "cut_at"),
    [
        ([(0, 60)], None),
        ([(0, 30), (1, 30)], 30),
        ([(0, 30), (1, 5), (0, 30)], None),  # somebody passes in front
        ([(0, 30), (1, 8)], None),  # the end is too short
    ],
)
def test_appearance_that_changes_for_good(looks, cut_at):
    people = np.concatenate([np.full(count, who) for who, count in looks])
    rng = np.random.default_rng(0)
    embeddings = np.eye(16)[people] + 0.2 * rng.normal(size=(len(people), 16))
    new = split_appearance(np.arange(len(people)), np.ones(len(people), int), embeddings, 15, 0.4)
    if cut_at is None:
        assert (new == 1).all()
    else:
        assert abs(int(np.argmax(new != 1)) - cut_at) <= 2 and len(np.unique(new)) == 2


def test_duplicates_get_fresh_ids():
    frame = np.array([0, 0, 1, 1, 1, 2, 0])
    track_id = np.array([5, 5, 5, 5, 5, 5, 105])
    assert split_duplicates(frame, track_id).tolist() == [5, 106, 5, 106, 107, 5, 105]
    assert offset_duplicates(frame, track_id).tolist() == [5, 205, 5, 205, 305, 5, 105]


@pytest.mark.parametrize(
    ("points_m", "off"),
    [
        ([(0, 0), (62.5, 39.0)], False),
        ([(70, 0), (70, 0), (0, 0)], True),
        ([(70, 0), (0, 0)], False),  # half of them
        ([(0, 40), (np.nan, np.nan), (np.nan, np.nan)], True),
        ([(np.nan, np.nan)], False),
    ],
)
def test_people_off_the_pitch(points_m, off):
    positions_m = np.array([*points_m, (0.0, 0.0)])
    track_id = np.array([4] * len(points_m) + [9])
    assert tracks_off_pitch(track_id, positions_m).tolist() == [off] * len(points_m) + [False]


@pytest.mark.parametrize(("min_rows", "short"), [(0, []), (2, [9]), (2.5, [4, 9]), (4, [3, 4, 9])])
def test_short_tracks(min_rows, short):
    track_id = np.array([3, 4, 3, 9, -1, 4, 3])
    rows = short_tracks(track_id, min_rows)
    assert sorted(set(track_id[rows].tolist())) == short
