"""Baselines: what is simple enough is computed by hand."""

from __future__ import annotations

import pytest
import torch

from soccermaster.structures import EventPrediction
from soccermaster.training.baselines import Baselines
from soccermaster.training.report import metrics_table
from tests.batches import full_batch
from tests.tasks.test_contract import build


def certain(event: str, classes: tuple[str, ...]) -> EventPrediction:
    scores = torch.zeros(len(classes))
    scores[classes.index(event)] = 1
    return EventPrediction(classes, scores)


def test_majority_is_the_share_of_the_most_frequent_label():
    model = build("events").eval()
    batch = full_batch()
    predictions = {"events": [certain(batch.events[0], model.tasks["events"].classes)] * 2}
    baselines = Baselines(model)
    baselines.update(batch, predictions)
    most = max(batch.events.count(event) for event in batch.events)
    assert baselines.compute({})["majority"] == {"events/top1": most / len(batch.events)}


def test_the_untrained_model_is_scored_by_the_same_metrics_and_repeats():
    model = build("pitch_keypoints").eval()
    batch = full_batch()
    predictions = {"pitch_keypoints": model.tasks["pitch_keypoints"].decode(
        model.run(batch)["pitch_keypoints"]
    )}  # fmt: skip
    results = []
    for _ in range(2):
        baselines = Baselines(model)
        baselines.update(batch, predictions)
        results.append(baselines.compute({})["untrained"])
    assert set(results[0]) == {
        f"pitch_keypoints/{name}"
        for name in model.tasks["pitch_keypoints"].make_metrics().compute()
    }
    assert results[0] == pytest.approx(results[1], nan_ok=True)


def test_scores_of_a_yardstick_become_a_column():
    model = build("events_middle_frame").eval()
    baselines = Baselines(model)
    scores = {"events_middle_frame/top1": 0.25, "events/top1": 0.5}
    assert baselines.compute(scores)["middle_frame"] == {"events/top1": 0.25}
    assert baselines.own_scores(scores) == {"events/top1": 0.5}


def test_the_table_has_a_column_per_baseline():
    table = metrics_table({"events/top1": 0.5}, {"majority": {"events/top1": 0.1}, "other": {}})
    assert [column.header for column in table.columns] == [
        "task", "metric", "model", "majority", "other",
    ]  # fmt: skip
    assert [list(column.cells) for column in table.columns[2:]] == [["0.5000"], ["0.1000"], [""]]
