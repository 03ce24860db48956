"""What is exported is read again by the readers of the data sets."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from soccermaster.data.datasets import SoccerFactory, SoccerNetGSR
from soccermaster.data.datasets.game_state_file import read_game_state
from soccermaster.factory.executors import LocalExecutor
from soccermaster.factory.runner import build_dataset
from soccermaster.training.run import train
from soccermaster.vocabulary import NO_NUMBER, ROLES, UNKNOWN
from tests.configs import compose_train
from tests.factory.clips import ORDER, stand_in_chain, write_still_video

FRAMES = 10


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    video, points = write_still_video(folder / "in", 3, FRAMES)
    export = {"_target_": "soccermaster.factory.export.Export", "valid_every": 0}
    build_dataset(
        video, folder / "out", stand_in_chain(points, export=export), LocalExecutor(1, 1, "cpu")
    )
    return folder / "out", np.load(points)


def test_the_reader_of_soccer_factory_reads_it(exported):
    output, points_px = exported
    clips = SoccerFactory(output, "train", num_frames=5)
    assert len(clips) == 2
    clip = clips[0]
    people = clip.annotations.athletes
    assert clip.frames.shape == (5, 288, 512, 3) and len(people) > 20
    assert {ROLES[role] for role in people.roles} == {"player"} and set(people.numbers) == {7}
    seen = clip.annotations.keypoints.points_px[0]
    both = np.isfinite(seen).all(axis=1) & np.isfinite(points_px).all(axis=1)
    assert both.sum() > 5
    assert np.abs(seen[both] - points_px[both]).max() < 2  # the camera is the true one


def test_the_reader_of_soccernet_reads_the_same_people(exported):
    output, _ = exported
    ours = SoccerFactory(output, "train", num_frames=5)[0].annotations.athletes
    clip = SoccerNetGSR(output, "train", num_frames=5)[0]
    people = clip.annotations.athletes
    assert len(people) == len(ours)
    order, same = (np.lexsort(p.boxes_xyxy_px.T.round(1)) for p in (people, ours))
    np.testing.assert_allclose(people.boxes_xyxy_px[order], ours.boxes_xyxy_px[same], atol=0.01)
    np.testing.assert_array_equal(people.track_ids[order], ours.track_ids[same])
    np.testing.assert_array_equal(people.teams[order], ours.teams[same])
    np.testing.assert_allclose(people.positions_m[order], ours.positions_m[same], atol=0.01)
    assert (people.track_ids >= 0).all() and np.isfinite(people.positions_m).all()
    assert clip.annotations.lines.known.all()


def test_numbers_that_nobody_looked_for_are_unknown_and_not_absent(tmp_path):
    video, points = write_still_video(tmp_path / "in", 3, FRAMES)
    dear = {
        "_target_": "soccermaster.factory.read.Legibility",
        "model": {"_target_": "tests.factory.stand_ins.Reader"},
        "crops_per_track": 2,
    }
    chain = stand_in_chain(points, legibility=dear)
    build_dataset(video, tmp_path / "out", chain, LocalExecutor(1, 1, "cpu"))
    people = SoccerFactory(tmp_path / "out", "train", num_frames=FRAMES)[0].annotations.athletes
    judged = np.isfinite(people.legibility)
    assert 0 < judged.sum() < len(people) / 2
    taught = people.readable_numbers("official")
    assert set(people.numbers) == {7}
    assert set(taught[judged]) == {7} and set(taught[~judged]) == {UNKNOWN}


def test_without_a_reader_nothing_is_said_about_numbers(tmp_path):
    video, points = write_still_video(tmp_path / "in", 3, FRAMES)
    order = [name for name in ORDER if name not in ("legibility", "numbers", "roles")]
    order.insert(order.index("remove_outside"), "detector_roles")
    chain = stand_in_chain(
        points, order, detector_roles={"_target_": "soccermaster.factory.read.DetectorRoles"}
    )
    build_dataset(video, tmp_path / "out", chain, LocalExecutor(1, 1, "cpu"))
    people = SoccerFactory(tmp_path / "out", "train", num_frames=FRAMES)[0].annotations.athletes
    assert set(people.readable_numbers("official")) == {UNKNOWN}
    state = read_game_state(tmp_path / "out/SoccerNetGS/train/SNGS-10001")
    assert set(state.athletes.numbers) <= {UNKNOWN, NO_NUMBER} and len(state.athletes) == len(
        people
    )


def test_predictions_have_what_the_evaluator_wants(exported):
    output, _ = exported
    predictions = json.loads((output / "predictions/SNGS-10001.json").read_text())["predictions"]
    first = predictions[0]
    assert isinstance(first["image_id"], str) and first["image_id"].endswith("000001")
    assert len(first["bbox_pitch"]) == 6 and first["attributes"]["jersey"] == "7"
    assert {p["confidence"] for p in predictions} <= {0.9, 0.8, 0.0}  # detector, mask, filled in


def test_coco_and_yolo_hold_the_same_boxes(exported):
    output, _ = exported
    coco = json.loads((output / "coco/train.json").read_text())
    assert len(coco["images"]) == 2  # every fifth frame
    assert all((output / image["file_name"]).is_file() for image in coco["images"])
    assert {category["name"] for category in coco["categories"]} == set(ROLES)
    image = coco["images"][0]
    boxes = [a["bbox"] for a in coco["annotations"] if a["image_id"] == image["id"]]
    label = output / "yolo/labels/train/SNGS-10001_000001.txt"
    yolo = np.array([line.split() for line in label.read_text().splitlines()], float)
    scale = np.array([image["width"], image["height"]] * 2)
    cxcywh = yolo[:, 1:] * scale
    ltwh = np.concatenate([cxcywh[:, :2] - cxcywh[:, 2:] / 2, cxcywh[:, 2:]], axis=1)
    np.testing.assert_allclose(ltwh, boxes, atol=0.01)
    assert (output / "yolo/images/train/SNGS-10001_000001.jpg").is_file()
    assert "  3: player" in (output / "yolo/data.yaml").read_text()


def test_yolo_finds_its_pictures_from_anywhere(exported, tmp_path, monkeypatch):
    pytest.importorskip("ultralytics", reason="the extra yolo is not installed")
    from ultralytics.data.utils import check_det_dataset

    output, _ = exported
    monkeypatch.chdir(tmp_path)
    found = check_det_dataset(str(output / "yolo/data.yaml"))
    assert Path(found["train"]) == output / "yolo/images/train"
    assert found["names"] == dict(enumerate(ROLES))


def test_the_description_for_yolo_names_no_folder(exported):
    output, _ = exported
    assert "path:" not in (output / "yolo/data.yaml").read_text()


def test_frames_are_on_the_disk_once(exported):
    output, _ = exported
    frame = output / "sn500/SNGS-10001/img1/000001.jpg"
    linked = output / "SoccerNetGS/train/SNGS-10001/img1/000001.jpg"
    assert frame.stat().st_ino == linked.stat().st_ino
    info = json.loads((output / "sequences_info.json").read_text())
    assert info == {"sn500": [{"id": 10001, "name": "SNGS-10001", "n_frames": FRAMES}]}


def test_a_model_trains_on_the_export(exported, tmp_path):
    output, _ = exported
    cfg = compose_train(
        "debug=smoke",
        "task=[athletes,pitch_keypoints,pitch_lines]",
        "dataset=[soccer_factory]",
        "datasets.soccer_factory.batch_size=2",
        f"paths.data={output}",
        f"paths.output={tmp_path}",
    )
    train(cfg)
    (log,) = (tmp_path / "logs/csv").glob("*/metrics.csv")
    with log.open() as file:
        logged = [row["train/loss"] for row in csv.DictReader(file) if row.get("train/loss")]
    assert logged and all(np.isfinite(float(loss)) for loss in logged)
    assert (tmp_path / "checkpoint" / "config.json").is_file()
