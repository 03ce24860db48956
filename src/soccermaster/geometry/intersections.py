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

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from soccermaster.geometry.completion import (
    Places,
    assign_pairs,
    circle_pairs,
    drop_outliers,
    ground_homography,
    restore,
    unlisted_points,
)
from soccermaster.geometry.crossings import (
    DISTINCT,
    LINE_ENDS,
    NUM_POINTS,
    farthest_pair,
    fit_lines,
    line_crossings,
)
from soccermaster.geometry.ground_fit import GroundMarks
from soccermaster.geometry.pitch import Pitch
from soccermaster.geometry.visible import clip_segments
from soccermaster.vocabulary import CIRCLES, LINES, NUM_KEYPOINTS


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

    @property
    def keypoints_known(self) -> Bool[np.ndarray, " 57"]:
        """`known` of the points that have heatmaps."""
        return self.known[:NUM_KEYPOINTS]


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
    pairs = circle_pairs(lines.lines_px, polylines_px, points_px, reasons)
    marks = GroundMarks.of(
        {
            name: points
            for name, points in polylines_px.items()
            if len(points) and np.ptp(points, axis=0).max() > DISTINCT * size[0]
        }
    )
    image_from_pitch = ground_homography(points_px, pairs, marks, size)
    restored = np.zeros(NUM_POINTS, dtype=bool)
    if image_from_pitch is None:
        reasons.append("no homography of the ground")
        known |= unlisted_points(polylines_px)
    else:
        places = Places.of(image_from_pitch, marks, _template_m(template), size)
        assign_pairs(points_px, pairs, places, size)
        drop_outliers(points_px, places, size, reasons)
        known |= np.isfinite(points_px[:, 0])
        restored = restore(points_px, known, places, polylines_px, size)
    return PitchPoints(points_px, known, restored, image_from_pitch, tuple(reasons))


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
        ends_px = farthest_pair(points_px)
        if np.linalg.norm(ends_px[1] - ends_px[0]) <= DISTINCT * size[0]:
            known[i] = False
            continue
        segments_px[i] = ends_px
        if keypoints_px is not None:
            _end_at_keypoints(segments_px[i], keypoints_px[list(LINE_ENDS[i])], size)
    return clip_segments(segments_px, image_size), known


@functools.cache
def _template_m(template: Literal["table", "exact"]) -> np.ndarray:
    return Pitch(template).points_m


def _end_at_keypoints(segment_px: np.ndarray, ends_px: np.ndarray, size: np.ndarray) -> None:
    """Move ends of a segment (2, 2) to the keypoints of the line's ends that are in the image."""
    usable = ends_px[((ends_px >= 0) & (ends_px <= size)).all(axis=1)]  # False for NaN
    start, step = segment_px[0].copy(), segment_px[1] - segment_px[0]
    along = (usable - start) @ step / (step @ step)
    if len(usable) == 2:
        segment_px[:] = usable[np.argsort(along, kind="stable")]
    elif len(usable) == 1:
        segment_px[int(along[0] > 0.5)] = usable[0]
