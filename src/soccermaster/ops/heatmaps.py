"""Heatmaps: drawing Gaussian targets on the device, finding peaks.

A heatmap cell (column i, row j) covers [i, i+1) x [j, j+1); its centre is (i + 0.5, j + 0.5). All
positions are in cells, so a point in pixels is divided by (pixels per cell) before drawing and
multiplied by it after decoding, and nothing is biased by half a cell.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor


def draw_points(
    points: Float[Tensor, "*b 2"], size: tuple[int, int], sigma: float
) -> Float[Tensor, "*b h w"]:
    """One Gaussian of peak 1 per point.

    Args:
        points: (x, y) in cells; a point that is NaN or outside the map draws nothing.
        size: (h, w) of the heatmap.
        sigma: standard deviation in cells.
    """
    height, width = size
    x, y = points[..., 0], points[..., 1]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)  # False for NaN
    x = torch.where(inside, x, 0.0).unsqueeze(-1)
    y = torch.where(inside, y, 0.0).unsqueeze(-1)
    columns = torch.arange(width, device=points.device, dtype=points.dtype) + 0.5
    rows = torch.arange(height, device=points.device, dtype=points.dtype) + 0.5
    gauss_x = torch.exp(-((columns - x) ** 2) / (2 * sigma**2))
    gauss_y = torch.exp(-((rows - y) ** 2) / (2 * sigma**2)) * inside.unsqueeze(-1)
    return gauss_y.unsqueeze(-1) * gauss_x.unsqueeze(-2)


def draw_background(heatmaps: Float[Tensor, "*b K h w"]) -> Float[Tensor, "*b 1 h w"]:
    """What the channels leave over: 1 - their sum, at least 0."""
    return (1 - heatmaps.sum(-3, keepdim=True)).clamp(min=0)


def draw_segments(
    segments: Float[Tensor, "*b L 2 2"], size: tuple[int, int], sigma: float
) -> Float[Tensor, "*b h w"]:
    """All segments in one channel: a Gaussian of the distance to the nearest segment.

    Args:
        segments: two (x, y) ends in cells; a segment with NaN draws nothing.
        size: (h, w) of the heatmap.
        sigma: standard deviation in cells.
    """
    height, width = size
    drawn = segments.isfinite().all(-1).all(-1)  # (*b, L)
    ends = torch.where(drawn[..., None, None], segments, 0.0)
    start, along = ends[..., 0, :], ends[..., 1, :] - ends[..., 0, :]
    columns = torch.arange(width, device=segments.device, dtype=segments.dtype) + 0.5
    rows = torch.arange(height, device=segments.device, dtype=segments.dtype) + 0.5
    dx = columns - start[..., 0, None]  # (*b, L, w)
    dy = rows - start[..., 1, None]  # (*b, L, h)
    length2 = (along**2).sum(-1).clamp(min=1e-6)[..., None, None]
    dot = dy[..., None] * along[..., 1, None, None] + dx[..., None, :] * along[..., 0, None, None]
    t = (dot / length2).clamp(0, 1)
    distance2 = (dx[..., None, :] - t * along[..., 0, None, None]) ** 2
    distance2 = distance2 + (dy[..., None] - t * along[..., 1, None, None]) ** 2
    distance2 = torch.where(drawn[..., None, None], distance2, torch.inf)
    if segments.shape[-3] == 0:
        return segments.new_zeros(*segments.shape[:-3], height, width)
    return torch.exp(-distance2.amin(-3) / (2 * sigma**2))


def find_peaks(
    heatmaps: Float[Tensor, "*b h w"],
    num_peaks: int,
    min_distance: int,
    refine: Literal["subpixel", "cell_centre", "cell_corner"] = "subpixel",
) -> tuple[Float[Tensor, "*b p 2"], Float[Tensor, "*b p"]]:
    """The best peaks of each heatmap, at least `min_distance` cells apart along x or y.

    Peaks next to the border are as good as others. Where a map has fewer peaks than asked for, the
    missing ones have score 0.

    Args:
        heatmaps: non-negative scores.
        num_peaks: p, peaks per map, best first.
        min_distance: in cells; a cell is a peak when nothing within this distance exceeds it.
        refine: "subpixel" fits a parabola to the logarithm in x and y (exact for a Gaussian; maps
            of at least 3 x 3 cells);
            "cell_centre" returns i + 0.5; "cell_corner" returns i, as the released decoder does.

    Returns:
        Positions (x, y) in cells and scores.
    """
    *batch, height, width = heatmaps.shape
    maps = heatmaps.reshape(-1, height, width)
    kernel = 2 * min_distance + 1
    highest = _windowed_maximum(maps, kernel)
    candidates = torch.where(maps >= highest, maps, 0.0)
    # equal cells of one plateau are one peak, so look at some more than are asked for
    looked_at = min(4 * num_peaks, height * width)
    scores, index = candidates.flatten(1).topk(looked_at)
    scores = _drop_neighbours(scores, index // width, index % width, min_distance)
    scores, best = scores.topk(num_peaks)  # (n, p)
    index = index.gather(1, best)
    rows, columns = index // width, index % width
    positions = torch.stack([columns, rows], dim=-1).to(maps.dtype)
    if refine == "subpixel":
        positions = positions + 0.5 + _parabola_offsets(maps, rows, columns)
    elif refine == "cell_centre":
        positions = positions + 0.5
    return positions.reshape(*batch, num_peaks, 2), scores.reshape(*batch, num_peaks)


def _windowed_maximum(maps: Float[Tensor, "n h w"], kernel: int) -> Float[Tensor, "n h w"]:
    """Separable maximum filter; max_pool2d pads with -inf, so the border is not favoured."""
    pooled = F.max_pool2d(maps, (1, kernel), stride=1, padding=(0, kernel // 2))
    return F.max_pool2d(pooled, (kernel, 1), stride=1, padding=(kernel // 2, 0))


def _drop_neighbours(
    scores: Float[Tensor, "n p"],
    rows: Int[Tensor, "n p"],
    columns: Int[Tensor, "n p"],
    min_distance: int,
) -> Float[Tensor, "n p"]:
    near = (rows[:, :, None] - rows[:, None]).abs() <= min_distance
    near &= (columns[:, :, None] - columns[:, None]).abs() <= min_distance
    earlier: Bool[Tensor, "p p"] = torch.ones_like(near[0]).tril(-1)
    return scores.masked_fill((near & earlier).any(-1), 0.0)


def _parabola_offsets(
    maps: Float[Tensor, "n h w"], rows: Int[Tensor, "n p"], columns: Int[Tensor, "n p"]
) -> Float[Tensor, "n p 2"]:
    """From the cell centre to the vertex of a parabola through three cells, in x and y.

    At the border the three cells lie to one side of the peak.
    """
    _, height, width = maps.shape
    n = torch.arange(len(maps), device=maps.device)[:, None]
    middle_row, middle_column = rows.clamp(1, height - 2), columns.clamp(1, width - 2)

    def log_at(row: Tensor, column: Tensor) -> Tensor:
        return maps[n, row, column].clamp(min=1e-6).log()

    offsets = []
    for middle, cell, low, centre, high in (
        (
            middle_column,
            columns,
            log_at(rows, middle_column - 1),
            log_at(rows, middle_column),
            log_at(rows, middle_column + 1),
        ),
        (
            middle_row,
            rows,
            log_at(middle_row - 1, columns),
            log_at(middle_row, columns),
            log_at(middle_row + 1, columns),
        ),
    ):
        curvature = low + high - 2 * centre
        vertex = (low - high) / (2 * curvature.clamp(max=-1e-6)) + middle - cell
        offsets.append(torch.where(curvature < -1e-6, vertex.clamp(-0.5, 0.5), 0.0))
    return rearrange(offsets, "xy n p -> n p xy")
