import numpy as np
import pytest

from soccermaster.geometry import (
    LINE_CROSSINGS,
    Camera,
    Pitch,
    clip_segments,
    keypoints_from_polylines,
    segments_from_polylines,
    visible_keypoints,
    visible_polylines,
    visible_segments,
)
from soccermaster.vocabulary import LINES

SIZE = (960, 540)
PITCH = Pitch()
VIEWS = {
    "left goal": Camera.from_pan_tilt_roll(-38, 76, 0.2, 1900, (-2, 66, -16), SIZE),
    "midfield": Camera.from_pan_tilt_roll(1, 75, -0.3, 2200, (1, 72, -18), SIZE),
    "right goal": Camera.from_pan_tilt_roll(33, 78, 0.1, 1500, (2, 80, -14), SIZE),
}
view = pytest.mark.parametrize("camera", VIEWS.values(), ids=VIEWS.keys())


@view
def test_crossings_of_visible_lines_are_the_projected_keypoints(camera):
    polylines_px = visible_polylines(camera, PITCH)
    points_px, known = keypoints_from_polylines(polylines_px, SIZE)
    projected_px = visible_keypoints(camera, PITCH)
    found = ~np.isnan(points_px[:, 0])
    assert found.any()
    assert known[found].all()
    assert np.allclose(points_px[found], projected_px[found], atol=0.05)


@view
def test_a_keypoint_is_not_called_absent_where_it_is_visible(camera):
    points_px, known = keypoints_from_polylines(visible_polylines(camera, PITCH), SIZE)
    absent = known & np.isnan(points_px[:, 0])
    projected_px = visible_keypoints(camera, PITCH)
    inside = ((projected_px > 0) & (projected_px < SIZE)).all(axis=1)
    assert absent.any()
    assert not (absent & inside).any()


@view
def test_segments_of_annotations_are_what_the_camera_sees(camera):
    segments_px, known = segments_from_polylines(visible_polylines(camera, PITCH), SIZE)
    assert known.all()
    assert np.allclose(segments_px, visible_segments(camera, PITCH), equal_nan=True)


def test_an_unlisted_line_leaves_its_crossings_with_listed_lines_unknown():
    polylines_px = visible_polylines(VIEWS["left goal"], PITCH)
    del polylines_px["Big rect. left main"]
    points_px, known = keypoints_from_polylines(polylines_px, SIZE)
    assert not known[25 - 1]  # on "Big rect. left bottom", which is listed
    assert np.isnan(points_px[25 - 1]).all()
    assert known[4 - 1]
    assert known[26 - 1]  # neither of its lines, at the other goal, is listed
    assert not known[30:].any()


def test_a_line_from_border_to_border_has_no_end_in_the_image():
    across = {"Side line top": np.array([(0.0, 100.0), (960.0, 120.0)])}
    _, known = keypoints_from_polylines(across, SIZE)
    assert known[[1 - 1, 3 - 1]].all()
    assert not known[2 - 1]  # the middle line may be hidden
    short = {"Side line top": np.array([(0.0, 100.0), (700.0, 120.0)])}
    _, known = keypoints_from_polylines(short, SIZE)
    assert not known[[1 - 1, 3 - 1]].any()


def test_least_squares_line_and_margin():
    vertical = np.array([(480.0, 50.0), (480.0, 500.0)])
    noisy = np.array([(0.0, 101.0), (320.0, 99.0), (640.0, 99.0), (960.0, 101.0)])
    polylines_px = {"Side line top": noisy, "Middle line": vertical, "Circle left": vertical}
    points_px, _ = keypoints_from_polylines(polylines_px, SIZE)
    assert np.allclose(points_px[2 - 1], (480, 100))
    far = {"Side line top": noisy - (0, 380), "Middle line": vertical}  # crosses at y = -280
    points_px, known = keypoints_from_polylines(far, SIZE)
    assert known[2 - 1]
    assert np.isnan(points_px[2 - 1]).all()


def test_parallel_lines_have_no_crossing():
    lines = {
        "Side line top": np.array([(0.0, 0.0), (900.0, 0.0)]),
        "Middle line": np.array([(0.0, 9.0), (900.0, 9.0)]),
    }
    points_px, known = keypoints_from_polylines(lines, SIZE)
    assert known[2 - 1]
    assert np.isnan(points_px[2 - 1]).all()


def test_a_single_point_is_unknown_not_absent():
    polylines_px = {"Middle line": np.array([(4.0, 5.0), (4.0, 5.0)])}
    segments_px, known = segments_from_polylines(polylines_px, SIZE)
    assert known.tolist() == [name != "Middle line" for name in LINES]
    assert np.isnan(segments_px).all()
    _, known = keypoints_from_polylines(polylines_px, SIZE)
    assert not known[[2 - 1, 29 - 1]].any()


def test_segments_take_the_most_distant_points_and_are_clipped():
    polylines_px = {"Middle line": np.array([(480.0, 300.0), (480.0, -60.0), (480.0, 600.0)])}
    segments_px, _ = segments_from_polylines(polylines_px, SIZE)
    ends = segments_px[LINES.index("Middle line")]
    assert sorted(ends[:, 1]) == [0.0, 540.0]


def test_clip_segments():
    segments_px = np.array(
        [
            [(-10, 10), (10, 30)],  # enters from the left
            [(-10, 10), (-5, 30)],  # outside
            [(5, 5), (6, 6)],  # inside
            [(-10, 5), (200, 5)],  # across, parallel to an axis
            [(-20, 10), (10, -20)],  # passes a corner outside
            [(np.nan, 0), (10, 10)],
        ]
    )
    clipped = clip_segments(segments_px, (100, 50))
    assert np.allclose(clipped[0], [(0, 20), (10, 30)])
    assert np.allclose(clipped[2], segments_px[2])
    assert np.allclose(clipped[3], [(0, 5), (100, 5)])
    assert np.isnan(clipped[[1, 4, 5]]).all()


def test_lines_that_pass_the_camera_are_cut_in_front_of_it():
    beside = Camera.from_pan_tilt_roll(0, 80, 0, 700, (0, 10, -5), SIZE)
    segments_px = visible_segments(beside, PITCH)
    middle = segments_px[LINES.index("Middle line")]
    assert np.isclose(middle[:, 0], 480).all()
    assert middle[:, 1].max() == 540  # runs out of the image below, not to infinity
    assert np.isnan(segments_px[LINES.index("Side line bottom")]).all()


def test_stack_of_cameras():
    stack = Camera(*(np.stack([getattr(c, n) for c in VIEWS.values()])
                     for n in ("K", "R", "position_m")), SIZE)  # fmt: skip
    segments_px = visible_segments(stack, PITCH)
    for i, camera in enumerate(VIEWS.values()):
        assert np.allclose(segments_px[i], visible_segments(camera, PITCH), equal_nan=True)
    assert visible_keypoints(stack, PITCH).shape == (3, 57, 2)


def test_annotated_classes_of_a_midfield_view():
    names = visible_polylines(VIEWS["midfield"], PITCH)
    assert set(names) == {"Middle line", "Side line top", "Circle central"}
    for points_px in names.values():
        assert ((points_px >= 0) & (points_px <= SIZE)).all()


def test_every_derived_keypoint_has_two_lines():
    assert [n for n in LINE_CROSSINGS if n <= 57] == list(range(1, 31))
