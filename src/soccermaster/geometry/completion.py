"""From crossings and circles to a homography of the ground, and from it to the missing points."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from soccermaster.geometry.crossings import AT_BORDER, MARGIN, NUM_POINTS, SIGMA
from soccermaster.geometry.ellipse import cross_line, fit_ellipse, tangent_points
from soccermaster.geometry.ground_fit import (
    GroundMarks,
    marking_errors_px,
    placement_std_px,
    refine_homography,
)
from soccermaster.geometry.homography import apply_homography, estimate_homography
from soccermaster.geometry.pitch import Pitch
from soccermaster.vocabulary import LINES

#: Annotated points agree with the homography up to this median distance, in widths of the image.
_AGREES = 5 / 960
#: This share of them is within three times as much; a wrong class or two may be among the rest.
_MOST = 0.75
#: Points farther than this from where the homography puts them are dropped, in widths.
_SAME_CROSSING = 25 / 960
_SAME_CIRCLE_POINT = 15 / 960
#: The homography is used for points where its standard deviation is at most this, in widths.
_CERTAIN = 5 / 960
#: Annotated points count less from this distance on, in widths.
_HUBER = 2 / 960
#: A missing crossing is restored if another point was found this near on the pitch (m).
_NEIGHBOUR_M = 5.0

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
_GROUND_M = Pitch("exact").points_m[:, :2]
_ON_GROUND = Pitch().points_m[:, 2] == 0
_ON_CIRCLE = (np.arange(NUM_POINTS) >= 30) & (np.arange(NUM_POINTS) < 44)


@dataclass(frozen=True)
class CirclePair:
    """Two places in the image of which one or both are keypoints."""

    numbers: tuple[int, ...]
    candidates_px: Float[np.ndarray, "2 2"]


def circle_pairs(
    lines_px: np.ndarray,
    polylines_px: Mapping[str, np.ndarray],
    points_px: np.ndarray,
    reasons: list[str],
) -> list[CirclePair]:
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
                pairs.append(CirclePair(numbers, crossing_px))
        for origin, touched in _TANGENTS[circle].items():
            if np.isfinite(points_px[origin - 1, 0]):
                touching_px = tangent_points(conic, points_px[origin - 1])
                if touching_px is None:
                    reasons.append(f"{circle}: no tangent from keypoint {origin}")
                else:
                    pairs.append(CirclePair(touched, touching_px))
    return pairs


def ground_homography(
    points_px: np.ndarray,
    pairs: list[CirclePair],
    marks: GroundMarks,
    size: np.ndarray,
) -> np.ndarray | None:
    """The first homography that all annotated points agree with, refined on them."""
    ground = _ON_GROUND & np.isfinite(points_px[:, 0])
    if ground.sum() >= 4:
        start = estimate_homography(_GROUND_M[ground], points_px[ground], _SAME_CROSSING * size[0])
        refined = _refined(start, marks, size)
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
    return _refined(min(starts, key=lambda pair: pair[0])[1], marks, size)


def _refined(start: np.ndarray | None, marks: GroundMarks, size: np.ndarray) -> np.ndarray | None:
    if start is None or abs(np.linalg.det(start)) < 1e-300:
        return None
    pitch_from_image = refine_homography(np.linalg.inv(start), marks, _HUBER * size[0])
    error_px = marking_errors_px(pitch_from_image, marks)
    if not np.isfinite(error_px).all() or np.median(error_px) > _AGREES * size[0]:
        return None
    if np.quantile(error_px, _MOST) > 3 * _AGREES * size[0]:
        return None
    image_from_pitch = np.linalg.inv(pitch_from_image)
    image_from_pitch /= image_from_pitch[2, 2]
    agreeing_px = marks.points_px[error_px <= 3 * _AGREES * size[0]]
    seen_m = apply_homography(pitch_from_image, agreeing_px)
    return image_from_pitch if _seen_from_above(image_from_pitch, seen_m) else None


def _seen_from_above(image_from_pitch: np.ndarray, ground_m: np.ndarray) -> bool:
    """Whether a camera above the ground can have ground points before it."""
    depth = ground_m @ image_from_pitch[2, :2] + image_from_pitch[2, 2]
    return bool((depth * np.linalg.det(image_from_pitch) > 0).all())


@dataclass(frozen=True)
class Places:
    """Where a homography puts the points of the template; NaN off the ground and behind."""

    placed_px: Float[np.ndarray, "73 2"]
    std_px: Float[np.ndarray, " 73"]
    template_m: Float[np.ndarray, "73 3"]

    @classmethod
    def of(
        cls,
        image_from_pitch: np.ndarray,
        marks: GroundMarks,
        template_m: np.ndarray,
        size: np.ndarray,
    ) -> Places:
        """The places of the points `template_m`, by a homography refined on `marks`."""
        pitch_from_image = np.linalg.inv(image_from_pitch)
        error_px = marking_errors_px(pitch_from_image, marks)
        sigma_px = max(SIGMA * size[0], 1.5 * float(np.median(error_px)))
        ground_m = template_m[:, :2]
        depth = ground_m @ image_from_pitch[2, :2] + image_from_pitch[2, 2]
        before = _ON_GROUND & (depth * np.linalg.det(image_from_pitch) > 0)
        std_px = placement_std_px(pitch_from_image, marks, ground_m, sigma_px)
        return cls(
            np.where(before[:, None], apply_homography(image_from_pitch, ground_m), np.nan),
            np.where(before, std_px, np.nan),
            template_m,
        )


def assign_pairs(
    points_px: np.ndarray, pairs: list[CirclePair], places: Places, size: np.ndarray
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
            if (np.abs(pair.candidates_px[k] / size - 0.5) <= 0.5 + MARGIN).all():
                points_px[i] = pair.candidates_px[k]


def drop_outliers(
    points_px: np.ndarray, places: Places, size: np.ndarray, reasons: list[str]
) -> None:
    """Forget crossings of nearly parallel lines, and what was fitted to too short an arc."""
    distance_px = np.linalg.norm(places.placed_px - points_px, axis=1)
    limit_px = np.where(_ON_CIRCLE, _SAME_CIRCLE_POINT, _SAME_CROSSING) * size[0]
    certain = places.std_px <= np.minimum(_CERTAIN * size[0], distance_px / 3)  # False for NaN
    inside = ((points_px >= 0) & (points_px <= size)).all(axis=1)
    wrong = certain & (inside | _ON_CIRCLE) & (distance_px > limit_px)
    points_px[wrong] = np.nan
    reasons += [f"point {i + 1}: disagrees with the homography" for i in np.nonzero(wrong)[0]]


def restore(
    points_px: np.ndarray,
    known: np.ndarray,
    places: Places,
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
    absent = behind | (outside_px > np.maximum(AT_BORDER * size[0], 3 * places.std_px))
    # What the homography shows in the image and no marking confirms is not known to be absent.
    known[missing & (outside_px <= AT_BORDER * size[0])] = False
    known |= write | (missing & absent)
    return write


def unlisted_points(polylines_px: Mapping[str, np.ndarray]) -> np.ndarray:
    """Keypoints 31..57 none of whose markings is in the annotation: they are not in the image."""
    absent = np.zeros(NUM_POINTS, dtype=bool)
    for number, names in _MARKINGS.items():
        absent[number - 1] = not any(name in polylines_px for name in names)
    return absent
