"""Keypoints and line segments from annotated polylines, and what a camera sees of the pitch.

Sizes are (W, H). A marking that annotators could see is in the annotation, so one that is not
listed is absent; a class with a single point was seen but says little, and stays unknown.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from soccermaster.geometry.camera import Camera
from soccermaster.geometry.pitch import LINE_CROSSINGS, Pitch
from soccermaster.vocabulary import LINES, NUM_KEYPOINTS

#: Segments are cut this far in front of the camera before they are projected.
NEAR_M = 0.1
#: Points count as distinct, and line ends as lying on the border, at this fraction of the width.
_DISTINCT = 1e-4
_AT_BORDER = 0.01


def keypoints_from_polylines(
    polylines_px: Mapping[str, Float[np.ndarray, "n 2"]],
    image_size: tuple[int, int],
) -> tuple[Float[np.ndarray, "57 2"], Bool[np.ndarray, " 57"]]:
    """Keypoints 1..30 as crossings of annotated lines.

    Each line is the least-squares line through its points. Keypoints 31..57 (circles, tangents and
    points by homography) are always unknown here.

    Args:
        polylines_px: annotated points by class name; other classes than lines are ignored.
        image_size: (W, H) in pixels.

    Returns:
        points_px: NaN where absent or unknown. Points up to half an image outside are kept.
        known: True where the point was found, or is known to be absent: its lines cross farther
            out; or neither of its lines is in the annotation; or it is the end of an annotated line
            whose visible part runs from border to border. A keypoint with one line missing is
            otherwise unknown, for a short or hidden line is easily left out.

    Source: PnLCalib, target generation, step 1 (crossings).
    """
    lines_px = {
        name: line
        for name, points in polylines_px.items()
        if name in LINES and (line := _fit_line(points, image_size)) is not None
    }
    across = {name for name in lines_px if _crosses_image(polylines_px[name], image_size)}
    points_px = np.full((NUM_KEYPOINTS, 2), np.nan)
    known = np.zeros(NUM_KEYPOINTS, dtype=bool)
    for number, names in LINE_CROSSINGS.items():
        if number > NUM_KEYPOINTS:
            continue
        if all(name in lines_px for name in names):
            point_px = _cross(lines_px[names[0]], lines_px[names[1]])
            known[number - 1] = True
            if point_px is not None and _is_near(point_px, image_size):
                points_px[number - 1] = point_px
        else:
            unlisted = not any(name in polylines_px for name in names)
            beyond_border = any(number in _LINE_END_KEYPOINTS[n] for n in names if n in across)
            known[number - 1] = unlisted or beyond_border
    return points_px, known


def segments_from_polylines(
    polylines_px: Mapping[str, Float[np.ndarray, "n 2"]],
    image_size: tuple[int, int],
) -> tuple[Float[np.ndarray, "23 2 2"], Bool[np.ndarray, " 23"]]:
    """The visible part of each line, as the two most distant annotated points.

    Args:
        polylines_px: annotated points by class name; other classes than lines are ignored.
        image_size: (W, H) in pixels.

    Returns:
        segments_px: clipped to the image, in the order of `vocabulary.LINES`; NaN where absent.
        known: False for lines with a single distinct point. Lines that are not listed, and lines
            that clipping removes, are known to be absent.
    """
    segments_px = np.full((len(LINES), 2, 2), np.nan)
    known = np.ones(len(LINES), dtype=bool)
    for i, name in enumerate(LINES):
        points_px = np.asarray(polylines_px.get(name, ()), np.float64).reshape(-1, 2)
        if len(points_px) == 0:
            continue
        distances = np.linalg.norm(points_px[:, None] - points_px[None], axis=-1)
        first, last = np.unravel_index(distances.argmax(), distances.shape)
        if distances[first, last] <= _DISTINCT * image_size[0]:
            known[i] = False
        else:
            segments_px[i] = points_px[[first, last]]
    return clip_segments(segments_px, image_size), known


def clip_segments(
    segments_px: Float[np.ndarray, "*n 2 2"], image_size: tuple[int, int]
) -> Float[np.ndarray, "*n 2 2"]:
    """The part of each segment inside the image, [0, W] x [0, H]; NaN where nothing is left.

    Source: Liang and Barsky, 1984.
    """
    segments_px = np.asarray(segments_px, np.float64)
    start, step = segments_px[..., 0, :], segments_px[..., 1, :] - segments_px[..., 0, :]
    size = np.asarray(image_size, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        to_low, to_high = -start / step, (size - start) / step  # (..., 2), one value per axis
    inside = (start >= 0) & (start <= size)
    parallel = step == 0
    enter = np.where(parallel, np.where(inside, -np.inf, np.inf), np.minimum(to_low, to_high))
    leave = np.where(parallel, np.where(inside, np.inf, -np.inf), np.maximum(to_low, to_high))
    first = np.maximum(enter.max(axis=-1), 0.0)
    last = np.minimum(leave.min(axis=-1), 1.0)
    visible = first < last  # False for NaN
    along = np.where(visible[..., None], np.stack([first, last], axis=-1), np.nan)
    clipped = start[..., None, :] + along[..., None] * step[..., None, :]
    return np.clip(clipped, 0.0, size)  # rounding only; NaN stays


def visible_segments(camera: Camera, pitch: Pitch) -> Float[np.ndarray, "*b 23 2 2"]:
    """The part of each line that a camera sees, in pixels; NaN where it sees nothing of it.

    Args:
        camera: one camera or a stack.
        pitch: the template.
    """
    ends = camera.camera_from_world(pitch.line_ends_m.reshape(-1, 3))
    ends = ends.reshape(*ends.shape[:-2], -1, 2, 3)  # (*b, 23, 2, 3)
    cut = _clip_at_depth(ends)
    points_px, _ = camera.project_camera_points(cut.reshape(*cut.shape[:-3], -1, 3))
    return clip_segments(points_px.reshape(*cut.shape[:-1], 2), camera.image_size)


def visible_keypoints(camera: Camera, pitch: Pitch) -> Float[np.ndarray, "*b 57 2"]:
    """All keypoints in pixels, in the image or not; NaN behind the camera."""
    return camera.project(pitch.keypoints_m)[0]


def visible_polylines(
    camera: Camera, pitch: Pitch, circle_step_m: float = 1.0
) -> dict[str, Float[np.ndarray, "n 2"]]:
    """What an annotator of the SoccerNet pitch labels would mark in the image of one camera.

    Args:
        camera: a single camera.
        pitch: the template.
        circle_step_m: distance of the points marked along circles.

    Returns:
        Points by class name, in the image only: two ends of each visible line, all visible points
        of a circle. Classes of which fewer than two points are visible are left out.
    """
    segments_px = visible_segments(camera, pitch)
    visible = {
        name: segment
        for name, segment in zip(LINES, segments_px, strict=True)
        if not np.isnan(segment).any()
    }
    for name, points_m in pitch.polylines_m(circle_step_m).items():
        if name in LINES:
            continue
        points_px, _ = camera.project(points_m)
        size = np.asarray(camera.image_size)
        inside = ((points_px >= 0) & (points_px <= size)).all(axis=-1)  # False for NaN
        if inside.sum() >= 2:
            visible[name] = points_px[inside]
    return visible


def _keypoints_of_line_ends() -> dict[str, frozenset[int]]:
    pitch = Pitch()
    ends = {}
    for name, ends_m in zip(LINES, pitch.line_ends_m, strict=True):
        distances = np.linalg.norm(pitch.keypoints_m[:, None] - ends_m[None], axis=-1)
        ends[name] = frozenset(int(i) + 1 for i in np.nonzero((distances < 1e-6).any(axis=1))[0])
    return ends


_LINE_END_KEYPOINTS = _keypoints_of_line_ends()


def _fit_line(points_px: np.ndarray, image_size: tuple[int, int]) -> np.ndarray | None:
    """Homogeneous line (a, b, c), a x + b y + c = 0, or None without two distinct points."""
    points_px = np.asarray(points_px, np.float64).reshape(-1, 2)
    if len(points_px) < 2 or np.ptp(points_px, axis=0).max() <= _DISTINCT * image_size[0]:
        return None
    centre = points_px.mean(axis=0)
    normal = np.linalg.svd(points_px - centre, full_matrices=True)[2][-1]
    return np.array([*normal, -normal @ centre])


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray | None:
    """Where two homogeneous lines meet; None when they are parallel."""
    x, y, w = np.cross(first, second)
    return None if abs(w) < 1e-12 else np.array([x / w, y / w])


def _is_near(point_px: np.ndarray, image_size: tuple[int, int]) -> bool:
    size = np.asarray(image_size, np.float64)
    return bool(((point_px >= -0.5 * size) & (point_px <= 1.5 * size)).all())


def _crosses_image(points_px: np.ndarray, image_size: tuple[int, int]) -> bool:
    """Whether a polyline runs from border to border of the image."""
    points_px = np.asarray(points_px, np.float64).reshape(-1, 2)
    distances = np.linalg.norm(points_px[:, None] - points_px[None], axis=-1)
    ends_px = points_px[list(np.unravel_index(distances.argmax(), distances.shape))]
    margin = _AT_BORDER * image_size[0]
    inner = np.minimum(ends_px, np.asarray(image_size) - ends_px).min(axis=1)
    return bool((inner <= margin).all())


def _clip_at_depth(segments_camera_m: np.ndarray) -> np.ndarray:
    """Segments in camera axes, cut where they come nearer than `NEAR_M`; NaN if nothing is left."""
    depth = segments_camera_m[..., 2]
    start, step = segments_camera_m[..., 0, :], np.diff(segments_camera_m, axis=-2)[..., 0, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = (NEAR_M - depth[..., 0]) / step[..., 2]
        cut_m = start + crossing[..., None] * step  # meaningless where `near` is the same for both
    near = depth < NEAR_M
    clipped = np.where((near & ~near[..., ::-1])[..., None], cut_m[..., None, :], segments_camera_m)
    return np.where(near.all(axis=-1)[..., None, None], np.nan, clipped)
