"""Tracks: people in the colour of their track, and the ways that they went on the map."""

from __future__ import annotations

import colorsys

import numpy as np
from jaxtyping import UInt8

from soccermaster.structures import Athletes
from soccermaster.viz.canvas import GREY, Colour, canvas, paint_dot, paint_line, stroke
from soccermaster.viz.draw import draw_boxes
from soccermaster.viz.pitch_map import map_points_px
from soccermaster.vocabulary import UNKNOWN

Image = UInt8[np.ndarray, "H W 3"]

#: Steps of the golden ratio keep the hues of following ids apart.
_HUE_STEP = 0.6180339887


def track_colour(track_id: int) -> Colour:
    """A bright colour that belongs to a track id; grey for none."""
    if track_id == UNKNOWN:
        return GREY
    rgb = colorsys.hsv_to_rgb(track_id * _HUE_STEP % 1.0, 0.6, 1.0)
    red, green, blue = (round(255 * value) for value in rgb)
    return red, green, blue


def draw_tracks(frame: Image, people: Athletes, index: int) -> Image:
    """The boxes of one frame in the colours of their tracks, with the ids above.

    Args:
        frame: that the boxes are in pixels of.
        people: of the clip.
        index: of the frame in the clip.
    """
    here = people.select(np.flatnonzero(people.frame == index))
    ids = [int(track) for track in here.track_ids]
    labels = ["" if track == UNKNOWN else str(track) for track in ids]
    return draw_boxes(frame, here.boxes_xyxy_px, [track_colour(track) for track in ids], labels)


def draw_trails(image: Image, people: Athletes) -> Image:
    """The way of every track on a map, with a dot where it ends.

    Args:
        image: a map, see `draw_pitch`.
        people: of a clip; rows without a track or a position are left out.
    """
    image = canvas(image)
    placed = np.isfinite(people.positions_m).all(axis=1)
    for track in np.unique(people.track_ids[people.track_ids != UNKNOWN]):
        mine = np.flatnonzero((people.track_ids == track) & placed)
        if not len(mine):
            continue
        mine = mine[np.argsort(people.frame[mine], kind="stable")]
        way_px = map_points_px(image, people.positions_m[mine])
        colour = track_colour(int(track))
        paint_line(image, way_px, colour, stroke(image, 1 / 250))
        paint_dot(image, way_px[-1], image.shape[0] / 120, colour)
    return image
