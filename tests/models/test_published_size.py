"""Numbers of parameters of the published network, as the configs build it."""

from __future__ import annotations

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from soccermaster.model import SoccerModel
from soccermaster.vocabulary import EVENTS, RELEASE_EVENTS
from tests.configs import compose_train

VISION, TEXT = 358_773_768, 565_570_560
HEADS = {
    "athletes": 1_507_731,
    "pitch_lines": 8_340_576,
    "pitch_keypoints": 8_380_492,
    "alignment": 2,
    "events": 25_220_119,
}


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def build(encoder: str, classes: tuple[str, ...] = EVENTS) -> SoccerModel:
    cfg = compose_train(f"encoder={encoder}", "text.vocab_size=256000")
    plain = OmegaConf.to_container(cfg, resolve=True)
    plain["tasks"]["events"]["classes"] = list(classes)
    with torch.device("meta"):
        return SoccerModel.from_config({"encoder": plain["encoder"], "tasks": plain["tasks"]})


def test_large_network_with_the_23_classes_of_the_release():
    model = build("siglip2_large_512", RELEASE_EVENTS)
    assert count(model.encoder) == VISION
    assert count(model.tasks["alignment"].text) == TEXT
    model.tasks["alignment"].text = None
    assert {name: count(task) for name, task in model.tasks.items()} == HEADS
    assert count(model.tasks) == 43_448_920
    assert count(model) == 402_222_688
    assert count(model) + TEXT == 967_793_248
    temporal = sum(p.numel() for p in model.encoder.temporal.parameters())
    assert temporal == 8 * 5_250_049
    assert count(model.encoder) - temporal - model.encoder.frame_embedding.numel() == 316_742_656


def test_large_network_with_24_classes():
    model = build("siglip2_large_512")
    model.tasks["alignment"].text = None
    assert count(model.tasks["events"]) == 25_221_144
    assert count(model.tasks) == 43_449_945
    assert count(model) == 402_223_713
    assert (model.encoder.image_size, model.encoder.num_frames) == ((512, 512), 30)


@pytest.mark.parametrize("side", [224, 256, 384, 512])
def test_base_networks(side):
    model = build(f"siglip2_base_{side}")
    width, patches = 768, (side // 16) ** 2
    layer = 4 * (width**2 + width) + 2 * width * 3072 + 3072 + width + 4 * width
    head = width + 4 * (width**2 + width) + 2 * width + 2 * width * 3072 + 3072 + width
    image = 12 * layer + (3 * 256 + 1) * width + patches * width + 2 * width + head
    temporal = 2 * width + 4 * (width**2 + width) + width**2 + width + 1
    assert count(model.encoder) == image + 4 * temporal + 30 * width
    assert model.encoder.image_size == (side, side)
    assert count(model.tasks["pitch_lines"]) == HEADS["pitch_lines"] - 9 * (1024 - width) * 768
    assert model.tasks["events"].layers.layers[0].self_attn.num_heads == 12


def test_first_outputs_are_those_of_the_release():
    """Starting values of the detection head, at the published shape."""
    from soccermaster.structures import Features
    from soccermaster.tasks.athletes import AthleteDetection

    task = AthleteDetection(embed_dim=64)
    with torch.no_grad():
        output = task(Features(grid=(8, 8), patches=torch.randn(1, 2, 64, 64)))
    assert float(output.logits.sigmoid().mean()) == pytest.approx(0.012, abs=0.003)
    assert float(output.boxes_cxcywh[..., 2:].mean()) == pytest.approx(0.1192, abs=1e-4)
    bias = task.decoder.layers[0].cross_attention.offsets.bias
    assert bias.tolist() == [1, 0, 2, 0, 3, 0, 4, 0]
