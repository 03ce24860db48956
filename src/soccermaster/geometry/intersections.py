"""Keypoints and line ends from annotated polylines: the ground truth of the pitch heads.

Four kinds of derivation, each on top of the one before:

1. crossings of lines (keypoints 1..30 and auxiliary points 58..73);
2. crossings of circles with lines (31..36) and points of tangency (37..44), from fitted ellipses;
3. a homography of the ground from all of them, refined on every annotated point. It says which of
   two crossings is which, and gives what has no marking of its own (45..57) or was left out;
4. what is known to be absent, and what cannot be decided.

Sizes are (W, H). A marking that annotators could see is in the annotation, so one that is not
listed is absent; a class with a single point was seen but says little, and stays unknown.

Source: PnLCalib, generation of keypoint and line targets, with a deterministic fifth point of
circles, a refined homography and a mask derived from the table of keypoints.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from soccermaster.geometry.ellipse import cross_line, fit_ellipse, tangent_points
from soccermaster.geometry.ground_fit import (
    marking_errors_px,
    placement_std_px,
    refine_homography,
)
from soccermaster.geometry.homography import apply_homography, estimate_homography
from soccermaster.geometry.pitch import LINE_CROSSINGS, Pitch
from soccermaster.geometry.visible import clip_segments
from soccermaster.vocabulary import CIRCLES, LINES, NUM_KEYPOINTS

NUM_POINTS = NUM_KEYPOINTS + 16
#: Points count as distinct, and line ends as lying on the border, at this fraction of the width.
_DISTINCT = 1e-4
_AT_BORDER = 0.01
#: Crossings are kept this far outside of the image, in image sizes.
_MARGIN = 0.5
#: Points farther than this from where the homography puts them are dropped, in widths.
_SAME_CROSSING = 25 / 960
_SAME_CIRCLE_POINT = 15 / 960
#: Least standard deviation of an annotated point, in widths.
_SIGMA = 1 / 960
#: Crossings with a larger standard deviation are not used, in widths.
_UNSURE_CROSSING = 15 / 960
#: The homography is used for points where its standard deviation is at most this, in widths.
_CERTAIN = 5 / 960
#: Annotated points agree with the homography up to this median distance, in widths.
_AGREES = 5 / 960
#: Annotated points count less from this distance on, in widths.
_HUBER = 2 / 960
#: A missing crossing is restored if another keypoint was found this near on the pitch (m).
_NEIGHBOUR_M = 5.0


@dataclass(frozen=True)
class PitchPoints:
    """What an annotation says about the points of the pitch template.

    Arrays hold point k (1..73) at index k - 1; the first 57 are the keypoints.

    Attributes:
        points_px: NaN where absent or unknown. Points up to half an image outside are kept.
        known: True where the point was found, or is known to be absent from the image.
        restored: True where the homography gave the point, not the markings through it.
        image_from_pitch: of the centred ground plane (m); None where the markings determine none.
        reasons: what could not be derived, to be counted.
    """

    points_px: Float[np.ndarray, "73 2"]
    known: Bool[np.ndarray, " 73"]
    restored: Bool[np.ndarray, " 73"]
    image_from_pitch: Float[np.ndarray, "3 3"] | None
    reasons: tuple[str, ...]

    @property
    def keypoints_px(self) -> Float[np.ndarray, "57 2"]:
        """The points that have heatmaps."""
        return self.points_px[:NUM_KEYPOINTS]


def points_from_polylines(
    polylines_px: Mapping[str, Float[np.ndarray, "n 2"]],
    image_size: tuple[int, int],
    template: Literal["table", "exact"] = "table",
) -> PitchPoints:
    """All keypoints and auxiliary points that annotated polylines determine. Deterministic.

    Args:
        polylines_px: annotated points by class name; other classes are ignored.
        image_size: (W, H) in pixels.
        template: where keypoints without a marking of their own are on the pitch; see `Pitch`.
    """
    size = np.asarray(image_size, np.float64)
    polylines_px = {
        name: np.asarray(points, np.float64).reshape(-1, 2)
        for name, points in polylines_px.items()
        if name in LINES or name in CIRCLES
    }
    reasons: list[str] = []
    lines = fit_lines(polylines_px, size)
    points_px, known = line_crossings(lines, polylines_px, size)
    pairs = _circle_pairs(lines.lines_px, polylines_px, points_px, reasons)
    image_from_pitch = _ground_homography(points_px, pairs, polylines_px, size)
    restored = np.zeros(NUM_POINTS, dtype=bool)
    if image_from_pitch is None:
        reasons.append("no homography of the ground")
        known |= _unlisted(polylines_px)
    else:
        places = _Places.of(image_from_pitch, polylines_px, Pitch(template).points_m, size)
        _assign_pairs(points_px, pairs, places, size)
        _drop_outliers(points_px, places, size, reasons)
        known |= np.isfinite(points_px[:, 0])
        restored = _restore(points_px, known, places, polylines_px, size)
    return PitchPoints(points_px, known, restored, image_from_pitch, tuple(reasons))


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
        if np.ptp(points_px, axis=0).max() <= _DISTINCT * size[0]:
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
        near = (np.abs(crossing_px / size - 0.5) <= 0.5 + _MARGIN).all(axis=1)
        across_px = [lines.std_px(i, crossing_px, _SIGMA * size[0]) for i in _CROSSED.T]
        unsure = near & (np.hypot(*across_px) > _UNSURE_CROSSING * size[0] * sine)
    points_px = np.full((NUM_POINTS, 2), np.nan)
    found = both & near & ~unsure
    points_px[_CROSSING_INDEX[found]] = crossing_px[found]
    listed = np.array([name in polylines_px for name in LINES])
    across = np.isfinite(lines.counts) & np.array(
        [name in polylines_px and _crosses_image(polylines_px[name], size) for name in LINES]
    )
    beyond_border = (across[_CROSSED] & _IS_END).any(axis=1)
    known = np.zeros(NUM_POINTS, dtype=bool)
    known[_CROSSING_INDEX] = np.where(both, ~unsure, ~listed[_CROSSED].any(axis=1) | beyond_border)
    return points_px, known


def keypoints_from_polylines(
    polylines_px: Mapping[str, Float[np.ndarray, "n 2"]],
    image_size: tuple[int, int],
) -> tuple[Float[np.ndarray, "57 2"], Bool[np.ndarray, " 57"]]:
    """Keypoints 1..30 as crossings of annotated lines; 31..57 are always unknown here.

    `points_from_polylines` derives all of them.

    Args:
        polylines_px: annotated points by class name; other classes than lines are ignored.
        image_size: (W, H) in pixels.

    Returns:
        points_px: see `line_crossings`.
        known: see `line_crossings`.
    """
    size = np.asarray(image_size, np.float64)
    polylines_px = {
        name: np.asarray(points, np.float64).reshape(-1, 2)
        for name, points in polylines_px.items()
        if name in LINES
    }
    points_px, known = line_crossings(fit_lines(polylines_px, size), polylines_px, size)
    return points_px[:NUM_KEYPOINTS], known[:NUM_KEYPOINTS]


def segments_from_polylines(
    polylines_px: Mapping[str, Float[np.ndarray, "n 2"]],
    image_size: tuple[int, int],
    keypoints_px: Float[np.ndarray, "57 2"] | None = None,
) -> tuple[Float[np.ndarray, "23 2 2"], Bool[np.ndarray, " 23"]]:
    """The visible part of each line, as the two most distant annotated points.

    Args:
        polylines_px: annotated points by class name; other classes than lines are ignored.
        image_size: (W, H) in pixels.
        keypoints_px: with them, an end gives way to the keypoint that ends the line, where that is
            in the image.

    Returns:
        segments_px: clipped to the image, in the order of `vocabulary.LINES`; NaN where absent.
        known: False for lines with a single distinct point. Lines that are not listed, and lines
            that clipping removes, are known to be absent.
    """
    size = np.asarray(image_size, np.float64)
    segments_px = np.full((len(LINES), 2, 2), np.nan)
    known = np.ones(len(LINES), dtype=bool)
    for i, name in enumerate(LINES):
        points_px = np.asarray(polylines_px.get(name, ()), np.float64).reshape(-1, 2)
        if len(points_px) == 0:
            continue
        ends_px = _farthest_pair(points_px)
        if np.linalg.norm(ends_px[1] - ends_px[0]) <= _DISTINCT * size[0]:
            known[i] = False
            continue
        segments_px[i] = ends_px
        if keypoints_px is not None:
            _end_at_keypoints(segments_px[i], keypoints_px[list(_ENDS[i])], size)
    return clip_segments(segments_px, image_size), known


@dataclass(frozen=True)
class _Pair:
    """Two places in the image of which one or both are keypoints."""

    numbers: tuple[int, ...]
    candidates_px: Float[np.ndarray, "2 2"]


def _circle_pairs(
    lines_px: np.ndarray,
    polylines_px: Mapping[str, np.ndarray],
    points_px: np.ndarray,
    reasons: list[str],
) -> list[_Pair]:
    """Where circles meet their lines, and are touched by tangents from keypoints."""
    pairs = []
    for circle, (line, numbers) in _CIRCLE_CROSSINGS.items():
        if circle not in polylines_px:
            continue
        conic = fit_ellipse(polylines_px[circle])
        if conic is None:
            reasons.append(f"{circle}: points of no ellipse")
            continue
        line_px = lines_px[LINES.index(line)]
        if np.isfinite(line_px[0]):
            crossing_px = cross_line(conic, line_px)
            if crossing_px is None:
                reasons.append(f"{circle}: does not meet {line}")
            else:
                pairs.append(_Pair(numbers, crossing_px))
        for origin, touched in _TANGENTS[circle].items():
            if np.isfinite(points_px[origin - 1, 0]):
                touching_px = tangent_points(conic, points_px[origin - 1])
                if touching_px is None:
                    reasons.append(f"{circle}: no tangent from keypoint {origin}")
                else:
                    pairs.append(_Pair(touched, touching_px))
    return pairs


def _ground_homography(
    points_px: np.ndarray,
    pairs: list[_Pair],
    polylines_px: Mapping[str, np.ndarray],
    size: np.ndarray,
) -> np.ndarray | None:
    """The first homography that all annotated points agree with, refined on them."""
    ground = _ON_GROUND & np.isfinite(points_px[:, 0])
    if ground.sum() >= 4:
        start = estimate_homography(_GROUND_M[ground], points_px[ground], _SAME_CROSSING * size[0])
        refined = _refined(start, polylines_px, size)
        if refined is not None:
            return refined
    if not pairs or ground.sum() + 2 * len(pairs) < 4:
        return None
    starts = []
    for turns in itertools.product((0, 1), repeat=len(pairs)):
        numbers = [n for pair in pairs for n in pair.numbers]
        extra_px = [
            pair.candidates_px[(k + turn) % 2]
            for pair, turn in zip(pairs, turns, strict=True)
            for k in range(len(pair.numbers))
        ]
        source = np.concatenate([_GROUND_M[ground], _GROUND_M[np.array(numbers) - 1]])
        target = np.concatenate([points_px[ground], np.array(extra_px)])
        start = estimate_homography(source, target)
        if start is not None and _seen_from_above(start, source):
            error_px = np.linalg.norm(apply_homography(start, source) - target, axis=1)
            starts.append((float((error_px**2).mean()), start))
    if not starts:
        return None
    return _refined(min(starts, key=lambda pair: pair[0])[1], polylines_px, size)


def _refined(
    start: np.ndarray | None, polylines_px: Mapping[str, np.ndarray], size: np.ndarray
) -> np.ndarray | None:
    if start is None or abs(np.linalg.det(start)) < 1e-300:
        return None
    pitch_from_image = refine_homography(np.linalg.inv(start), polylines_px, _HUBER * size[0])
    error_px = marking_errors_px(pitch_from_image, polylines_px)
    if not np.isfinite(error_px).all() or np.median(error_px) > _AGREES * size[0]:
        return None
    if np.quantile(error_px, 0.9) > 3 * _AGREES * size[0]:
        return None
    image_from_pitch = np.linalg.inv(pitch_from_image)
    image_from_pitch /= image_from_pitch[2, 2]
    points = np.concatenate([p for n, p in polylines_px.items() if n in ON_GROUND])
    seen_m = apply_homography(pitch_from_image, points)
    return image_from_pitch if _seen_from_above(image_from_pitch, seen_m) else None


def _seen_from_above(image_from_pitch: np.ndarray, ground_m: np.ndarray) -> bool:
    """Whether a camera above the ground can have ground points before it."""
    depth = ground_m @ image_from_pitch[2, :2] + image_from_pitch[2, 2]
    return bool((depth * np.linalg.det(image_from_pitch) > 0).all())


@dataclass(frozen=True)
class _Places:
    """Where a homography puts the points of the template; NaN off the ground and behind."""

    placed_px: Float[np.ndarray, "73 2"]
    std_px: Float[np.ndarray, " 73"]
    template_m: Float[np.ndarray, "73 3"]

    @classmethod
    def of(
        cls,
        image_from_pitch: np.ndarray,
        polylines_px: Mapping[str, np.ndarray],
        template_m: np.ndarray,
        size: np.ndarray,
    ) -> _Places:
        pitch_from_image = np.linalg.inv(image_from_pitch)
        error_px = marking_errors_px(pitch_from_image, polylines_px)
        sigma_px = max(_SIGMA * size[0], 1.5 * float(np.median(error_px)))
        ground_m = template_m[:, :2]
        depth = ground_m @ image_from_pitch[2, :2] + image_from_pitch[2, 2]
        before = _ON_GROUND & (depth * np.linalg.det(image_from_pitch) > 0)
        std_px = placement_std_px(pitch_from_image, polylines_px, ground_m, sigma_px)
        return cls(
            np.where(before[:, None], apply_homography(image_from_pitch, ground_m), np.nan),
            np.where(before, std_px, np.nan),
            template_m,
        )


def _assign_pairs(
    points_px: np.ndarray, pairs: list[_Pair], places: _Places, size: np.ndarray
) -> None:
    """Write circle points to the keypoints that the homography puts them nearest to."""
    for pair in pairs:
        index = np.array(pair.numbers) - 1
        distance_px = np.linalg.norm(
            places.placed_px[index][:, None] - pair.candidates_px, axis=-1
        )  # (numbers, 2)
        if not (places.std_px[index] <= _CERTAIN * size[0]).all():
            continue
        orders = [[0, 1][: len(index)], [1, 0][: len(index)]]
        order = min(orders, key=lambda o: distance_px[np.arange(len(o)), o].sum())
        for i, k in zip(index, order, strict=True):
            if (np.abs(pair.candidates_px[k] / size - 0.5) <= 0.5 + _MARGIN).all():
                points_px[i] = pair.candidates_px[k]


def _drop_outliers(
    points_px: np.ndarray, places: _Places, size: np.ndarray, reasons: list[str]
) -> None:
    """Forget crossings of nearly parallel lines, and what was fitted to too short an arc."""
    distance_px = np.linalg.norm(places.placed_px - points_px, axis=1)
    limit_px = np.where(_ON_CIRCLE, _SAME_CIRCLE_POINT, _SAME_CROSSING) * size[0]
    certain = places.std_px <= np.minimum(_CERTAIN * size[0], distance_px / 3)  # False for NaN
    inside = ((points_px >= 0) & (points_px <= size)).all(axis=1)
    wrong = certain & (inside | _ON_CIRCLE) & (distance_px > limit_px)
    points_px[wrong] = np.nan
    reasons += [f"point {i + 1}: disagrees with the homography" for i in np.nonzero(wrong)[0]]


def _restore(
    points_px: np.ndarray,
    known: np.ndarray,
    places: _Places,
    polylines_px: Mapping[str, np.ndarray],
    size: np.ndarray,
) -> np.ndarray:
    """Write points by homography, in the image alone; outside they are known to be absent."""
    missing = _ON_GROUND & np.isnan(points_px[:, 0])
    outside_px = np.maximum(-places.placed_px, places.placed_px - size).max(axis=1)
    found_m = places.template_m[_ON_GROUND & ~missing]
    distance_m = np.linalg.norm(places.template_m[:, None] - found_m, axis=-1)
    may = (distance_m <= _NEIGHBOUR_M).any(axis=1)
    for number, name in _RESTORED_WITH.items():
        may[number - 1] = name in polylines_px
    may[[45 - 1, 57 - 1]] = True
    certain = places.std_px <= _CERTAIN * size[0]  # False for NaN
    write = missing & (outside_px <= 0) & may & certain
    points_px[write] = places.placed_px[write]
    behind = np.isnan(outside_px)
    absent = behind | (outside_px > np.maximum(_AT_BORDER * size[0], 3 * places.std_px))
    # What the homography shows in the image and no marking confirms is not known to be absent.
    known[missing & (outside_px <= _AT_BORDER * size[0])] = False
    known |= write | (missing & absent)
    return write


def _unlisted(polylines_px: Mapping[str, np.ndarray]) -> np.ndarray:
    """Keypoints 31..57 none of whose markings is in the annotation: they are not in the image."""
    absent = np.zeros(NUM_POINTS, dtype=bool)
    for number, names in _MARKINGS.items():
        absent[number - 1] = not any(name in polylines_px for name in names)
    return absent


def _crosses_image(points_px: np.ndarray, size: np.ndarray) -> bool:
    """Whether a polyline runs from border to border of the image."""
    ends_px = _farthest_pair(points_px)
    inner = np.minimum(ends_px, size - ends_px).min(axis=1)
    return bool((inner <= _AT_BORDER * size[0]).all())


def _farthest_pair(points_px: np.ndarray) -> np.ndarray:
    if len(points_px) == 2:
        return points_px
    distances = np.linalg.norm(points_px[:, None] - points_px[None], axis=-1)
    return points_px[list(np.unravel_index(distances.argmax(), distances.shape))]


def _end_at_keypoints(segment_px: np.ndarray, ends_px: np.ndarray, size: np.ndarray) -> None:
    """Move ends of a segment (2, 2) to the keypoints of the line's ends that are in the image."""
    usable = ends_px[((ends_px >= 0) & (ends_px <= size)).all(axis=1)]  # False for NaN
    start, step = segment_px[0].copy(), segment_px[1] - segment_px[0]
    along = (usable - start) @ step / (step @ step)
    if len(usable) == 2:
        segment_px[:] = usable[np.argsort(along, kind="stable")]
    elif len(usable) == 1:
        segment_px[int(along[0] > 0.5)] = usable[0]


