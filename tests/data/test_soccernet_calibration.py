import json
import zipfile

import numpy as np
import pytest

from soccermaster.data.augment import flip_clip
from soccermaster.data.datasets import DatasetError, SoccerNetCalibration
from soccermaster.data.datasets.pitch_labels import PITCH_CLASSES, should_turn_names
from soccermaster.data.datasets.soccernet_calibration import (
    polylines_record,
    read_camera,
    read_polylines,
)
from soccermaster.data.prepare import prepare
from soccermaster.data.shards import ShardClips, write_shards
from soccermaster.data.synthetic.calibration_files import write_calibration
from soccermaster.geometry import Pitch
from soccermaster.vocabulary import LINES


def test_pictures_are_clips_of_one_frame_with_their_cameras(tmp_path):
    folder = write_calibration(tmp_path, "train", 2, image_size=(90, 160))
    dataset = SoccerNetCalibration(tmp_path, "train")
    assert len(dataset) == 2 and dataset.provides == {"keypoints", "lines", "cameras"}
    clip = dataset[1]
    assert clip.frames.shape == (1, 90, 160, 3) and clip.clip_id.startswith("00001/")
    camera = read_camera(folder / "camera_00001.json", (160, 90))
    np.testing.assert_allclose(clip.annotations.cameras.K[0], camera.K)
    found = clip.annotations.keypoints
    seen = found.known[0] & np.isfinite(found.points_px[0]).all(axis=-1)
    assert seen[:30].sum() > 5 and seen[30:].sum() > 15 and clip.annotations.athletes is None
    # the annotated curves are exact; what a homography restores has the rounded places of the table
    meant_px = [camera.project(Pitch(name).keypoints_m)[0] for name in ("exact", "table")]
    errors_px = [np.linalg.norm(found.points_px[0] - px, axis=1)[seen] for px in meant_px]
    assert np.min(errors_px, axis=0).max() < 0.1
    assert errors_px[0][seen.nonzero()[0] < 30].max() < 0.1
    (folder / "camera_00000.json").unlink()
    again = SoccerNetCalibration(tmp_path, "train")
    assert [again[i].annotations.cameras is None for i in (0, 1)] == [True, False]


def test_the_blank_in_a_name_is_stripped_and_restored(tmp_path):
    points = [{"x": 0.25, "y": -0.0038}, {"x": 0.5, "y": 1.017}]
    file = tmp_path / "00001.json"
    file.write_text(json.dumps({"Goal left post left ": points, "Line unknown": points}))
    polylines = read_polylines(file)
    assert list(polylines) == ["Goal left post left"]
    assert polylines_record(polylines) == {"Goal left post left ": points}


def test_views_from_behind_a_goal_are_named_from_the_other_side(tmp_path):
    folder = write_calibration(tmp_path, "train", 1, image_size=(90, 160))
    seen = {
        "Side line right": [(0.1, 0.80), (0.9, 0.81)],
        "Big rect. right main": [(0.2, 0.5), (0.8, 0.5)],
        "Big rect. right top": [(0.2, 0.5), (0.1, 0.6)],
    }
    assert should_turn_names({name: np.array(xy) for name, xy in seen.items()})
    left = {name.replace("right", "left"): np.array(xy) for name, xy in seen.items()}
    assert not should_turn_names(left)
    (folder / "00000.json").write_text(json.dumps(polylines_record(seen)))
    turned, plain = (
        SoccerNetCalibration(tmp_path, "train", turn_names=turn)[0].annotations.lines
        for turn in (True, False)
    )
    old, new = LINES.index("Big rect. right top"), LINES.index("Big rect. left bottom")
    np.testing.assert_array_equal(turned.segments_px[0, new], plain.segments_px[0, old])
    assert np.isnan(turned.segments_px[0, old]).all() and turned.known.all()


