"""What stands around the pitch: grass, advertising boards and stands with a crowd.

Textures are drawn once per process and variant, from fixed seeds, and shared by all clips.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from soccermaster.geometry.pitch import GOAL_AREA_WIDTH_M, LENGTH_M, WIDTH_M

NUM_GRASS = 4
NUM_CROWDS = 4
#: The grass texture covers the pitch and this much around it.
GRASS_MARGIN_M = 22.0
GRASS_PX_PER_M = 5.0


@dataclass(frozen=True)
class Panel:
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


@functools.lru_cache(maxsize=NUM_GRASS)
def grass_texture(variant: int) -> UInt8[np.ndarray, "h w"]:
    """Brightness of the grass (128 is plain), seen from above: x to the right, y down."""
    rng = np.random.default_rng([variant, 10])
    width = int((LENGTH_M + 2 * GRASS_MARGIN_M) * GRASS_PX_PER_M)
    height = int((WIDTH_M + 2 * GRASS_MARGIN_M) * GRASS_PX_PER_M)
    x = (np.arange(width) + 0.5) / GRASS_PX_PER_M - LENGTH_M / 2 - GRASS_MARGIN_M
    y = (np.arange(height) + 0.5) / GRASS_PX_PER_M - WIDTH_M / 2 - GRASS_MARGIN_M
    band_m = (5.5, 5.25, 8.0, 6.8)[variant]
    across = np.sign(np.sin(np.pi * x / band_m))
    along = np.sign(np.sin(np.pi * y / band_m))
    depth = (9.0, 13.0, 5.0, 8.0)[variant]
    stripes = depth * (across[None] + (along[:, None] if variant == 3 else 0))
    fine = rng.normal(0, 5.0, (height, width))
    coarse = cv2.GaussianBlur(rng.normal(0, 1.0, (height, width)), (0, 0), 24)
    worn = sum(
        np.exp(-(((x[None] - s * 50) / 4) ** 2) - (y[:, None] / (GOAL_AREA_WIDTH_M / 3)) ** 2)
        for s in (-1, 1)
    )
    gray = 128 + stripes + fine + 5 * coarse / coarse.std() + 10 * worn
    return np.clip(gray, 0, 255).astype(np.uint8)


@functools.lru_cache(maxsize=4 * NUM_CROWDS)
def stadium_panels(variant: int) -> tuple[Panel, ...]:
    """Stands and boards on the three visible sides, from far to near."""
    crowd, boards = _crowd(variant), _boards(variant)
    far_y, side_x = -(WIDTH_M / 2 + 5.5), LENGTH_M / 2 + 7.5
    panels = []
    for sign in (-1, 1):  # left and right stand, boards in front of it
        x, back = sign * side_x, sign * 32.0
        first_y, span = (24.0, -66.0) if sign < 0 else (-42.0, 66.0)
        panels.append(_panel(crowd, (x + sign * 3 + back, first_y, -20), (0, span, 0),
                             (-back, 0, 18.6)))  # fmt: skip
        panels.append(_panel(boards, (x, first_y, -1.0), (0, span, 0), (0, 0, 1.0)))
    half = side_x + 4
    panels.insert(0, _panel(crowd, (-half - 25, far_y - 42, -27), (2 * half + 50, 0, 0),
                            (0, 38.5, 25.6)))  # fmt: skip
    panels.append(_panel(boards, (-half, far_y, -1.0), (2 * half, 0, 0), (0, 0, 1.0)))
    return tuple(panels)


def _panel(texture: np.ndarray, corner: tuple, right: tuple, down: tuple) -> Panel:
    return Panel(texture, *(np.array(v, np.float64) for v in (corner, right, down)))


@functools.lru_cache(maxsize=NUM_CROWDS)
def _crowd(variant: int) -> np.ndarray:
    """Rows of heads and shirts, with stairs between the blocks."""
    rng = np.random.default_rng([variant, 11])
    rows, seats = 56, 320
    fans = np.array([[(205, 40, 40), (235, 235, 235)], [(40, 70, 185), (230, 230, 235)],
                     [(235, 200, 40), (30, 130, 60)], [(70, 70, 80), (150, 150, 155)]])  # fmt: skip
    palette = np.concatenate([rng.integers(40, 200, (10, 3)), fans[variant], fans[variant]])
    shirts = palette[rng.integers(len(palette), size=(rows, seats))] * rng.uniform(
        0.5, 1, (rows, seats, 1)
    )
    empty = rng.random((rows, seats)) < (0.05, 0.15, 0.08, 0.35)[variant]
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
