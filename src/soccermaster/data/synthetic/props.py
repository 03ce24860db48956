"""Things that people hold up or use: cards, flags, boards, the monitor, the stretcher.

They are never drawn smaller than a few pixels, so that they can be seen in small pictures too.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np

from soccermaster.data.synthetic.figure import HAND_L, HAND_R, HIP_L, HIP_R, Figures
from soccermaster.data.synthetic.people import Color
from soccermaster.data.synthetic.scene import Prop
from soccermaster.geometry import Camera

#: Width and height in metres, and in pixels at least.
_SIZES: dict[str, tuple[float, float, float, float]] = {
    "card": (0.20, 0.28, 3, 4),
    "flag": (0.50, 0.42, 4, 3),
    "board": (0.95, 0.50, 8, 5),
    "monitor": (1.10, 0.75, 8, 6),
    "stretcher": (2.00, 0.22, 6, 2),
}
_NEAR_M = 1.0


def draw_prop(image: np.ndarray, camera: Camera, figures: Figures, prop: Prop) -> None:
    """Draw a thing into an RGB image, in place."""
    width_m, height_m, *least_px = _SIZES[prop.kind]
    if prop.person >= 0:
        depth_m = float(figures.depth_m[prop.person])
        joints_px = figures.joints_px[prop.person]
        joints = {
            "card": (HAND_R,), "flag": (HAND_R,), "board": (HAND_L, HAND_R),
            "stretcher": (HIP_L, HIP_R),
        }[prop.kind]  # fmt: skip
        anchor_px = joints_px[list(joints)].mean(axis=0)
    else:
        anchor_px, depth = camera.project((*prop.xy_m, -1.0))
        depth_m = float(depth)
    height, width = image.shape[:2]
    margin = 60
    if depth_m < _NEAR_M or not np.isfinite(anchor_px).all():
        return
    x, y = anchor_px
    if not (-margin < x < width + margin and -margin < y < height + margin):
        return
    scale = camera.K[0, 0] / depth_m
    w = max(least_px[0], width_m * scale)
    h = max(least_px[1], height_m * scale)
    if prop.kind == "stretcher":
        _rectangle(image, x - w / 2, y - h * 0.2, w, h, prop.color)
    elif prop.kind == "flag":
        stick = max(1, round(0.03 * scale))
        cv2.line(image, _point(x, y + 0.2 * h), _point(x, y - 1.3 * h), (60, 50, 40), stick)
        _rectangle(image, x, y - 1.4 * h, w, h, prop.color)
        _rectangle(image, x, y - 1.4 * h, w / 2, h / 2, (250, 225, 30))
        _rectangle(image, x + w / 2, y - 0.9 * h, w / 2, h / 2, (250, 225, 30))
    elif prop.kind == "monitor":
        post = max(1, round(0.12 * scale))
        cv2.line(image, _point(x, y), _point(x, y + 1.0 * scale), (40, 40, 45), post)
        _rectangle(image, x - w / 2 - 1, y - h / 2 - 1, w + 2, h + 2, (20, 20, 25))
        _rectangle(image, x - w / 2, y - h / 2, w, h, prop.color)
    elif prop.kind == "board":
        _rectangle(image, x - w / 2 - 1, y - h - 1, w + 2, h + 2, (15, 15, 18))
        _draw_sign(image, x - w / 2, y - h, w, h, prop.text, prop.color)
    else:
        _rectangle(image, x - w / 2, y - h, w, h, prop.color)


def _rectangle(
    image: np.ndarray, left: float, top: float, width: float, height: float, color: Color
) -> None:
    low = _point(left, top)
    high = _point(left + width - 1, top + height - 1)
    cv2.rectangle(image, low, (max(low[0], high[0]), max(low[1], high[1])), color, -1)


def _point(x: float, y: float) -> tuple[int, int]:
    return round(float(x)), round(float(y))


def _draw_sign(
    image: np.ndarray, left: float, top: float, width: float, height: float, text: str, color: Color
) -> None:
    """Paste a sign with digits, clipped to the image."""
    sign = cv2.resize(
        _sign(text, color), (max(2, round(width)), max(2, round(height))), cv2.INTER_AREA
    )
    x, y = _point(left, top)
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + sign.shape[1], image.shape[1]), min(y + sign.shape[0], image.shape[0])
    if x1 > x0 and y1 > y0:
        image[y0:y1, x0:x1] = sign[y0 - y : y1 - y, x0 - x : x1 - x]


@functools.lru_cache(maxsize=64)
def _sign(text: str, color: Color) -> np.ndarray:
    """Digits of light on black; with two numbers the second one is green."""
    canvas = np.full((48, 92, 3), 15, np.uint8)
    parts = text.split()
    colors = (color, (50, 230, 80)) if len(parts) > 1 else (color,)
    for place, (part, ink) in enumerate(zip(parts, colors, strict=True)):
        size = 1.0 if len(parts) > 1 else 1.5
        (width, height), _ = cv2.getTextSize(part, cv2.FONT_HERSHEY_DUPLEX, size, 3)
        middle = 92 * (place + 0.5) / len(parts)
        at = (round(middle - width / 2), 24 + height // 2)
        cv2.putText(canvas, part, at, cv2.FONT_HERSHEY_DUPLEX, size, ink, 4, cv2.LINE_AA)
    return canvas
