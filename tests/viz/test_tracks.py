from __future__ import annotations

import numpy as np

from soccermaster.structures import Athletes
from soccermaster.viz import draw_pitch, draw_tracks, draw_trails, map_points_px, track_colour
from soccermaster.viz.canvas import GREY


def people() -> Athletes:
    """Two people in two frames; the second has no track in the first frame."""
    boxes = [[10, 20, 30, 60], [60, 20, 80, 60], [12, 20, 32, 60], [60, 20, 80, 60]]
    return Athletes.from_boxes(
        np.array([0, 0, 1, 1]),
        np.array(boxes, float),
        track_ids=np.array([1, -1, 1, 2]),
        positions_m=np.array([[-20, 0], [20, 0], [-10, 5], [np.nan, np.nan]]),
    )


def test_following_ids_have_colours_of_their_own():
    colours = [track_colour(i) for i in range(20)]
    assert len(set(colours)) == 20
    assert colours == [track_colour(i) for i in range(20)]
    assert track_colour(-1) == GREY


def test_boxes_of_one_frame_in_the_colours_of_their_tracks():
    frame = np.zeros((80, 100, 3), np.uint8)
    image = draw_tracks(frame, people(), 0)
    np.testing.assert_allclose(image[40, 10], track_colour(1), atol=30)  # smooth edges
    np.testing.assert_allclose(image[40, 60], GREY, atol=30)
    assert (draw_tracks(frame, people(), 5) == frame).all()


def test_trails_go_from_place_to_place():
    empty = draw_pitch(4.0)
    image = draw_trails(empty, people())
    changed = (image != empty).any(-1)
    for x_m, y_m in ((-20, 0), (-15, 2.5), (-10, 5)):
        x, y = np.floor(map_points_px(empty, np.array([x_m, y_m]))).astype(int)
        assert changed[y - 1 : y + 2, x - 1 : x + 2].any()
    x, y = np.floor(map_points_px(empty, np.array([20, 0]))).astype(int)
    assert not changed[y - 3 : y + 4, x - 3 : x + 4].any()  # no track
