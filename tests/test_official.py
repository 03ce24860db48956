"""Official checkpoints to our format and back: every dialect, strictly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

import soccermaster as sm
from soccermaster.model import SoccerModel
from soccermaster.models.weights import CheckpointError
from soccermaster.official import from_official, to_official
from tests.release import FRAMES, GRID, PATCH, WIDTH, ReleaseBackbone, event_head, write_release

SIDE = GRID * PATCH


@pytest.fixture
def release(tmp_path: Path) -> Path:
    write_release(tmp_path / "release")
    return tmp_path / "release"


def read(path: Path) -> dict[str, Tensor]:
    return torch.load(path, weights_only=True)


def assert_same_files(a: Path, b: Path) -> None:
    """Same files, keys, types, shapes and bits."""
    assert sorted(p.name for p in a.iterdir()) == sorted(p.name for p in b.iterdir())
    for path in a.iterdir():
        one, other = read(path), read(b / path.name)
        if "state_dict" in one:
            assert set(one) == set(other)
            one, other = one["state_dict"], other["state_dict"]
        assert set(one) == set(other), path.name
        for name in one:
            assert one[name].dtype == other[name].dtype, name
            assert torch.equal(one[name], other[name]), name


def legacy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.replace("encoder_blocks.", "timesformer.resblocks."): v for k, v in state.items()}


def unisoccer(state: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    renamed = {}
    for name, tensor in legacy(state).items():
        name = re.sub(r"^temporal_embedding$", "temporal_positional_embedding", name)
        name = re.sub(r"^post_norm\.", "post_layernorm.", name)
        renamed[f"module.siglip_model.{name}"] = tensor
    return {"state_dict": renamed}


@pytest.mark.parametrize("heads", [1, 4])
def test_number_of_heads_of_the_encoder_may_differ_from_width_over_64(tmp_path, heads):
    backbone = write_release(tmp_path / "release", heads)
    given = None if heads == 1 else heads
    from_official(tmp_path / "release", tmp_path / "ours", num_heads=given)
    model = sm.load_model(tmp_path / "ours")
    images = torch.rand(2, FRAMES, 3, SIDE, SIDE) * 2 - 1
    with torch.no_grad():
        local_features, global_features = backbone(images)
        features = model.encoder(images)
    torch.testing.assert_close(features.patches, local_features, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(features.frames, global_features, atol=1e-4, rtol=1e-4)
    assert model.tasks["events"].layers.layers[0].self_attn.num_heads == WIDTH // 64


@pytest.mark.parametrize("dialect", [dict, legacy, unisoccer])
def test_every_dialect_gives_the_same_model_and_comes_back_bit_by_bit(release, tmp_path, dialect):
    from_official(release, tmp_path / "wanted")
    state = read(release / "backbone.pt")
    torch.save(dialect(state), release / "backbone.pt")
    from_official(release, tmp_path / "ours")
    wanted, ours = (sm.load_model(tmp_path / name).state_dict() for name in ("wanted", "ours"))
    assert all(torch.equal(ours[name], wanted[name]) for name in wanted)
    to_official(tmp_path / "ours", tmp_path / "back")
    assert_same_files(release, tmp_path / "back")
    to_official(tmp_path / "ours", tmp_path / "other", dialect="release")
    assert torch.equal(
        read(tmp_path / "other" / "backbone.pt")["post_norm.weight"], state["post_norm.weight"]
    )


@pytest.mark.parametrize("prefix", ["vision_model.", ""])
def test_an_image_tower_is_an_encoder_without_temporal_blocks(tmp_path, prefix):
    state = {}
    for name, tensor in ReleaseBackbone(1).state_dict().items():
        if "temporal" not in name:
            name = name.replace("vision_model_embedding.", "embeddings.")
            name = re.sub(r"encoder_blocks\.(\d)\.encoder\.", r"encoder.layers.\1.", name)
            state[prefix + name.replace("post_norm.", "post_layernorm.")] = tensor
    (tmp_path / "images").mkdir()
    torch.save(state, tmp_path / "images" / "backbone.pt")
    done = from_official(tmp_path / "images", tmp_path / "ours")
    assert any("no temporal parts" in note for note in done.notes)
    assert len(sm.load_encoder(tmp_path / "ours").temporal) == 0
    to_official(tmp_path / "ours", tmp_path / "back")
    assert_same_files(tmp_path / "images", tmp_path / "back")


def test_types_are_kept(release, tmp_path):
    half = {name: tensor.half() for name, tensor in read(release / "backbone.pt").items()}
    torch.save(half, release / "backbone.pt")
    from_official(release, tmp_path / "ours")
    to_official(tmp_path / "ours", tmp_path / "back")
    assert_same_files(release, tmp_path / "back")


@pytest.mark.parametrize("file", ["backbone.pt", "CaptionClassification.pt", "VideoCaption.pt"])
def test_a_tensor_too_many_or_too_few_is_named(release, tmp_path, file):
    state = read(release / file)
    torch.save({**state, "surplus.weight": torch.zeros(2)}, release / file)
    with pytest.raises(CheckpointError, match=r"unexpected.*surplus\.weight"):
        from_official(release, tmp_path / "ours")
    missing = sorted(state)[-1]
    torch.save({k: v for k, v in state.items() if k != missing}, release / file)
    with pytest.raises(CheckpointError, match=re.escape(missing)):
        from_official(release, tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


def test_a_misshapen_tensor_is_named(release, tmp_path):
    state = read(release / "backbone.pt")
    torch.save({**state, "post_norm.weight": torch.zeros(WIDTH + 1)}, release / "backbone.pt")
    with pytest.raises(CheckpointError, match=r"encoder\.norm\.weight: model \(64,\).*\(65,\)"):
        from_official(release, tmp_path / "ours")


class Surprise:
    def __reduce__(self) -> tuple:
        return Path("surprise").touch, ()


def test_files_that_run_code_are_refused(release, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"logit_scale": Surprise()}, release / "VideoCaption.pt")
    with pytest.raises(CheckpointError, match="could run code"):
        from_official(release, tmp_path / "ours")
    assert not Path("surprise").exists()


def test_what_else_is_in_a_file_is_named(release, tmp_path):
    state = read(release / "backbone.pt")
    torch.save({"state_dict": state, "epoch": 3}, release / "backbone.pt")
    with pytest.raises(CheckpointError, match=r"\['epoch'\] beside it"):
        from_official(release, tmp_path / "ours")
    torch.save({**state, "epoch": 3}, release / "backbone.pt")
    with pytest.raises(CheckpointError, match=r"something else in \['epoch'\]"):
        from_official(release, tmp_path / "ours")


def test_classes_are_known_by_their_number(release, tmp_path):
    torch.save(event_head(24), release / "CaptionClassification.pt")
    from_official(release, tmp_path / "ours")
    assert sm.load_model(tmp_path / "ours").tasks["events"].classes[-1] == "own goal"
    torch.save(event_head(7), release / "CaptionClassification.pt")
    with pytest.raises(CheckpointError, match=r"Classification\.pt: .*23 or 24 classes, got 7"):
        from_official(release, tmp_path / "ours")


def test_without_a_text_tower_alignment_names_the_argument(release, tmp_path):
    done = from_official(release, tmp_path / "ours")
    assert any("text=" in note for note in done.notes)
    model = sm.load_model(tmp_path / "ours")
    images = torch.rand(1, 2, 3, SIDE, SIDE)
    assert set(model(images)) == {"events"}
    for arguments in ({"tasks": ["alignment"]}, {"text": ["a goal"]}):
        with pytest.raises(ValueError, match=r"'alignment' cannot be run: .*text="):
            model(images, **arguments)


def test_positions_are_resampled_on_request(release, tmp_path):
    done = from_official(release, tmp_path / "wide", image_size=[32, 64])
    assert any("resampled from 3x3 to 2x4" in note for note in done.notes)
    from_official(release, tmp_path / "as_stored")
    images = torch.rand(1, 2, 3, 32, 64)
    with torch.no_grad():
        wide, on_the_fly = (
            sm.load_encoder(tmp_path / name)(images).frames for name in ("wide", "as_stored")
        )
    torch.testing.assert_close(wide, on_the_fly)
    with pytest.raises(CheckpointError, match="multiples of the patch size"):
        from_official(release, tmp_path / "odd", image_size=50)


def test_what_has_no_place_in_the_official_format_is_named(tmp_path):
    from tests.test_model import CONFIG

    config = {"encoder": {**CONFIG["encoder"], "image_size": [32, 32]}, "tasks": {}}
    events = CONFIG["tasks"]["events"]
    model = SoccerModel.from_config({**config, "tasks": {"a": events, "b": events}})
    model.save(tmp_path / "ours")
    with pytest.raises(CheckpointError, match="no place for task 'b'"):
        to_official(tmp_path / "ours", tmp_path / "official")
    config["encoder"]["stem"] = "conv"
    SoccerModel.from_config(config).save(tmp_path / "ours")
    with pytest.raises(CheckpointError, match="'conv' stem"):
        to_official(tmp_path / "ours", tmp_path / "official")


def test_other_folders_are_not_overwritten(release, tmp_path):
    from_official(release, tmp_path / "ours")
    (release / "optimizer_state.pt").touch()
    with pytest.raises(CheckpointError, match="files other than"):
        to_official(tmp_path / "ours", release)
    with pytest.raises(CheckpointError, match="nothing was written"):
        from_official(release, release)
    assert len(list(release.iterdir())) == 4
