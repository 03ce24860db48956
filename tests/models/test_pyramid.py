"""The finer maps of a convolutional stem, and the heads that add them."""

from __future__ import annotations

import pytest
import torch

from soccermaster.models.encoder import VideoEncoder
from soccermaster.models.upsampler import PixelShuffleUpsampler
from soccermaster.structures import Features

SIZES = {
    "image_size": (32, 64),
    "patch_size": 16,
    "embed_dim": 32,
    "depth": 2,
    "temporal_depth": 1,
    "num_heads": 2,
}


def test_a_pyramid_doubles_from_map_to_map():
    encoder = VideoEncoder(**SIZES, stem="conv").eval()
    features = encoder(torch.rand(2, 3, 3, 32, 64), {"pyramid"})
    assert [tuple(m.shape) for m in features.pyramid] == [
        (2, 3, 16, 4, 8), (2, 3, 16, 8, 16), (2, 3, 16, 16, 32),
    ]  # fmt: skip
    assert features.patches is None
    assert encoder(torch.rand(1, 1, 3, 32, 64)).pyramid is None


def test_a_patch_stem_has_no_pyramid():
    with pytest.raises(ValueError, match="stem 'conv'"):
        VideoEncoder(**SIZES)(torch.rand(1, 1, 3, 32, 64), {"patches", "pyramid"})


def test_skips_reach_the_heatmaps_of_their_frame_alone():
    torch.manual_seed(0)
    upsample = PixelShuffleUpsampler(8, 3, (8, 8), skips=(4, 2)).eval()
    patches = torch.rand(1, 2, 6, 8)
    pyramid = (torch.rand(1, 2, 4, 4, 6), torch.rand(1, 2, 2, 8, 12))
    before = upsample.of_clips(Features((2, 3), patches, pyramid=pyramid))
    assert before.shape == (1, 2, 3, 8, 12)
    changed = tuple(m.clone() for m in pyramid)
    changed[1][:, 1] += 1
    after = upsample.of_clips(Features((2, 3), patches, pyramid=changed))
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.allclose(before[:, 1], after[:, 1])


def test_one_skip_per_stage():
    with pytest.raises(ValueError, match="one skip per stage"):
        PixelShuffleUpsampler(8, 3, (8, 8), skips=(4,))


def test_blocks_that_start_as_identity_change_nothing():
    torch.manual_seed(0)
    encoder = VideoEncoder(**SIZES, stem="conv", zero_residuals=True).eval()
    images = torch.rand(1, 2, 3, 32, 64)
    embedded, _ = encoder.patch_embedding(images[0])
    tokens = embedded.flatten(2).transpose(1, 2) + encoder.position_embedding
    assert torch.allclose(encoder(images).patches[0], tokens, atol=1e-6)
