"""What a pitch consists of besides its markings: grass, goals, flags, boards and stands.

Textures are drawn once per process and variant, from fixed seeds, and shared by all clips.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from soccermaster.geometry import Camera
from soccermaster.geometry.pitch import (
    GOAL_AREA_WIDTH_M,
    GOAL_HEIGHT_M,
    GOAL_WIDTH_M,
    LENGTH_M,
    WIDTH_M,
)

NUM_GRASS = 7
NUM_CROWDS = 6
#: The grass texture covers the pitch and this much around it.
GRASS_MARGIN_M = 22.0
GRASS_PX_PER_M = 5.0


@functools.lru_cache(maxsize=NUM_GRASS)
def grass_texture(variant: int) -> UInt8[np.ndarray, "h w"]:
    """Brightness of the grass (128 is plain), seen from above: x to the right, y down."""
    rng = np.random.default_rng([variant, 10])
    width = int((LENGTH_M + 2 * GRASS_MARGIN_M) * GRASS_PX_PER_M)
    height = int((WIDTH_M + 2 * GRASS_MARGIN_M) * GRASS_PX_PER_M)
    x = (np.arange(width) + 0.5) / GRASS_PX_PER_M - LENGTH_M / 2 - GRASS_MARGIN_M
    y = (np.arange(height) + 0.5) / GRASS_PX_PER_M - WIDTH_M / 2 - GRASS_MARGIN_M
    band_m = (5.5, 5.25, 8.0, 6.8, 6.0, 7.0, 9.0)[variant]
    depth = (9.0, 13.0, 5.0, 8.0, 9.0, 8.0, 2.0)[variant]
    if variant == 4:  # rings around the centre spot
        stripes = depth * np.sign(np.sin(np.pi * np.hypot(x[None], y[:, None]) / band_m))
    elif variant == 5:  # diagonals
        stripes = depth * np.sign(np.sin(np.pi * (x[None] + y[:, None]) / band_m))
    else:
        across = np.sign(np.sin(np.pi * x / band_m))
        along = np.sign(np.sin(np.pi * y / band_m))
        stripes = depth * (across[None] + (along[:, None] if variant == 3 else 0))
    fine = rng.normal(0, 5.0, (height, width))
    coarse = cv2.GaussianBlur(rng.normal(0, 1.0, (height, width)), (0, 0), 24)
    worn = sum(
        np.exp(-(((x[None] - s * 50) / 4) ** 2) - (y[:, None] / (GOAL_AREA_WIDTH_M / 3)) ** 2)
        for s in (-1, 1)
    )
    worn = worn + 0.5 * np.exp(-((x[None] / 2.5) ** 2) - (y[:, None] / 2.5) ** 2)
    for _ in range((2, 4, 6, 8, 3, 5, 30)[variant]):  # patches where much was run
        cx, cy, size = rng.uniform(-46, 46), rng.uniform(-30, 30), rng.uniform(0.6, 2.4)
        patch = np.exp(-(((x[None] - cx) / (1.6 * size)) ** 2) - ((y[:, None] - cy) / size) ** 2)
        worn = worn + rng.uniform(-0.9, 0.9) * patch
    grain = cv2.GaussianBlur(rng.normal(0, 1.0, (height, width)), (0, 0), 2)
    worn = worn * (1 + 1.2 * grain / grain.std() * 0.4)
    gray = 128 + stripes + fine + 5 * coarse / coarse.std() + 10 * worn
    return np.clip(gray, 0, 255).astype(np.uint8)


def draw_panels(
    image: UInt8[np.ndarray, "H W 3"], camera: Camera, variant: int, night: bool = False
) -> None:
    """Draw stands and boards into an image, in place."""
    panels = _stadium_panels(variant, night)
    corners_m = np.stack([panel.corners_m for panel in panels])
    corners_px, depth_m = camera.project(corners_m.reshape(-1, 3))
    corners_px, depth_m = corners_px.reshape(-1, 4, 2), depth_m.reshape(-1, 4)
    height, width = image.shape[:2]
    with np.errstate(invalid="ignore"):
        low = np.clip(np.floor(corners_px.min(axis=1)), 0, (width, height))
        high = np.clip(np.ceil(corners_px.max(axis=1)), 0, (width, height))
        shown = (depth_m > _NEAR_M).all(axis=1) & (high > low).all(axis=1)
    for i in np.nonzero(shown)[0]:
        (left, top), (right, bottom) = low[i].astype(int).tolist(), high[i].astype(int).tolist()
        panel = panels[i]
        plane = np.stack([panel.right_m, panel.down_m, panel.corner_m - camera.position_m], -1)
        image_from_texture = camera.K @ camera.R @ plane @ panel.plane_from_texture
        cv2.warpPerspective(
            panel.texture,
            to_pixel_index(left, top) @ image_from_texture,
            (right - left, bottom - top),
            dst=image[top:bottom, left:right],
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_TRANSPARENT,
        )


def goal_depths(camera: Camera) -> dict[int, float]:
    """Distance along the optical axis of the left (-1) and the right (1) goal."""
    left, right = camera.camera_from_world(np.array([(-52.5, 0.0, 0.0), (52.5, 0.0, 0.0)]))[:, 2]
    return {-1: float(left), 1: float(right)}


def draw_goal(image: UInt8[np.ndarray, "H W 3"], camera: Camera, side: int) -> None:
    """Draw the left (-1) or right (1) goal with a thin net into an image, in place."""
    points_px, depth_m = camera.project(_goal_lines(side).reshape(-1, 3))
    if depth_m.min() < _NEAR_M:
        return
    height, width = image.shape[:2]
    low = np.clip(np.floor(points_px.min(axis=0)) - 4, 0, (width, height)).astype(int)
    high = np.clip(np.ceil(points_px.max(axis=0)) + 4, 0, (width, height)).astype(int)
    if (high <= low).any():
        return
    window = image[low[1] : high[1], low[0] : high[0]]
    ends = np.rint((points_px - low - 0.5) * _ONE).astype(np.int32).reshape(-1, 2, 2)
    veil = window.copy()
    cv2.polylines(veil, list(ends[3:]), False, (215, 215, 215), 1, cv2.LINE_AA, _SHIFT)
    px_per_m = camera.K[0, 0] / depth_m[0]
    share = float(np.clip(px_per_m / 40, 0.25, 0.6))
    cv2.addWeighted(veil, share, window, 1 - share, 0, dst=window)
    thick = max(1, round(_POST_WIDTH_M * px_per_m))
    cv2.polylines(window, list(ends[:3]), False, (245, 245, 245), thick, cv2.LINE_AA, _SHIFT)


def draw_flags(image: UInt8[np.ndarray, "H W 3"], camera: Camera) -> None:
    """Draw the corner flags into an image, in place."""
    points_px, depth_m = camera.project(_FLAGS_M.reshape(-1, 3))
    points_px, depth_m = points_px.reshape(-1, 4, 2), depth_m.reshape(-1, 4)
    size = np.array(image.shape[1::-1])
    with np.errstate(invalid="ignore"):
        near = ((points_px[:, 0] > -60) & (points_px[:, 0] < size + 60)).all(axis=1)
    for i in np.nonzero(near & (depth_m > _NEAR_M).all(axis=1))[0]:
        p = np.rint((points_px[i] - 0.5) * _ONE).astype(np.int32)
        cv2.line(image, p[0].tolist(), p[1].tolist(), (235, 235, 210), 1, cv2.LINE_AA, _SHIFT)
        cv2.fillConvexPoly(image, p[1:], (215, 60, 40), cv2.LINE_AA, _SHIFT)


def to_pixel_index(left: int, top: int) -> Float[np.ndarray, "3 3"]:
    """From continuous coordinates to OpenCV's (a pixel's centre is an integer) in a window."""
    return np.array([[1, 0, -0.5 - left], [0, 1, -0.5 - top], [0, 0, 1.0]])


_POST_WIDTH_M, _NET_DEPTH_M = 0.12, 2.0
#: Foot, top, tip and lower end of the cloth of each corner flag.
_FLAGS_M = np.array(
    [
        [(x, y, 0.0), (x, y, -1.5), (x + 0.5, y, -1.3), (x, y, -1.1)]
        for x in (-LENGTH_M / 2, LENGTH_M / 2)
        for y in (-WIDTH_M / 2, WIDTH_M / 2)
    ]
)
_NEAR_M = 1.0
_SHIFT = 4
_ONE = 1 << _SHIFT


@dataclass(frozen=True)
class _Panel:
    """A flat rectangle in the world with a texture.

    Attributes:
        texture: RGB.
        corner_m: the world point of the top left corner of the texture.
        right_m: from there to the top right corner.
        down_m: from there to the bottom left corner.
    """

    texture: UInt8[np.ndarray, "h w 3"]
    corner_m: Float[np.ndarray, " 3"]
    right_m: Float[np.ndarray, " 3"]
    down_m: Float[np.ndarray, " 3"]

    @property
    def corners_m(self) -> np.ndarray:
        return self.corner_m + np.array(
            [0 * self.right_m, self.right_m, self.down_m, self.right_m + self.down_m]
        )

    @property
    def plane_from_texture(self) -> np.ndarray:
        """From texture indices to fractions of the two sides."""
        rows, columns = self.texture.shape[:2]
        return np.array([[1 / columns, 0, 0.5 / columns], [0, 1 / rows, 0.5 / rows], [0, 0, 1]])


@functools.lru_cache(maxsize=2 * NUM_CROWDS)
def _stadium_panels(variant: int, night: bool) -> tuple[_Panel, ...]:
    """Stands and boards on the three visible sides, from far to near."""
    crowd, boards, roof = _crowd(variant), _boards(variant), _roof(night)
    if night:  # the lamps point at the pitch; boards shine by themselves
        crowd = (crowd * np.array([0.42, 0.43, 0.5])).astype(np.uint8)
    far_y, side_x, back = -(WIDTH_M / 2 + 5.5), LENGTH_M / 2 + 7.5, 32.0
    half = side_x + 4
    panels = [_panel(roof, (-half - 35, far_y - 44, -37), (2 * half + 70, 0, 0), (0, 9, 6))]
    top = _panel(crowd, (-half - 35, far_y - 42, -27), (2 * half + 70, 0, 0), (0, 38.5, 25.6))
    panels = [top] if variant % 3 == 2 else [*panels, top]
    # The sides are cut in two, for a panel that reaches behind the camera is not drawn at all.
    for sign, first_y in ((-1, 2.0), (-1, 46.0), (1, -42.0), (1, 2.0)):
        along, x = (0, sign * 44.0, 0), sign * side_x
        stand = (x + sign * (3 + back), first_y, -20)
        panels.append(_panel(crowd, stand, along, (-sign * back, 0, 18.6)))
        panels.append(_panel(boards, (x, first_y, -1.0), along, (0, 0, 1.0)))
    panels.append(_panel(boards, (-half, far_y, -1.0), (2 * half, 0, 0), (0, 0, 1.0)))
    return tuple(panels)


def _panel(texture: np.ndarray, corner: tuple, right: tuple, down: tuple) -> _Panel:
    return _Panel(texture, *(np.array(v, np.float64) for v in (corner, right, down)))


@functools.lru_cache(maxsize=2)
def _goal_lines(side: int) -> np.ndarray:
    """Ends of the posts and the crossbar, then of the lines of the net (n, 2, 3)."""
    x, back, half, top = side * LENGTH_M / 2, side * _NET_DEPTH_M, GOAL_WIDTH_M / 2, -GOAL_HEIGHT_M
    lines_m = [((x, -half, 0), (x, -half, top)), ((x, half, 0), (x, half, top))]
    lines_m.append(((x, -half, top), (x, half, top)))
    for y in np.linspace(-half, half, 13):
        bend, foot = (x + 0.5 * back, y, top), (x + back, y, 0)
        lines_m += [((x, y, top), bend), (bend, foot)]
    for u in np.linspace(0, 1, 6):
        bend_x, bend_z = x + back * (0.5 + 0.5 * u), top * (1 - u)
        lines_m.append(((bend_x, -half, bend_z), (bend_x, half, bend_z)))
        lines_m += [((x, y, bend_z), (bend_x, y, bend_z)) for y in (-half, half)]
    return np.array(lines_m)


#: What most spectators of each variant wear.
_FANS = np.array(
    [
        [(205, 40, 40), (235, 235, 235)],
        [(40, 70, 185), (230, 230, 235)],
        [(235, 200, 40), (30, 130, 60)],
        [(70, 70, 80), (150, 150, 155)],
        [(235, 120, 30), (30, 30, 35)],
        [(120, 40, 120), (240, 240, 240)],
    ]
)


@functools.lru_cache(maxsize=NUM_CROWDS)
def _crowd(variant: int) -> np.ndarray:
    """Rows of heads and shirts, with stairs between the blocks."""
    rng = np.random.default_rng([variant, 11])
    rows, seats = 56, 320
    palette = np.concatenate([rng.integers(40, 200, (10, 3)), _FANS[variant], _FANS[variant]])
    shirts = palette[rng.integers(len(palette), size=(rows, seats))] * rng.uniform(
        0.5, 1, (rows, seats, 1)
    )
    empty = rng.random((rows, seats)) < (0.05, 0.15, 0.08, 0.35, 0.1, 0.7)[variant]
    shirts[empty] = (60, 70, 95)
    image = np.repeat(np.repeat(shirts, 6, axis=0), 4, axis=1)
    heads = np.full((rows, seats, 3), (190, 150, 125)) * rng.uniform(0.35, 1, (rows, seats, 1))
    heads[empty] = (60, 70, 95)
    image[1::6] = image[2::6] = np.repeat(heads, 4, axis=1)
    image[0::6] *= 0.45
    for stair in range(100, seats * 4, 190):
        image[:, stair : stair + 7] = (125, 122, 118)
    image[170:182] = (90, 92, 98)  # the gangway between the tiers
    image[182:206] = (40, 42, 60)
    return cv2.GaussianBlur(np.clip(image, 0, 255).astype(np.uint8), (3, 3), 0)


@functools.lru_cache(maxsize=2)
def _roof(night: bool) -> np.ndarray:
    """The edge of the roof; at night with lamps."""
    image = np.full((24, 1280, 3), (34, 36, 42) if night else (120, 124, 130), np.uint8)
    image[::6] = (24, 25, 30) if night else (96, 100, 106)
    if night:
        for left in range(8, 1280, 40):
            image[15:21, left : left + 16] = (250, 250, 242)
    return image


@functools.lru_cache(maxsize=NUM_CROWDS)
def _boards(variant: int) -> np.ndarray:
    """A row of advertising boards."""
    rng = np.random.default_rng([variant, 12])
    words = ("SOCCERMASTER", "KICK OFF", "ACME", "PITCH", "MATCHDAY", "CORNER", "EXAMPLE")
    image = np.zeros((24, 1920, 3), np.uint8)
    for left in range(0, 1920, 160):
        color = rng.integers(10, 150, 3)
        bright = rng.random() < 0.3
        image[:, left : left + 160] = 255 - color if bright else color
        ink = (20, 20, 40) if bright else (245, 245, 240)
        word = words[int(rng.integers(len(words)))]
        width = cv2.getTextSize(word, cv2.FONT_HERSHEY_DUPLEX, 0.6, 1)[0][0]
        cv2.putText(image, word, (left + 80 - width // 2, 18), cv2.FONT_HERSHEY_DUPLEX, 0.6, ink, 1,
                    cv2.LINE_AA)  # fmt: skip
    image[:2] = 70
    return image
