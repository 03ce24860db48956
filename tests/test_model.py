"""Building, saving and loading whole models, without Hydra."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import soccermaster as sm
from soccermaster.model import SoccerModel, initialise_from
from soccermaster.models.weights import CheckpointError

ENCODER = {
    "_target_": "soccermaster.models.encoder.VideoEncoder",
    "image_size": [32, 48],
    "patch_size": 16,
    "embed_dim": 16,
    "depth": 2,
    "temporal_depth": 1,
    "num_heads": 2,
}
EVENTS = {
    "_target_": "soccermaster.tasks.events.EventClassification",
    "embed_dim": 16,
    "classes": ["goal", "corner"],
    "depth": 1,
    "num_heads": 2,
    "ffn_dim": 16,
}
LINES = {
    "_target_": "soccermaster.tasks.pitch_lines.PitchLines",
    "embed_dim": 16,
    "channels": [8, 8, 8],
}
CONFIG = {"encoder": ENCODER, "tasks": {"events": EVENTS, "pitch_lines": LINES}}


@pytest.fixture
def model() -> SoccerModel:
    return SoccerModel.from_config(CONFIG).eval()


@pytest.fixture
def saved(model: SoccerModel, tmp_path: Path) -> Path:
    return model.save(tmp_path / "run" / "checkpoint")


def test_a_loaded_model_gives_the_same_outputs(model, saved):
    images = torch.rand(1, 2, 3, 32, 48) * 2 - 1
    loaded = sm.load_model(saved.parent)  # the run folder will do
    assert not loaded.training
    a, b = model(images), loaded(images)
    assert torch.equal(a["events"].logits, b["events"].logits)
    assert torch.equal(a["pitch_lines"].heatmaps, b["pitch_lines"].heatmaps)
    encoder = sm.load_encoder(saved)
    assert torch.equal(encoder(images).frames, model.encoder(images).frames)


def test_uint8_images_are_normalised(model):
    images = torch.randint(0, 255, (1, 1, 3, 32, 48), dtype=torch.uint8)
    floats = images.float() / 127.5 - 1
    assert torch.equal(model(images)["events"].logits, model(floats)["events"].logits)


def test_only_the_tasks_that_are_asked_for_run(model):
    assert list(model(torch.rand(1, 1, 3, 32, 48), tasks=["events"])) == ["events"]
    with pytest.raises(ValueError, match=r"\['events', 'pitch_lines'\], got \['offsides'\]"):
        model(torch.rand(1, 1, 3, 32, 48), tasks=["offsides"])


def test_a_dense_batch_runs_no_block_after_the_tap(model, monkeypatch):
    images = torch.rand(1, 2, 3, 32, 48)
    wanted = model(images)["pitch_lines"].heatmaps

    def refuse(*args: object) -> None:
        raise AssertionError("a block after the tap was run")

    for module in (model.encoder.temporal[0], model.encoder.blocks[1], model.encoder.pool):
        monkeypatch.setattr(module, "forward", refuse)
    assert torch.equal(model(images, tasks=["pitch_lines"])["pitch_lines"].heatmaps, wanted)
    with pytest.raises(AssertionError, match="after the tap"):
        model(images, tasks=["events"])


def test_initialising_takes_the_encoder_and_shared_tasks(model, saved):
    other = SoccerModel.from_config(
        {"encoder": ENCODER, "tasks": {"events": EVENTS, "own": {**EVENTS, "classes": ["a"]}}}
    )
    taken = initialise_from(other, saved)
    assert taken.loaded == ("encoder", "events")
    assert taken.fresh == ("own",)
    assert taken.unused == ("pitch_lines",)
    assert torch.equal(
        other.tasks["events"].classifier.weight, model.tasks["events"].classifier.weight
    )


def test_initialising_from_another_architecture_lists_what_differs(saved):
    wide = SoccerModel.from_config({"encoder": {**ENCODER, "depth": 3}, "tasks": {}})
    with pytest.raises(CheckpointError, match=r"missing from the checkpoint: blocks\.2"):
        initialise_from(wide, saved)


def test_a_checkpoint_whose_config_does_not_fit_is_refused(saved):
    config = json.loads((saved / "config.json").read_text())
    config["tasks"]["events"]["classes"] = ["goal", "corner", "penalty"]
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"classifier\.weight: model \(3, 16\)"):
        sm.load_model(saved)


@pytest.mark.parametrize(
    "node,message",
    [
        ({"_target_": "nonsense"}, "dotted class name"),
        ({"_target_": "nonsense.Task"}, "Is its package installed"),
        ({"_target_": "os.system", "command": "true"}, "nn.Module class"),
        ({"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1}, "Task"),
        ({**EVENTS, "dropout": 0.5}, "dropout"),
    ],
)
def test_a_config_that_builds_no_task_is_refused(node, message):
    with pytest.raises(ValueError, match=message):
        SoccerModel.from_config({"encoder": ENCODER, "tasks": {"broken": node}})


def test_a_model_put_together_by_hand_says_why_it_cannot_be_saved(model, tmp_path):
    with pytest.raises(ValueError, match="from_config"):
        SoccerModel(model.encoder, {}).save(tmp_path / "c")
