"""The small official checkpoint, converted once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import soccermaster as sm
from soccermaster.model import SoccerModel
from soccermaster.official import from_official


@pytest.fixture(scope="session")
def parity(shared: Path) -> Path:
    """The folder with the checkpoint, its inputs and its outputs."""
    folder = shared / "parity"
    if not folder.is_dir():
        pytest.skip(
            "the official checkpoint (folder 'shared/parity' beside the checkout) is absent"
        )
    return folder


@pytest.fixture(scope="session")
def converted(parity: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("parity") / "converted"
    (text,) = (parity / "hf").iterdir()
    return from_official(parity / "official", output, text).directory


@pytest.fixture(scope="session")
def model(converted: Path) -> SoccerModel:
    return sm.load_model(converted)


@pytest.fixture(scope="session")
def inputs(parity: Path) -> Any:
    return np.load(parity / "inputs.npz")


@pytest.fixture(scope="session")
def official(parity: Path) -> dict[str, torch.Tensor]:
    """The official outputs by name."""
    with np.load(parity / "outputs_eval_fp32.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.fixture(scope="session")
def outputs(model: SoccerModel, inputs: Any) -> dict[str, Any]:
    with torch.no_grad():
        return model(torch.from_numpy(inputs["images"]), text=[str(t) for t in inputs["texts"]])
