"""What a camera sees of the pitch: keypoints, lines and polylines in its image.

Sizes are (W, H); pixel (0, 0) is the corner of the image.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from soccermaster.geometry.camera import Camera
from soccermaster.geometry.pitch import Pitch
from soccermaster.vocabulary import LINES

#: Segments are cut this far in front of the camera before they are projected.
NEAR_M = 0.1
#: Margin, in image sizes, of the straight picture that a lens can bend into the image.
_WIDE = 0.25
#: Places along a line that are looked at where the lens bends it.
_STEPS_ALONG_LINE = 64


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
    """The ends of the part of each line that a camera sees, in pixels; NaN where it sees nothing.

    With distortion the line between the ends is bent.

    Args:
        camera: one camera or a stack.
        pitch: the template.
    """
    ends = camera.camera_from_world(pitch.line_ends_m.reshape(-1, 3))
    ends = ends.reshape(*ends.shape[:-2], -1, 2, 3)  # (*b, 23, 2, 3)
    cut = _clip_at_depth(ends)
    if camera.has_distortion:
        return _visible_bent_segments(camera, cut)
    points_px, _ = camera.project_camera_points(cut.reshape(*cut.shape[:-3], -1, 3))
    return clip_segments(points_px.reshape(*cut.shape[:-1], 2), camera.image_size)


def _visible_bent_segments(camera: Camera, segments_camera_m: np.ndarray) -> np.ndarray:
    straight = dataclasses.replace(camera, distortion=None)
    wide = straight.crop(*(-_WIDE * n for n in camera.image_size), _widened(camera.image_size))
    points_px, _ = wide.project_camera_points(
        segments_camera_m.reshape(*segments_camera_m.shape[:-3], -1, 3)
    )
    ends_px = clip_segments(points_px.reshape(*segments_camera_m.shape[:-1], 2), wide.image_size)
    ends_px -= _WIDE * np.asarray(camera.image_size)
    along = np.linspace(0, 1, _STEPS_ALONG_LINE)[:, None]
    places_px = ends_px[..., :1, :] + along * np.diff(ends_px, axis=-2)  # (*b, 23, steps, 2)
    bent_px = camera.distort(places_px.reshape(*places_px.shape[:-3], -1, 2))
    bent_px = bent_px.reshape(places_px.shape)
    seen = ((bent_px >= 0) & (bent_px <= camera.image_size)).all(axis=-1)  # False for NaN
    first, last = seen.argmax(axis=-1), seen.shape[-1] - 1 - seen[..., ::-1].argmax(axis=-1)
    ends = [
        _border_end(bent_px, first, np.maximum(first - 1, 0), camera.image_size),
        _border_end(bent_px, last, np.minimum(last + 1, seen.shape[-1] - 1), camera.image_size),
    ]
    visible = seen.any(axis=-1) & (first < last)
    return np.where(visible[..., None, None], np.stack(ends, axis=-2), np.nan)


def _border_end(
    places_px: np.ndarray, inside: np.ndarray, outside: np.ndarray, image_size: tuple[int, int]
) -> np.ndarray:
    """Where polylines (..., steps, 2) cross the border between two of their places, if they do."""
    pair = np.stack([outside, inside], axis=-1)[..., None]
    segments_px = np.take_along_axis(places_px, pair, axis=-2)
    border_px = clip_segments(segments_px, image_size)[..., 0, :]
    return np.where(np.isnan(border_px), segments_px[..., 1, :], border_px)


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


def _widened(image_size: tuple[int, int]) -> tuple[int, int]:
    return tuple(round((1 + 2 * _WIDE) * n) for n in image_size)
