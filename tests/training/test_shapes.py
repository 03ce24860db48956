"""The sizes that the published network is known to have."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from soccermaster.training.run import model_config
from soccermaster.training.shapes import part_sizes
from tests.configs import compose_train

_GIB = 2**30


@pytest.fixture(scope="module")
def sizes():
    cfg = compose_train("experiment=pretrain_paper", "debug=shapes")
    config = model_config(cfg)
    assert OmegaConf.select(cfg, "init_from") is None  # needs no weights
    found = part_sizes(config, frames=3, freeze=list(cfg.freeze))
    return {size.name: size for size in found}


def test_published_parameters(sizes):
    tap, late = sizes["encoder, up to the tap"], sizes["encoder, after it"]
    assert tap.parameters + late.parameters == 358_773_768
    assert sizes["athletes"].parameters == 1_507_731
    assert sizes["pitch_lines"].parameters == 8_340_576
    assert sizes["pitch_keypoints"].parameters == 8_380_492
    assert sizes["events"].parameters == 25_221_144  # 24 classes
    assert sizes["alignment"].parameters == 2
    text = sizes["alignment.text, per text"]
    assert (text.parameters, text.trained, text.states) == (565_570_560, 0, 4 * 565_570_560)
    assert sum(size.trained for size in sizes.values()) == 402_223_713
    assert tap.states == 16 * tap.parameters


def test_published_flops_per_frame(sizes):
    tap, late = sizes["encoder, up to the tap"], sizes["encoder, after it"]
    assert tap.flops / 3e9 == pytest.approx(481, rel=0.01)
    assert (tap.flops + late.flops) / 3e9 == pytest.approx(814, rel=0.01)


def test_published_activations(sizes):
    """About 53 GiB per clip of 30 frames in float32 without checkpointing."""
    encoder = [sizes["encoder, up to the tap"], sizes["encoder, after it"]]
    assert 10 * sum(size.activations for size in encoder) / _GIB == pytest.approx(53, rel=0.02)
    assert all(size.checkpointed < 0.2 * size.activations for size in encoder)
