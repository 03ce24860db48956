import json
import zipfile

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soccermaster.geometry import Camera, Pitch, apply_homography, planar_transform

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


# Strong enough to bend a line of the image by some 20 px.
LENS = np.array([0.31, -0.2, 0.003, -0.002, 0.15, 0.02, -0.01, 0.03, 0.004, -0.003, 0.002, 0.005])
VIEW = Camera.from_pan_tilt_roll(14, 77, 0.4, 1500, (1, 70, -15), SIZE, LENS)
coefficients = st.tuples(
    *[st.floats(-0.3, 0.3)] * 2,
    *[st.floats(-0.01, 0.01)] * 2,
    *[st.floats(-0.3, 0.3)] * 4,
    *[st.floats(-0.01, 0.01)] * 4,
)


@settings(max_examples=50, deadline=None)
@given(camera=cameras, values=coefficients)
def test_projection_agrees_with_opencv(camera, values):
    camera = Camera(camera.K, camera.R, camera.position_m, SIZE, values)
    points_m = Pitch().points_m
    points_px, _ = camera.project(points_m)
    expected_px, _ = cv2.projectPoints(
        points_m, cv2.Rodrigues(camera.R)[0], -camera.R @ camera.position_m, camera.K,
        np.array(values),
    )  # fmt: skip
    near = np.abs(points_px - np.array(SIZE) / 2).max(axis=-1) < 3000  # False for NaN
    assert np.allclose(points_px[near], expected_px[near, 0], rtol=0, atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(camera=cameras, values=coefficients, points_px=pixels)
def test_undistort_is_the_inverse_of_distort(camera, values, points_px):
    K = np.diag([1200.0, 1200.0, 1.0])  # at shorter focal lengths some of these lenses fold
    K[:2, 2] = 480, 270
    camera = Camera(K, camera.R, camera.position_m, SIZE, values)
    straight_px = camera.undistort(points_px)
    assert np.isfinite(straight_px).all()
    assert np.allclose(camera.distort(straight_px), points_px, rtol=0, atol=1e-6)
    back_px = camera.undistort(camera.distort(points_px))
    assert np.allclose(back_px, points_px, rtol=0, atol=1e-6)


def test_points_beyond_the_fold_of_the_lens_have_no_image():
    """With k1 = -0.3 the radius r (1 - 0.3 r^2) is largest, 0.7, at r = 1.054."""
    camera = Camera(np.diag([500.0, 500, 1]), np.eye(3), np.zeros(3), SIZE, [-0.3, 0, 0, 0])
    points_px, _ = camera.project([(1.05, 0, 1), (1.06, 0, 1), (1.8, 0, 1)])
    assert np.isnan(points_px).any(axis=1).tolist() == [False, True, True]
    largest = 500 * 0.7027
    straight_px = camera.undistort([(largest - 1, 0), (largest + 1, 0)])
    assert np.isnan(straight_px).any(axis=1).tolist() == [False, True]


def test_unproject_takes_the_distortion_out():
    points_m = np.array([(0.0, 0.0, 0.0), (10.0, -20.0, 0.0), (20.0, 12.0, 0.0)])
    points_px, _ = VIEW.project(points_m)
    assert np.linalg.norm(points_px - VIEW.undistort(points_px), axis=1).max() > 1
    assert np.allclose(VIEW.unproject_to_ground(points_px), points_m[:, :2], atol=1e-8)
    assert np.allclose(VIEW.unproject_to_ground(points_px[0]), points_m[0, :2], atol=1e-8)


def test_thousands_of_distorted_cameras_at_once():
    count = 1000
    stack = Camera.from_pan_tilt_roll(
        np.linspace(-40, 40, count), 77, 0.4, 1500, (1, 70, -15), SIZE,
        LENS * np.linspace(0, 1, count)[:, None],
    )  # fmt: skip
    points_px, _ = stack.project(Pitch().points_m)
    assert points_px.shape == (count, 73, 2)
    for i in (0, 500, 999):
        assert np.allclose(points_px[i], stack[i].project(Pitch().points_m)[0], equal_nan=True)
    ground_m = stack.unproject_to_ground(points_px[:, :9])
    seen = np.isfinite(ground_m).all(axis=-1)
    ground = np.broadcast_to(Pitch().points_m[:9, :2], (count, 9, 2))
    assert seen.sum() > count
    assert np.allclose(ground_m[seen], ground[seen], atol=1e-5)


def same(first, second, atol=1e-9):
    assert first.image_size == second.image_size
    for name in ("K", "R", "position_m", "distortion"):
        assert np.allclose(getattr(first, name), getattr(second, name), rtol=1e-9, atol=atol), name


def test_soccernet_record_and_back():
    record = VIEW.to_soccernet()
    same(Camera.from_soccernet(json.loads(json.dumps(record))), VIEW)
    assert record["principal_point"] == [479.5, 269.5]  # integers are pixel centres there
    assert record["radial_distortion"] == LENS[[0, 1, 4, 5, 6, 7]].tolist()
    assert record["tangential_distortion"] == LENS[[2, 3]].tolist()
    assert record["thin_prism_distortion"] == LENS[8:].tolist()
    large = VIEW.resize((1920, 1080))
    same(Camera.from_soccernet(large.to_soccernet()), large)
    part = VIEW.crop(100, 50, (500, 300))
    same(Camera.from_soccernet(part.to_soccernet(), (500, 300)), part)


def test_what_soccernet_files_cannot_say_is_refused():
    record = VIEW.to_soccernet()
    del record["tilt_degrees"]
    with pytest.raises(ValueError, match="tilt_degrees"):
        Camera.from_soccernet(record)
    skew = np.array([[0, 5, 0], [0, 0, 0], [0, 0, 0]])
    skewed = Camera(VIEW.K + skew, VIEW.R, VIEW.position_m, SIZE)
    with pytest.raises(ValueError, match="skew"):
        skewed.to_soccernet()
    stack = Camera.from_pan_tilt_roll([1, 2], 75, 0, 1000, (0, 70, -15), SIZE)
    with pytest.raises(ValueError, match="single camera"):
        stack.to_soccernet()


@settings(max_examples=50, deadline=None)
@given(camera=cameras)
def test_camera_comes_back_from_its_matrices(camera):
    translation_m = -camera.R @ camera.position_m
    same(Camera.from_krt(camera.K, camera.R, translation_m, SIZE), camera)


@settings(max_examples=50, deadline=None)
@given(camera=cameras, scale=st.sampled_from([1.0, -3.0, 1e-4]))
def test_camera_comes_back_from_its_homography(camera, scale):
    again = Camera.from_homography(scale * camera.image_from_pitch, SIZE)
    assert np.allclose(again.R, camera.R, atol=1e-6)
    assert np.allclose(again.position_m, camera.position_m, atol=1e-4)
    assert np.allclose(again.K, camera.K, rtol=1e-6, atol=1e-2)


def test_stack_of_homographies_and_those_without_a_camera():
    stack = Camera.from_pan_tilt_roll([-20, 3, 20], 75, 0.3, 1500, (1, 70, -15), SIZE)
    same(Camera.from_homography(stack.image_from_pitch, SIZE), stack, atol=1e-6)
    down = Camera.from_pan_tilt_roll(0, 0, 0, 1000, (0, 0, -50), SIZE)
    with pytest.raises(ValueError, match="1 of 1 homographies"):
        Camera.from_homography(down.image_from_pitch, SIZE)


def test_homography_of_a_real_frame(shared):
    """Keypoints of a World Cup 2014 frame, whose homography comes in yards from the corner."""
    folder = shared / "samples" / "frames"
    record = json.loads((folder / "wc14_train_016.json").read_text())
    image_from_yards = np.array(record["homography_template_yards_to_image"])
    camera = Camera.from_homography(
        image_from_yards @ planar_transform("yards", "centred"), (1280, 720)
    )
    points_px, _ = camera.project(Pitch().keypoints_m)
    known_px = {3: (749.70, 210.90), 6: (496.32, 284.92), 26: (992.20, 540.05)}
    for number, expected_px in known_px.items():  # its pixels are not quite square
        assert points_px[number - 1] == pytest.approx(expected_px, abs=8)
    assert 40 < camera.position_m[1] < 110
    assert -30 < camera.position_m[2] < -8


def test_flip_is_the_camera_of_the_mirrored_image():
    pitch = Pitch("exact")
    points_px, _ = VIEW.project(pitch.points_m)
    mirrored_px, _ = VIEW.flip().project(pitch.points_m[pitch.point_flip])
    assert np.allclose(mirrored_px, points_px * (-1, 1) + (SIZE[0], 0), atol=1e-6, equal_nan=True)
    assert np.linalg.det(VIEW.flip().R) == pytest.approx(1)
    same(VIEW.flip().flip(), VIEW)


def test_crop_and_resize_follow_the_pixels():
    points_px, _ = VIEW.project(Pitch().points_m)
    part = VIEW.crop(100, 50, (500, 300))
    assert np.allclose(part.project(Pitch().points_m)[0], points_px - (100, 50), equal_nan=True)
    half = VIEW.resize((480, 135))
    assert np.allclose(half.project(Pitch().points_m)[0], points_px * (0.5, 0.25), equal_nan=True)


@settings(max_examples=50, deadline=None)
@given(camera=cameras)
def test_the_ground_is_seen_below_the_horizon(camera):
    a, b, c = camera.horizon_px
    middle_px = np.array([480.0, -(a * 480 + c) / b])
    little_px = np.array([0, 0.1])
    assert np.isfinite(camera.unproject_to_ground(middle_px + little_px)).all()
    assert np.isnan(camera.unproject_to_ground(middle_px - little_px)).all()
    assert a * 480 + b * (middle_px[1] + 10) + c > 0
    assert np.hypot(a, b) == pytest.approx(1)


def test_the_horizon_of_a_view_straight_down_is_far_away():
    down = Camera.from_pan_tilt_roll([0, 0], [0, 75], 0, 1000, (0, 0, -50), SIZE)
    assert down.horizon_px[0].tolist() == [0, 0, np.inf]
    assert np.isfinite(down.horizon_px[1]).all()


def test_a_camera_cannot_be_changed():
    K = np.diag([1000.0, 1000, 1])
    camera = Camera(K, np.eye(3), np.zeros(3), SIZE)
    K[0, 0] = 7
    assert camera.K[0, 0] == 1000
    with pytest.raises(ValueError, match="read-only"):
        camera.position_m[0] = 1
    with pytest.raises(AttributeError):
        camera.image_size = (1, 1)


def test_distortion_has_a_length_that_opencv_knows():
    with pytest.raises(ValueError, match="OpenCV's order"):
        Camera(np.eye(3), np.eye(3), np.zeros(3), SIZE, [0.1, 0.2, 0.3])
