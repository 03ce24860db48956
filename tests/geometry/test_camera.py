import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soccermaster.geometry import Camera, Pitch, apply_homography

SIZE = (960, 540)
cameras = st.builds(
    Camera.from_pan_tilt_roll,
    pan_deg=st.floats(-46, 46),
    tilt_deg=st.floats(60, 84),
    roll_deg=st.floats(-2, 2),
    focal_px=st.floats(700, 5000),
    position_m=st.tuples(st.floats(-11, 11), st.floats(41, 98), st.floats(-25, -8)),
    image_size=st.just(SIZE),
)
pixels = st.lists(
    st.tuples(st.floats(0, SIZE[0]), st.floats(SIZE[1] / 2, SIZE[1])), min_size=1, max_size=5
)


@settings(max_examples=50, deadline=None)
@given(camera=cameras, points_px=pixels)
def test_unproject_then_project_is_identity(camera, points_px):
    ground_m = camera.unproject_to_ground(points_px)
    points_m = np.concatenate([ground_m, np.zeros_like(ground_m[:, :1])], axis=1)
    again_px, depth_m = camera.project(points_m)
    seen = ~np.isnan(ground_m).any(axis=1)
    assert np.allclose(again_px[seen], np.array(points_px)[seen], atol=1e-5)
    assert (depth_m[seen] > 0).all()


@settings(max_examples=50, deadline=None)
@given(camera=cameras)
def test_angles_come_back(camera):
    again = Camera.from_pan_tilt_roll(
        *camera.pan_tilt_roll(), camera.K[0, 0], camera.position_m, SIZE
    )
    assert np.allclose(again.R, camera.R)
    assert np.allclose(camera.R @ camera.R.T, np.eye(3))
    assert abs(camera.pan_tilt_roll()[2]) <= 2 + 1e-9


@settings(max_examples=50, deadline=None)
@given(camera=cameras)
def test_homography_agrees_with_projection_on_the_ground(camera):
    ground_m = Pitch().auxiliary_m
    points_px, _ = camera.project(ground_m)
    seen = ~np.isnan(points_px).any(axis=1)
    mapped_px = apply_homography(camera.image_from_pitch, ground_m[:, :2])
    assert np.allclose(mapped_px[seen], points_px[seen], rtol=1e-6, atol=1e-6)


def test_main_camera_sees_the_pitch_the_right_way_round():
    camera = Camera.from_pan_tilt_roll(0, 75, 0, 1000, (0, 70, -15), SIZE)
    (far_left, far_right, centre, crossbar_left, post_left), depth_m = camera.project(
        [(-20, -34, 0), (20, -34, 0), (0, 0, 0), (0, 0, -2.44), (0, 5, 0)]
    )
    assert far_left[0] < centre[0] < far_right[0]
    assert far_left[1] < centre[1] < post_left[1]  # nearer is lower
    assert crossbar_left[1] < centre[1]  # higher above the ground is higher in the image
    assert centre[0] == pytest.approx(SIZE[0] / 2)
    assert depth_m[0] > depth_m[2] > depth_m[4]


def test_pan_to_the_right_moves_the_pitch_to_the_left():
    camera = Camera.from_pan_tilt_roll(10, 75, 0, 1000, (0, 70, -15), SIZE)
    points_px, _ = camera.project((0.0, 0.0, 0.0))
    assert points_px.shape == (2,)
    assert points_px[0] < SIZE[0] / 2


def test_what_is_behind_or_above_has_no_place():
    camera = Camera.from_pan_tilt_roll(0, 75, 0, 1000, (0, 70, -15), SIZE)
    points_px, depth_m = camera.project((0.0, 200.0, 0.0))
    assert np.isnan(points_px).all()
    assert depth_m < 0
    level = Camera.from_pan_tilt_roll(0, 90, 0, 1000, (0, 70, -15), SIZE)
    ground_m = level.unproject_to_ground([(480, 269), (480, 271)])
    assert np.isnan(ground_m).any(axis=1).tolist() == [True, False]


def test_stack_of_cameras_equals_its_members():
    stack = Camera.from_pan_tilt_roll(
        np.array([-20.0, 0.0, 20.0]), 75, 0.3, 1500, (1.0, 70.0, -15.0), SIZE
    )
    points_m = Pitch().keypoints_m
    points_px, _ = stack.project(points_m)
    assert points_px.shape == (3, 57, 2)
    assert stack.image_from_pitch.shape == (3, 3, 3)
    ground_m = stack.unproject_to_ground([(480.0, 400.0)])
    for i in range(3):
        assert np.allclose(points_px[i], stack[i].project(points_m)[0], equal_nan=True)
        assert np.allclose(ground_m[i], stack[i].unproject_to_ground([(480.0, 400.0)]))
    per_camera_px, _ = stack.project(np.stack([points_m[:4]] * 3))
    assert np.allclose(per_camera_px, points_px[:, :4], equal_nan=True)


def test_resize_scales_pixels():
    camera = Camera.from_pan_tilt_roll(12, 75, 0.3, 1500, (1, 70, -15), SIZE)
    small = camera.resize((480, 135))
    points_m = Pitch().auxiliary_m
    assert small.image_size == (480, 135)
    assert np.allclose(small.project(points_m)[0], camera.project(points_m)[0] * (0.5, 0.25))


def test_looking_straight_down_still_gives_angles():
    camera = Camera.from_pan_tilt_roll(30, 0, 10, 1000, (0, 0, -50), SIZE)
    assert np.allclose(camera.pan_tilt_roll(), (40, 0, 0))


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"Camera\.K"):
        Camera(np.eye(4), np.eye(3), np.zeros(3), SIZE)
    with pytest.raises(ValueError, match="one batch shape"):
        Camera(np.eye(3), np.eye(3)[None], np.zeros(3), SIZE)


def test_rotation_convention_of_real_cameras(shared):
    archive = zipfile.ZipFile(shared / "samples" / "calibration" / "sn22_pnlcalib_cameras.zip")
    names = [name for name in archive.namelist() if name.endswith(".json")][:20]
    assert names
    for name in names:
        record = json.loads(archive.read(name))
        angles = [record[f"{angle}_degrees"] for angle in ("pan", "tilt", "roll")]
        camera = Camera.from_pan_tilt_roll(
            *angles, record["x_focal_length"], record["position_meters"], SIZE
        )
        assert np.allclose(camera.R, record["rotation_matrix"], atol=1e-12)
        assert np.allclose(camera.pan_tilt_roll(), angles, atol=1e-9)
