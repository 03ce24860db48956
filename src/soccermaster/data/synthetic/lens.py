"""Radial distortion of the picture, and of the labels with it.

A point at distance r from the middle of the picture moves to r (1 + k r^2), where r is measured in
half diagonals of the picture; so the bend stays the same while the camera zooms. In the terms of
`Camera.distortion` the first coefficient at a focal length f is k (f / half diagonal)^2.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from soccermaster.geometry import Camera, Pitch, visible_segments


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
        corner = self._unit_camera.undistort((0.0, 0.0))
        stretch = 1 - corner.min() / (max(self.image_size) / 2)
        return int(np.ceil((stretch - 1) * max(self.image_size) / 2)) + 2

    def bent(self, cameras: Camera) -> Camera:
        """The cameras with this lens."""
        unit_px = np.hypot(*self.image_size) / 2
        k1 = self.k * (cameras.K[..., 0, 0] / unit_px) ** 2
        coefficients = k1[..., None] * np.array([1.0, 0.0, 0.0, 0.0])
        return dataclasses.replace(cameras, distortion=coefficients)

    def wide(self, cameras: Camera) -> Camera:
        """The cameras for the larger picture that is bent."""
        size = tuple(n + 2 * self.margin_px for n in self.image_size)
        return cameras.crop(-self.margin_px, -self.margin_px, size)

    def bend_picture(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "H W 3"]:
        """A picture of the size of `wide`, bent and cut to the size of the lens."""
        x, y = _maps(self)
        return cv2.remap(image, x, y, cv2.INTER_LINEAR)

    def bend_points(self, points_px: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Where points of the straight picture are; NaN far outside, where the model ends."""
        return self._unit_camera.distort(points_px)

    def bend_boxes(self, boxes_xyxy_px: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
        """Boxes around what was in boxes of the straight picture: the middles of their sides."""
        x0, y0, x1, y1 = boxes_xyxy_px.T
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        sides = np.stack([(x0, y), (x, y0), (x1, y), (x, y1)]).transpose(2, 0, 1)
        bent = self.bend_points(sides)  # (n, 4, 2): left, top, right, bottom
        return np.stack([bent[:, 0, 0], bent[:, 1, 1], bent[:, 2, 0], bent[:, 3, 1]], axis=1)

    def visible_segments(self, cameras: Camera, pitch: Pitch) -> Float[np.ndarray, "T 23 2 2"]:
        """The ends of the visible part of each line, which is no longer straight."""
        return visible_segments(self.bent(cameras), pitch)

    @functools.cached_property
    def _unit_camera(self) -> Camera:
        """A camera with this lens and a focal length of half a diagonal, anywhere."""
        K = np.diag([np.hypot(*self.image_size) / 2] * 2 + [1.0])
        K[:2, 2] = np.array(self.image_size) / 2
        return Camera(K, np.eye(3), np.zeros(3), self.image_size, [self.k, 0.0, 0.0, 0.0])


@functools.lru_cache(maxsize=16)
def _maps(lens: Lens) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel of the bent picture, its place in the straight one, as OpenCV counts."""
    width, height = lens.image_size
    centres = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1) + 0.5
    straight_px = lens._unit_camera.undistort(centres) + lens.margin_px - 0.5
    return straight_px[..., 0].astype(np.float32), straight_px[..., 1].astype(np.float32)
