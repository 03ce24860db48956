"""SigLIP towers of `transformers` in our blocks, from every layout of their files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import SiglipConfig, SiglipModel, SiglipVisionModel

import soccermaster as sm
from soccermaster.model import SoccerModel, initialise_from
from soccermaster.models.text import TextEncoder
from soccermaster.models.tokenizer import train_tokenizer
from soccermaster.models.weights import CheckpointError
from tests.test_model import ENCODER

VISION = {
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 64,
    "patch_size": 16,
}
TEXT = {
    "hidden_size": 48,
    "intermediate_size": 72,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 400,
    "max_position_embeddings": 16,
    "bos_token_id": 2,
    "eos_token_id": 1,
}


@pytest.fixture(scope="module")
def siglip() -> SiglipModel:
    torch.manual_seed(0)
    model = SiglipModel(SiglipConfig(vision_config=VISION, text_config=TEXT)).eval()
    for parameter in model.parameters():  # norms and biases too
        nn.init.normal_(parameter, std=0.1)
    return model


@pytest.fixture
def directory(siglip: SiglipModel, tmp_path: Path) -> Path:
    siglip.save_pretrained(tmp_path / "siglip")
    tokenizer = train_tokenizer(["a corner for the team", "the goal"], 280)
    tokenizer.save(str(tmp_path / "siglip" / "tokenizer.json"))
    return tmp_path / "siglip"


def assert_is_the_tower(encoder, siglip: SiglipModel, size: tuple[int, int] = (64, 64)) -> None:
    """Pooled output and hidden state are those of transformers, frame by frame."""
    images = torch.rand(2, 3, 3, *size) * 2 - 1
    with torch.no_grad():
        theirs = siglip.vision_model(
            images.flatten(0, 1),
            output_hidden_states=True,
            interpolate_pos_encoding=size != (64, 64),
        )
        ours = encoder(images)
    tap = len(encoder.blocks) - len(encoder.temporal)
    frames, patches = ours.frames.flatten(0, 1), ours.patches.flatten(0, 1)
    torch.testing.assert_close(frames, theirs.pooler_output, atol=1e-5, rtol=0)
    torch.testing.assert_close(patches, theirs.hidden_states[tap], atol=1e-5, rtol=0)


@pytest.mark.parametrize("temporal_depth", [None, 0, 3])
def test_the_encoder_is_the_image_tower(siglip, directory, temporal_depth):
    encoder = sm.load_encoder(directory, temporal_depth=temporal_depth)
    assert len(encoder.temporal) == (1 if temporal_depth is None else temporal_depth)
    assert not encoder.training
    assert_is_the_tower(encoder, siglip)


def test_it_gives_the_last_hidden_state(siglip, directory):
    encoder = sm.load_encoder(directory, temporal_depth=0)
    images = torch.rand(1, 2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        wanted = siglip.vision_model(images[0]).last_hidden_state
        ours = encoder.norm(encoder(images).patches[0])
    torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=0)


def test_sharded_files(siglip, tmp_path):
    siglip.save_pretrained(tmp_path, max_shard_size="60KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 3
    assert_is_the_tower(sm.load_encoder(tmp_path), siglip)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    (tmp_path / index["weight_map"]["vision_model.head.probe"]).unlink()
    with pytest.raises(CheckpointError, match=r"cannot read .*safetensors"):
        sm.load_encoder(tmp_path)


@pytest.mark.parametrize("prefix", ["", "vision_model."])
def test_vision_towers_alone_of_transformers_4_and_5(siglip, tmp_path, prefix):
    tower = SiglipVisionModel(siglip.config.vision_config)
    state = siglip.vision_model.state_dict()
    tower.load_state_dict(state)
    tower.save_pretrained(tmp_path)
    save_file(
        {f"{prefix}{name}": t.contiguous() for name, t in state.items()},
        tmp_path / "model.safetensors",
    )
    assert_is_the_tower(sm.load_encoder(tmp_path), siglip)


@pytest.mark.parametrize("size", [(64, 64), (48, 96), (96, 96)])
def test_positions_are_resampled(siglip, directory, size):
    stored = sm.load_encoder(directory, image_size=size)
    assert stored.image_size == size
    assert_is_the_tower(stored, siglip, size)
    assert_is_the_tower(sm.load_encoder(directory), siglip, size)


def test_half_precision_files_become_float32(siglip, directory):
    path = directory / "model.safetensors"
    save_file({k: v.bfloat16() for k, v in load_file(path).items()}, path)
    assert sm.load_encoder(directory).norm.weight.dtype == torch.float32


def test_a_model_is_initialised_with_both_towers(siglip, directory):
    config = {
        "encoder": {
            **ENCODER,
            "image_size": [48, 96],
            "embed_dim": 48,
            "depth": 3,
            "temporal_depth": 2,
            "num_heads": 4,
            "mlp_dim": 80,
        },
        "tasks": {
            "alignment": {
                "_target_": "soccermaster.tasks.alignment.Alignment",
                "embed_dim": 48,
                "text": {
                    "_target_": "soccermaster.models.text.TextEncoder",
                    "embed_dim": 48,
                    "depth": 2,
                    "num_heads": 4,
                    "output_dim": 48,
                    "max_length": 16,
                    "mlp_dim": 72,
                    "vocab_size": 400,
                    "tokenizer": str(directory),
                },
            }
        },
    }
    model = SoccerModel.from_config(config).eval()
    taken = initialise_from(model, directory)
    assert taken.loaded == ("encoder", "alignment.text")
    assert_is_the_tower(model.encoder, siglip, (48, 96))
    assert_is_the_text_tower(model.tasks["alignment"].text, siglip)

    config["encoder"]["num_heads"] = 2
    with pytest.raises(CheckpointError, match="num_heads=4"):
        initialise_from(SoccerModel.from_config(config), directory)


def assert_is_the_text_tower(tower: TextEncoder, siglip: SiglipModel) -> None:
    ids = torch.randint(0, 400, (3, 16))
    with torch.no_grad():
        theirs = siglip.text_model(ids).pooler_output
        torch.testing.assert_close(tower(ids), theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "change,message",
    [
        ({"model_type": "siglip2"}, r"NaFlex variant .* fixed-resolution one"),
        ({"model_type": "clip"}, "got model_type 'clip'"),
        ({"vision_config": {**VISION, "hidden_act": "gelu"}}, "gelu_pytorch_tanh"),
        ({"vision_config": {**VISION, "vision_use_head": False}}, "pooling head"),
    ],
)
def test_other_models_are_refused(directory, change, message):
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CheckpointError, match=message):
        sm.load_encoder(directory)


def test_surplus_and_missing_tensors_are_named(directory):
    path = directory / "model.safetensors"
    tensors = load_file(path)
    save_file({**tensors, "vision_model.surplus": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match=r"unexpected.*vision_model\.surplus"):
        sm.load_encoder(directory)
    tensors.pop("vision_model.head.probe")
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"missing: vision_model\.head\.probe"):
        sm.load_encoder(directory)


def test_what_is_neither_a_folder_nor_on_the_hub(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="nothing in it"):
        sm.load_encoder(tmp_path / "empty")
    with pytest.raises(CheckpointError, match="hub"):  # offline in tests
        sm.load_encoder("nobody/no-such-model")


def test_long_texts_keep_their_end_mark(shared):
    folder = shared / "parity" / "hf"
    if not folder.is_dir():
        pytest.skip("no SentencePiece model in shared/parity")
    (directory,) = folder.iterdir()
    tower = TextEncoder(16, 1, 2, output_dim=8, max_length=9, vocab_size=1024, tokenizer=directory)
    long, empty = tower.tokenize(["[PLAYER] " * 60, ""]).tolist()
    pieces = tower.tokenizer.pieces
    assert long == [*pieces.EncodeAsIds("[PLAYER] " * 60)[:8], pieces.eos_id()]
    assert empty == [pieces.eos_id(), *[pieces.pad_id()] * 8]
    with pytest.raises(ValueError, match="vocab_size of at least 400"):
        TextEncoder(16, 1, 2, output_dim=8, vocab_size=300, tokenizer=directory)


@pytest.mark.parametrize("flags", [{}, {"add_bos_token": True, "add_eos_token": True}])
def test_tokenizer_json_with_its_own_marks_or_those_of_the_config(directory, flags):
    from tokenizers import Tokenizer, processors

    path = directory / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.add_special_tokens(["<eos>", "<bos>"])
    eos, bos = (tokenizer.token_to_id(token) for token in ("<eos>", "<bos>"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", eos)]
    )
    tokenizer.enable_padding(length=99)
    tokenizer.enable_truncation(98)
    tokenizer.save(str(path))
    (directory / "tokenizer_config.json").write_text(json.dumps({"pad_token": "<pad>", **flags}))
    tower = TextEncoder(16, 1, 2, output_dim=8, max_length=12, tokenizer=directory)
    short, long = tower.tokenize(["goal", "goal " * 40]).tolist()
    assert len(short) == len(long) == 12
    assert (short[0] == bos) == bool(flags)
    assert short.count(eos) == 1 and short[-1] == 0
    assert long[-1] == eos


def test_lower_casing_is_an_option():
    plain, lower = (TextEncoder(16, 1, 2, 8, lowercase=on) for on in (False, True))
    assert not torch.equal(plain.tokenize(["GOAL"]), plain.tokenize(["goal"]))
    assert torch.equal(lower.tokenize(["GOAL"]), plain.tokenize(["goal"]))


def test_token_ids_of_another_tokenizer_are_refused():
    tower = TextEncoder(16, 1, 2, 8, max_length=4)
    with pytest.raises(ValueError, match="another tokenizer"):
        tower(torch.full((1, 4), 10**6))
    with pytest.raises(ValueError, match="L up to 4"):
        tower(torch.zeros(1, 5, dtype=torch.long))
