"""Checkpoints are written whole, and read strictly."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from soccermaster.models.weights import (
    CheckpointError,
    find_checkpoint,
    load_strictly,
    read_config,
    read_tensors,
    write_checkpoint,
)


def test_written_is_read_again(tmp_path):
    tensors = {"a.weight": torch.rand(2, 3), "b": torch.tensor(4)}
    write_checkpoint(tmp_path / "run" / "checkpoint", {"encoder": {}}, tensors)
    directory = find_checkpoint(tmp_path / "run")  # the folder around it will do
    assert read_config(directory)["encoder"] == {}
    assert torch.equal(read_tensors(directory)["b"], tensors["b"])
    assert list(read_tensors(directory, "a.")) == ["weight"]


def test_a_new_checkpoint_replaces_the_old_one_and_leaves_nothing_behind(tmp_path):
    for value in (1.0, 2.0):
        write_checkpoint(tmp_path / "c", {"encoder": {}}, {"x": torch.tensor(value)})
    assert read_tensors(tmp_path / "c")["x"] == 2
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path):
    write_checkpoint(tmp_path / "c", {"encoder": {}}, {"x": torch.tensor(1.0)})
    with pytest.raises(ValueError, match="JSON"):
        write_checkpoint(tmp_path / "c", {"encoder": float("nan")}, {"x": torch.tensor(2.0)})
    assert read_tensors(tmp_path / "c")["x"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_other_folders_are_not_overwritten(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").touch()
    with pytest.raises(CheckpointError, match="nothing was written"):
        write_checkpoint(tmp_path / "photos", {"encoder": {}}, {})
    assert (tmp_path / "photos" / "me.jpg").exists()


def test_missing_unexpected_and_resized_keys_are_listed():
    tensors = {"weight": torch.zeros(2, 2), "extra": torch.zeros(1)}
    with pytest.raises(CheckpointError) as caught:
        load_strictly(nn.Linear(3, 2), tensors, "a test")
    message = str(caught.value)
    assert "missing from the checkpoint: bias" in message
    assert "unexpected in the checkpoint: extra" in message
    assert "weight: model (2, 3), checkpoint (2, 2)" in message


def test_no_checkpoint_says_what_is_there(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        find_checkpoint(tmp_path / "nowhere")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(CheckpointError, match=r"notes\.txt"):
        find_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "text,message",
    [
        ("{", "expected a JSON object"),
        ("[]", "key 'encoder'"),
        ('{"encoder": {}}', "format_version"),
    ],
)
def test_damaged_config_is_refused(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        read_config(tmp_path)


def test_damaged_weights_are_refused(tmp_path):
    directory = write_checkpoint(tmp_path / "c", {"encoder": {}}, {"x": torch.rand(100)})
    data = (directory / "model.safetensors").read_bytes()
    (directory / "model.safetensors").write_bytes(data[:-50])
    with pytest.raises(CheckpointError, match="damaged or incomplete"):
        read_tensors(directory)
    assert json.loads((directory / "config.json").read_text())["format_version"] == 1
