"""The published recipe: groups, learning rates, schedule and clipping."""

from __future__ import annotations

import math

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from soccermaster.model import SoccerModel
from soccermaster.training.optim import AdamWCosine, clip_gradients
from tests.configs import compose_train


@pytest.fixture(scope="module")
def paper():
    return compose_train("experiment=pretrain_paper", "text.tokenizer=null", "text.depth=1")


@pytest.fixture(scope="module")
def model(paper) -> SoccerModel:
    """The published network without values."""
    with torch.device("meta"):
        model = SoccerModel.from_config(
            {
                "encoder": OmegaConf.to_container(paper.encoder, resolve=True),
                "tasks": OmegaConf.to_container(paper.tasks, resolve=True),
            }
        )
    model.tasks["alignment"].text.requires_grad_(False)
    return model


def test_the_published_groups(paper, model):
    found: dict[tuple[float, float], int] = {}
    for group in instantiate(paper.optim).groups(model):
        key = (group["lr"], group["weight_decay"])
        found[key] = found.get(key, 0) + sum(p.numel() for p in group["params"])
    classifier = 2 * 2 * 1024 + 1025 * 24
    events = 25_221_144
    assert found == {
        (5e-5, 1e-4): 316_742_656,  # the image tower of SigLIP 2
        (1e-4, 0.0): 30_720,  # frame embedding
        # temporal attention, detection, keypoints, alignment, layers of events
        (1e-4, 1e-4): 42_000_392 + 1_507_731 + 8_380_492 + 2 + events - classifier,
        (1e-3, 1e-4): 8_340_576,  # lines
        (2e-4, 1e-4): classifier,
    }


def test_the_published_schedule(paper, model):
    optim = instantiate(paper.optim)
    per_epoch = 50
    relative = optim.schedule(5e-5, 20 * per_epoch, per_epoch)
    assert [relative(step) for step in (0, 24, 49)] == pytest.approx([1 / 50, 25 / 50, 1])
    epochs = [relative(per_epoch * e) for e in range(1, 20)]
    published = [
        1, .9932, .9729, .9397, .8946, .8386, .7735, .7008, .6227, .5413, .4587, .3773, .2992,
        .2265, .1614, .1054, .0603, .0271, .0068,
    ]  # fmt: skip
    lowest = 1e-8 / 5e-5
    assert epochs == pytest.approx([p * (1 - lowest) + lowest for p in published], abs=6e-5)
    assert relative(per_epoch * 3) == relative(per_epoch * 4 - 1)  # once per epoch


def test_the_published_weights_and_sizes(paper):
    assert paper.loss_weights.alignment == 4 and paper.loss_weights.events == 1
    assert (paper.trainer.max_epochs, paper.trainer.gradient_clip_val) == (20, 0.1)
    assert paper.trainer.devices * paper.trainer.num_nodes == 16
    sources = paper.datasets
    assert {name: source.batch_size for name, source in sources.items()} == {
        "paper_spatial": 1,
        "paper_semantic": 2,
    }
    assert "MatchTime" not in sources.paper_semantic.dataset.sources.valid
    assert paper.augment.crop_size == [0.6, 1.0]


def small_model() -> SoccerModel:
    cfg = compose_train("debug=smoke", "task=[events,athletes]")
    return SoccerModel.from_config({"encoder": cfg.encoder, "tasks": cfg.tasks})


def test_every_component_is_clipped_by_itself():
    model = small_model()
    for scale, module in zip(
        (3.0, 0.001, 7.0), (model.encoder, *model.tasks.values()), strict=True
    ):
        for parameter in module.parameters():
            parameter.grad = torch.full_like(parameter, scale / math.sqrt(parameter.numel()))

    def norm(module) -> float:
        return float(torch.nn.utils.get_total_norm([p.grad for p in module.parameters()]))

    before = {"encoder": norm(model.encoder)} | {n: norm(t) for n, t in model.tasks.items()}
    norms = clip_gradients(model, 0.1, "component")
    assert {name: float(value) for name, value in norms.items()} == pytest.approx(before)
    assert norm(model.encoder) == pytest.approx(0.1, rel=1e-4)
    small = "events" if before["events"] < 0.1 else "athletes"
    assert norm(model.tasks[small]) == pytest.approx(before[small])
    clip_gradients(model, 0.05, "all")
    assert norm(model) == pytest.approx(0.05, rel=1e-4)


def test_names_that_fit_nothing_are_refused():
    rates = {"lr": 1e-3, "encoder_lr": 1e-3, "temporal_lr": 1e-3}
    with pytest.raises(ValueError, match=r"encoder.*blok"):
        AdamWCosine(**rates, lr_by_name={r"encoder\.blok.*": 1.0}).groups(small_model())
    # of a task that is not selected
    AdamWCosine(**rates, lr_by_name={r"tasks\.pitch_lines\..*": 1.0}).groups(small_model())
    with pytest.raises(ValueError, match=r"optim\.clip"):
        AdamWCosine(**rates, clip="some")


def test_layer_decay_slows_what_lies_deeper():
    model = small_model()
    rates = AdamWCosine(lr=1e-2, encoder_lr=1e-3, temporal_lr=2e-3, layer_decay=0.5)
    lr_of = {p: group["lr"] for group in rates.groups(model) for p in group["params"]}
    by_name = {name: lr_of[p] for name, p in model.named_parameters()}
    depth = len(model.encoder.blocks)  # the last block has the rate of the encoder
    assert by_name[f"encoder.blocks.{depth - 1}.mlp.fc1.weight"] == pytest.approx(1e-3)
    assert by_name[f"encoder.blocks.{depth - 2}.mlp.fc1.weight"] == pytest.approx(5e-4)
    assert by_name["encoder.position_embedding"] == pytest.approx(1e-3 * 0.5**depth)
    assert by_name["encoder.temporal.0.gate"] == pytest.approx(2e-3)
    assert by_name["encoder.norm.weight"] == pytest.approx(1e-3)
    assert {by_name[n] for n in by_name if n.startswith("tasks.")} == {1e-2}
    with pytest.raises(ValueError, match="layer_decay"):
        AdamWCosine(lr=1.0, encoder_lr=1.0, temporal_lr=1.0, layer_decay=1.5)
