"""Commentary: the head learns to tell clips apart, and to keep to words that it was taught."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from soccermaster.model import SoccerModel, load_model
from soccermaster.models.language import LanguageModel
from soccermaster.structures import Batch, Features
from soccermaster.tasks.commentary import Commentary
from tests.models.language_models import save_gpt2

TEXTS = ("Goal for [TEAM]!", "A corner from the left")


def small(**changes) -> Commentary:
    torch.manual_seed(0)
    language = changes.pop("language", None) or LanguageModel(dim=16, depth=1, num_heads=2)
    sizes = {"dim": 16, "num_queries": 4, "depth": 1, "num_heads": 2, "max_tokens": 16}
    return Commentary(8, language, **(sizes | changes))


def clips(texts: tuple[str | None, ...] = TEXTS) -> tuple[Features, Batch]:
    """Clips whose frames all say which of them it is."""
    frames = torch.randn(len(texts), 1, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(len(texts), 3, dtype=torch.bool)
    batch = Batch(torch.zeros(len(texts), 3, 3, 4, 4), mask, texts=texts, source="test")
    return Features(grid=(1, 1), frames=frames.expand(-1, 3, -1)), batch


def teach(task: Commentary, steps: int = 60) -> float:
    features, batch = clips()
    optimizer = torch.optim.Adam([p for p in task.parameters() if p.requires_grad], lr=0.02)
    task.train()
    for _ in range(steps):
        loss = task.loss(task(features), batch)["cross_entropy"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    task.eval()
    return loss.item()


@pytest.mark.parametrize("decoding", ["nucleus", "beam"])
def test_it_says_what_it_sees(decoding: str):
    task = small(decoding=decoding)
    teach(task)
    features, batch = clips()
    assert tuple(p.text for p in task.decode(task(features), batch)) == TEXTS


def test_the_loss_is_a_mean_over_the_tokens_of_the_comments():
    task = small().eval()
    features, batch = clips()
    whole = task.loss(task(features), batch)["cross_entropy"]
    parts = []
    for i in (0, 1):
        texts = tuple(text if k == i else None for k, text in enumerate(TEXTS))
        _, alone = clips(texts)
        tokens = int(task.language.tokenize([TEXTS[i]], 16)[1].sum())
        parts.append((task.loss(task(features), alone)["cross_entropy"], tokens))
    total = sum(n for _, n in parts)
    assert whole.item() == pytest.approx(sum(x.item() * n for x, n in parts) / total, rel=1e-4)


def test_clips_without_comments_teach_nothing():
    task = small()
    features, batch = clips((None, None))
    loss = task.loss(task(features), batch)["cross_entropy"]
    assert loss.item() == 0
    loss.backward()


def test_the_vocabulary_can_be_that_of_the_training():
    task = small(vocabulary="training", temperature=5.0, top_p=1.0)
    features, batch = clips()
    letters = set("".join(TEXTS))
    untaught = "".join(p.text for p in task.eval().decode(task(features), batch))
    assert not set(untaught) <= letters
    task.train().loss(task(features), batch)
    task.eval()
    for seed in range(4):
        task.seed = seed
        said = "".join(p.text for p in task.decode(task(features), batch))
        assert said
        assert set(said) <= letters
    with pytest.raises(ValueError, match="training"):
        small(vocabulary="words")


def test_any_language_model_learns_behind_a_checkpoint(tmp_path: Path):
    source = save_gpt2(tmp_path / "gpt2")
    before = small(language=LanguageModel(source))
    features, batch = clips()
    first = before.loss(before(features), batch)["cross_entropy"].item()
    assert teach(before, steps=20) < first - 0.2

    config = {
        "encoder": {
            "_target_": "soccermaster.models.encoder.VideoEncoder",
            "image_size": [32, 32], "patch_size": 16, "embed_dim": 8, "depth": 1,
            "temporal_depth": 1, "num_heads": 2,
        },
        "tasks": {
            "commentary": {
                "_target_": "soccermaster.tasks.commentary.Commentary",
                "embed_dim": 8, "dim": 16, "num_queries": 4, "depth": 1, "num_heads": 2,
                "language": {
                    "_target_": "soccermaster.models.language.LanguageModel",
                    "source": str(source),
                },
            }
        },
    }  # fmt: skip
    model = SoccerModel.from_config(config)
    model.tasks["commentary"].load_state_dict(before.state_dict())
    again = load_model(model.save(tmp_path / "checkpoint"))
    assert not any("wte.parametrizations.weight.original" in name for name in again.state_dict())
    after = again.tasks["commentary"]
    assert torch.equal(before(features).prefix, after(features).prefix)
    wanted = before.loss(before(features), batch)["cross_entropy"]
    assert torch.allclose(wanted, after.loss(after(features), batch)["cross_entropy"])
