import numpy as np
import pytest

from soccermaster.tracking.voting import (
    vote_number,
    vote_number_neighbours,
    vote_role,
    vote_role_sum,
)
from soccermaster.vocabulary import ROLES

KEEPER, PLAYER = ROLES.index("goalkeeper"), ROLES.index("player")


@pytest.mark.parametrize(
    ("numbers", "confidences", "winner"),
    [
        ([], [], -1),
        ([7], [1.0], -1),  # one read is too few
        ([7, 7], [1, 1], -1),
        ([7, 7, 7], [1, 1, 1], 7),
        ([7, 7, 7, 9, 9, 9], [0.9, 0.9, 0.9, 0.5, 0.5, 0.5], 7),
        ([7, 7, 7, 9, 9, 8, 8], [1] * 7, -1),  # less than half of the confidence
        ([7, -1, 100, 7, -1, 7], [1] * 6, 7),  # what is not read does not vote
        ([100, 100, 100, 180], [1] * 4, -1),
        ([7, 7, 7], [0, 0, 0], -1),
    ],
)
def test_a_number_needs_votes_and_a_clear_lead(numbers, confidences, winner):
    numbers, confidences = np.array(numbers, int), np.array(confidences, float)
    assert vote_number(numbers, confidences, min_votes=3, min_ratio=0.5) == winner


@pytest.mark.parametrize(
    ("numbers", "confidences", "winner"),
    [
        ([], [], -1),
        ([7], [1.0], -1),
        ([7, 9, 7], [1, 1, 1], -1),  # no neighbour repeats a read
        ([7, 7, 9, 8, 9], [1] * 5, 7),
        ([9, 9, -1, 7, 7, 7], [1] * 6, 7),
        ([9, 9, -1, 7, 7, 7], [1, 1, 0, 0.5, 0.5, 0.5], 9),
        ([9, 9, -1, 7, 7], [1] * 5, 9),  # of equals the one seen first
        ([-1, -1, -1, 4], [0, 0, 0, 1], -1),
        ([3] + [10, 11] * 20 + [3, 3], [1] * 43, 3),  # two wrong reads name the track
    ],
)
def test_the_official_number_rule_wants_equal_neighbours(numbers, confidences, winner):
    assert vote_number_neighbours(np.array(numbers, int), np.array(confidences, float)) == winner


@pytest.mark.parametrize(
    ("roles", "confidences", "guarded", "official"),
    [
        ([], [], -1, -1),
        ([PLAYER], [1], -1, PLAYER),
        ([PLAYER, PLAYER, PLAYER, KEEPER], [1, 1, 1, 1], PLAYER, PLAYER),
        ([PLAYER, PLAYER, PLAYER, KEEPER], [0.1, 0.1, 0.1, 1], -1, KEEPER),
        ([KEEPER, PLAYER], [1, 1], -1, KEEPER),
        ([-1, -1, -1], [0, 0, 0], -1, -1),
    ],
)
def test_role_votes(roles, confidences, guarded, official):
    roles, confidences = np.array(roles, int), np.array(confidences, float)
    assert vote_role(roles, confidences) == guarded
    assert vote_role_sum(roles, confidences) == official
