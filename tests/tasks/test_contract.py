"""Every task config keeps the contract: forward, loss, backward, decode and metrics."""

from __future__ import annotations

import math

import pytest
import torch
from omegaconf import OmegaConf

from soccermaster.model import SoccerModel
from soccermaster.models.encoder import OUTPUTS
from soccermaster.vocabulary import ANNOTATION_FIELDS
from tests.batches import full_batch
from tests.configs import compose_train, names


def build(task: str) -> SoccerModel:
    cfg = compose_train("debug=smoke", f"task=[{task}]")
    plain = OmegaConf.to_container(cfg, resolve=True)
    return SoccerModel.from_config({"encoder": plain["encoder"], "tasks": plain["tasks"]})


@pytest.mark.parametrize("size", [(64, 96), (64, 64)], ids=["wide", "square"])
@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("name", names("task"))
def test_contract(name: str, frames: int, size: tuple[int, int]):
    model = build(name)
    (task,) = model.tasks.values()
    assert task.requires <= set(ANNOTATION_FIELDS)
    assert task.reads <= OUTPUTS

    batch = full_batch(frames=frames, size=size)
    output = model.run(batch)[name]
    terms = task.loss(output, batch)
    for term, value in terms.items():
        assert value.shape == (), term
        assert value.requires_grad, term
        assert value.isfinite(), term
    task.weigh(terms).backward()
    unreached = [key for key, p in task.named_parameters() if p.grad is None and p.requires_grad]
    assert not unreached, "no gradient reaches these parameters"
    if task.baseline_of is None:
        assert model.encoder.position_embedding.grad.abs().sum() > 0
    else:
        assert model.encoder.position_embedding.grad is None, "a yardstick teaches nobody"

    predictions = task.decode(output, batch)
    assert len(predictions) in (2, 2 * frames)
    metric = task.make_metrics()
    metric.update(predictions, batch)
    scores = metric.compute()
    assert scores
    assert all(isinstance(float(value), float) for value in scores.values())


@pytest.mark.parametrize("name", names("task"))
def test_padding_frames_teach_nothing(name: str):
    model = build(name).eval()
    (task,) = model.tasks.values()
    batch = full_batch(frames=3, padded=True)
    before = task.weigh(task.loss(model.run(batch)[name], batch))
    batch.images[:, -1] = 0
    after = task.weigh(task.loss(model.run(batch)[name], batch))
    assert torch.allclose(before, after, rtol=1e-4)


@pytest.mark.parametrize("name", names("task"))
def test_decoding_needs_no_annotations(name: str):
    model = build(name).eval()
    outputs = model(torch.rand(1, 2, 3, 64, 96) * 2 - 1, text=["[PLAYER] scores"])
    assert model.tasks[name].decode(outputs[name])


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
@pytest.mark.parametrize("name", names("task"))
def test_undefined_scores_are_nan(name: str):
    scores = build(name).tasks[name].make_metrics().compute()
    counts = {"pool_size"}
    assert all(math.isnan(v) for k, v in scores.items() if k not in counts), scores


@pytest.mark.parametrize("name", names("task"))
def test_unknown_term_weights_are_refused(name: str):
    task = build(name).tasks[name]
    task.term_weights = {"nonsense": 1.0}
    with pytest.raises(ValueError, match="nonsense"):
        task.weigh({"loss": torch.zeros(())})
