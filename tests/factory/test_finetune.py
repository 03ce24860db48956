"""Fine-tuning a transformers detector on the COCO layout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from soccermaster.data.errors import DatasetError
from soccermaster.factory.adapters.transformers_detector import TransformersDetector
from soccermaster.factory.coco_files import read_coco
from soccermaster.factory.executors import LocalExecutor
from soccermaster.factory.finetune import finetune_detector, mirror
from soccermaster.factory.models import ModelUnavailableError
from soccermaster.factory.runner import build_dataset
from soccermaster.models.weights import CheckpointError
from soccermaster.vocabulary import ROLES

from .adapters.tiny_models import picture, save_detector
from .clips import stand_in_chain, write_still_video


def write_export(root: Path, train: int = 3, valid: int = 1) -> Path:
    """Squares on grass: players are red, goalkeepers are yellow."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("valid", valid)):
        images, annotations = [], []
        for index in range(count):
            frame = np.full((90, 160, 3), (40, 120, 50), np.uint8)
            name = f"sn500/{split}/{index:06d}.png"
            images.append({"id": index + 1, "file_name": name, "width": 160, "height": 90})
            for role, colour in (("player", (30, 30, 220)), ("goalkeeper", (40, 220, 220))):
                x, y = int(rng.integers(0, 140)), int(rng.integers(0, 60))
                frame[y : y + 30, x : x + 20] = colour  # BGR
                record = {"id": len(annotations) + 1, "image_id": index + 1, "iscrowd": 0}
                record |= {"category_id": ROLES.index(role), "bbox": [x, y, 20, 30], "area": 600}
                annotations.append(record)
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / name), frame)
        categories = [{"id": index, "name": role} for index, role in enumerate(ROLES)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (root / "coco").mkdir(parents=True, exist_ok=True)
        (root / "coco" / f"{split}.json").write_text(json.dumps(content))
    return root


@pytest.fixture(scope="module")
def detector(tmp_path_factory) -> Path:
    return save_detector(tmp_path_factory.mktemp("detector"))


def test_a_detector_learns_the_roles_of_the_export_and_is_used(tmp_path, detector):
    data = write_export(tmp_path / "data")
    seen = []
    report = finetune_detector(
        data, tmp_path / "out", detector, epochs=2, batch_size=2, num_workers=0, device="cpu",
        on_epoch=seen.append,
    )  # fmt: skip
    assert report.classes == ROLES and (report.num_train, report.num_valid) == (3, 1)
    assert [s.epoch for s in report.epochs] == [1, 2] and tuple(seen) == report.epochs
    assert all(np.isfinite(s.loss) and 0 <= s.ap <= s.ap50 <= 1 for s in report.epochs)
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written["best_epoch"] == report.best_epoch
    used = TransformersDetector(tmp_path / "out", min_score=0.0)
    used.load("cpu")
    (found,) = used.detect(picture(90, 160)[None])
    assert set(found.classes.tolist()) <= set(range(len(ROLES))) and len(found.scores)


def test_without_validation_pictures_the_last_epoch_is_kept(tmp_path, detector):
    data = write_export(tmp_path / "data", train=1, valid=0)
    report = finetune_detector(
        data, tmp_path / "out", detector, epochs=1, batch_size=1, num_workers=0, device="cpu"
    )
    assert report.best_epoch == 1 and report.epochs[0].ap is None


def test_mirror_moves_boxes_with_their_pictures():
    image = picture(20, 30)
    image[5:9, 2:10] = 255
    mirrored, boxes = mirror(image, np.array([[2.0, 5, 8, 4]]))
    np.testing.assert_array_equal(boxes, [[20, 5, 8, 4]])
    assert (mirrored[5:9, 20:28] == 255).all()
    again, back = mirror(mirrored, boxes)
    np.testing.assert_array_equal(again, image)
    np.testing.assert_array_equal(back, [[2, 5, 8, 4]])


def test_reading_coco(tmp_path):
    file = read_coco(write_export(tmp_path) / "coco" / "train.json", tmp_path)
    assert file.names == ROLES and len(file.pictures) == 3
    first = file.pictures[0]
    assert first.read().shape == (90, 160, 3)
    assert [ROLES[c] for c in first.classes] == ["player", "goalkeeper"]
    x, y = first.boxes_ltwh_px[1, :2].astype(int)
    assert first.read()[y, x].tolist() == [220, 220, 40]


def test_bad_data(tmp_path, detector):
    with pytest.raises(DatasetError, match=r"train\.json"):
        finetune_detector(tmp_path, tmp_path / "out", detector)
    data = write_export(tmp_path / "data", train=0)
    with pytest.raises(DatasetError, match="pictures to train on"):
        finetune_detector(data, tmp_path / "out", detector)
    (data / "coco" / "train.json").write_text('{"images": [{"id": 1}]}')
    with pytest.raises(DatasetError, match="as in COCO"):
        read_coco(data / "coco" / "train.json", data)
    with pytest.raises(ValueError, match="epochs above 0"):
        finetune_detector(data, tmp_path / "out", detector, epochs=0)
    with pytest.raises(CheckpointError, match="got a folder without"):
        finetune_detector(write_export(tmp_path / "good"), tmp_path / "data", detector)
    with pytest.raises(ModelUnavailableError, match="rtdetr"):
        finetune_detector(data, tmp_path / "out", tmp_path / "none")


@pytest.mark.slow
def test_the_command_on_an_export_of_synthetic_matches(tmp_path, detector, root):
    """Videos, build_dataset, coco/, scripts/finetune_detector.py, a detector that learned."""
    points = [write_still_video(tmp_path / "videos", seed, 16)[1] for seed in (3, 4)]
    data = tmp_path / "data"
    chain = stand_in_chain(
        points[0],
        export={
            "_target_": "soccermaster.factory.export.Export",
            "valid_every": 2,
            "detector_every": 2,
        },
    )
    build_dataset(tmp_path / "videos", data, chain, LocalExecutor(1, 1, "cpu"))
    output = tmp_path / "detector"
    done = subprocess.run(
        [
            sys.executable, str(root / "scripts" / "finetune_detector.py"), f"data={data}",
            f"output={output}", f"weights={detector}", "epochs=6", "batch_size=4", "lr=1e-3",
            "backbone_lr=1e-3", "num_workers=0", "device=cpu",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads((output / "report.json").read_text())
    assert report["num_train"] > 0 and report["num_valid"] > 0
    losses = [epoch["loss"] for epoch in report["epochs"]]
    assert losses[-1] < losses[0]
    assert f"Wrote epoch {report['best_epoch']}" in done.stdout
    used = TransformersDetector(output, min_score=0.0)
    used.load("cpu")
    assert len(used.detect(picture(288, 512)[None])[0].scores)
