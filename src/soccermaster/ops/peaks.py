"""Heatmaps: finding peaks at sub-pixel precision.

Positions are in cells, as in `ops.heatmaps`: cell (column i, row j) covers [i, i+1) x [j, j+1).
"""

from __future__ import annotations

from dataclasses import dataclass
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
    missing ones have score 0. The maps are read once, for the maximum of every row; what follows
    looks at few of their cells.

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
    maps = _Maps.of(heatmaps)
    row_best = heatmaps.amax(-1).reshape(len(maps), -1)
    scores, rows, columns, unclear = _search(maps, row_best, num_peaks, min_distance, rounds=0)
    for rounds in (8, None):
        if not bool(unclear.any()):
            break
        again = unclear.nonzero().flatten()
        some = maps.select(again)
        if rounds is None:
            scores[again], index = _all_peaks(some.whole(), num_peaks, min_distance)
            rows[again], columns[again] = index // width, index % width
        else:
            scores[again], rows[again], columns[again], unclear[again] = _search(
                some, row_best[again], num_peaks, min_distance, rounds
            )
    positions = torch.stack([columns, rows], dim=-1).to(heatmaps.dtype)
    if refine == "subpixel":
        positions = positions + 0.5 + _parabola_offsets(maps, rows, columns)
    elif refine == "cell_centre":
        positions = positions + 0.5
    return positions.reshape(*batch, num_peaks, 2), scores.reshape(*batch, num_peaks)


@dataclass(frozen=True)
class _Maps:
    """Heatmaps as one table of rows, without copying them when their batch axes cannot be merged.

    (Selecting whole rows of a table is much faster than indexing several axes.)
    """

    table: Float[Tensor, "rows w"]
    first: Int[Tensor, " n"]  # row of the table at which each map begins
    height: int

    @classmethod
    def of(cls, heatmaps: Float[Tensor, "*b h w"]) -> _Maps:
        height, width = heatmaps.shape[-2:]
        if heatmaps.stride()[-2:] != (width, 1) or any(s % width for s in heatmaps.stride()[:-2]):
            heatmaps = heatmaps.contiguous()
        first = torch.zeros(1, dtype=torch.long, device=heatmaps.device)
        for count, stride in zip(heatmaps.shape[:-2], heatmaps.stride()[:-2], strict=True):
            steps = torch.arange(count, device=heatmaps.device) * (stride // width)
            first = (first[:, None] + steps).flatten()
        spans = zip(heatmaps.shape[:-2], heatmaps.stride()[:-2], strict=True)
        rows = sum((n - 1) * (stride // width) for n, stride in spans) + height
        return cls(heatmaps.as_strided((rows, width), (width, 1)), first, height)

    def __len__(self) -> int:
        return len(self.first)

    @property
    def width(self) -> int:
        return self.table.shape[1]

    def select(self, which: Int[Tensor, " m"]) -> _Maps:
        return _Maps(self.table, self.first[which], self.height)

    def rows(self, rows: Int[Tensor, "n k"]) -> Float[Tensor, "n k w"]:
        wanted = (self.first[:, None] + rows).flatten()
        return self.table.index_select(0, wanted).view(*rows.shape, self.width)

    def cells(
        self, rows: Int[Tensor, "n *k"], columns: Int[Tensor, "n *k"]
    ) -> Float[Tensor, "n *k"]:
        first = self.first.view(-1, *[1] * (rows.ndim - 1))
        return self.table[first + rows, columns]

    def whole(self) -> Float[Tensor, "n h w"]:
        return self.rows(torch.arange(self.height, device=self.first.device).expand(len(self), -1))


def _search(
    maps: _Maps,
    row_best: Float[Tensor, "n h"],
    num_peaks: int,
    min_distance: int,
    rounds: int,
) -> tuple[Float[Tensor, "n p"], Int[Tensor, "n p"], Int[Tensor, "n p"], Bool[Tensor, " n"]]:
    """Scores, rows and columns of the best peaks, and which maps would need more rounds.

    The best cell that is not hidden is a peak when nothing near exceeds it. Otherwise it is on the
    slope of a higher cell that is hidden, and so is, being lower, everything near that higher cell:
    all of it is hidden, and the next best cell is looked at, `rounds` times for each peak.
    """
    row_best = row_best.clone()
    offsets = torch.arange(-min_distance, min_distance + 1, device=row_best.device)
    hidden: list[tuple[Tensor, Tensor]] = []
    unclear = torch.zeros(len(maps), dtype=torch.bool, device=row_best.device)

    def best() -> tuple[Tensor, Tensor, Tensor]:
        score, row = row_best.max(-1)
        cells = _hide(maps.rows(row[:, None]), row[:, None], hidden, offsets)
        return score, row, cells[:, 0].argmax(-1)

    def hide(row: Tensor, column: Tensor) -> None:
        hidden.append((row, column))
        near = (row[:, None] + offsets).clamp(0, maps.height - 1)
        row_best.scatter_(1, near, _hide(maps.rows(near), near, hidden, offsets).amax(-1))

    found = []
    for number in range(num_peaks):
        score, row, column = best()
        for spent in range(rounds + 1 if number else 0):
            top, top_row, top_column = _window_best(maps, row, column, offsets)
            slope = (top > score) & (score > 0)
            if spent == rounds:
                unclear |= slope
            elif not bool(slope.any()):
                break
            else:
                hide(torch.where(slope, top_row, _NOWHERE), top_column)
                score, row, column = best()
        found.append((score, row, column))
        if number + 1 < num_peaks:
            hide(row, column)
    scores, rows, columns = (torch.stack(part, dim=1) for part in zip(*found, strict=True))
    return scores.clamp(min=0), rows, columns, unclear


_NOWHERE = -1_000_000


def _hide(
    cells: Float[Tensor, "n k w"],
    rows: Int[Tensor, "n k"],
    hidden: list[tuple[Tensor, Tensor]],
    offsets: Int[Tensor, " o"],
) -> Float[Tensor, "n k w"]:
    """Some rows of the maps, changed in place: -inf around the hidden cells."""
    for row, column in hidden:
        near_row = (rows - row[:, None]).abs() <= offsets[-1]
        columns = (column[:, None] + offsets).clamp(0, cells.shape[-1] - 1)
        columns = columns[:, None].expand(-1, rows.shape[1], -1)
        kept = cells.gather(2, columns).masked_fill_(near_row[:, :, None], -torch.inf)
        cells.scatter_(2, columns, kept)
    return cells


def _window_best(
    maps: _Maps, row: Int[Tensor, " n"], column: Int[Tensor, " n"], offsets: Int[Tensor, " o"]
) -> tuple[Float[Tensor, " n"], Int[Tensor, " n"], Int[Tensor, " n"]]:
    """The highest cell near one cell of each map: its value, row and column."""
    rows = (row[:, None] + offsets).clamp(0, maps.height - 1)
    columns = (column[:, None] + offsets).clamp(0, maps.width - 1)
    cells = maps.cells(rows[:, :, None], columns[:, None])
    top, index = cells.flatten(1).max(-1)
    index = index[:, None]
    return (
        top,
        rows.gather(1, index // len(offsets))[:, 0],
        columns.gather(1, index % len(offsets))[:, 0],
    )


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
