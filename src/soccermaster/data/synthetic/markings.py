"""Drawing the markings of the pitch with their metric width."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from soccermaster.data.synthetic.people import Color
from soccermaster.geometry import Camera, Pitch
from soccermaster.vocabulary import CIRCLES

LINE_WIDTH_M = 0.12
#: Keypoints 45, 51 and 57 are the penalty marks and the centre spot.
_MARKS = (44, 50, 56)
_NEAR_M = 1.0
_SHIFT = 4
_ONE = 1 << _SHIFT


@dataclass(frozen=True)
class Markings:
    """Both edges of every marking on the ground.

    Attributes:
        lines_m: straight markings; first the edge, then its end.
        curves_m: points of the first edges of all curves in a row, then of the second edges.
        starts: where each curve starts in `curves_m`, and the end of the last one.
    """

    lines_m: Float[np.ndarray, "n 2 2 3"]
    curves_m: Float[np.ndarray, "2 m 3"]
    starts: tuple[int, ...]


@functools.lru_cache(maxsize=2)
def markings_of(pitch: Pitch) -> Markings:
    """The ground markings of a template, with corner arcs and penalty marks."""
    half = LINE_WIDTH_M / 2
    on_ground = (pitch.line_ends_m[..., 2] == 0).all(axis=1)
    start, end = pitch.line_ends_m[on_ground, 0], pitch.line_ends_m[on_ground, 1]
    along = (end - start) / np.linalg.norm(end - start, axis=-1, keepdims=True) * half
    side = np.stack([-along[:, 1], along[:, 0], along[:, 2]], axis=-1)
    ends = np.stack([start - along, end + along], axis=1)  # lines meet in full corners
    lines_m = np.stack([ends + side[:, None], ends - side[:, None]], axis=1)
    curves = []
    polylines = pitch.polylines_m(0.6)
    for name in CIRCLES:
        centre = pitch.keypoints_m[_MARKS[{"left": 0, "central": 1, "right": 2}[name.split()[1]]]]
        out = polylines[name] - centre
        out /= np.linalg.norm(out, axis=-1, keepdims=True)
        curves.append(np.stack([polylines[name] + out * half, polylines[name] - out * half]))
    for mark in _MARKS:
        ring = _arc(0, 2 * np.pi, 9)
        curves.append(pitch.keypoints_m[mark] + np.stack([0.14 * ring, 0 * ring]))
    for corner in (0, 2, 27, 29):
        x, y, _ = corner_m = pitch.keypoints_m[corner]
        inward = np.arctan2(-y / abs(y), -x / abs(x))
        ring = _arc(inward - np.pi / 4, inward + np.pi / 4, 7)
        curves.append(corner_m + np.stack([(1 + half) * ring, (1 - half) * ring]))
    starts = np.cumsum([0, *(c.shape[1] for c in curves)])
    return Markings(lines_m, np.concatenate(curves, axis=1), tuple(starts.tolist()))


def draw_markings(
    image: UInt8[np.ndarray, "H W 3"],
    camera: Camera,
    markings: Markings,
    line_rgb: Color,
    grass_rgb: Color,
) -> None:
    """Draw all markings into an image, in place; far ones fade into the grass."""
    edges = camera.camera_from_world(markings.lines_m.reshape(-1, 3))
    edges = _cut_near(edges.reshape(markings.lines_m.shape))
    lines_px, _ = camera.project_camera_points(edges.reshape(-1, 3))
    lines_px = lines_px.reshape(-1, 2, 2, 2)
    size = np.array(camera.image_size)
    low, high = lines_px.min(axis=(1, 2)), lines_px.max(axis=(1, 2))
    shown = ((low < size + 2) & (high > -2)).all(axis=1)  # False for NaN
    strips = list(lines_px[shown])

    curves_px, depth_m = camera.project(markings.curves_m.reshape(-1, 3))
    curves_px, depth_m = curves_px.reshape(2, -1, 2), depth_m.reshape(2, -1)
    begin = markings.starts[:-1]
    low = np.minimum.reduceat(curves_px[0], begin)
    high = np.maximum.reduceat(curves_px[0], begin)
    shown = ((low < size + 2) & (high > -2)).all(axis=1)
    shown &= np.minimum.reduceat(depth_m[0], begin) > _NEAR_M
    strips += [
        curves_px[:, markings.starts[i] : markings.starts[i + 1]] for i in np.nonzero(shown)[0]
    ]
    for strip_px in strips:
        _draw_strip(image, strip_px, line_rgb, grass_rgb)


def _draw_strip(image: np.ndarray, edges_px: np.ndarray, line: Color, grass: Color) -> None:
    """Fill between two edges (2, n, 2); strips thinner than a pixel become fainter instead."""
    middle = 0.5 * (edges_px[0] + edges_px[1])
    along = middle[1:] - middle[:-1]
    across = (edges_px[0] - edges_px[1])[:-1]
    area = np.abs(along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]).sum()
    width_px = float(area / (np.hypot(along[:, 0], along[:, 1]).sum() + 1e-9))
    if width_px < 1.5:
        share = min(1.0, max(0.3, width_px))
        color = tuple(int(g + (w - g) * share) for g, w in zip(grass, line, strict=True))
        points = np.rint((middle - 0.5) * _ONE).astype(np.int32)
        cv2.polylines(image, [points], False, color, 1, cv2.LINE_AA, _SHIFT)
    else:
        polygon = np.concatenate([edges_px[0], edges_px[1, ::-1]])
        points = np.rint((polygon - 0.5) * _ONE).astype(np.int32)
        cv2.fillPoly(image, [points], line, cv2.LINE_AA, _SHIFT)


def _arc(start_rad: float, end_rad: float, n: int) -> np.ndarray:
    angles = np.linspace(start_rad, end_rad, n)
    return np.stack([np.cos(angles), np.sin(angles), np.zeros(n)], axis=-1)


def _cut_near(edges_camera_m: np.ndarray) -> np.ndarray:
    """Move the ends of edges behind the near plane onto it; NaN where all of an edge is behind."""
    start, end = edges_camera_m[..., 0, :], edges_camera_m[..., 1, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        u = (_NEAR_M - start[..., 2]) / (end[..., 2] - start[..., 2])
        cut = (start + u[..., None] * (end - start))[..., None, :]
    near = edges_camera_m[..., 2] < _NEAR_M
    both = near.all(axis=-1)[..., None, None]
    return np.where(both, np.nan, np.where(near[..., None], cut, edges_camera_m))
