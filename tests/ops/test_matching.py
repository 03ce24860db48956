from __future__ import annotations

import pytest
import torch

from soccermaster.ops.matching import match, pad_rows


def test_pad_rows_lays_a_table_out_per_frame():
    rows, valid = pad_rows(torch.tensor([0, 0, 2]), num_frames=4)
    assert rows.tolist() == [[0, 1], [0, 0], [2, 0], [0, 0]]
    assert valid.tolist() == [[True, True], [False, False], [True, False], [False, False]]


def test_match_takes_the_cheapest_assignment_of_each_frame():
    cost = torch.tensor(
        [[[1.0, 2.0], [1.5, 9.0], [9.0, 9.0]], [[5.0, 0.0], [1.0, 0.0], [2.0, 0.0]]]
    )
    valid = torch.tensor([[True, True], [True, False]])
    frames, queries, slots = match(cost, valid)
    assert list(zip(frames.tolist(), queries.tolist(), slots.tolist(), strict=True)) == [
        (0, 0, 1),
        (0, 1, 0),
        (1, 1, 0),
    ]


def test_no_targets_match_nothing():
    frames, _, _ = match(torch.zeros(2, 3, 1), torch.zeros(2, 1, dtype=torch.bool))
    assert len(frames) == 0


def test_not_finite_costs_are_refused():
    with pytest.raises(ValueError, match="finite matching costs"):
        match(torch.full((1, 2, 1), float("nan")), torch.ones(1, 1, dtype=torch.bool))
