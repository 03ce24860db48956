"""Heatmaps: drawing Gaussian targets on the device, into planes that are used again.

A heatmap cell (column i, row j) covers [i, i+1) x [j, j+1); its centre is (i + 0.5, j + 0.5). All
positions are in cells, so a point in pixels is divided by (pixels per cell) before drawing and
multiplied by it after decoding, and nothing is biased by half a cell.

A Gaussian is drawn within `REACH` standard deviations, where it is above 4e-5; the rest stays 0.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

REACH = 4.5


class Canvas:
    """Planes that are drawn again and again: clearing undoes what was drawn, and nothing else.

    A batch of large targets is hundreds of megabytes of which a few percent are not blank. What is
    drawn is valid until the next `clear`; a loss that keeps its targets for the backward pass
    copies them.
    """

    def __init__(self) -> None:
        self._planes: Tensor | None = None
        self._drawn: list[tuple[Int[Tensor, " n"], float]] = []

    def __reduce__(self) -> tuple[type[Canvas], tuple[()]]:
        """Copies and pickles are new canvases: what is drawn is not worth keeping."""
        return Canvas, ()

    def clear(
        self, shape: tuple[int, ...], device: torch.device, last: float = 0.0
    ) -> Float[Tensor, "*b C h w"]:
        """Blank planes: 0, and `last` in the last channel.

        Args:
            shape: (*b, C, h, w).
            device: to draw on.
            last: of the background channel, if there is one.
        """
        planes = self._planes
        if planes is None or planes.shape != shape or planes.device != device:
            with torch.inference_mode(False):  # what validation draws first, training draws later
                planes = torch.zeros(shape, device=device)
                planes[..., -1, :, :] = last
            self._planes = planes
        else:
            for cells, blank in self._drawn:
                planes.view(-1).index_fill_(0, cells, blank)
        self._drawn = []
        return planes

    def points(self, points: Float[Tensor, "n 2"], planes: Int[Tensor, " n"], sigma: float) -> None:
        """One Gaussian of peak 1 per point, joined with what is there by the maximum.

        Args:
            points: (x, y) in cells; a point that is NaN or outside the map draws nothing.
            planes: number of each point's plane, counted through all axes but the last two.
            sigma: standard deviation in cells.
        """
        cells, values = _point_cells(points, planes, self._size, sigma)
        self._flat.scatter_reduce_(0, cells, values, "amax")
        self._drawn.append((cells, 0.0))

    def background(
        self,
        points: Float[Tensor, "n 2"],
        planes: Int[Tensor, " n"],
        sigma: float,
    ) -> None:
        """Take Gaussians away from background planes, which are 1 - their sum, at least 0."""
        cells, values = _point_cells(points, planes, self._size, sigma)
        flat = self._flat
        flat.scatter_add_(0, cells, -values)
        flat.index_copy_(0, cells, flat[cells].clamp(min=0))
        self._drawn.append((cells, 1.0))

    def segments(
        self, segments: Float[Tensor, "n 2 2"], planes: Int[Tensor, " n"], sigma: float
    ) -> None:
        """A Gaussian of the distance to each segment, joined with what is there by the maximum.

        Args:
            segments: two (x, y) ends in cells; a segment with NaN draws nothing.
            planes: number of each segment's plane.
            sigma: standard deviation in cells.
        """
        cells, values = _segment_cells(segments, planes, self._size, sigma)
        self._flat.scatter_reduce_(0, cells, values, "amax")
        self._drawn.append((cells, 0.0))

    @property
    def _size(self) -> tuple[int, int]:
        assert self._planes is not None, "clear the canvas before drawing"
        return self._planes.shape[-2], self._planes.shape[-1]

    @property
    def _flat(self) -> Float[Tensor, " cells"]:
        assert self._planes is not None, "clear the canvas before drawing"
        return self._planes.view(-1)


def _point_cells(
    points: Float[Tensor, "n 2"], planes: Int[Tensor, " n"], size: tuple[int, int], sigma: float
) -> tuple[Int[Tensor, " m"], Float[Tensor, " m"]]:
    """Cells of the window around each point that is on its map, and the Gaussian there."""
    height, width = size
    limit = points.new_tensor([width, height])
    inside = ((points >= 0) & (points < limit)).all(-1)  # False for NaN
    points, planes = points[inside], planes[inside]
    columns, gauss_x = _window(points[:, 0], width, sigma)
    rows, gauss_y = _window(points[:, 1], height, sigma)
    first = planes[:, None] * height + rows
    cells = first[:, :, None] * width + columns[:, None]
    return cells.flatten(), (gauss_y[:, :, None] * gauss_x[:, None]).flatten()


def _window(
    centre: Float[Tensor, " n"], length: int, sigma: float
) -> tuple[Int[Tensor, "n k"], Float[Tensor, "n k"]]:
    """Cells around a place on an axis, all of them on it, and the Gaussian there."""
    reach = math.ceil(REACH * sigma)
    first, count = _run_of_cells(centre, length, reach)
    offsets = torch.arange(count, device=centre.device)
    distance = (first + 0.5 - centre)[:, None] + offsets
    return first[:, None] + offsets, torch.exp(distance.square() * (-0.5 / sigma**2))


def _run_of_cells(
    centre: Float[Tensor, " n"], length: int, reach: int
) -> tuple[Int[Tensor, " n"], int]:
    """First cell and number of the cells within `reach` of a place.

    The run is shifted inwards where it would leave the axis.
    """
    count = min(2 * reach + 1, length)
    return (centre.floor().long() - reach).clamp(0, length - count), count


def _segment_cells(
    segments: Float[Tensor, "n 2 2"], planes: Int[Tensor, " n"], size: tuple[int, int], sigma: float
) -> tuple[Int[Tensor, " m"], Float[Tensor, " m"]]:
    """Cells near each segment and the Gaussian of their distance to it.

    A segment is followed along the axis in which it is longer, cell by cell, with a run of cells
    across at each.
    """
    drawn = segments.isfinite().flatten(1).all(1)
    cells, values = [], []
    extent = (segments[:, 1] - segments[:, 0]).abs()
    flat = extent[:, 0] >= extent[:, 1]
    for wanted, along, across in ((drawn & flat, 0, 1), (drawn & ~flat, 1, 0)):
        length, breadth = size[1 - along], size[1 - across]
        ends, plane = segments[wanted][..., [along, across]], planes[wanted]
        rows, u, v, count = _cells_along(ends, length, breadth, sigma)
        offsets = torch.arange(count, device=ends.device)
        start, direction = ends[:, 0], ends[:, 1] - ends[:, 0]
        start, direction, plane = start[rows], direction[rows], plane[rows]
        # cell centre minus start, along and across; then minus the nearest point of the segment
        du, dv = (u + 0.5 - start[:, 0])[:, None], (v + 0.5 - start[:, 1])[:, None] + offsets
        unit = direction / direction.square().sum(-1, keepdim=True).clamp(min=1e-6)
        share = torch.addcmul(du * unit[:, :1], dv, unit[:, 1:]).clamp_(0, 1)
        squared = torch.addcmul(dv, share, direction[:, 1:], value=-1).square_()
        squared += torch.addcmul(du, share, direction[:, :1], value=-1).square_()
        values.append(squared.mul_(-0.5 / sigma**2).exp_().flatten())
        strides = (size[1], 1) if along == 1 else (1, size[1])
        first = plane * (size[0] * size[1]) + u * strides[0] + v * strides[1]
        cells.append((first[:, None] + offsets * strides[1]).flatten())
    return torch.cat(cells), torch.cat(values)


def _cells_along(
    ends: Float[Tensor, "n 2 2"], length: int, breadth: int, sigma: float
) -> tuple[Int[Tensor, " m"], Int[Tensor, " m"], Int[Tensor, " m"], int]:
    """Segment number, cell along, first cell across and their number.

    Segments are given as (along, across).
    """
    reach = math.ceil(REACH * sigma)
    low, high = ends[..., 0].amin(-1), ends[..., 0].amax(-1)
    first = (low.floor().long() - reach).clamp(0, length)
    counts = ((high.floor().long() + reach + 1).clamp(0, length) - first).clamp(min=0)
    rows = torch.arange(len(ends), device=ends.device).repeat_interleave(counts)
    step = torch.arange(len(rows), device=ends.device) - (counts.cumsum(0) - counts)[rows]
    u = first[rows] + step
    start, direction = ends[:, 0], ends[:, 1] - ends[:, 0]
    slope = direction[:, 1] / torch.where(direction[:, 0] == 0, 1.0, direction[:, 0])
    at = torch.minimum(torch.maximum(u + 0.5, low[rows]), high[rows])
    centre = start[rows, 1] + (at - start[rows, 0]) * slope[rows]
    # a line at 45 degrees is sqrt(2) times as broad across its axis
    return rows, u, *_run_of_cells(centre, breadth, math.ceil(REACH * sigma * math.sqrt(2)))
