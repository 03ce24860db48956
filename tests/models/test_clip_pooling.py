"""Pooling of frames over time and of patches over a grid."""

from __future__ import annotations

import torch

from soccermaster.models.clip_pooling import SegmentPooling, segment_weights
from soccermaster.models.layers import LayoutPooling


def test_segments_cover_every_frame_and_none_is_empty():
    for length in (1, 2, 5, 7, 30):
        weights = segment_weights(torch.tensor([length]), 30, 6)[0]
        assert torch.allclose(weights.sum(-1), torch.ones(6))
        assert (weights.sum(0)[:length] > 0).all()
        assert (weights.sum(0)[length:] == 0).all()


def test_segments_of_thirty_frames_are_means_of_five():
    weights = segment_weights(torch.tensor([30]), 30, 6)[0]
    frames = torch.arange(30.0)
    assert torch.allclose(weights @ frames, torch.tensor([2.0, 7, 12, 17, 22, 27]))


def test_padding_frames_do_not_count():
    torch.manual_seed(0)
    pool = SegmentPooling(8, segments=3)
    frames = torch.randn(2, 6, 8)
    mask = torch.tensor([[True] * 4 + [False] * 2, [True] * 6])
    changed = frames.clone()
    changed[0, 4:] = 9.0
    assert torch.allclose(pool(frames, mask), pool(changed, mask), atol=1e-6)
    assert torch.allclose(pool(frames, mask)[0], pool(frames[:1, :4])[0], atol=1e-5)


def test_order_in_time_matters():
    torch.manual_seed(0)
    pool = SegmentPooling(8, segments=3)
    frames = torch.randn(1, 6, 8)
    assert not torch.allclose(pool(frames), pool(frames.flip(1)), atol=1e-2)


def test_layout_pooling_knows_where():
    pool = LayoutPooling(2, cells=(1, 2))
    with torch.no_grad():
        pool.out.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1.0]]))
        pool.out.bias.zero_()
    tokens = torch.tensor([[[1.0, 0], [3, 0], [0, 5], [0, 7]]])  # a row of four patches
    assert torch.allclose(pool(tokens, (1, 4)), torch.tensor([[2.0, 6.0]]))
