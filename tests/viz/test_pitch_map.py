from __future__ import annotations

import numpy as np
import pytest

from soccermaster import vocabulary
from soccermaster.geometry import Camera
from soccermaster.viz.canvas import TEAM_COLOURS
from soccermaster.viz.pitch_map import (
    draw_field_of_view,
    draw_pitch,
    draw_positions,
    field_of_view_m,
    map_points_px,
    write_message,
)


@pytest.fixture(scope="module")
def pitch() -> np.ndarray:
    return draw_pitch(pixels_per_m=4)


def test_the_map_shows_pitch_and_margin(pitch):
    assert pitch.shape == (78 * 4, 115 * 4, 3)
    points_px = map_points_px(pitch, np.array([[0.0, 0.0], [-52.5, -34.0], [52.5, 34.0]]))
    assert np.allclose(points_px, [[230, 156], [20, 20], [440, 292]])


def test_markings_are_white_and_grass_is_green(pitch):
    for x, y in ((0.0, 20.0), (52.5, 10.0), (-36.0, 0.0), (0.0, 34.0), (9.15, 0.0)):
        column, row = map_points_px(pitch, np.array([x, y]))
        around = pitch[round(row) - 1 : round(row) + 1, round(column) - 1 : round(column) + 1]
        assert around.min(-1).max() > 180
    red, green, blue = pitch[100, 100]
    assert green > red
    assert green > blue


def test_the_map_is_symmetric(pitch):
    white = pitch.min(-1) > 150
    assert (white == white[::-1]).mean() > 0.99
    assert (white == white[:, ::-1]).mean() > 0.99


def test_people_are_dots_at_their_positions(pitch):
    positions_m = np.array([[10.0, 20.0], [-30.0, -10.0], [np.nan, np.nan]])
    player = vocabulary.ROLES.index("player")
    drawn = draw_positions(pitch, positions_m, np.full(3, player), np.array([0, 1, 0]))
    for position_m, team in zip(positions_m[:2], ("left", "right"), strict=True):
        column, row = map_points_px(pitch, position_m).astype(int)
        assert tuple(drawn[row, column]) == TEAM_COLOURS[team]
    rows, columns = np.nonzero((drawn != pitch).any(-1))
    assert (rows.size < 2 * 150) and (columns.size > 2 * 40)


def test_numbers_are_written_into_the_dots():
    pitch = draw_pitch(pixels_per_m=10)
    position_m = np.array([[10.0, 20.0]])
    plain = draw_positions(pitch, position_m, numbers=np.array([vocabulary.NO_NUMBER]))
    numbered = draw_positions(pitch, position_m, numbers=np.array([9]))
    rows, columns = np.nonzero((plain != numbered).any(-1))
    centre = map_points_px(pitch, position_m[0])
    assert np.abs(rows.mean() - centre[1]) < 3
    assert np.abs(columns.mean() - centre[0]) < 3


def test_positions_outside_the_map_leave_it_unchanged(pitch):
    assert np.array_equal(draw_positions(pitch, np.array([[500.0, 0.0]])), pitch)


def test_the_field_of_view_is_where_the_image_corners_look():
    camera = Camera.from_pan_tilt_roll(
        5.0, 70.0, 0.0, 4000.0, np.array([0, 80, -25.0]), (1280, 720)
    )
    polygon_m = field_of_view_m(camera.image_from_pitch, camera.image_size)
    corners_px = np.array([[0.0, 0.0], [1280, 0], [1280, 720], [0, 720]])
    corners_m = camera.unproject_to_ground(corners_px)[:, :2]
    distances = np.linalg.norm(polygon_m[:, None] - corners_m[None], axis=-1)
    assert distances.min(1).max() < 1e-6
    assert distances.min(0).max() < 1e-6


def test_a_camera_that_sees_the_horizon_has_a_field_of_view():
    camera = Camera.from_pan_tilt_roll(
        0.0, 85.0, 0.0, 1200.0, np.array([0, 60, -15.0]), (1280, 720)
    )
    polygon_m = field_of_view_m(camera.image_from_pitch, camera.image_size)
    assert polygon_m[:, 1].min() == pytest.approx(-39)  # cut by the map, not by the image
    points_px, depth_m = camera.project(np.column_stack([polygon_m, np.zeros(len(polygon_m))]))
    assert (depth_m > 0).all()
    assert ((points_px > -1e-6) & (points_px < np.array([1280, 720]) + 1e-6)).all()


def test_a_camera_that_looks_away_sees_nothing(pitch):
    camera = Camera.from_pan_tilt_roll(
        180.0, 80.0, 0.0, 1200.0, np.array([0, 60, -15.0]), (1280, 720)
    )
    polygon_m = field_of_view_m(camera.image_from_pitch, camera.image_size)
    assert polygon_m.shape == (0, 2)
    assert np.array_equal(draw_field_of_view(pitch, polygon_m), pitch)


def test_the_field_of_view_lightens_its_area_only(pitch):
    corners_m = np.array([[0.0, -20.0], [1e7, -20.0], [1e7, 20.0], [0.0, 20.0]])
    drawn = draw_field_of_view(pitch, corners_m)
    column, row = map_points_px(pitch, np.array([30.0, 5.0])).astype(int)
    assert (drawn[row, column] > pitch[row, column]).all()
    assert np.array_equal(drawn[:, :220], pitch[:, :220])


def test_corners_above_the_horizon_are_refused(pitch):
    with pytest.raises(ValueError, match="field_of_view_m"):
        draw_field_of_view(pitch, np.array([[0.0, 0.0], [np.nan, 1.0], [1.0, 1.0]]))


def test_a_message_stands_in_the_middle(pitch):
    rows, columns = np.nonzero((write_message(pitch, "no camera") != pitch).any(-1))
    assert abs((rows.min() + rows.max()) / 2 - pitch.shape[0] / 2) < 3
    assert abs((columns.min() + columns.max()) / 2 - pitch.shape[1] / 2) < 3
