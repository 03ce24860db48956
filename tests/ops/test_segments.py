"""Ends of lines are chosen by what the line looks like between them."""

from __future__ import annotations

import torch

from soccermaster.ops.heatmaps import Canvas
from soccermaster.ops.segments import choose_ends


def drawn(segments: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    canvas = Canvas()
    maps = canvas.clear((len(segments), *size), torch.device("cpu"))
    canvas.segments(segments, torch.arange(len(segments)), 1.0)
    return maps


def test_the_pair_that_spans_the_line_beats_stronger_peaks_elsewhere():
    true = torch.tensor([[[4.0, 5.0], [40.0, 20.0]], [[10.0, 2.0], [12.0, 30.0]]])
    wrong = torch.tensor([[30.0, 4.0], [22.0, 12.5]])  # off the line; in the middle of the first
    points = torch.cat([wrong.expand(2, 2, 2), true], dim=1)
    scores = torch.tensor([[0.9, 0.8, 0.5, 0.4], [0.9, 0.8, 0.5, 0.4]])
    ends, worth = choose_ends(points, scores, drawn(true, (36, 64)), sigma=1.0)
    assert torch.equal(ends, true)
    assert torch.allclose(worth, torch.tensor((0.5 * 0.4) ** 0.25), atol=1e-3)


def test_without_a_line_no_pair_is_worth_anything():
    points, scores = torch.rand(1, 3, 2) * 10, torch.rand(1, 3)
    _, worth = choose_ends(points, scores, torch.zeros(1, 16, 16), sigma=1.0)
    assert worth.item() == 0


def test_many_lines_are_as_good_as_one_by_one():
    torch.manual_seed(0)
    points, scores = torch.rand(150, 4, 2) * 16, torch.rand(150, 4)
    masks = torch.rand(150, 16, 16)
    ends, worth = choose_ends(points, scores, masks, 1.0)
    last, last_worth = choose_ends(points[-1:], scores[-1:], masks[-1:], 1.0)
    assert torch.allclose(ends[-1:], last)
    assert torch.allclose(worth[-1:], last_worth)


def test_weak_peaks_are_not_compared():
    true = torch.tensor([[[4.0, 5.0], [40.0, 20.0]], [[10.0, 2.0], [12.0, 30.0]]])
    scores = torch.tensor([[0.5, 0.4], [0.01, 0.02]])
    _, worth = choose_ends(true, scores, drawn(true, (36, 64)), sigma=1.0, least=0.2)
    assert worth[0] > 0.6 and worth[1] == 0
