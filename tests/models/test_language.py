"""Language models behind a prefix: the small one, and any of transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from soccermaster.models.language import LanguageModel
from soccermaster.models.tokenizer import ANONYMOUS_WORDS
from soccermaster.models.weights import CheckpointError
from tests.models.language_models import save_gpt2

TEXT = "[PLAYER] ([TEAM]) takes the throw-in!"


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_gpt2(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="module")
def small() -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel(dim=16, depth=1, num_heads=2).eval()


def trained(model: torch.nn.Module) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("adapt", [None, "frozen"])
def test_texts_survive_their_tokens(adapt: str | None, gpt2: Path, small: LanguageModel):
    language = small if adapt is None else LanguageModel(gpt2, adapt)
    ids, real = language.tokenize([TEXT, "A goal"], 64)
    assert ids.shape == real.shape
    assert [language._text(row) for row in ids.tolist()] == [TEXT, "A goal"]
    assert (ids[~real] == language.end_id).all()
    assert ids[0, real[0]][-1] == language.end_id
    for word in ANONYMOUS_WORDS:
        assert len(language.tokenizer(word, add_special_tokens=False)["input_ids"]) == 1


def test_long_texts_are_cut_and_still_end(small: LanguageModel):
    ids, real = small.tokenize([TEXT * 20], 8)
    assert ids.shape == (1, 8)
    assert real.all()
    assert ids[0, -1] == small.end_id


def test_a_token_is_scored_from_those_before_it(small: LanguageModel):
    ids, _ = small.tokenize([TEXT], 64)
    prefix = torch.randn(1, 4, 16)
    before = small(prefix, ids)
    assert before.shape == (1, ids.shape[1], small.vocab_size)
    changed = ids.clone()
    changed[0, 3] += 1
    after = small(prefix, changed)
    assert torch.allclose(before[:, :4], after[:, :4], atol=1e-5)
    assert not torch.allclose(before[:, 4:], after[:, 4:], atol=1e-3)
    assert not torch.allclose(before[:, 0], small(-prefix, ids)[:, 0], atol=1e-3)


@pytest.mark.parametrize("decoding", ["nucleus", "beam", "paper"])
def test_texts_are_reproducible_and_short_enough(decoding: str, small: LanguageModel):
    prefix = torch.randn(2, 4, 16)
    state = torch.random.get_rng_state()
    first = small.generate(prefix, decoding, max_tokens=6)
    assert torch.equal(state, torch.random.get_rng_state())
    assert len(first) == 2
    assert first == small.generate(prefix, decoding, max_tokens=6)
    team = torch.zeros(small.vocab_size, dtype=torch.bool)
    team[small.tokenizer.convert_tokens_to_ids("[TEAM]")] = True
    for text in small.generate(prefix, decoding, max_tokens=6, allowed=team):
        assert text.replace("[TEAM]", "").strip() == ""
        assert text.count("[TEAM]") <= 6
    with pytest.raises(ValueError, match="nucleus"):
        small.generate(prefix, "greedy")


def test_only_allowed_tokens_are_used(small: LanguageModel):
    ids, _ = small.tokenize(["[TEAM] scores"], 16)
    allowed = torch.zeros(small.vocab_size, dtype=torch.bool)
    allowed[ids] = True
    texts = small.generate(torch.randn(8, 4, 16), max_tokens=6, allowed=allowed)
    assert any(texts)
    assert set("".join(texts)) <= set("[TEAM] scores")


def test_a_frozen_model_trains_the_new_words_alone(gpt2: Path):
    language = LanguageModel(gpt2, "frozen")
    assert len(trained(language)) == 2
    assert set(language.state_dict()) == trained(language)
    ids, _ = language.tokenize(["[PLAYER] scores"], 16)
    language(torch.randn(1, 3, 16), ids).sum().backward()
    rows = [p for p in language.parameters() if p.requires_grad]
    assert all(p.shape == (4, 16) and p.grad.abs().sum() > 0 for p in rows)
    assert not any(m.training for m in language.train().lm.modules())


def test_new_words_start_as_the_mean_of_their_pieces(gpt2: Path):
    language = LanguageModel(gpt2)
    embedding = language.lm.get_input_embeddings().weight
    pieces = AutoTokenizer.from_pretrained(gpt2)("[PLAYER]", add_special_tokens=False)["input_ids"]
    assert len(pieces) > 1
    word = embedding[language.tokenizer.convert_tokens_to_ids("[PLAYER]")]
    assert torch.allclose(word, embedding[pieces].mean(0), atol=1e-6)


@pytest.mark.parametrize("adapt", ["frozen", "lora"])
def test_what_was_learnt_is_saved_and_the_rest_comes_from_the_source(adapt: str, gpt2: Path):
    if adapt == "lora":
        pytest.importorskip("peft")
    torch.manual_seed(0)
    language, again = LanguageModel(gpt2, adapt).eval(), LanguageModel(gpt2, adapt).eval()
    with torch.no_grad():
        for parameter in language.parameters():
            if parameter.requires_grad:
                parameter.normal_()
    prefix, ids = torch.randn(1, 3, 16), language.tokenize(["[TEAM] win"], 16)[0]
    assert not torch.allclose(language(prefix, ids), again(prefix, ids), atol=1e-3)
    state = language.state_dict()
    assert set(state) == trained(language)
    holder = torch.nn.ModuleDict({"language": again})
    holder.load_state_dict({f"language.{name}": value for name, value in state.items()})
    assert torch.allclose(language(prefix, ids), again(prefix, ids), atol=1e-6)
    with pytest.raises(RuntimeError, match="Missing"):
        again.load_state_dict({})


def test_lora_adapts_layers_inside(gpt2: Path):
    pytest.importorskip("peft")
    names = trained(LanguageModel(gpt2, "lora"))
    assert any("lora_A" in name for name in names)
    assert sum("lora" not in name for name in names) == 2  # rows of the anonymous words


def test_bad_sources_are_named(tmp_path: Path):
    with pytest.raises(CheckpointError, match="nowhere"):
        LanguageModel(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="empty"):
        LanguageModel(tmp_path / "empty")
    with pytest.raises(ValueError, match="frozen"):
        LanguageModel(adapt="melted")
