"""Appearance features: unit vectors that depend on the crop alone; weights read strictly."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from soccermaster.factory.adapters.part_reid import CROP_SIZE, PartReid, PartReidNetwork
from soccermaster.factory.adapters.siglip_reid import SiglipReid
from soccermaster.factory.models import ModelUnavailableError
from soccermaster.models.hrnet import HRNet, concatenate
from soccermaster.models.weights import CheckpointError
from soccermaster.vocabulary import ROLES

from .tiny_models import TINY_HRNET, picture, save_siglip, save_soccer_model


@pytest.fixture
def network() -> PartReidNetwork:
    return PartReidNetwork(**TINY_HRNET).eval()


@pytest.fixture
def crops() -> list[np.ndarray]:
    return [picture(90, 40, 1), picture(17, 33, 2), picture(1, 1, 3)]


def assert_are_unit_vectors(vectors: np.ndarray, count: int, dim: int) -> None:
    assert vectors.shape == (count, dim) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_part_network_has_the_published_sizes(network):
    with torch.no_grad():
        found = network(torch.zeros(2, 3, *CROP_SIZE))
    assert found.whole.shape == found.foreground.shape == (2, 256)
    assert found.parts.shape == (2, 5, 256) and found.role_logits.shape == (2, len(ROLES))
    assert found.masks.shape == (2, 6, 64, 32)
    torch.testing.assert_close(found.masks.sum(1), torch.ones(2, 64, 32))


def test_part_reid_from_a_training_checkpoint(tmp_path, network, crops):
    """Data-parallel names, a container, and classifiers over the training people, all named."""
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    state["module.global_identity_classifier.classifier.weight"] = torch.zeros(7, 256)
    path = tmp_path / "reid.pth.tar"
    torch.save({"state_dict": state, "epoch": 20}, path)
    reid = PartReid(path, batch_size=2, network=TINY_HRNET)
    reid.load("cpu")
    assert reid.unused == ("global_identity_classifier.classifier.weight",)
    vectors = reid.embed(crops)
    assert_are_unit_vectors(vectors, 3, 256)
    np.testing.assert_allclose(reid.embed(crops[2:]), vectors[2:], atol=1e-5)
    assert reid.embed([]).shape == (0, 256)
    readings = reid.read_roles(crops, crops)
    assert [0 <= r.role < len(ROLES) and 0 < r.confidence <= 1 for r in readings] == [True] * 3


def test_safetensors_and_other_names(tmp_path, network, crops):
    path = tmp_path / "reid.safetensors"
    state = network.state_dict()
    save_file({name.replace("global_role", "role"): t for name, t in state.items()}, path)
    reid = PartReid(
        path, rename={"role_classifier.": "global_role_classifier."}, network=TINY_HRNET
    )
    reid.load("cpu")
    assert_are_unit_vectors(reid.embed(crops), 3, 256)


def test_what_does_not_fit_is_named(tmp_path, network):
    state = network.state_dict()
    del state["pixel_classifier.bn.weight"]
    state["mystery"] = torch.zeros(1)
    path = tmp_path / "reid.pth"
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"(?s)pixel_classifier.bn.weight.*mystery"):
        PartReid(path, network=TINY_HRNET).load("cpu")


def test_pickled_objects_are_not_run(tmp_path):
    path = tmp_path / "reid.pth"
    torch.save({"state_dict": {}, "config": np.random.default_rng(0)}, path)
    with pytest.raises(CheckpointError, match="run code"):
        PartReid(path, network=TINY_HRNET).load("cpu")


def test_files_without_tensors_and_broken_files(tmp_path):
    path = tmp_path / "reid.pth"
    torch.save({"epoch": 3}, path)
    with pytest.raises(CheckpointError, match="epoch"):
        PartReid(path, network=TINY_HRNET).load("cpu")
    path.write_bytes(b"PK\x03\x04 no")
    with pytest.raises(CheckpointError, match=r"cannot read|run code"):
        PartReid(path, network=TINY_HRNET).load("cpu")


def test_hrnet_is_that_of_timm():
    """Names, shapes and values are those of an independent implementation."""
    theirs = timm.create_model("hrnet_w18_small_v2", pretrained=False, features_only=True).eval()
    ours = HRNet(18, (1, 3, 2), blocks=2, interpolation="nearest").eval()
    state = {k: v for k, v in theirs.state_dict().items() if not k.startswith("incre_modules")}
    ours.load_state_dict(state, strict=True)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        _, maps = ours(images)
        torch.testing.assert_close(maps, list(theirs.stages(theirs_stem(theirs, images))))
    assert concatenate(maps).shape == (1, 18 * 15, 16, 16)


def theirs_stem(theirs, images):
    x = theirs.act1(theirs.bn1(theirs.conv1(images)))
    return theirs.act2(theirs.bn2(theirs.conv2(x)))


@pytest.mark.parametrize("save", [save_siglip, save_soccer_model])
def test_siglip_reid(tmp_path, crops, save):
    reid = SiglipReid(save(tmp_path / "model"), batch_size=2, dtype="float32")
    reid.load("cpu")
    vectors = reid.embed(crops)
    assert_are_unit_vectors(vectors, 3, reid.encoder.embed_dim)
    np.testing.assert_allclose(reid.embed(crops[1:2]), vectors[1:2], atol=1e-5)
    assert not np.allclose(vectors[0], vectors[1], atol=1e-3)
    assert reid.embed([]).shape == (0, reid.encoder.embed_dim)


@pytest.mark.parametrize(
    ("reid", "download"), [(PartReid(), "prtreid"), (SiglipReid(None), "siglip2")]
)
def test_without_weights_one_line_says_what_to_download(reid, download):
    with pytest.raises(ModelUnavailableError, match=download) as caught:
        reid.load("cpu")
    assert "\n" not in str(caught.value)
