import json
import zipfile

import numpy as np
import pytest

from soccermaster.data.datasets import DatasetError
from soccermaster.data.synthetic.calibration_files import camera_record, markings_record
from soccermaster.downstream.calibration import evaluate_files, read_annotations
from soccermaster.downstream.json_records import read_records
from soccermaster.geometry import Camera, Pitch, visible_keypoints, visible_segments
from soccermaster.metrics.calibration import CalibrationMetrics

SIZE = (960, 540)
CAMERAS = {
    f"{i:05d}": Camera.from_pan_tilt_roll(pan, 77, 0.2, 1900, (1, 66, -16), SIZE)
    for i, pan in enumerate((-35, -10, 30))
}


def write(folder, records):
    folder.mkdir(parents=True, exist_ok=True)
    for name, record in records.items():
        (folder / f"{name}.json").write_text(json.dumps(record))
    return folder


@pytest.fixture
def truth(tmp_path):
    return write(tmp_path / "truth", {n: markings_record(c) for n, c in CAMERAS.items()})


def camera_files(cameras):
    return {f"camera_{name}": camera_record(camera) for name, camera in cameras.items()}


def zipped(path, folder):
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"inner/{file.name}")
    return path


@pytest.mark.parametrize(
    "name,jac,completeness",
    [("sn22", (80.562, 92.566, 95.743), 0.97561), ("wc14", (83.909, 93.387, 96.245), 1.0)],
)
def test_golden_numbers_of_real_files(shared, tmp_path, name, jac, completeness):
    folder = shared / "samples" / "calibration"
    report = tmp_path / "new" / "report.json"
    evaluate_files(
        folder / f"{name}_pnlcalib_cameras.zip", folder / f"{name}_ground_truth.zip", report
    )
    values = json.loads(report.read_text())
    assert [values[f"jac_{t}"] for t in (5, 10, 20)] == pytest.approx(jac, abs=0.01)
    assert values["completeness"] == pytest.approx(completeness, abs=1e-5)
    assert values["final_5"] == pytest.approx(jac[0] * completeness, abs=0.01)
    images = {"sn22": (369, 360), "wc14": (93, 93)}
    assert (values["num_images"], values["num_predictions"]) == images[name]
    assert len(values["per_class"]) == 26


def test_known_images(shared):
    """JaC@5 of single images, from the official evaluator."""
    folder = shared / "samples" / "calibration"
    known = {"00037": 1.0, "00039": 0.58333, "00004": 0.88889, "01684": 0.81818, "01507": 0.57143}
    annotations = read_annotations(folder / "sn22_ground_truth.zip")
    records = read_records(folder / "sn22_pnlcalib_cameras.zip")
    found = [name for name in known if f"camera_{name}" in records and name in annotations]
    assert found
    for name in found:
        metrics = CalibrationMetrics()
        camera = Camera.from_soccernet(records[f"camera_{name}"], SIZE)
        metrics.update(camera, annotations[name])
        assert metrics.compute().thresholds[5.0].jac == pytest.approx(known[name], abs=1e-5), name


def test_folders_and_zip_files_score_the_same(truth, tmp_path, capsys):
    some = dict(list(CAMERAS.items())[:2])
    predictions = write(tmp_path / "predictions", camera_files(some))
    scores = evaluate_files(predictions, truth)
    assert scores.thresholds[5.0].jac == 1
    assert scores.completeness == pytest.approx(2 / 3)
    shown = capsys.readouterr().out
    assert "100.000" in shown
    assert "2 cameras for 3 annotated images" in shown
    again = evaluate_files(
        zipped(tmp_path / "p.zip", predictions), zipped(tmp_path / "t.zip", truth)
    )
    assert again == scores


def test_a_synthetic_split_is_its_own_prediction(truth):
    """Annotations, cameras and match_info.json lie in one folder there."""
    write(truth, camera_files(CAMERAS) | {"match_info": {"00000.jpg": {"camera": "Main"}}})
    scores = evaluate_files(truth, truth)
    assert (scores.num_images, scores.num_predictions) == (3, 3)
    assert scores.thresholds[5.0].jac == 1


@pytest.mark.parametrize(
    "change,message",
    [
        ({"x_focal_length": None}, "camera_00001.json"),
        ({"pan_degrees": float("nan")}, "no number"),
        ({"principal_point": [959.5, 539.5]}, "outside of the image"),
    ],
)
def test_damaged_cameras_are_named(truth, tmp_path, change, message):
    files = camera_files(CAMERAS)
    files["camera_00001"] |= change
    with pytest.raises(DatasetError, match=message):
        evaluate_files(write(tmp_path / "predictions", files), truth)


def test_a_camera_without_a_field_is_named(truth, tmp_path):
    files = camera_files(CAMERAS)
    del files["camera_00002"]["position_meters"]
    with pytest.raises(DatasetError, match=r"camera_00002\.json.*position_meters"):
        evaluate_files(write(tmp_path / "predictions", files), truth)


