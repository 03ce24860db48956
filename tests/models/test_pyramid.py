"""The finer maps of a convolutional stem, and the heads that add them."""

from __future__ import annotations

import pytest
import torch

from soccermaster.models.encoder import VideoEncoder
from soccermaster.models.neck import TopDownNeck

SIZES = {
    "image_size": (32, 64),
    "patch_size": 16,
    "embed_dim": 32,
    "depth": 2,
    "temporal_depth": 1,
    "num_heads": 2,
}


def test_a_pyramid_doubles_from_map_to_map():
    encoder = VideoEncoder(**SIZES, stem="conv", neck=(8, 4)).eval()
    features = encoder(torch.rand(2, 3, 3, 32, 64), {"pyramid"})
    assert [tuple(m.shape) for m in features.pyramid] == [(2, 3, 8, 4, 8), (2, 3, 4, 8, 16)]
    assert features.patches is None
    assert encoder(torch.rand(1, 1, 3, 32, 64)).pyramid is None


def test_an_encoder_without_a_neck_has_no_pyramid():
    with pytest.raises(ValueError, match="no neck"):
        VideoEncoder(**SIZES)(torch.rand(1, 1, 3, 32, 64), {"patches", "pyramid"})


def test_a_neck_needs_a_stem_with_finer_maps():
    with pytest.raises(ValueError, match="at most 0 stages"):
        VideoEncoder(**SIZES, neck=(8,))


def test_the_neck_sees_what_the_stem_saw():
    torch.manual_seed(0)
    neck = TopDownNeck(8, (6, 4), (5, 3, 2)).eval()
    tokens, stem_maps = torch.rand(2, 8, 2, 3), [torch.rand(2, 5, 4, 6), torch.rand(2, 3, 8, 12)]
    before = neck(tokens, stem_maps)[-1]
    stem_maps[1][1] += 1
    after = neck(tokens, stem_maps)[-1]
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1], after[1])


def test_blocks_that_start_as_identity_change_nothing():
    torch.manual_seed(0)
    encoder = VideoEncoder(**SIZES, stem="conv", zero_residuals=True).eval()
    images = torch.rand(1, 2, 3, 32, 64)
    embedded, _ = encoder.patch_embedding(images[0])
    tokens = embedded.flatten(2).transpose(1, 2) + encoder.position_embedding
    assert torch.allclose(encoder(images).patches[0], tokens, atol=1e-6)
