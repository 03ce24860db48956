"""The Q-Former: which frames it looks at, and when they were."""

from __future__ import annotations

import pytest
import torch

from soccermaster.models.qformer import QFormer


def small(**changes) -> QFormer:
    return QFormer(8, **({"dim": 16, "num_queries": 5, "num_heads": 2} | changes)).eval()


def test_every_clip_becomes_so_many_queries():
    assert small()(torch.randn(3, 7, 8)).shape == (3, 5, 16)


def test_padding_is_not_looked_at():
    qformer, frames = small(clip_token=True), torch.randn(2, 6, 8)
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[:, 4:] = False
    clip = frames[:, :4].mean(1)
    before = qformer(frames, mask, clip)
    frames[:, 4:] = 100.0
    assert torch.equal(before, qformer(frames, mask, clip))


def test_frames_have_a_place_in_time():
    qformer, frames = small(), torch.randn(1, 6, 8)
    assert not torch.allclose(qformer(frames), qformer(frames.flip(1)), atol=1e-4)


def test_clips_beyond_the_positions_are_resampled():
    assert small(max_frames=4)(torch.randn(1, 9, 8)).shape == (1, 5, 16)


def test_the_token_of_the_clip_takes_part():
    qformer, frames = small(clip_token=True), torch.randn(1, 6, 8)
    one, other = qformer(frames, clip=torch.randn(1, 8)), qformer(frames, clip=torch.randn(1, 8))
    assert not torch.allclose(one, other, atol=1e-4)
    with pytest.raises(ValueError, match="clip_segments"):
        qformer(frames)