def test_the_mirror_leaves_views_from_behind_a_goal_their_end(tmp_path):
    folder = write_calibration(tmp_path, "train", 1, image_size=(90, 160))
    seen = {
        "Side line left": [(0.1, 0.80), (0.9, 0.81)],
        "Big rect. left main": [(0.2, 0.5), (0.8, 0.5)],
        "Big rect. left top": [(0.8, 0.5), (0.9, 0.6)],
    }
    (folder / "00000.json").write_text(json.dumps(polylines_record(seen)))
    clip = SoccerNetCalibration(tmp_path, "train")[0]
    assert clip.annotations.named_from_left.tolist() == [True]
    flipped = flip_clip(clip)
    lines = flipped.annotations.lines.segments_px[0]
    named = [name for name, ends in zip(LINES, lines, strict=True) if np.isfinite(ends).all()]
    assert named == ["Big rect. left bottom", "Big rect. left main", "Side line left"]
    norm = {name: lines[LINES.index(name)] / (160, 90) for name in named}
    assert not should_turn_names(norm)
    crossing = Pitch().keypoints_m[np.isfinite(flipped.annotations.keypoints.points_px[0, :, 0])]
    assert len(crossing) and (crossing[:, 0] < 0).all()
    twice = flip_clip(flipped).annotations
    np.testing.assert_allclose(twice.lines.segments_px, clip.annotations.lines.segments_px)
    np.testing.assert_allclose(
        twice.keypoints.points_px, clip.annotations.keypoints.points_px, rtol=1e-5
    )
    write_shards(SoccerNetCalibration(tmp_path, "train"), tmp_path / "shards/train")
    packed = ShardClips(tmp_path / "shards", "train")[0].annotations
    assert packed.named_from_left.tolist() == [True]
    plain = SoccerNetCalibration(tmp_path, "train", turn_names=False)[0]
    mirrored = flip_clip(plain).annotations.lines.segments_px[0]
    assert np.isfinite(mirrored[LINES.index("Side line right")]).all()


def test_broken_files_are_named(tmp_path):
    folder = write_calibration(tmp_path, "valid", 1, image_size=(90, 160))
    for content, message in (
        ("[]", "an object"),
        ('{"Side line tip": []}', "Did you mean 'Side line top'"),
        ('{"Side line top": [{"x": NaN, "y": 0}]}', "'x'"),
        ('{"Side line top": 3}', "a list of points"),
    ):
        (folder / "00000.json").write_text(content)
        with pytest.raises(DatasetError, match=rf"00000\.json, top level.*{message}"):
            SoccerNetCalibration(tmp_path, "valid")
    with pytest.raises(DatasetError, match=r"test/00001\.json"):
        SoccerNetCalibration(tmp_path, "test")


@pytest.mark.parametrize(
    ("sample", "count"), [("sn22_ground_truth", 369), ("wc14_ground_truth", 93)]
)
def test_real_annotations_load_completely(shared, tmp_path, sample, count):
    folder = tmp_path / "calibration/test"
    with zipfile.ZipFile(shared / f"samples/calibration/{sample}.zip") as archive:
        archive.extractall(folder)
    files = sorted(folder.glob("*.json"))
    assert len(files) == count
    for file in files:
        labels, polylines = json.loads(file.read_text()), read_polylines(file)
        assert {name.strip() for name in labels} - set(PITCH_CLASSES) <= {
            "Goal unknown",
            "Line unknown",
        }
        for name, points in labels.items():
            expected = [(point["x"], point["y"]) for point in points]
            if name.strip() in polylines:
                np.testing.assert_array_equal(polylines[name.strip()], expected)
    report = prepare(SoccerNetCalibration, tmp_path, tmp_path / "out")
    assert report["splits"]["test"]["clips"] == count
    assert report["problems"]["missing_frame"]["count"] == count  # the samples have no pictures
    assert not any(
        kind in report["problems"] for kind in ("bad_record", "unreadable_labels", "unknown_class")
    )


def test_real_cameras_load_completely(shared, tmp_path):
    with zipfile.ZipFile(shared / "samples/calibration/sn22_pnlcalib_cameras.zip") as archive:
        archive.extractall(tmp_path)
    cameras = [read_camera(file) for file in sorted(tmp_path.glob("camera_*.json"))]
    assert len(cameras) == 360
    positions_m = np.stack([camera.position_m for camera in cameras])
    assert (positions_m[:, 2] < 0).all() and (positions_m[:, 1] > 34).mean() > 0.95
