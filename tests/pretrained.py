"""The pretrained encoder that slow tests start from."""

from __future__ import annotations

import os

import pytest

import soccermaster as sm
from soccermaster.models.weights import CheckpointError


def pretrained() -> str:
    """$CHECKPOINT, or the name of the shipped model; skips where neither can be loaded."""
    name = os.environ.get("CHECKPOINT", "soccermaster-tiny")
    try:
        sm.load_encoder(name)
    except CheckpointError as error:
        pytest.skip(f"no pretrained encoder here, set CHECKPOINT=DIR ({error})")
    return name
