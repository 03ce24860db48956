"""Fixtures shared by all tests. The package is imported first: it keeps torchvision importable."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "offline")

import soccermaster  # noqa: F401, I001

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _reproducible() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real samples and reference tables, where it lies beside the checkout."""
    for folder in (ROOT.parent / "shared", ROOT / "shared"):
        if (folder / "samples").is_dir():
            return folder
    pytest.skip("the real samples (folder 'shared' beside the checkout) are not here")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Indexes of test data are not left in the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOCCERMASTER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
