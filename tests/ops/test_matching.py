from __future__ import annotations

import pytest
import torch

from soccermaster.ops.matching import match


def test_match_takes_the_cheapest_assignment_of_each_frame():
    cost = torch.tensor([[1.0, 1.5, 9.0], [2.0, 9.0, 9.0], [5.0, 1.0, 2.0]])  # target x query
    targets, queries = match(cost, torch.tensor([0, 0, 3]))
    assert list(zip(targets.tolist(), queries.tolist(), strict=True)) == [(0, 1), (1, 0), (2, 1)]


def test_more_targets_than_queries_leave_the_dearest_unmatched():
    targets, queries = match(torch.tensor([[3.0], [1.0], [2.0]]), torch.tensor([0, 0, 0]))
    assert (targets.tolist(), queries.tolist()) == ([1], [0])


def test_no_targets_match_nothing():
    targets, queries = match(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
    assert len(targets) == len(queries) == 0


def test_not_finite_costs_are_refused():
    with pytest.raises(ValueError, match="finite matching costs"):
        match(torch.full((1, 2), float("nan")), torch.zeros(1, dtype=torch.long))
