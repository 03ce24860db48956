"""Where annotated lines cross: keypoints 1..30 and auxiliary points 58..73."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from soccermaster.geometry.pitch import LINE_CROSSINGS, Pitch
from soccermaster.vocabulary import LINES, NUM_KEYPOINTS

#: Keypoints and auxiliary points.
NUM_POINTS = NUM_KEYPOINTS + 16
#: Standard deviation of an annotated point at the least, in widths of the image.
SIGMA = 1 / 960
#: Crossings are kept this far outside of the image, in image sizes.
MARGIN = 0.5
#: Points count as distinct, and line ends as lying on the border, at this fraction of the width.
DISTINCT = 1e-4
AT_BORDER = 0.01
#: Crossings with a larger standard deviation are not used, in widths.
_UNSURE_CROSSING = 15 / 960


@dataclass(frozen=True)
class FittedLines:
    """Least-squares lines in the order of `vocabulary.LINES`; NaN without two distinct points.

    Attributes:
        lines_px: a x + b y + c = 0 with a^2 + b^2 = 1.
        middles_px: mean of the points of each line.
        counts: number of points.
        spreads_px2: sum of squared distances of the points from the middle.
    """

    lines_px: Float[np.ndarray, "23 3"]
    middles_px: Float[np.ndarray, "23 2"]
    counts: Float[np.ndarray, " 23"]
    spreads_px2: Float[np.ndarray, " 23"]

    def std_px(
        self, index: Int[np.ndarray, " n"], points_px: Float[np.ndarray, "n 2"], sigma_px: float
    ) -> Float[np.ndarray, " n"]:
        """How uncertain lines are across, at points on them, if annotations err by `sigma_px`."""
        away_px2 = ((points_px - self.middles_px[index]) ** 2).sum(axis=1)
        return sigma_px * np.sqrt(1 / self.counts[index] + away_px2 / self.spreads_px2[index])


def fit_lines(
    polylines_px: Mapping[str, Float[np.ndarray, "n 2"]], size: Float[np.ndarray, " 2"]
) -> FittedLines:
    """The line through the annotated points of each class."""
    lines_px = np.full((len(LINES), 3), np.nan)
    middles_px = np.full((len(LINES), 2), np.nan)
    counts, spreads_px2 = np.full((2, len(LINES)), np.nan)
    for i, name in enumerate(LINES):
        points_px = polylines_px.get(name)
        if points_px is None or len(points_px) < 2:
            continue
        if np.ptp(points_px, axis=0).max() <= DISTINCT * size[0]:
            continue
        middle = points_px.mean(axis=0)
        offsets = points_px - middle
        xx, xy, yy = (offsets.T @ offsets).ravel()[[0, 1, 3]]
        angle = 0.5 * np.arctan2(2 * xy, xx - yy)  # of the line
        normal = np.array([-np.sin(angle), np.cos(angle)])
        lines_px[i] = *normal, -normal @ middle
        middles_px[i], counts[i], spreads_px2[i] = middle, len(points_px), xx + yy
    return FittedLines(lines_px, middles_px, counts, spreads_px2)


def line_crossings(
    lines: FittedLines,
    polylines_px: Mapping[str, Float[np.ndarray, "n 2"]],
    size: Float[np.ndarray, " 2"],
) -> tuple[Float[np.ndarray, "73 2"], Bool[np.ndarray, " 73"]]:
    """Points 1..30 and 58..73 where two lines cross.

    Returns:
        points_px: NaN where absent or unknown. Points up to half an image outside are kept; not
            so crossings of nearly parallel lines, which annotations do not tell well enough.
        known: True where the point was found, or is known to be absent: its lines cross farther
            out; or neither of its lines is in the annotation; or it is the end of an annotated line
            whose visible part runs from border to border. A point with one line missing is
            otherwise unknown, for a short or hidden line is easily left out.
    """
    first, second = lines.lines_px[_CROSSED[:, 0]], lines.lines_px[_CROSSED[:, 1]]
    both = np.isfinite(first[:, 0]) & np.isfinite(second[:, 0])
    crossing = np.cross(first, second)
    sine = np.abs(crossing[:, 2])  # of the angle between the lines
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing_px = crossing[:, :2] / crossing[:, 2:]
        near = (np.abs(crossing_px / size - 0.5) <= 0.5 + MARGIN).all(axis=1)
        across_px = [lines.std_px(i, crossing_px, SIGMA * size[0]) for i in _CROSSED.T]
        unsure = near & (np.hypot(*across_px) > _UNSURE_CROSSING * size[0] * sine)
    points_px = np.full((NUM_POINTS, 2), np.nan)
    found = both & near & ~unsure
    points_px[_CROSSING_INDEX[found]] = crossing_px[found]
    listed = np.array([name in polylines_px for name in LINES])
    fitted = np.isfinite(lines.counts)
    across = np.array(
        [
            bool(fit) and _crosses_image(polylines_px[name], size)
            for name, fit in zip(LINES, fitted, strict=True)
        ]
    )
    beyond_border = (across[_CROSSED] & _IS_END).any(axis=1)
    known = np.zeros(NUM_POINTS, dtype=bool)
    known[_CROSSING_INDEX] = np.where(both, ~unsure, ~listed[_CROSSED].any(axis=1) | beyond_border)
    return points_px, known


def farthest_pair(points_px: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "2 2"]:
    """The two points that are farthest apart."""
    if len(points_px) == 2:
        return points_px
    distances = np.linalg.norm(points_px[:, None] - points_px[None], axis=-1)
    return points_px[list(np.unravel_index(distances.argmax(), distances.shape))]


def _crosses_image(points_px: np.ndarray, size: np.ndarray) -> bool:
    """Whether a polyline runs from border to border of the image."""
    ends_px = farthest_pair(points_px)
    inner = np.minimum(ends_px, size - ends_px).min(axis=1)
    return bool((inner <= AT_BORDER * size[0]).all())


def _line_ends() -> tuple[tuple[int, int], ...]:
    """Indices of the keypoints at both ends of each line."""
    pitch = Pitch()
    distance_m = np.linalg.norm(pitch.keypoints_m[:, None, None] - pitch.line_ends_m, axis=-1)
    return tuple(tuple(int(i) for i in row) for row in distance_m.argmin(axis=0))


#: Indices of the keypoints at both ends of each line.
LINE_ENDS = _line_ends()
_CROSSING_INDEX = np.array(list(LINE_CROSSINGS)) - 1
_CROSSED = np.array([[LINES.index(name) for name in names] for names in LINE_CROSSINGS.values()])
#: Whether a crossing is an end of its first and of its second line.
_IS_END = np.array(
    [
        [n - 1 in LINE_ENDS[i] for i in pair]
        for n, pair in zip(LINE_CROSSINGS, _CROSSED, strict=True)
    ]
)
