"""Radial distortion of the picture, and of the labels with it.

A point at distance r from the middle of the picture moves to r (1 + k r^2), where r is measured in
half diagonals of the picture; so the bend stays the same while the camera zooms. In the terms of
OpenCV the first radial coefficient of a camera with focal length f is k (f / half diagonal)^2.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from soccermaster.geometry import Camera, Pitch, visible_segments

_STEPS_ALONG_LINE = 64


@dataclass(frozen=True)
class Lens:
    """A lens that bends straight lines outward (barrel), for pictures of one size.

    Attributes:
        k: -0.15..0; 0 bends nothing.
        image_size: (W, H) in pixels.
    """

    k: float
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        if not -0.15 <= self.k <= 0:
            raise ValueError(f"expected a radial coefficient of -0.15..0, got {self.k}")

    @property
    def margin_px(self) -> int:
        """How much more of the scene must be drawn on each side before it is bent."""
        return int(np.ceil((_straight_radius(self.k, 1.0) - 1) * max(self.image_size) / 2)) + 2

    def wide(self, cameras: Camera) -> Camera:
        """The cameras for the larger picture that is bent."""
        K = cameras.K.copy()
        K[..., :2, 2] += self.margin_px
        size = tuple(n + 2 * self.margin_px for n in self.image_size)
        return dataclasses.replace(cameras, K=K, image_size=size)

    def bend_picture(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "H W 3"]:
        """A picture of the size of `wide`, bent and cut to the size of the lens."""
        x, y = _maps(self.k, self.image_size, self.margin_px)
        return cv2.remap(image, x, y, cv2.INTER_LINEAR)

    def bend_points(self, points_px: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Where points of the straight picture are; NaN far outside, where the model ends."""
        middle = np.array(self.image_size) / 2
        offset = points_px - middle
        radius = np.linalg.norm(offset, axis=-1, keepdims=True) / np.hypot(*middle)
        bent = middle + offset * (1 + self.k * radius**2)
        with np.errstate(invalid="ignore"):
            return np.where(self.k * radius**2 > -0.27, bent, np.nan)  # it folds at -1/3

    def bend_boxes(self, boxes_xyxy_px: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
        """Boxes around what was in boxes of the straight picture: the middles of their sides."""
        x0, y0, x1, y1 = boxes_xyxy_px.T
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        sides = np.stack([(x0, y), (x, y0), (x1, y), (x, y1)]).transpose(2, 0, 1)
        bent = self.bend_points(sides)  # (n, 4, 2): left, top, right, bottom
        return np.stack([bent[:, 0, 0], bent[:, 1, 1], bent[:, 2, 0], bent[:, 3, 1]], axis=1)

    def visible_segments(self, cameras: Camera, pitch: Pitch) -> Float[np.ndarray, "T 23 2 2"]:
        """The ends of the visible part of each line, which is no longer straight."""
        straight = visible_segments(self.wide(cameras), pitch) - self.margin_px
        u = np.linspace(0, 1, _STEPS_ALONG_LINE)[:, None]
        start, end = straight[..., :1, :], straight[..., 1:, :]
        bent = self.bend_points(start + u * (end - start))  # (T, 23, steps, 2)
        with np.errstate(invalid="ignore"):
            seen = ((bent >= 0) & (bent <= self.image_size)).all(axis=-1)
        first, last = seen.argmax(axis=-1), seen.shape[-1] - 1 - seen[..., ::-1].argmax(axis=-1)
        ends = np.stack([first, last], axis=-1)[..., None]
        segments = np.take_along_axis(bent, ends, axis=-2)
        return np.where((last > first)[..., None, None] & seen.any(-1)[..., None, None], segments,
                        np.nan)  # fmt: skip


def _straight_radius(k: float, bent: np.ndarray | float) -> np.ndarray | float:
    """The radius that a bent one came from, by fixed-point iteration."""
    radius = bent
    for _ in range(30):
        radius = bent / (1 + k * radius**2)
    return radius


@functools.lru_cache(maxsize=16)
def _maps(k: float, image_size: tuple[int, int], margin_px: int) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel of the bent picture, its place in the straight one, as OpenCV counts."""
    width, height = image_size
    x, y = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
    radius = np.hypot(x, y) / (0.5 * np.hypot(width, height))
    scale = _straight_radius(k, radius) / np.maximum(radius, 1e-9)
    straight_x = x * scale + width / 2 + margin_px - 0.5
    straight_y = y * scale + height / 2 + margin_px - 0.5
    return straight_x.astype(np.float32), straight_y.astype(np.float32)
