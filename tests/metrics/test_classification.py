from __future__ import annotations

import math

import pytest
import torch

from soccermaster.metrics.classification import EventMetrics, macro_f1, target_ranks
from soccermaster.structures import EventPrediction

from .batches import batch

CLASSES = ("corner", "goal", "foul", "penalty", "injury", "var")


def predict(event: str, second: str | None = None) -> EventPrediction:
    scores = torch.full((6,), 0.01)
    scores[CLASSES.index(event)] = 0.8
    if second:
        scores[CLASSES.index(second)] = 0.1
    return EventPrediction(CLASSES, scores)


def scores_of(predictions, events, ids=None):
    metric = EventMetrics(CLASSES)
    metric.update(predictions, batch(len(events), events=tuple(events), ids=ids))
    return metric.compute()


def test_perfect_predictions_score_one():
    events = ["corner", "goal", "goal"]
    assert scores_of([predict(e) for e in events], events) == {"top1": 1, "top5": 1, "macro_f1": 1}


def test_macro_f1_is_over_the_classes_with_clips():
    # corner: 1 of 1 found with one false alarm, F1 2/3; goal: 1 of 2 found, F1 2/3.
    scores = scores_of(
        [predict("corner"), predict("goal"), predict("corner")], ["corner"] + ["goal"] * 2
    )
    assert scores["top1"] == pytest.approx(2 / 3)
    assert scores["macro_f1"] == pytest.approx(2 / 3)


def test_clips_without_an_event_are_skipped():
    assert scores_of([predict("corner"), predict("goal")], ["corner", None])["top1"] == 1


def test_no_known_event_is_undefined():
    assert all(math.isnan(score) for score in scores_of([predict("goal")], [None]).values())


def test_a_constant_output_earns_nothing():
    constant = EventPrediction(CLASSES, torch.full((6,), 1 / 6))
    scores = scores_of([constant], ["corner"])
    assert scores["top1"] == scores["top5"] == 0


def test_broken_scores_earn_nothing():
    broken = EventPrediction(CLASSES, torch.full((6,), float("nan")))
    assert scores_of([broken], ["corner"])["top1"] == 0


def test_top5_of_five_classes_is_undefined():
    metric = EventMetrics(CLASSES[:5])
    prediction = EventPrediction(CLASSES[:5], torch.tensor([0.6, 0.1, 0.1, 0.1, 0.1]))
    metric.update([prediction], batch(events=("goal",)))
    assert math.isnan(metric.compute()["top5"])


def test_ranks():
    scores = torch.tensor([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    assert target_ranks(scores, torch.tensor([0, 1, 2])).tolist() == [0, 1, 2]


def test_macro_f1_of_a_known_table():
    confusion = torch.tensor([[3, 1, 0], [2, 4, 0], [0, 0, 0]])
    assert macro_f1(confusion) == pytest.approx((6 / 9 + 8 / 11) / 2)


def test_a_clip_that_comes_twice_counts_once():
    predictions = [predict("corner"), predict("goal"), predict("goal")]
    assert scores_of(predictions, ["corner"] * 3, ids="abb")["top1"] == 0.5


def test_clips_without_ids_all_count():
    predictions = [predict("corner"), predict("goal"), predict("goal")]
    assert scores_of(predictions, ["corner"] * 3)["top1"] == pytest.approx(1 / 3)


def test_the_confusion_matrix_has_true_classes_in_rows():
    metric = EventMetrics(CLASSES)
    metric.update([predict("goal")], batch(events=("corner",)))
    assert metric.confusion_matrix()[0, 1] == 1
    assert metric.confusion_matrix().sum() == 1


def test_an_unknown_event_is_refused_by_name():
    with pytest.raises(ValueError, match="'kick off'"):
        scores_of([predict("goal")], ["kick off"])


def test_predictions_over_other_classes_are_refused():
    other = EventPrediction(("a", "b"), torch.tensor([0.5, 0.5]))
    with pytest.raises(ValueError, match="Build both from one list"):
        scores_of([other], ["goal"])
