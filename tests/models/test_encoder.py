from __future__ import annotations

import pytest
import torch

from soccermaster.models.encoder import VideoEncoder, normalize_images


@pytest.fixture
def encoder() -> VideoEncoder:
    made = VideoEncoder((32, 48), 16, embed_dim=16, depth=3, temporal_depth=1, num_heads=2)
    with torch.no_grad():
        for temporal in made.temporal:
            temporal.gate.fill_(0.7)  # open the gates
        made.frame_embedding.normal_()
    return made.eval()


@pytest.mark.parametrize("frames,size", [(1, (32, 48)), (2, (48, 48)), (31, (16, 80))])
def test_any_length_and_any_size(encoder, frames, size):
    features = encoder(torch.rand(2, frames, 3, *size))
    h, w = size[0] // 16, size[1] // 16
    assert features.grid == (h, w)
    assert features.patches.shape == (2, frames, h * w, 16)
    assert features.frames.shape == (2, frames, 16)


def test_computes_only_what_is_read(encoder, monkeypatch):
    images = torch.rand(1, 2, 3, 32, 48)
    both = encoder(images)

    def refuse(*args: object) -> None:
        raise AssertionError("the temporal part was run")

    monkeypatch.setattr(encoder.temporal[0], "forward", refuse)
    monkeypatch.setattr(encoder.pool, "forward", refuse)
    dense = encoder(images, outputs={"patches"})
    assert dense.frames is None
    assert torch.equal(dense.patches, both.patches)


def test_patches_know_nothing_of_other_frames(encoder):
    images = torch.rand(1, 3, 3, 32, 48)
    together, alone = encoder(images), encoder(images[:, 1:2])
    assert torch.allclose(together.patches[:, 1:2], alone.patches, atol=1e-5)
    assert not torch.allclose(together.frames[:, 1:2], alone.frames, atol=1e-3)


def test_closed_gates_and_no_frame_embedding_make_an_image_encoder(encoder):
    with torch.no_grad():
        encoder.temporal[0].gate.zero_()
        encoder.frame_embedding.zero_()
    images = torch.rand(1, 3, 3, 32, 48)
    assert torch.allclose(encoder(images).frames[:, 1:2], encoder(images[:, 1:2]).frames, atol=1e-5)


def test_padding_frames_change_nothing(encoder):
    images = torch.rand(1, 4, 3, 32, 48)
    mask = torch.tensor([[True, True, False, False]])
    padded = encoder(images, frame_mask=mask)
    changed = images.clone()
    changed[:, 2:] = 0
    assert torch.allclose(
        padded.mean_frame(), encoder(changed, frame_mask=mask).mean_frame(), atol=1e-5
    )


def test_activation_checkpointing_gives_the_same_gradients(encoder):
    images = torch.rand(1, 2, 3, 32, 48)
    gradients = []
    for on in (False, True):
        encoder.activation_checkpointing = on
        encoder.zero_grad()
        encoder(images).frames.square().sum().backward()
        gradients.append(encoder.patch_embedding.weight.grad.clone())
    assert torch.allclose(*gradients)


@pytest.mark.parametrize(
    "images,message",
    [
        (torch.rand(2, 3, 32, 48), r"expected images \(B, T, 3, H, W\)"),
        (torch.rand(1, 1, 3, 30, 48), "multiples of the patch size 16, got 30x48"),
        (torch.zeros(1, 1, 3, 32, 48, dtype=torch.uint8), "normalize_images"),
    ],
)
def test_wrong_images_are_refused(encoder, images, message):
    with pytest.raises(ValueError, match=message):
        encoder(images)


def test_unknown_output_is_refused(encoder):
    with pytest.raises(ValueError, match="tokens"):
        encoder(torch.rand(1, 1, 3, 32, 48), outputs={"tokens"})


def test_normalised_images_fill_minus_one_to_one():
    assert normalize_images(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1, 1]


def test_the_papers_encoder_has_the_published_number_of_parameters():
    with torch.device("meta"):
        large = VideoEncoder((512, 512), 16, 1024, 24, 8, 16, 4096, 30)
    assert sum(p.numel() for p in large.parameters()) == 358_773_768
