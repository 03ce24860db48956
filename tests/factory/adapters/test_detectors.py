"""Detectors: boxes in pixels of the frame, our classes, and what is said when one lacks weights."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

from soccermaster.factory.adapters.detector_classes import class_table, frame_boxes
from soccermaster.factory.adapters.soccer_model import SoccerDetector
from soccermaster.factory.adapters.transformers_detector import TransformersDetector
from soccermaster.factory.adapters.ultralytics_detector import UltralyticsDetector
from soccermaster.factory.models import ModelUnavailableError
from soccermaster.vocabulary import ROLES

from .tiny_models import (
    coco_names,
    picture,
    pictures,
    save_detector,
    save_soccer_model,
    save_yolo,
)


def assert_are_boxes(found, frames, classes: set[int]) -> None:
    height, width = frames[0].shape[:2]
    assert len(found) == len(frames)
    for boxes in found:
        assert len(boxes.boxes_xyxy_px) == len(boxes.scores) == len(boxes.classes) > 0
        assert (boxes.boxes_xyxy_px >= 0).all()
        assert (boxes.boxes_xyxy_px <= [width, height, width, height]).all()
        assert (np.diff(boxes.scores) <= 0).all() and (boxes.scores <= 1).all()
        assert set(boxes.classes.tolist()) <= classes


def test_transformers_detector_reports_people_and_balls_alone(tmp_path):
    detector = TransformersDetector(save_detector(tmp_path), min_score=0.0, batch_size=2)
    detector.load("cpu")
    frames = pictures(3)
    found = detector.detect(frames)
    assert_are_boxes(found, frames, {-1, 0})
    alone = detector.detect(frames[2:])[0]  # a batch does not change what is found
    np.testing.assert_allclose(alone.boxes_xyxy_px, found[2].boxes_xyxy_px, atol=0.02)


def test_transformers_detector_with_roles(tmp_path):
    names = {0: "player", 1: "keeper", 2: "ball"}
    folder = save_detector(tmp_path, names, likely=("player", "keeper"))
    detector = TransformersDetector(
        folder, {"player": "player", "keeper": "goalkeeper"}, min_score=0.0
    )
    detector.load("cpu")
    assert_are_boxes(
        detector.detect(pictures(1)),
        pictures(1),
        {ROLES.index("player"), ROLES.index("goalkeeper")},
    )


def test_min_score(tmp_path):
    folder = save_detector(tmp_path)
    strict = TransformersDetector(folder, min_score=1.0)
    strict.load("cpu")
    (boxes,) = strict.detect(pictures(1))
    assert boxes.boxes_xyxy_px.shape == (0, 4) and boxes.classes.shape == (0,)


@pytest.mark.skipif(
    importlib.util.find_spec("ultralytics") is None,
    reason="the optional AGPL-3.0 package ultralytics (extra yolo) is not installed",
)
def test_yolo_of_the_real_architecture(tmp_path, monkeypatch):
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    path = save_yolo(tmp_path / "tiny.pt")
    detector = UltralyticsDetector(path, {"person": "person"}, min_score=0.1)
    detector.load("cpu")
    frames = pictures(1)
    assert_are_boxes(detector.detect(frames), frames, {-1})


def test_own_athletes_head(tmp_path):
    detector = SoccerDetector(save_soccer_model(tmp_path / "model"), min_score=0.0, batch_size=2)
    detector.load("cpu")
    frames = pictures(3)
    assert_are_boxes(detector.detect(frames), frames, {-1, 0, 1, 2, 3, 4})
    assert set(detector.predictor.model.tasks) == {"athletes"}  # the other heads are not run


@pytest.mark.parametrize(
    ("detector", "download"),
    [
        (UltralyticsDetector(None), "yolov8x6"),
        (UltralyticsDetector("there/is/no.pt"), "yolov8x6"),
        (TransformersDetector("no/such/folder"), "rtdetr"),
        (TransformersDetector(None), "rtdetr"),
        (SoccerDetector(None), "scripts/train.py"),
    ],
)
def test_without_weights_one_line_says_what_to_download(detector, download):
    if isinstance(detector, UltralyticsDetector):
        pytest.importorskip("ultralytics", reason="the optional AGPL-3.0 package is not installed")
    with pytest.raises(ModelUnavailableError) as caught:
        detector.load("cpu")
    message = str(caught.value)
    assert "\n" not in message and download in message and "set 'weights'" in message


def test_a_hub_model_that_is_not_here_is_asked_for_in_one_line():
    with pytest.raises(ModelUnavailableError, match="hub") as caught:
        TransformersDetector("nobody-here/no-such-detector").load("cpu")
    assert "\n" not in str(caught.value)


def test_a_missing_extra_is_named_with_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    with pytest.raises(ModelUnavailableError, match=r"pip install 'soccermaster\[yolo\]'"):
        UltralyticsDetector("some.pt").load("cpu")


def test_a_detector_must_be_loaded():
    with pytest.raises(RuntimeError, match="load"):
        TransformersDetector(None).detect(pictures(1))


def test_class_table():
    table = class_table(coco_names(), None, "COCO")
    assert table[0] == -1 and table[32] == 0 and (np.delete(table, [0, 32]) == -2).all()
    with pytest.raises(ValueError, match="no class of X is a person"):
        class_table({0: "car"}, None, "X")
    with pytest.raises(ValueError, match="keeper"):
        class_table({0: "person"}, {"keeper": "goalkeeper"}, "X")
    with pytest.raises(ValueError, match="human"):
        class_table({0: "person"}, {"person": "human"}, "X")


def test_boxes_are_clipped_sorted_and_not_empty():
    boxes = np.array([[-5.0, 0, 10, 10], [5, 5, 5, 9], [0, 0, 500, 500], [1, 1, 2, 2]])
    found = frame_boxes(
        picture(20, 30), boxes, np.array([0.2, 0.9, 0.5, 0.8]), np.array([-1, -1, 0, -2])
    )
    np.testing.assert_allclose(found.boxes_xyxy_px, [[0, 0, 30, 20], [0, 0, 10, 10]])
    assert found.classes.tolist() == [0, -1]
