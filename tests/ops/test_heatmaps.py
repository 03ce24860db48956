from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from soccermaster.ops.heatmaps import Canvas
from soccermaster.ops.peaks import find_peaks


def draw_points(points: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """One plane per point."""
    canvas = Canvas()
    maps = canvas.clear((len(points), *size), points.device)
    canvas.points(points, torch.arange(len(points)), sigma)
    return maps


def draw_segments(segments: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """All in one plane."""
    canvas = Canvas()
    maps = canvas.clear((1, *size), segments.device)
    canvas.segments(segments, torch.zeros(len(segments), dtype=torch.long), sigma)
    return maps[0]


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
    points = torch.tensor([[5.5, 5.5], [20.0, 20.0], [6.5, 5.5]])
    canvas = Canvas()
    maps = canvas.clear((4, 30, 40), points.device, last=1.0)
    canvas.points(points, torch.arange(3), sigma=2.0)
    canvas.background(points, torch.full((3,), 3), sigma=2.0)
    assert torch.allclose(maps[3], (1 - maps[:3].sum(0)).clamp(min=0), atol=1e-6)
    assert maps[3, 5, 5] == 0
    assert maps[3, 29, 39] > 0.99


def test_points_and_segments_are_gaussians_of_the_distance():
    torch.manual_seed(3)
    height, width, sigma = 37, 53, 2.0
    size, centres = (
        (height, width),
        torch.stack(
            torch.meshgrid(torch.arange(width) + 0.5, torch.arange(height) + 0.5, indexing="xy"), -1
        ),
    )
    points = torch.rand(40, 2) * torch.tensor([width, height])
    distance = (centres - points[:, None, None]).norm(dim=-1)
    wanted = torch.exp(-(distance**2) / (2 * sigma**2))
    assert (draw_points(points, size, sigma) - wanted).abs().max() < 5e-5

    for ends in torch.rand(40, 2, 2) * torch.tensor([width, height]):
        start, along = ends[0], ends[1] - ends[0]
        share = ((centres - start) @ along / along.square().sum()).clamp(0, 1)
        distance = (centres - start - share[..., None] * along).norm(dim=-1)
        wanted = torch.exp(-(distance**2) / (2 * sigma**2))
        assert (draw_segments(ends[None], size, sigma) - wanted).abs().max() < 5e-5


def test_a_canvas_forgets_what_was_drawn_before():
    canvas, device = Canvas(), torch.device("cpu")
    draw = torch.tensor([[3.0, 4.0], [20.0, 9.0]])
    for points in (draw, draw.flip(-1), draw + 1):
        maps = canvas.clear((3, 30, 40), device, last=1.0)
        canvas.points(points, torch.arange(2), sigma=1.0)
        canvas.background(points, torch.tensor([2, 2]), sigma=1.0)
        canvas.segments(points[None], torch.tensor([1]), sigma=1.0)
    blank = canvas.clear((3, 30, 40), device, last=1.0)
    assert blank.data_ptr() == maps.data_ptr()  # the same buffer
    assert blank[:2].abs().max() == 0
    assert (blank[2] == 1).all()
    assert copy.deepcopy(canvas)._planes is None


def test_segments_are_lines_of_ones():
    segments = torch.tensor([[[2.5, 10.5], [30.5, 10.5]], [[float("nan")] * 2] * 2])
    drawn = draw_segments(segments, (20, 40), sigma=1.0)
    assert torch.allclose(drawn[10, 2:31], torch.ones(29))
    assert drawn[11, 15] == pytest.approx(2.718281828 ** (-0.5))
    assert drawn[0].max() < 1e-6
    assert draw_segments(segments[:0], (20, 40), sigma=1.0).max() == 0


def test_a_canvas_of_validation_serves_training():
    canvas, points = Canvas(), torch.tensor([[3.0, 4.0]])
    for inference in (True, False, True, False):
        with torch.inference_mode(inference), torch.no_grad():
            maps = canvas.clear((2, 8, 8), points.device, last=1.0)
            canvas.points(points, torch.tensor([0]), sigma=1.0)
            canvas.background(points, torch.tensor([1]), sigma=1.0)
    predicted = torch.rand(2, 8, 8, requires_grad=True)
    (predicted * maps).sum().backward()
    assert torch.equal(predicted.grad, maps)


@pytest.mark.parametrize("distance", [1, 3, 10])
def test_peaks_are_the_highest_local_maxima_wherever_they_are(distance):
    torch.manual_seed(1)
    rough = torch.rand(12, 31, 45)
    smooth = torch.nn.functional.avg_pool2d(rough, 9, 1, 4)  # slopes everywhere
    for maps in (rough, smooth):
        peaks, scores = find_peaks(maps, 2, distance, refine="cell_corner")
        for n in range(len(maps)):
            assert peaks[n].tolist() == _best_local_maxima(maps[n], distance)
        assert torch.equal(scores[:, 0], maps.flatten(1).amax(-1))


def _best_local_maxima(heatmap: Tensor, distance: int) -> list[list[float]]:
    found: list[tuple[float, int, int]] = []
    for index in heatmap.flatten().argsort(descending=True).tolist():
        row, column = divmod(index, heatmap.shape[1])
        near = heatmap[
            max(0, row - distance) : row + distance + 1,
            max(0, column - distance) : column + distance + 1,
        ]
        apart = all(max(abs(row - r), abs(column - c)) > distance for _, r, c in found)
        if heatmap[row, column] >= near.max() and apart:
            found.append((float(heatmap[row, column]), row, column))
        if len(found) == 2:
            return [[float(c), float(r)] for _, r, c in found]
    raise AssertionError("fewer than two local maxima")


def test_maps_may_be_part_of_others():
    maps = torch.rand(2, 3, 5, 20, 24)
    part = maps[:, :, 1:-1]
    peaks, scores = find_peaks(part, 2, 3)
    whole, whole_scores = find_peaks(part.contiguous(), 2, 3)
    assert peaks.shape == (2, 3, 3, 2, 2)
    assert torch.equal(peaks, whole)
    assert torch.equal(scores, whole_scores)
