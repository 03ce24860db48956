"""A fresh benchmark written to disk, predicted by the command line's code and scored from the files
by tests/independent_scorer.py, agrees with the table of an evaluation of the same clips."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate

from soccermaster.data.augment import ResizeClip
from soccermaster.data.collate import collate_clips
from soccermaster.data.synthetic.benchmark_files import write_benchmark
from soccermaster.data.synthetic.files import derived_seed
from soccermaster.model import SoccerModel, load_model
from soccermaster.predict import Predictor
from soccermaster.predict_files import write_predictions
from soccermaster.training.routing import route
from soccermaster.training.run import evaluate, input_sizes, make_datamodule, model_config
from tests.configs import compose_train
from tests.independent_scorer import clip_scores, frame_scores

SEED = 7
SIZE = [144, 256]  # of the frames; small, so that the test takes a minute
CLIPS = {"synthetic_spatial": 4, "synthetic_semantic": 24}


def changes(kind: str) -> list[str]:
    """What makes a benchmark dataset hold the clips that `write_benchmark` writes."""
    prefix = f"datasets.synthetic_{kind}.dataset"
    seed = derived_seed(SEED, "benchmark", kind)
    return [f"{prefix}.seed.test={seed}", f"{prefix}.num_clips.test={CLIPS[f'synthetic_{kind}']}"]


OVERRIDES = [
    "dataset=synthetic_benchmark",
    *changes("spatial"),
    *changes("semantic"),
    f"datasets.synthetic_spatial.dataset.image_size={SIZE}",
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows the fresh clips by heart, so that the scores are far from zero."""
    folder = tmp_path_factory.mktemp("model")
    cfg = compose_train(
        *OVERRIDES, f"encoder.image_size={SIZE}", f"paths.output={folder}", "num_workers=0"
    )
    torch.manual_seed(0)
    model = SoccerModel.from_config(model_config(cfg))
    data = make_datamodule(cfg)
    routes = route(model.tasks, data.provides("test"))
    model.config["input_sizes"] = input_sizes(routes, data)
    optimizer, schedule = instantiate(cfg.optim).build(model, 120)
    batches = []
    for name, source in data.sources.items():
        dataset, resize = data.dataset(name, "test"), ResizeClip(tuple(source.image_size))
        clips = [resize(dataset[i], None) for i in range(len(dataset))]
        batches.append(collate_clips(clips, provides=frozenset(dataset.provides), source=name))
    model.train()
    for _ in range(120):
        for batch in batches:
            outputs = model.run(batch, routes[batch.source])
            losses = (
                model.tasks[n].weigh(model.tasks[n].loss(o, batch)) for n, o in outputs.items()
            )
            sum(losses, start=torch.zeros(())).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    model.save(folder / "checkpoint")
    return folder / "checkpoint"


@pytest.mark.slow
def test_scores_from_the_files_agree_with_the_table(checkpoint: Path, tmp_path: Path):
    fresh = write_benchmark(
        tmp_path / "set",
        seed=SEED,
        spatial=CLIPS["synthetic_spatial"],
        semantic=CLIPS["synthetic_semantic"],
        spatial_size=tuple(SIZE),
    )
    texts = (fresh / "texts.txt").read_text().splitlines()
    predictor = Predictor(load_model(checkpoint), texts=texts, top_texts=len(texts))
    write_predictions(predictor, fresh / "SoccerNetGS/test/SNGS-116/img1", tmp_path / "frames", 0.0)
    write_predictions(predictor, fresh / "benchmark_clips.mp4", tmp_path / "clips")
    from_files = frame_scores(fresh, tmp_path / "frames") | clip_scores(fresh, tmp_path / "clips")

    cfg = compose_train(
        f"checkpoint={checkpoint}", "split=test", f"paths.output={tmp_path / 'table'}",
        "num_workers=0", *OVERRIDES, root="evaluate",
    )  # fmt: skip
    table = {key.removeprefix("test/"): value for key, value in evaluate(cfg).items()}
    for key, value in from_files.items():
        if key == "alignment/recall_within_class":
            continue  # one clip per class: nothing to choose from
        assert table[key] > 0.3, f"{key}: the model has not learnt, so there is nothing to compare"
        assert value == pytest.approx(table[key], abs=0.05), key
