"""Heatmaps: finding peaks at sub-pixel precision.

Positions are in cells, as in `ops.heatmaps`: cell (column i, row j) covers [i, i+1) x [j, j+1).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor


def find_peaks(
    heatmaps: Float[Tensor, "*b h w"],
    num_peaks: int,
    min_distance: int,
    refine: Literal["subpixel", "cell_centre", "cell_corner"] = "subpixel",
) -> tuple[Float[Tensor, "*b p 2"], Float[Tensor, "*b p"]]:
    """The best peaks of each heatmap, at least `min_distance` cells apart along x or y.

    Peaks next to the border are as good as others. Where a map has fewer peaks than asked for, the
    missing ones have score 0. The maps are read once, for the maximum of every row; maps whose best
    cell outside the peaks found so far is on a slope are looked at again.

    Args:
        heatmaps: non-negative scores; need not be contiguous.
        num_peaks: p, peaks per map, best first.
        min_distance: in cells; a cell is a peak when nothing within this distance exceeds it.
        refine: "subpixel" fits a parabola to the logarithm in x and y (exact for a Gaussian; maps
            of at least 3 x 3 cells);
            "cell_centre" returns i + 0.5; "cell_corner" returns i, as the released decoder does.

    Returns:
        Positions (x, y) in cells and scores.
    """
    *batch, _, width = heatmaps.shape
    maps = _Maps(heatmaps)
    row_best = heatmaps.amax(-1).reshape(len(maps), -1).clone()  # (n, h)
    found: list[tuple[Tensor, Tensor, Tensor]] = []  # score, row, column of each peak, (n,) each
    doubtful = torch.zeros(len(maps), dtype=torch.bool, device=heatmaps.device)
    for number in range(num_peaks):
        score, row = row_best.max(-1)
        cells = _hide(maps.rows(row[:, None]), row[:, None], found, min_distance)[:, 0]
        column = cells.argmax(-1)
        if number:
            doubtful |= (maps.window(row, column, min_distance) > score) & (score > 0)
        found.append((score, row, column))
        if number + 1 < num_peaks:
            near = (row[:, None] + maps.offsets(min_distance)).clamp(0, maps.height - 1)
            left = _hide(maps.rows(near), near, found, min_distance).amax(-1)
            row_best.scatter_(1, near, left)
    scores, rows, columns = (torch.stack(part, dim=1) for part in zip(*found, strict=True))
    scores = scores.clamp(min=0)
    if bool(doubtful.any()):
        again = doubtful.nonzero().flatten()
        scores[again], index = _all_peaks(maps.whole(again), num_peaks, min_distance)
        rows[again], columns[again] = index // width, index % width
    positions = torch.stack([columns, rows], dim=-1).to(heatmaps.dtype)
    if refine == "subpixel":
        positions = positions + 0.5 + _parabola_offsets(maps, rows, columns)
    elif refine == "cell_centre":
        positions = positions + 0.5
    return positions.reshape(*batch, num_peaks, 2), scores.reshape(*batch, num_peaks)


class _Maps:
    """Heatmaps in one row, without copying them when their batch axes cannot be merged."""

    def __init__(self, heatmaps: Float[Tensor, "*b h w"]) -> None:
        self.maps = heatmaps
        self.height, self.width = heatmaps.shape[-2:]
        counts = [torch.arange(n, device=heatmaps.device) for n in heatmaps.shape[:-2]]
        grid = torch.meshgrid(*counts, indexing="ij") if counts else ()
        self.where = tuple(axis.reshape(-1) for axis in grid)  # of each map, along each batch axis

    def __len__(self) -> int:
        return len(self.where[0]) if self.where else 1

    def offsets(self, distance: int) -> Int[Tensor, " k"]:
        return torch.arange(-distance, distance + 1, device=self.maps.device)

    def rows(self, rows: Int[Tensor, "n k"]) -> Float[Tensor, "n k w"]:
        return self.maps[(*(axis[:, None] for axis in self.where), rows)]

    def cells(self, rows: Int[Tensor, "n k"], columns: Int[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        return self.maps[(*(axis[:, None] for axis in self.where), rows, columns)]

    def window(
        self, row: Int[Tensor, " n"], column: Int[Tensor, " n"], distance: int
    ) -> Float[Tensor, " n"]:
        """The maximum within a distance of one cell of each map."""
        offsets = self.offsets(distance)
        rows = (row[:, None] + offsets).clamp(0, self.height - 1)[:, :, None]
        columns = (column[:, None] + offsets).clamp(0, self.width - 1)[:, None]
        cells = self.maps[(*(axis[:, None, None] for axis in self.where), rows, columns)]
        return cells.amax((-2, -1))

    def whole(self, which: Int[Tensor, " m"]) -> Float[Tensor, "m h w"]:
        return self.maps[tuple(axis[which] for axis in self.where)].reshape(
            -1, self.height, self.width
        )


def _hide(
    cells: Float[Tensor, "n k w"],
    rows: Int[Tensor, "n k"],
    found: list[tuple[Tensor, Tensor, Tensor]],
    min_distance: int,
) -> Float[Tensor, "n k w"]:
    """Some rows of the maps, changed in place: -inf around the peaks that were found."""
    width = cells.shape[-1]
    offsets = torch.arange(-min_distance, min_distance + 1, device=cells.device)
    for _, row, column in found:
        near_row = (rows - row[:, None]).abs() <= min_distance
        columns = (column[:, None] + offsets).clamp(0, width - 1)
        columns = columns[:, None].expand(-1, rows.shape[1], -1)
        kept = cells.gather(2, columns).masked_fill_(near_row[:, :, None], -torch.inf)
        cells.scatter_(2, columns, kept)
    return cells


def _all_peaks(
    maps: Float[Tensor, "n h w"], num_peaks: int, min_distance: int
) -> tuple[Float[Tensor, "n p"], Int[Tensor, "n p"]]:
    """Scores and cell numbers of the best among all local maxima."""
    _, height, width = maps.shape
    highest = _windowed_maximum(maps, 2 * min_distance + 1)
    candidates = torch.where(maps >= highest, maps, 0.0)
    # equal cells of one plateau are one peak, so look at some more than are asked for
    looked_at = min(4 * num_peaks, height * width)
    scores, index = candidates.flatten(1).topk(looked_at)
    scores = _drop_neighbours(scores, index // width, index % width, min_distance)
    scores, best = scores.topk(num_peaks)
    return scores, index.gather(1, best)


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
    maps: _Maps, rows: Int[Tensor, "n p"], columns: Int[Tensor, "n p"]
) -> Float[Tensor, "n p 2"]:
    """From the cell centre to the vertex of a parabola through three cells, in x and y.

    At the border the three cells lie to one side of the peak.
    """
    middle_row = rows.clamp(1, maps.height - 2)
    middle_column = columns.clamp(1, maps.width - 2)

    def log_at(row: Tensor, column: Tensor) -> Tensor:
        return maps.cells(row, column).clamp(min=1e-6).log()

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