@pytest.mark.parametrize(
    "record", [{"Middle line": [{"x": 0.5}]}, [1, 2], {"Middle line": [{"x": 0.5, "y": None}]}]
)
def test_damaged_annotations_are_named(truth, tmp_path, record):
    predictions = write(tmp_path / "predictions", camera_files(CAMERAS))
    write(truth, {"00002": record})
    with pytest.raises(DatasetError, match=r"00002\.json"):
        evaluate_files(predictions, truth)


def test_wrong_places_are_explained(truth, tmp_path):
    with pytest.raises(DatasetError, match="nothing there"):
        evaluate_files(tmp_path / "nowhere", truth)
    with pytest.raises(DatasetError, match="another kind of file"):
        evaluate_files(truth / "00000.json", truth)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="got none"):
        evaluate_files(tmp_path / "empty", truth)
    others = write(tmp_path / "others", {"camera_77777": camera_record(CAMERAS["00000"])})
    with pytest.raises(DatasetError, match="same split"):
        evaluate_files(others, truth)
    with pytest.raises(DatasetError, match="polylines as ground_truth"):
        evaluate_files(others, others)


def test_two_files_for_one_image_are_refused(truth):
    write(truth / "valid", {"00000": {}})
    with pytest.raises(DatasetError, match=r"second 00000\.json"):
        read_records(truth)


def test_a_zip_file_is_read_without_its_hidden_and_other_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a/b/00000.json", "[1]")
        archive.writestr("__MACOSX/._00000.json", "no JSON")
        archive.writestr("notes.txt", "no JSON either")
    assert read_records(tmp_path / "x.zip") == {"00000": [1]}
    assert [p.name for p in tmp_path.iterdir()] == ["x.zip"]


@pytest.mark.parametrize("name", ["../../00000.json", "/00000.json", "a\\..\\..\\00000.json"])
def test_a_zip_file_with_names_that_lead_out_is_refused(tmp_path, name):
    path = tmp_path / "in" / "x.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "{}")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DatasetError, match="leads out"):
        read_records(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_record_that_is_far_too_large_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("00000.json", " " * (17 * 2**20))
    with pytest.raises(DatasetError, match="bytes per image"):
        read_records(tmp_path / "x.zip")


def test_damaged_json_is_named(tmp_path):
    folder = write(tmp_path / "x", {"00000": {}})
    (folder / "00001.json").write_text('{"a": ')
    with pytest.raises(DatasetError, match=r"00001\.json: expected JSON"):
        read_records(folder)
    (folder / "00001.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(DatasetError, match=r"00001\.json"):
        read_records(folder)


def test_scores_do_not_depend_on_points_outside(truth, tmp_path):
    """Annotators mark up to a few pixels beyond the border."""
    record = json.loads((truth / "00000.json").read_text())
    name = next(n for n in record if n.startswith("Side line"))
    end = np.array([[p["x"], p["y"]] for p in record[name]])
    beyond = end[0] + 0.002 * (end[0] - end[1])
    record[name][0] = {"x": beyond[0], "y": beyond[1]}
    write(truth, {"00000": record})
    predictions = write(tmp_path / "predictions", camera_files(CAMERAS))
    assert evaluate_files(predictions, truth).thresholds[5.0].jac == 1


def keypoint_record(camera):
    """A perfect detector's file: fractions of (W, H), integers at pixel centres."""
    points = (visible_keypoints(camera, Pitch()) - 0.5) / SIZE
    lines = (visible_segments(camera, Pitch()) - 0.5) / SIZE
    inside = ((points >= 0) & (points <= 1)).all(axis=1)
    return {
        "kp": {
            str(i + 1): {"x": points[i, 0], "y": points[i, 1], "p": 0.9}
            for i in np.nonzero(inside)[0]
        },
        "lines": {
            str(i + 1): {"x_1": a[0], "y_1": a[1], "x_2": b[0], "y_2": b[1], "p_1": 1, "p_2": 1}
            for i, (a, b) in enumerate(lines)
            if np.isfinite(a).all()
        },
    }


def test_keypoint_files_are_solved(truth, tmp_path, capsys):
    records = {name: keypoint_record(camera) for name, camera in CAMERAS.items()}
    records["00002"] = {"kp": {"5": {"x": 0.5, "y": 0.5, "p": 1}}, "lines": {}}  # too few
    scores = evaluate_files(write(tmp_path / "keypoints", records), truth)
    assert scores.thresholds[5.0].jac == 1
    assert (scores.num_images, scores.num_predictions) == (3, 2)
    assert "1 refused" in capsys.readouterr().out


@pytest.mark.parametrize(
    "record", [{"kp": {"99": {"x": 0.5, "y": 0.5}}}, {"kp": {"5": {"x": 0.5}}}, {"points": {}}, []]
)
def test_damaged_keypoints_are_named(truth, tmp_path, record):
    with pytest.raises(DatasetError, match=r"00001\.json"):
        evaluate_files(write(tmp_path / "keypoints", {"00001": record}), truth)


@pytest.mark.slow
def test_real_keypoints_make_better_cameras_than_those_of_pnlcalib(shared):
    folder = shared / "samples" / "calibration"
    scores = evaluate_files(
        folder / "wc14_pnlcalib_keypoints.zip", folder / "wc14_ground_truth.zip"
    )
    assert scores.completeness == 1
    assert scores.thresholds[5.0].jac > 0.83909 + 0.015
