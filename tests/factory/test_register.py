"""Cameras from markings, and places from cameras."""

from __future__ import annotations

import numpy as np
import pytest

from soccermaster.data.frame_source import open_source
from soccermaster.factory.oracle import Unseen
from soccermaster.factory.records import Records, array, make_table
from soccermaster.factory.register import Calibrate, Project, last_valid_frames
from soccermaster.factory.stage import ClipContext
from soccermaster.geometry import Camera, Pitch, visible_keypoints
from tests.factory.clips import write_plain_video
from tests.factory.stand_ins import FixedPitch

SIZE = (160, 96)
CAMERA = Camera.from_pan_tilt_roll(-25, 78, 0, 250, np.array([0.0, 60, -15]), SIZE)


@pytest.fixture(scope="module")
def points_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("points") / "points.npy"
    np.save(file, visible_keypoints(CAMERA, Pitch()))
    return file


def calibrated(tmp_path, points_file, colour, num_frames, temporal):
    source = open_source(write_plain_video(tmp_path / "plain.mp4", colour, num_frames))
    stage = Calibrate(FixedPitch(str(points_file)), temporal)
    stage.prepare("cpu")
    return stage.run(ClipContext("clip", source, range(num_frames)), Records())["cameras"]


@pytest.mark.parametrize("temporal", [True, False])
@pytest.mark.parametrize("num_frames", [1, 3])
def test_the_camera_is_found_with_its_error(tmp_path, points_file, temporal, num_frames):
    table = calibrated(tmp_path, points_file, (60, 140, 50), num_frames, temporal)
    assert array(table, "valid").all() and array(table, "observed").all()
    assert (array(table, "error_px") < 0.5).all()
    np.testing.assert_allclose(array(table, "position_m"), [CAMERA.position_m] * num_frames, atol=3)


@pytest.mark.parametrize("temporal", [True, False])
def test_without_a_pitch_there_is_no_camera(tmp_path, points_file, temporal):
    table = calibrated(tmp_path, points_file, (0, 0, 0), 2, temporal)
    assert not array(table, "valid").any() and np.isnan(array(table, "K")).all()
    assert np.isnan(array(table, "error_px")).all() and not array(table, "confidence").any()


def records_with(valid):
    """A box on the centre spot in every frame; cameras where `valid`."""
    n = len(valid)
    spot_px, _ = CAMERA.project(np.zeros(3))
    box = [spot_px[0] - 2, spot_px[1] - 12, spot_px[0] + 2, spot_px[1]]
    known = np.array(valid)[:, None]
    return Records(
        {
            "detections": make_table(
                "detections", source="net", frame=np.arange(n), detection_id=np.arange(n),
                box_xyxy_px=np.tile(box, (n, 1)), category=np.full(n, -1), confidence=np.ones(n),
            ),
            "cameras": make_table(
                "cameras", source="net", frame=np.arange(n), valid=valid, observed=valid,
                K=np.where(known, CAMERA.K.reshape(1, 9), np.nan),
                R=np.where(known, CAMERA.R.reshape(1, 9), np.nan),
                position_m=np.where(known, CAMERA.position_m[None], np.nan),
                error_px=np.zeros(n), confidence=np.ones(n),
            ),
        }
    )  # fmt: skip


def test_people_stand_where_the_camera_sees_their_feet():
    clip = ClipContext("clip", Unseen(3, SIZE), range(3))
    table = Project().run(clip, records_with([True, False, True]))["positions"]
    assert array(table, "frame").tolist() == [0, 2]
    np.testing.assert_allclose(array(table, "left_middle_right_m")[:, 2:4], 0, atol=1e-3)


@pytest.mark.parametrize(
    ("valid", "expected"),
    [
        ([], []),
        ([False, False], [-1, -1]),
        ([False, True, False, False, True, False], [-1, 1, 1, 1, 4, 4]),
    ],
)
def test_the_camera_that_counts_in_each_frame(valid, expected):
    assert last_valid_frames(np.array(valid, bool)).tolist() == expected


def test_cameras_with_large_errors_are_not_valid_unless_there_is_no_limit(tmp_path, points_file):
    points = np.load(points_file)
    off = tmp_path / "points.npy"  # half a pixel off, which no camera explains
    np.save(off, points + 0.5 * np.random.default_rng(0).normal(size=points.shape))
    source = open_source(write_plain_video(tmp_path / "plain.mp4", (60, 140, 50), 1))
    valid = []
    for limit in (2.0, None):  # 2 px at a width of 1920 are 0.17 px here
        stage = Calibrate(FixedPitch(str(off)), temporal=False, max_error_px=limit)
        stage.prepare("cpu")
        cameras = stage.run(ClipContext("clip", source, range(1)), Records())["cameras"]
        valid.append(bool(array(cameras, "valid")[0]))
    assert valid == [False, True]


def test_the_official_rule_reuses_the_last_camera_and_says_so():
    clip = ClipContext("clip", Unseen(3, SIZE), range(3))
    table = Project(reuse_last=True).run(clip, records_with([False, True, False]))["positions"]
    assert array(table, "frame").tolist() == [1, 2]
    assert array(table, "source").tolist() == ["camera", "camera_before"]
