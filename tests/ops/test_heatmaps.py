from __future__ import annotations

import pytest
import torch

from soccermaster.ops.heatmaps import draw_background, draw_points, draw_segments, find_peaks


@pytest.mark.parametrize("x,y", [(10.0, 5.0), (10.37, 5.81), (0.2, 0.3), (39.9, 29.9)])
def test_drawn_points_are_found_again_at_sub_pixel_precision(x, y):
    maps = draw_points(torch.tensor([[x, y]]), (30, 40), sigma=1.5)
    peaks, scores = find_peaks(maps, num_peaks=1, min_distance=2)
    assert peaks[0, 0].tolist() == pytest.approx([x, y], abs=0.02)
    assert scores[0, 0] > 0.89  # at most half a cell from the centre in x and y


def test_plain_rules_return_corner_and_centre_of_the_cell():
    maps = draw_points(torch.tensor([[10.5, 5.5]]), (30, 40), sigma=1.5)
    corner, _ = find_peaks(maps, 1, 2, refine="cell_corner")
    centre, _ = find_peaks(maps, 1, 2, refine="cell_centre")
    assert corner[0, 0].tolist() == [10, 5]
    assert centre[0, 0].tolist() == [10.5, 5.5]


@pytest.mark.parametrize("point", [(float("nan"), 3.0), (-0.1, 3.0), (40.0, 3.0), (3.0, 30.0)])
def test_points_outside_draw_nothing(point):
    assert draw_points(torch.tensor([point]), (30, 40), sigma=2.0).max() == 0


def test_two_peaks_keep_their_distance():
    maps = draw_points(torch.tensor([[5.5, 5.5], [9.5, 5.5], [30.5, 20.5]]), (30, 40), sigma=1.0)
    maps = (maps * torch.tensor([1.0, 0.9, 0.8])[:, None, None]).amax(0, keepdim=True)
    peaks, scores = find_peaks(maps, num_peaks=2, min_distance=6, refine="cell_centre")
    assert peaks[0].tolist() == [[5.5, 5.5], [30.5, 20.5]]
    assert torch.allclose(scores[0], torch.tensor([1.0, 0.8]), atol=1e-4)


def test_a_peak_between_two_cells_does_not_hide_the_second_one():
    maps = draw_points(torch.tensor([[10.0, 16.5], [30.5, 5.5]]), (30, 40), sigma=1.5)
    maps = (maps * torch.tensor([1.0, 0.8])[:, None, None]).amax(0, keepdim=True)
    peaks, scores = find_peaks(maps, num_peaks=2, min_distance=5)
    assert peaks[0].flatten().tolist() == pytest.approx([10.0, 16.5, 30.5, 5.5], abs=0.02)
    assert (scores > 0.7).all()


def test_empty_map_has_no_peaks():
    _, scores = find_peaks(torch.zeros(3, 8, 8), num_peaks=2, min_distance=2)
    assert (scores == 0).all()


def test_background_is_what_is_left():
    maps = draw_points(torch.tensor([[5.5, 5.5], [20.0, 20.0]]), (30, 40), sigma=2.0)
    background = draw_background(maps)
    assert background.shape == (1, 30, 40)
    assert background[0, 5, 5] == 0
    assert background[0, 29, 39] > 0.99


def test_segments_are_lines_of_ones():
    segments = torch.tensor([[[2.5, 10.5], [30.5, 10.5]], [[float("nan")] * 2] * 2])
    drawn = draw_segments(segments, (20, 40), sigma=1.0)
    assert torch.allclose(drawn[10, 2:31], torch.ones(29))
    assert drawn[11, 15] == pytest.approx(2.718281828 ** (-0.5))
    assert drawn[0].max() < 1e-6
    assert draw_segments(segments[:0], (20, 40), sigma=1.0).max() == 0
