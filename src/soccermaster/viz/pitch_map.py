"""The pitch from above: markings, people and what the camera sees.

The map shows the pitch and `MARGIN_M` around it; x to the right, y (toward the main camera) down.
Its scale follows from the width of the image, so a map may be resized and drawn on again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from soccermaster import vocabulary
from soccermaster.geometry.pitch import LENGTH_M, PENALTY_MARK_M, WIDTH_M, Pitch
from soccermaster.viz.canvas import (
    WHITE,
    Colour,
    athlete_colour,
    blend,
    canvas,
    font_px,
    paint_dot,
    paint_line,
    stroke,
    wrap_text,
    write_text,
)

MapImage = UInt8[np.ndarray, "H W 3"]

#: Ground that the map shows beyond each side of the pitch.
MARGIN_M: float = 5.0

_GRASS: tuple[Colour, Colour] = ((58, 122, 62), (52, 112, 56))
_STRIPE_M = LENGTH_M / 20
_MARKING_M = 0.15
_DOT_M = 1.1  # radius
_GOAL_DEPTH_M = 2.0
_SPOTS_M = np.array([(0.0, 0.0), *((s * (LENGTH_M / 2 - PENALTY_MARK_M), 0.0) for s in (-1, 1))])


def draw_pitch(pixels_per_m: float = 8.0, pitch: Pitch | None = None) -> MapImage:
    """An empty pitch seen from above.

    Args:
        pixels_per_m: scale of the map.
        pitch: the markings; the standard ones if None.
    """
    width = round((LENGTH_M + 2 * MARGIN_M) * pixels_per_m)
    height = round((WIDTH_M + 2 * MARGIN_M) * pixels_per_m)
    x_m = (np.arange(width) + 0.5) / pixels_per_m - LENGTH_M / 2 - MARGIN_M
    stripe = np.floor((x_m + LENGTH_M / 2) / _STRIPE_M).astype(int) % 2
    image = np.array(_GRASS, np.uint8)[stripe]
    image = np.ascontiguousarray(np.broadcast_to(image, (height, width, 3)))
    thickness = max(1, round(_MARKING_M * pixels_per_m))
    for name, points_m in (pitch or Pitch()).polylines_m().items():
        if not name.startswith("Goal"):  # posts are points from above; goals follow below
            paint_line(image, map_points_px(image, points_m[:, :2]), WHITE, thickness)
        elif name.endswith("crossbar"):
            front_m = points_m[[0, -1], :2]
            outward_m = np.array([np.sign(front_m[0, 0]) * _GOAL_DEPTH_M, 0.0])
            outline_m = np.concatenate([front_m, front_m[::-1] + outward_m])
            paint_line(image, map_points_px(image, outline_m), WHITE, thickness, closed=True)
    for spot_px in map_points_px(image, _SPOTS_M):
        paint_dot(image, spot_px, 0.25 * pixels_per_m, WHITE, rim=WHITE)
    return image


def map_points_px(
    image: MapImage, points_m: Float[np.ndarray, "*n 2"]
) -> Float[np.ndarray, "*n 2"]:
    """Where points of the pitch (centred frame) are on a map."""
    corner_m = np.array([LENGTH_M / 2 + MARGIN_M, WIDTH_M / 2 + MARGIN_M])
    return (np.asarray(points_m, np.float64) + corner_m) * _pixels_per_m(image)


def draw_positions(
    image: MapImage,
    positions_m: Float[np.ndarray, "n 2"],
    roles: Int[np.ndarray, " n"] | None = None,
    teams: Int[np.ndarray, " n"] | None = None,
    numbers: Int[np.ndarray, " n"] | None = None,
    colours: Sequence[Colour] | None = None,
) -> MapImage:
    """People on the pitch as dots, with their shirt numbers inside.

    Args:
        image: a map.
        positions_m: in the centred frame; rows that are not finite are left out.
        roles: index in vocabulary.ROLES; -1 unknown.
        teams: index in vocabulary.TEAMS; -1 unknown or none.
        numbers: only 0..99 are written.
        colours: of the dots; if None, of the team for players and of the role for others.
    """
    image = canvas(image)
    n = len(positions_m)
    unknown = np.full(n, vocabulary.UNKNOWN)
    roles = unknown if roles is None else roles
    teams = unknown if teams is None else teams
    numbers = unknown if numbers is None else numbers
    if colours is None:
        colours = [athlete_colour(int(r), int(t)) for r, t in zip(roles, teams, strict=True)]
    ball = vocabulary.ROLES.index("ball")
    radius_px = _DOT_M * _pixels_per_m(image)
    text_px = max(6, round(1.25 * radius_px))
    points_px = map_points_px(image, positions_m)
    for point_px, role, number, colour in zip(points_px, roles, numbers, colours, strict=True):
        if not np.isfinite(point_px).all():
            continue
        paint_dot(image, point_px, radius_px / 2 if role == ball else radius_px, colour)
        if 0 <= number < vocabulary.NO_NUMBER:
            ink = (0, 0, 0) if np.dot(colour, (0.3, 0.6, 0.1)) > 130 else WHITE
            write_text(image, str(number), tuple(point_px), text_px, ink, (0.5, 0.5), backing=0)
    return image


def field_of_view_m(
    image_from_pitch: Float[np.ndarray, "3 3"], image_size: tuple[int, int]
) -> Float[np.ndarray, "n 2"]:
    """The part of the mapped ground that a camera sees, as a convex polygon.

    Corners of the image above the horizon are no problem: the ground is cut by the four sides of
    the image and by the plane of the camera.

    Args:
        image_from_pitch: homography from the centred pitch plane to pixels, whose third row is
            positive in front of the camera, as `Camera.image_from_pitch` gives it.
        image_size: (W, H) in pixels, like `Camera.image_size`.

    Returns:
        Corners in metres; empty if the camera sees none of the mapped ground.
    """
    width, height = image_size
    x, y, depth = np.asarray(image_from_pitch, np.float64)
    polygon_m = _mapped_ground_m()
    for half_plane in (depth, x, width * depth - x, y, height * depth - y):
        polygon_m = _cut_polygon(polygon_m, half_plane)
    return polygon_m


def draw_field_of_view(
    image: MapImage, corners_m: Float[np.ndarray, "n 2"], colour: Colour = WHITE
) -> MapImage:
    """A light area where the camera looks, with its border.

    Args:
        image: a map.
        corners_m: of the area in order, in the centred frame; none for an empty area.
        colour: of area and border.

    Raises:
        ValueError: if a corner is not finite, as ground points above the horizon are.
    """
    image = canvas(image)
    corners_m = np.asarray(corners_m, np.float64).reshape(-1, 2)
    if not np.isfinite(corners_m).all():
        raise ValueError(
            f"expected finite corners of the field of view in metres, got {corners_m.tolist()}. "
            "Image corners above the horizon have no ground point: use field_of_view_m()."
        )
    for half_plane in _sides_of_ground():
        corners_m = _cut_polygon(corners_m, half_plane)
    if len(corners_m) < 3:
        return image
    corners_px = map_points_px(image, corners_m)
    area = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(area, [np.rint(corners_px - 0.5).astype(np.int32)], 1)
    seen = image[area > 0]
    blend(seen, colour, 0.25)
    image[area > 0] = seen
    paint_line(image, corners_px, colour, stroke(image, 1 / 300), closed=True)
    return image


def write_message(image: UInt8[np.ndarray, "H W 3"], text: str) -> UInt8[np.ndarray, "H W 3"]:
    """A message in the middle of an image, for example why a map is empty."""
    image = canvas(image)
    text_px = font_px(image, 1 / 18)
    lines = wrap_text(text, text_px, round(0.9 * image.shape[1]))
    middle = (len(lines) - 1) / 2
    for row, line in enumerate(lines):
        place_px = (image.shape[1] / 2, image.shape[0] / 2 + (row - middle) * 1.25 * text_px)
        write_text(image, line, place_px, text_px, anchor=(0.5, 0.5))
    return image


def _pixels_per_m(image: np.ndarray) -> float:
    return image.shape[1] / (LENGTH_M + 2 * MARGIN_M)


def _mapped_ground_m() -> Float[np.ndarray, "4 2"]:
    x, y = LENGTH_M / 2 + MARGIN_M, WIDTH_M / 2 + MARGIN_M
    return np.array([(-x, -y), (x, -y), (x, y), (-x, y)])


def _sides_of_ground() -> Float[np.ndarray, "4 3"]:
    """Half planes (a, b, c), a x + b y + c >= 0, whose intersection is the mapped ground."""
    x, y = LENGTH_M / 2 + MARGIN_M, WIDTH_M / 2 + MARGIN_M
    return np.array([(1, 0, x), (-1, 0, x), (0, 1, y), (0, -1, y)], np.float64)


def _cut_polygon(
    corners: Float[np.ndarray, "n 2"], half_plane: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "k 2"]:
    """The part of a polygon where a x + b y + c >= 0.

    Source: Sutherland and Hodgman, Reentrant polygon clipping, CACM 1974, one step.
    """
    if len(corners) == 0:
        return corners
    heights = corners @ half_plane[:2] + half_plane[2]
    kept = []
    closed = [*zip(corners, heights, strict=True), (corners[0], heights[0])]
    for (start, start_height), (end, end_height) in pairwise(closed):
        if start_height >= 0:
            kept.append(start)
        if (start_height >= 0) != (end_height >= 0):
            share = start_height / (start_height - end_height)
            kept.append(start + share * (end - start))
    return np.array(kept).reshape(-1, 2)
