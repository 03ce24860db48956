"""What pictures share: colours, checked copies of images, sub-pixel shapes and readable text.

The functions that start with `paint` and `write` change the image they are given; the public
drawing functions of this package give them a copy.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from soccermaster import vocabulary

Colour = tuple[int, int, int]  # RGB, 0..255

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)
GREY: Colour = (190, 190, 190)

#: Of each role. Source: the palette of Okabe and Ito, which colour-blind people can tell apart,
#: lightened where it would be dark on grass.
ROLE_COLOURS: dict[str, Colour] = {
    "ball": (255, 255, 255),
    "goalkeeper": (240, 150, 20),
    "other": (225, 150, 200),
    "player": (90, 190, 245),
    "referee": (250, 235, 70),
}

#: Of the players and goalkeepers of each team.
TEAM_COLOURS: dict[str, Colour] = {"left": (70, 150, 255), "right": (245, 90, 60)}

_SMALLEST_FONT_PX = 9
_SUBPIXEL_BITS = 4
#: Coordinates are cut here, so that OpenCV's integers do not overflow.
_FAR_PX = 1e5


def canvas(image: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """A copy of an image to draw on.

    Raises:
        ValueError: if it is no 8-bit RGB image.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"expected an RGB image of shape (H, W, 3) and type uint8, got shape {image.shape} and "
            f"type {image.dtype}. Tensors (3, H, W) in [-1, 1] must be converted first."
        )
    return np.array(image, order="C")


def athlete_colour(role: int, team: int = vocabulary.UNKNOWN) -> Colour:
    """The colour of a person: of the team for players and goalkeepers, else of the role."""
    name = vocabulary.ROLES[role] if 0 <= role < len(vocabulary.ROLES) else ""
    if name in ("player", "goalkeeper", "") and 0 <= team < len(vocabulary.TEAMS):
        return TEAM_COLOURS[vocabulary.TEAMS[team]]
    return ROLE_COLOURS.get(name, GREY)


def stroke(image: np.ndarray, share: float) -> int:
    """Line width in pixels, as a share of the image height, at least 1."""
    return max(1, round(image.shape[0] * share))


def font_px(image: np.ndarray, share: float) -> int:
    """Size of text in pixels, as a share of the image height, at least what can be read."""
    return max(_SMALLEST_FONT_PX, round(image.shape[0] * share))


def paint_line(
    image: UInt8[np.ndarray, "H W 3"],
    points_px: Float[np.ndarray, "n 2"],
    colour: Colour,
    thickness: int,
    closed: bool = False,
) -> None:
    """Draw a polyline in place; segments with an end that is not finite are left out."""
    points_px = np.asarray(points_px, np.float64)
    ends_px = np.roll(points_px, -1, axis=0)
    for start, end in list(zip(points_px, ends_px, strict=True))[: None if closed else -1]:
        if np.isfinite(start).all() and np.isfinite(end).all():
            a, b = _fixed(start), _fixed(end)
            cv2.line(image, a, b, colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)


def paint_dot(
    image: UInt8[np.ndarray, "H W 3"],
    centre_px: Float[np.ndarray, " 2"],
    radius_px: float,
    colour: Colour,
    rim: Colour = BLACK,
) -> None:
    """Draw a filled circle with a rim in place."""
    rim_px = max(1.0, radius_px / 4)
    for radius, fill in ((radius_px + rim_px, rim), (radius_px, colour)):
        fixed_radius = round(radius * 2**_SUBPIXEL_BITS)
        centre = _fixed(centre_px)
        cv2.circle(image, centre, fixed_radius, fill, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)


def blend(image: UInt8[np.ndarray, "H W 3"], colour: Colour, opacity: float) -> None:
    """Tint an image, or a view of a part of it, in place."""
    image[:] = np.rint(image * (1 - opacity) + np.array(colour) * opacity).astype(np.uint8)


def text_size(text: str, height_px: int) -> tuple[int, int]:
    """Width and height in pixels of one written line, without backing."""
    mask = _text_mask(text, height_px)
    return mask.shape[1], mask.shape[0]


def write_text(
    image: UInt8[np.ndarray, "H W 3"],
    text: str,
    position_px: tuple[float, float],
    height_px: int,
    colour: Colour = WHITE,
    anchor: tuple[float, float] = (0.0, 0.0),
    backing: float = 0.65,
) -> None:
    """Write one line in place, moved inside the image where it would stick out.

    Args:
        image: to write on.
        text: one line.
        position_px: x and y of the anchor.
        height_px: size of the font.
        colour: of the letters.
        anchor: which point of the text stands at the position, as a fraction of its width and
            height: (0, 0) the top left corner, (0.5, 1) the middle of the bottom.
        backing: opacity of the dark box behind the letters; 0 for none.
    """
    mask = _text_mask(text, height_px)
    pad = max(1, height_px // 5) if backing else 0
    height, width = mask.shape[0], mask.shape[1] + 2 * pad
    left = _inside(position_px[0] - anchor[0] * width, width, image.shape[1])
    top = _inside(position_px[1] - anchor[1] * height, height, image.shape[0])
    region = image[top : top + height, left : left + width]
    if backing:
        blend(region, BLACK, backing)
    letters = region[:, pad:]  # the mask is cut where the image is smaller than the text
    opacity = mask[: letters.shape[0], : letters.shape[1], None]
    letters = letters[:, : opacity.shape[1]]
    letters[:] = np.rint(letters * (1 - opacity) + np.array(colour) * opacity).astype(np.uint8)


def wrap_text(text: str, height_px: int, width_px: int) -> list[str]:
    """Break a text into lines that fit a width; a word that is too long has its own line."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_size(longer, height_px)[0] <= width_px:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _fixed(point_px: np.ndarray) -> tuple[int, int]:
    """A point in OpenCV's fixed-point integers, whose whole numbers are pixel centres."""
    x, y = np.clip(point_px, -_FAR_PX, _FAR_PX) - 0.5
    return round(x * 2**_SUBPIXEL_BITS), round(y * 2**_SUBPIXEL_BITS)


def _inside(start: float, length: int, limit: int) -> int:
    return max(0, min(round(start), limit - length))


@lru_cache(maxsize=64)
def _font(height_px: int) -> ImageFont.FreeTypeFont:
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
    return ImageFont.truetype(str(path), height_px)


@lru_cache(maxsize=4096)
def _text_mask(text: str, height_px: int) -> Float[np.ndarray, "h w"]:
    """Opacity 0..1 of a written line; all lines of one size have the same height."""
    font = _font(height_px)
    ascent, descent = font.getmetrics()
    mask = Image.new("L", (max(1, round(font.getlength(text))), ascent + descent))
    ImageDraw.Draw(mask).text((0, 0), text, fill=255, font=font)
    return np.asarray(mask, np.float32) / 255
