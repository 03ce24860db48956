"""What a caller saw, checked and gathered into arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from soccermaster.geometry.calibration.residuals import Observations, State, undistort
from soccermaster.geometry.pitch import CIRCLE_RADIUS_M, LENGTH_M, PENALTY_MARK_M, Pitch
from soccermaster.vocabulary import CIRCLES, LINES

_NUM_IDS = 73
_CENTRES_X_M = dict(
    zip(
        CIRCLES,
        (0.0, PENALTY_MARK_M - LENGTH_M / 2, LENGTH_M / 2 - PENALTY_MARK_M),
        strict=True,
    )
)
#: Two lines cross where their directions differ by more than this (sine, in the image).
_LEAST_SINE = 0.05
#: Crossings farther from the centre than this many half widths are left out.
_FAR = 4.0
#: An end of `lines_px` may be this far beyond the end of its line, in image widths.
_BEYOND = 0.002


@dataclass(frozen=True)
class Frame:
    """The observations of one frame, and which entry came from where."""

    seen: Observations
    point_ids: tuple[int, ...]
    #: Of each straight class, in the order of `seen`: its index in LINES, first and end position.
    line_spans: tuple[tuple[int, int, int], ...]
    #: The first lines come from `lines_px`, the rest from polylines.
    num_segments: int
    circle_spans: tuple[tuple[str, int, int], ...]
    lengths_m: Float[np.ndarray, " m"]  # of the line behind each line observation
    image_size: tuple[int, int]
    #: Line observations that `with_line_ends` compares with an end of their line instead; in `seen`
    #: these comparisons are the last of the points.
    beyond: Int[np.ndarray, " e"] = field(default_factory=lambda: np.zeros(0, dtype=int))

    @property
    def polyline_spans(self) -> list[tuple[str, int, int]]:
        """Straight classes of polylines: name, first and end position among the lines."""
        return [
            (LINES[index], start, end) for index, start, end in self.line_spans[self.num_segments :]
        ]

    def per_observation(self, values: np.ndarray) -> np.ndarray:
        """Values of `seen`, one for each thing observed: points, lines, circles."""
        n = len(self.point_ids)
        own, ends = np.delete(values, np.s_[n : n + len(self.beyond)]), values[n:]
        own[n + self.beyond] = ends[: len(self.beyond)]
        return own


@dataclass(frozen=True)
class _Template:
    points_m: Float[np.ndarray, "73 3"]
    anchors_m: Float[np.ndarray, "23 3"]
    directions: Float[np.ndarray, "23 3"]
    lengths_m: Float[np.ndarray, " 23"]


def gather(
    points_px: Mapping[int, Sequence[float]],
    lines_px: Mapping[int, Sequence[Sequence[float]]] | None,
    image_size: tuple[int, int] | None,
    polylines_px: Mapping[str, ArrayLike] | None,
    point_scores: Mapping[int, float] | None,
    line_scores: Mapping[int, float] | None,
    template: str,
) -> Frame:
    """The arrays of one frame.

    Raises:
        KeyError: an unknown point, line or class.
        ValueError: a point that is not two numbers, a negative score, an image without size.
    """
    if image_size is None:
        raise ValueError("expected image_size (W, H) in pixels, got None")
    width, height = image_size
    if not (width > 0 and height > 0):
        raise ValueError(f"expected image_size (W, H) in pixels, both positive, got {image_size}")
    model = _template(template)
    point_ids = tuple(points_px)
    for number in point_ids:
        if number not in _POINT_IDS:
            raise KeyError(f"expected points by number 1..57 or 58..73, got {number!r}")
    pixels = [_pixel(points_px[number], f"point {number}") for number in point_ids]
    weights = _scores(point_ids, point_scores, "point_scores")
    lines: list[int] = []
    spans: list[tuple[int, int, int]] = []
    for number, ends in (lines_px or {}).items():
        if number not in _LINE_IDS:
            raise KeyError(f"expected lines by number 1..23, got {number!r}")
        if len(ends) != 2:
            raise ValueError(f"expected line {number} as two points, got {len(ends)}")
        spans.append((number - 1, len(lines), len(lines) + 2))
        lines += [number - 1] * 2
        pixels += [_pixel(end, f"both ends of line {number}") for end in ends]
    num_segments = len(spans)
    for score in _scores(tuple(lines_px or ()), line_scores, "line_scores"):
        weights += [score, score]
    curves: list[tuple[str, np.ndarray]] = []
    for name, values in (polylines_px or {}).items():
        points = np.asarray(values, np.float64)
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError(f"expected polyline {name!r} of shape (n, 2), got {points.shape}")
        if name in _CENTRES_X_M:
            curves.append((name, points))
        elif name in _LINE_INDEX:
            spans.append((_LINE_INDEX[name], len(lines), len(lines) + len(points)))
            lines += [_LINE_INDEX[name]] * len(points)
            pixels += points.tolist()
            weights += [1.0] * len(points)
        else:
            raise KeyError(f"expected a class of vocabulary.LINES or CIRCLES, got {name!r}")
    circle_spans: list[tuple[str, int, int]] = []
    centres: list[float] = []
    for name, points in curves:
        circle_spans.append((name, len(centres), len(centres) + len(points)))
        centres += [_CENTRES_X_M[name]] * len(points)
        pixels += points.tolist()
        weights += [1.0] * len(points)
    array = np.array(pixels, np.float64).reshape(-1, 2)
    if not np.isfinite(array).all():
        raise ValueError("expected finite pixel coordinates; leave out what was not seen")
    rows = [number - 1 for number in point_ids]
    anchors = np.concatenate([model.points_m[rows], model.anchors_m[lines]])
    seen = Observations(
        np.ascontiguousarray(anchors.T)[None],
        np.ascontiguousarray(model.directions[lines].T)[None],
        np.array(centres, np.float64)[None],
        CIRCLE_RADIUS_M,
        np.ascontiguousarray((array - (width / 2, height / 2)).T)[None],
        _relative(weights)[None],
        width / 2,
    )
    return Frame(
        seen,
        point_ids,
        tuple(spans),
        num_segments,
        tuple(circle_spans),
        model.lengths_m[lines],
        (width, height),
    )


def _pixel(values: Sequence[float], name: str) -> Sequence[float]:
    if len(values) != 2:
        raise ValueError(
            f"expected {name} as (x, y), got {values!r}. "
            "Scores go into point_scores and line_scores."
        )
    return values


def _relative(weights: Sequence[float]) -> Float[np.ndarray, " o"]:
    """With a mean of 1 over what is not ignored: the sum says how much was seen."""
    array = np.array(weights, np.float64)
    used = array > 0
    return array / array[used].mean() if used.any() else array


def gather_frames(
    points_px: Sequence[Mapping[int, tuple[float, float]]],
    lines_px: Sequence | None,
    image_size: tuple[int, int] | None,
    polylines_px: Sequence | None,
    point_scores: Sequence | None,
    line_scores: Sequence | None,
    template: str,
) -> list[Frame]:
    """`gather` for each frame.

    Raises:
        ValueError: lists of different lengths; and as in `gather`.
    """
    optional = {
        "lines_px": lines_px,
        "polylines_px": polylines_px,
        "point_scores": point_scores,
        "line_scores": line_scores,
    }
    columns = []
    for name, values in optional.items():
        if values is not None and len(values) != len(points_px):
            raise ValueError(
                f"expected {name} for each of {len(points_px)} frames, got {len(values)}"
            )
        columns.append([None] * len(points_px) if values is None else values)
    return [
        gather(points, lines, image_size, polylines, scores, weights, template)
        for points, lines, polylines, scores, weights in zip(points_px, *columns, strict=True)
    ]


def with_line_ends(frame: Frame, state: State) -> Frame | None:
    """The frame for a camera that sees lines with two ends.

    What was seen on a line but lies beyond its end is compared with that end. On pitches that are
    wider or narrower than the template this keeps the corners near. Ends of `lines_px` may be
    beyond by a little, for they are detections; points of polylines may not.

    Args:
        frame: as gathered.
        state: a single camera.

    Returns:
        None where nothing is beyond.
    """
    seen = frame.seen
    n, m = seen.num_points, seen.num_lines
    chosen = slice(n, n + m)
    start = (state.R @ (seen.anchors_m[:, :, chosen] - state.position_m[:, :, None]))[0]
    step = (state.R @ seen.directions)[0] * frame.lengths_m
    ends = np.stack([start, start + step])  # (2, 3, m)
    visible = (ends[:, 2] > 1.0).all(axis=0)
    pixels = np.exp(state.log_focal[0]) * ends[:, :2] / np.where(visible, ends[:, 2], 1.0)[:, None]
    along = pixels[1] - pixels[0]
    offset = undistort(state, seen)[0][0][:, chosen] - pixels[0]
    length = np.maximum(np.sqrt((along * along).sum(axis=0)), 1e-9)
    place = (offset * along).sum(axis=0) / length
    tolerance = np.where(np.arange(m) < 2 * frame.num_segments, _BEYOND * frame.image_size[0], 0.0)
    index = np.flatnonzero(visible & ((place < -tolerance) | (place > length + tolerance)))
    if not len(index):
        return None
    reached_m = np.where(place[index] < 0, 0.0, frame.lengths_m[index])
    ends_m = seen.anchors_m[0][:, n + index] + reached_m * seen.directions[0][:, index]
    weights = seen.weights.copy()
    weights[0, n + index] = 0.0
    bounded = replace(
        seen,
        anchors_m=np.insert(seen.anchors_m, [n], ends_m[None], axis=2),
        pixels=np.insert(seen.pixels, [n], seen.pixels[:, :, n + index], axis=2),
        weights=np.insert(weights, [n], seen.weights[:, n + index], axis=1),
    )
    return replace(frame, seen=bounded, beyond=index)


def landmarks(frame: Frame) -> tuple[Float[np.ndarray, "3 q"], Float[np.ndarray, "2 q"]]:
    """Points of a frame, and the crossings of its ground lines: world (m) and centred pixels."""
    seen = frame.seen
    n = seen.num_points
    use = seen.weights[0, :n] > 0
    points_m, pixels = seen.anchors_m[0, :, :n][:, use], seen.pixels[0, :, :n][:, use]
    first, second = [], []
    for _, start, end in frame.line_spans:
        if end - start < 2:
            continue
        at = seen.pixels[0, :, n + start : n + end]
        far = ((at - at[:, :1]) ** 2).sum(axis=0).argmax()
        first.append((n + start, n + start))
        second.append(n + start + far)
    if len(first) < 2:
        return points_m, pixels
    index = np.array([a for a, _ in first])
    anchors = seen.anchors_m[0][:, index]
    along = seen.directions[0][:, index - n]
    a, b = seen.pixels[0][:, index], seen.pixels[0][:, np.array(second)]
    step = b - a
    length = np.sqrt((step * step).sum(axis=0))
    i, j = np.triu_indices(len(index), 1)
    ground = (anchors[2] == 0) & (along[2] == 0) & (length > 0)
    step = step / np.maximum(length, 1e-9)
    sine_world = along[0, i] * along[1, j] - along[1, i] * along[0, j]
    sine_image = step[0, i] * step[1, j] - step[1, i] * step[0, j]
    keep = ground[i] & ground[j] & (abs(sine_world) > 0.5) & (abs(sine_image) > _LEAST_SINE)
    i, j, sine_world, sine_image = i[keep], j[keep], sine_world[keep], sine_image[keep]

    def cross(origin: np.ndarray, direction: np.ndarray, sine: np.ndarray) -> np.ndarray:
        offset = origin[:2, j] - origin[:2, i]
        along_first = (offset[0] * direction[1, j] - offset[1] * direction[0, j]) / sine
        return origin[:2, i] + along_first * direction[:2, i]

    crossing_m, crossing_px = cross(anchors, along, sine_world), cross(a, step, sine_image)
    near = (np.abs(crossing_px) < _FAR * seen.half_width).all(axis=0)
    flat = np.concatenate([crossing_m[:, near], np.zeros((1, int(near.sum())))])
    return (
        np.concatenate([points_m, flat], axis=1),
        np.concatenate([pixels, crossing_px[:, near]], axis=1),
    )


_POINT_IDS = frozenset(range(1, _NUM_IDS + 1))
_LINE_IDS = frozenset(range(1, len(LINES) + 1))
_LINE_INDEX = {name: index for index, name in enumerate(LINES)}


@lru_cache(maxsize=4)
def _template(template: str) -> _Template:
    pitch = Pitch(template)
    start, end = pitch.line_ends_m[:, 0], pitch.line_ends_m[:, 1]
    lengths = np.linalg.norm(end - start, axis=1)
    points = np.concatenate([pitch.keypoints_m, pitch.auxiliary_m])
    return _Template(points, start, (end - start) / lengths[:, None], lengths)


def _scores(numbers: tuple[int, ...], scores: Mapping[int, float] | None, name: str) -> list[float]:
    if scores is None:
        return [1.0] * len(numbers)
    missing = [number for number in numbers if number not in scores]
    if missing:
        raise KeyError(f"expected {name} for every observation, none for {missing}")
    values = [float(scores[number]) for number in numbers]
    if not all(0 <= value < np.inf for value in values):
        raise ValueError(f"expected {name} of 0 or more, got {min(values)}..{max(values)}")
    return values
