import numpy as np
import pytest

from soccermaster.tracking.teams import (
    cluster_by_embedding,
    cluster_by_embedding_and_place,
    cluster_teams,
    goalkeeper_side_per_row,
    goalkeeper_side_per_track,
    sides_by_mean_x,
    sides_within_frames,
    teams_of_field_roles,
    two_means,
)
from soccermaster.vocabulary import ROLES

KEEPER, PLAYER, REFEREE = (ROLES.index(r) for r in ("goalkeeper", "player", "referee"))
LEFT, RIGHT = 0, 1


def at(*x_m):
    return np.stack([np.array(x_m, float), np.zeros(len(x_m))], axis=1)


def squad(noise, tracks=20, rows=5, seed=0):
    """Tracks of two teams that take turns; embeddings with a team part of length 1."""
    rng = np.random.default_rng(seed)
    team = np.arange(tracks) % 2
    person = rng.normal(size=(tracks, 16)) * noise
    track_id = np.repeat(np.arange(1, tracks + 1), rows)
    look = np.eye(16)[team] + person
    return track_id, np.repeat(team, rows), np.repeat(look, rows, axis=0)


def agreement(clusters, team):
    share = (clusters == team).mean()
    return max(share, 1 - share)


def test_two_means_of_two_heaps():
    labels, means = two_means(np.array([[0.0], [0.2], [9.0], [9.2]]))
    assert labels.tolist() == [0, 0, 1, 1] and means[:, 0].tolist() == pytest.approx([0.1, 9.1])
    labels, _ = two_means(np.array([[3.0]]))
    assert labels.tolist() == [0]
    labels, _ = two_means(np.ones((4, 2)))
    assert labels.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ([PLAYER, PLAYER, PLAYER], [0, 0, 1]),
        ([PLAYER, REFEREE, REFEREE], [0, -1, -1]),  # a single track is 0
        ([REFEREE, KEEPER, -1], [-1, -1, -1]),
    ],
)
def test_official_clusters_are_of_players_alone(roles, expected):
    embeddings = np.array([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0]])
    clusters = cluster_by_embedding(np.array([1, 2, 3]), np.array(roles), embeddings)
    assert clusters.tolist() == expected


def test_colour_and_place_help_where_appearance_is_weak():
    track_id, team, embeddings = squad(noise=0.8)
    roles = np.full(len(track_id), PLAYER)
    rng = np.random.default_rng(1)
    person = rng.normal(size=(20, 3))[track_id - 1]
    colours = np.array([[60.0, 50, 20], [40, -10, -40]])[team] + 3 * person
    positions_m = np.stack([np.where(team == 0, -6.0, 6.0) + 8 * person[:, 0], person[:, 1]], 1)
    by_looks = agreement(cluster_by_embedding(track_id, roles, embeddings), team)
    paper = cluster_by_embedding_and_place(track_id, roles, embeddings, positions_m)
    together, confidence = cluster_teams(track_id, roles, colours, embeddings, positions_m)
    assert agreement(together, team) == 1 > by_looks
    assert agreement(paper, team) >= by_looks
    assert ((confidence > 0) & (confidence <= 1)).all()
    sure, _ = cluster_teams(track_id, roles, colours, embeddings, positions_m, min_confidence=2)
    assert (sure == -1).all()


def test_tracks_that_nothing_describes_have_no_cluster():
    track_id, roles = np.array([1, 2, 3]), np.full(3, PLAYER)
    colours = np.array([[1.0], [9.0], [np.nan]])
    clusters, confidence = cluster_teams(track_id, roles, colours)
    assert clusters.tolist() == [0, 1, -1] and confidence[2] == 0
    clusters, _ = cluster_teams(track_id, roles, np.full((3, 1), np.nan))
    assert clusters.tolist() == [-1, -1, -1]
    empty = np.zeros(0, int)
    assert len(cluster_teams(empty, empty, np.zeros((0, 1)))[0]) == 0
    with pytest.raises(ValueError, match="at least one description"):
        cluster_teams(track_id, roles)


@pytest.mark.parametrize(
    ("clusters", "x_m", "expected"),
    [
        ([0, 0, 1, 1], [-20, -10, 5, 20], [LEFT, LEFT, RIGHT, RIGHT]),
        ([0, 0, 1, 1], [20, 10, -5, -20], [RIGHT, RIGHT, LEFT, LEFT]),
        ([0, -1, 1], [-20, 50, 5], [LEFT, -1, RIGHT]),
        ([0, 0], [np.nan, np.nan], [-1, -1]),
        ([0, 0], [-5, 5], [RIGHT, RIGHT]),  # one team alone is the right one
    ],
)
def test_official_sides(clusters, x_m, expected):
    assert sides_by_mean_x(np.array(clusters), at(*x_m)).tolist() == expected


def test_sides_do_not_depend_on_where_the_camera_looks():
    # The right team (cluster 1) is 10 m to the right of the left one whenever both are seen, but
    # it is mostly seen by itself, far to the left.
    frame = np.array([0, 0, 1, 2, 3])
    clusters = np.array([0, 1, 1, 1, 1])
    positions_m = at(20, 30, -40, -40, -40)
    assert sides_by_mean_x(clusters, positions_m)[0] == RIGHT
    teams = sides_within_frames(frame, clusters, positions_m)
    assert teams.tolist() == [LEFT, RIGHT, RIGHT, RIGHT, RIGHT]


@pytest.mark.parametrize(
    ("frame", "x_m", "expected"),
    [
        ([0, 0], [0, 5], [LEFT, RIGHT]),
        ([0, 0], [0, -5], [RIGHT, LEFT]),
        ([0, 1], [0, 5], [-1, -1]),  # no frame shows both
        ([0, 0], [0, np.nan], [-1, -1]),
    ],
)
def test_sides_within_frames(frame, x_m, expected):
    teams = sides_within_frames(np.array(frame), np.array([0, 1]), at(*x_m))
    assert teams.tolist() == expected


def test_goalkeeper_sides():
    track_id = np.array([1, 1, 1, 2, 3, -1])
    roles = np.array([KEEPER, KEEPER, KEEPER, PLAYER, KEEPER, KEEPER])
    teams = np.array([-1, -1, -1, LEFT, -1, -1])
    positions_m = at(-45, -44, 3, 30, np.nan, 40)
    per_row = goalkeeper_side_per_row(roles, teams, positions_m)
    assert per_row.tolist() == [LEFT, LEFT, RIGHT, LEFT, -1, RIGHT]  # it flickers
    per_track = goalkeeper_side_per_track(track_id, roles, teams, positions_m)
    assert per_track.tolist() == [LEFT, LEFT, LEFT, LEFT, -1, RIGHT]


def test_officials_have_no_team():
    roles = np.array([PLAYER, KEEPER, REFEREE, -1])
    assert teams_of_field_roles(roles, np.ones(4, int)).tolist() == [1, 1, -1, -1]
