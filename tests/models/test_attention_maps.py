from __future__ import annotations

import pytest
import torch

from soccermaster.models.attention_maps import temporal_attention
from soccermaster.models.encoder import VideoEncoder


def make_encoder(temporal_depth: int = 2, num_heads: int = 2) -> VideoEncoder:
    encoder = VideoEncoder(
        (32, 48), 16, embed_dim=16, depth=3, temporal_depth=temporal_depth, num_heads=num_heads
    )
    with torch.no_grad():
        for block in encoder.temporal:
            block.gate.fill_(0.7)
    return encoder.eval()


def test_a_weight_for_every_pair_of_frames():
    weights = temporal_attention(make_encoder(), torch.rand(2, 5, 3, 32, 48))
    assert weights.shape == (2, 2, 6, 5, 5)
    assert (weights >= 0).all()
    assert torch.allclose(weights.sum(-1), torch.ones(2, 2, 6, 5))


def test_padding_frames_are_not_looked_at():
    mask = torch.tensor([[True, True, False]])
    weights = temporal_attention(make_encoder(), torch.rand(1, 3, 3, 32, 48), mask)
    assert (weights[..., 2] == 0).all()
    assert torch.allclose(weights.sum(-1), torch.ones(2, 1, 6, 3))


def test_they_are_the_weights_that_the_block_uses():
    encoder = make_encoder(temporal_depth=1, num_heads=1)
    (block,) = encoder.temporal
    seen = []
    hook = block.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    weights = temporal_attention(encoder, torch.rand(1, 4, 3, 32, 48))[0]
    hook.remove()
    ((tokens, output),) = seen
    series = tokens.transpose(1, 2)  # B N T D
    values = block.attention.qkv(block.norm(series))[..., 32:]
    received = block.fc(block.attention.out(weights @ values)).transpose(1, 2)
    assert torch.allclose(output, tokens + torch.tanh(block.gate) * received, atol=1e-5)


def test_the_encoder_is_left_as_it_was():
    encoder = make_encoder()
    temporal_attention(encoder, torch.rand(1, 2, 3, 32, 48))
    assert not any(block._forward_pre_hooks for block in encoder.temporal)


def test_an_encoder_of_single_frames_has_none():
    with pytest.raises(ValueError, match="temporal_depth=0"):
        temporal_attention(make_encoder(temporal_depth=0), torch.rand(1, 2, 3, 32, 48))