def _line_ends() -> tuple[tuple[int, int], ...]:
    """Indices of the keypoints at both ends of each line."""
    pitch = Pitch()
    distance_m = np.linalg.norm(pitch.keypoints_m[:, None, None] - pitch.line_ends_m, axis=-1)
    return tuple(tuple(int(i) for i in row) for row in distance_m.argmin(axis=0))


ON_GROUND = frozenset(n for n in (*LINES, *CIRCLES) if not n.startswith("Goal"))
_GROUND_M = Pitch("exact").points_m[:, :2]
_ON_GROUND = Pitch().points_m[:, 2] == 0
_ON_CIRCLE = (np.arange(NUM_POINTS) >= 30) & (np.arange(NUM_POINTS) < 44)
_ENDS = _line_ends()
_CROSSING_INDEX = np.array(list(LINE_CROSSINGS)) - 1
_CROSSED = np.array([[LINES.index(name) for name in names] for names in LINE_CROSSINGS.values()])
#: Whether a crossing is an end of its first and of its second line.
_IS_END = np.array(
    [[n - 1 in _ENDS[i] for i in pair] for n, pair in zip(LINE_CROSSINGS, _CROSSED, strict=True)]
)
_CIRCLE_CROSSINGS = {
    "Circle central": ("Middle line", (32, 35)),
    "Circle left": ("Big rect. left main", (31, 34)),
    "Circle right": ("Big rect. right main", (33, 36)),
}
#: Keypoints from which tangents go to a circle, and the keypoints where they touch it.
_TANGENTS = {
    "Circle central": {2: (38, 39), 29: (42, 43)},
    "Circle left": {5: (37,), 25: (41,)},
    "Circle right": {6: (40,), 26: (44,)},
}
#: Keypoints that lie on a marking without a crossing, and the class that must be annotated.
_RESTORED_WITH = {
    46: "Big rect. left main", 47: "Circle left", 48: "Circle central", 49: "Circle central",
    50: "Circle central", 51: "Middle line", 52: "Circle central", 53: "Circle central",
    54: "Circle central", 55: "Circle right", 56: "Big rect. right main",
}  # fmt: skip
_MARKINGS: dict[int, tuple[str, ...]] = {n: (name,) for n, name in _RESTORED_WITH.items()}
for _circle, (_line, _numbers) in _CIRCLE_CROSSINGS.items():
    _MARKINGS |= dict.fromkeys(_numbers, (_circle, _line))
    for _touched in _TANGENTS[_circle].values():
        _MARKINGS |= dict.fromkeys(_touched, (_circle,))
        _RESTORED_WITH |= dict.fromkeys(_touched, _circle)
for _number, _side in ((45, "left"), (57, "right")):
    _MARKINGS[_number] = (
        f"Circle {_side}", f"Big rect. {_side} main", f"Small rect. {_side} main",
        f"Side line {_side}",
    )  # fmt: skip
