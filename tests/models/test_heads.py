"""Decoder, upsampler and text tower: shapes, published sizes, starting values."""

from __future__ import annotations

import pytest
import torch

from soccermaster.models.detr_decoder import DetrDecoder, cell_centres, inverse_sigmoid
from soccermaster.models.text import TextEncoder
from soccermaster.models.tokenizer import load_tokenizer
from soccermaster.models.upsampler import PixelShuffleUpsampler


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_upsampler_multiplies_the_grid_by_eight():
    upsample = PixelShuffleUpsampler(16, 5, (8, 8, 8))
    assert upsample(torch.rand(2, 16, 3, 4)).shape == (2, 5, 24, 32)


def test_published_upsamplers_have_the_published_size():
    with torch.device("meta"):
        assert count(PixelShuffleUpsampler(1024, 24)) == 8_340_576
        assert count(PixelShuffleUpsampler(1024, 58)) == 8_380_492


def test_boxes_start_small_and_at_their_reference():
    decoder = DetrDecoder(16, hidden_dim=32, query_init="tokens")
    embeddings, boxes = decoder(torch.rand(2, 16, 4, 6))
    assert embeddings.shape == (1, 2, 24, 32)
    assert torch.allclose(boxes[..., 2:], torch.tensor(0.1192), atol=1e-3)
    assert torch.allclose(boxes[0, 0, :, :2], cell_centres((4, 6), boxes), atol=1e-5)


def test_layers_refine_boxes():
    decoder = DetrDecoder(16, hidden_dim=32, num_queries=12, num_layers=3)
    torch.nn.init.normal_(decoder.box.layers[-1].weight, std=0.5)
    _, boxes = decoder(torch.rand(2, 16, 4, 6))
    assert boxes.shape == (3, 2, 12, 4)
    assert not torch.allclose(boxes[0], boxes[2])


def test_inverse_sigmoid_is_inverse_and_finite():
    x = torch.tensor([0.0, 0.3, 1.0])
    assert inverse_sigmoid(x).isfinite().all()
    assert torch.allclose(inverse_sigmoid(x).sigmoid()[1], x[1])


def test_text_tower_depends_on_the_text_and_handles_any_text():
    tower = TextEncoder(16, depth=1, num_heads=2, output_dim=8, max_length=12).eval()
    vectors = tower.encode(["[PLAYER] scores", "a corner for [TEAM]", "été ⚽ " * 50])
    assert vectors.shape == (3, 8)
    assert not torch.allclose(vectors[0], vectors[1])
    assert tower.encode([]).shape == (0, 8)


def test_anonymised_words_are_single_tokens():
    tokens = load_tokenizer().tokenizer.encode("[PLAYER] of [TEAM] takes the corner").tokens
    assert tokens[0] == "[PLAYER]"
    assert "[TEAM]" in tokens


def test_tokens_are_padded_and_cut():
    ids = load_tokenizer()(["goal", "goal " * 40], length=6)
    assert ids.shape == (2, 6)
    assert ids[0, -1] == 0
    assert (ids[1] != 0).all()


def test_queries_look_at_several_levels():
    decoder = DetrDecoder(16, hidden_dim=32, num_queries=5, num_heads=2, feature_levels=(1, 2, 0.5))
    _, boxes = decoder(torch.rand(2, 16, 4, 6))
    assert boxes.shape == (1, 2, 5, 4)
    sizes = [level(torch.rand(1, 16, 4, 6)).shape[-2:] for level in decoder.resample]
    assert sizes == [(8, 12), (2, 3)]
    boxes.square().sum().backward()


@pytest.mark.parametrize("levels", [(), (2.0,), (1.0, 3.0), (1.0, 1.0), (1.0, -2.0)])
def test_levels_are_powers_of_two_after_one(levels):
    with pytest.raises(ValueError, match="feature_levels"):
        DetrDecoder(16, hidden_dim=32, feature_levels=levels)
