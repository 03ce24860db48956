"""Exported encoders compute what the encoder computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from soccermaster.export import check_formats, export_encoder, run_exported
from soccermaster.model import SoccerModel, load_encoder
from tests.test_model import ENCODER

OWN = {
    **ENCODER,
    "stem": "conv",
    "neck": [8, 8],
    "pool": "layout",
    "pool_cells": [1, 2],
    "clip_segments": 2,
}


@pytest.fixture(
    scope="module",
    params=[pytest.param(ENCODER, marks=pytest.mark.slow), OWN],
    ids=["paper", "tiny"],
)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = SoccerModel.from_config({"encoder": request.param, "tasks": {}})
    for parameter in model.parameters():  # frame embedding and gates too, which start at 0
        torch.nn.init.normal_(parameter, std=0.1)
    return model.save(tmp_path_factory.mktemp("export") / "checkpoint")


@pytest.mark.parametrize("name", ["torch", "onnx"])
def test_the_file_gives_the_features_of_the_encoder(checkpoint, tmp_path, name):
    if name == "onnx":
        pytest.importorskip("onnxscript", reason="needs the extra onnx")
        pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    (file,) = export_encoder(checkpoint, tmp_path, num_frames=4, formats=[name])
    assert file.max_difference < 1e-4
    encoder = load_encoder(checkpoint)
    assert file.outputs == ("patches", "frames", *(["clip"] if encoder.clip_pool else []))
    images = torch.rand(5, 4, 3, 32, 48) * 2 - 1
    with torch.no_grad():
        features = encoder(images)
    for key, found in zip(file.outputs, run_exported(file.path, images), strict=True):
        torch.testing.assert_close(found, getattr(features, key), atol=1e-4, rtol=1e-4)
    assert [p.name for p in tmp_path.iterdir()] == [file.path.name]


def test_unknown_formats_are_refused():
    with pytest.raises(ValueError, match=r"among \['torch', 'onnx'\], got \['coreml'\]"):
        check_formats(["coreml"])
