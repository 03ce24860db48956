from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from soccermaster.metrics.detection import AthletesMetrics, average_precision, greedy_matches

from .batches import BALL, PLAYER, REFEREE, athletes, batch, detections

LEFT = [10.0, 10.0, 30.0, 50.0]
RIGHT = [110.0, 10.0, 130.0, 50.0]
NOWHERE = [60.0, 60.0, 80.0, 90.0]


def scores_of(predictions, truth, **batch_fields):
    metric = AthletesMetrics()
    metric.update(predictions, batch(athletes=truth, **batch_fields))
    return metric.compute()


def test_perfect_predictions_score_one():
    truth = athletes([0, 0], [LEFT, RIGHT], roles=[PLAYER, REFEREE], numbers=[7, 100])
    found = detections([LEFT, RIGHT], roles=[PLAYER, REFEREE], numbers=[7, 100])
    assert scores_of([found], truth) == pytest.approx(
        {"ap": 1, "ap50": 1, "ap75": 1, "role_accuracy": 1, "number_accuracy": 1}
    )


def test_ap_of_one_hit_after_one_miss_is_a_half():
    truth = athletes([0], [LEFT])
    found = detections([NOWHERE, LEFT], scores=[0.9, 0.2])
    assert scores_of([found], truth)["ap50"] == pytest.approx(0.5)


def test_ap_counts_the_thresholds_that_the_overlap_reaches():
    shorter = [10.0, 10.0, 30.0, 42.5]  # 32.5 of 40 px of height: IoU 0.8125
    scores = scores_of([detections([shorter])], athletes([0], [LEFT]))
    assert scores["ap75"] == pytest.approx(1)
    assert scores["ap"] == pytest.approx(0.7)  # 0.50 to 0.80


def test_a_low_score_counts_for_ap():
    scores = scores_of([detections([LEFT], scores=[0.01])], athletes([0], [LEFT]))
    assert scores["ap50"] == pytest.approx(1)


def test_only_the_best_hundred_detections_of_a_frame_count():
    scores = np.linspace(0.9, 0.1, 101).tolist()
    found = detections([NOWHERE] * 100 + [LEFT], scores=scores)
    assert scores_of([found], athletes([0], [LEFT]))["ap50"] == 0


def test_balls_are_left_out_on_both_sides():
    truth = athletes([0, 0], [LEFT, RIGHT], roles=[PLAYER, BALL])
    found = detections([NOWHERE, LEFT], scores=[0.9, 0.8], roles=[BALL, PLAYER])
    assert scores_of([found], truth)["ap50"] == pytest.approx(1)


def test_each_frame_is_matched_with_its_own_prediction():
    truth = athletes([1, 3], [LEFT, RIGHT])  # frame 1 of clip 0, frame 1 of clip 1
    right = [detections([]), detections([LEFT]), detections([]), detections([RIGHT])]
    wrong = [detections([LEFT]), detections([]), detections([RIGHT]), detections([])]
    assert scores_of(right, truth, num_clips=2, num_frames=2)["ap50"] == pytest.approx(1)
    assert scores_of(wrong, truth, num_clips=2, num_frames=2)["ap50"] == 0


def test_padding_frames_are_skipped():
    mask = torch.tensor([[True, False]])
    predictions = [detections([LEFT]), detections([NOWHERE], scores=[0.99])]
    scores = scores_of(predictions, athletes([0], [LEFT]), num_frames=2, frame_mask=mask)
    assert scores["ap50"] == pytest.approx(1)


def test_no_detections_have_no_precision_and_undefined_accuracies():
    scores = scores_of([detections([])], athletes([0], [LEFT], roles=[PLAYER]))
    assert scores["ap"] == 0
    assert math.isnan(scores["role_accuracy"])


def test_nothing_annotated_is_undefined():
    empty = athletes([], [])
    for predictions in ([detections([])], [detections([LEFT])]):
        assert all(math.isnan(score) for score in scores_of(predictions, empty).values())


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_no_batch_at_all_is_undefined():
    assert all(math.isnan(score) for score in AthletesMetrics().compute().values())


def test_role_accuracy_leaves_unknown_roles_out():
    truth = athletes([0, 0], [LEFT, RIGHT], roles=[PLAYER, -1])
    found = detections([LEFT, RIGHT], roles=[PLAYER, REFEREE])
    assert scores_of([found], truth)["role_accuracy"] == 1


@pytest.mark.parametrize(
    ("number", "role", "legibility", "expected"),
    [
        (7, PLAYER, 0.9, 1.0),
        (8, PLAYER, 0.9, 0.0),
        (7, REFEREE, 0.9, 1.0),
        (7, PLAYER, np.nan, 1.0),
        (7, REFEREE, np.nan, np.nan),
        (7, PLAYER, 0.5, np.nan),
        (100, PLAYER, 0.9, np.nan),
        (-1, PLAYER, 0.9, np.nan),
    ],
)
def test_number_accuracy_is_over_readable_numbers(number, role, legibility, expected):
    truth = athletes([0], [LEFT], numbers=[number], roles=[role], legibility=[legibility])
    scores = scores_of([detections([LEFT], numbers=[7])], truth)
    assert scores["number_accuracy"] == pytest.approx(expected, nan_ok=True)


def test_matches_are_one_to_one_and_the_next_best_may_be_taken():
    iou = torch.tensor([[0.9, 0.6], [0.8, 0.6], [0.9, 0.55], [0.4, 0.4]])
    assert greedy_matches(iou, 0.5).tolist() == [0, 1, -1, -1]


def test_matching_without_annotations():
    assert greedy_matches(torch.empty(3, 0), 0.5).tolist() == [-1, -1, -1]
    assert greedy_matches(torch.empty(0, 3), 0.5).tolist() == []


def test_average_precision_does_not_depend_on_the_unit():
    rng = np.random.default_rng(0)
    low = torch.from_numpy(rng.uniform(0, 80, (20, 2)))
    truth = torch.cat([low, low + 10], 1)
    found = truth + torch.from_numpy(rng.uniform(-2, 2, (20, 4)))
    scores = torch.from_numpy(rng.uniform(size=20))
    unit = torch.tensor([0.01, 3.0, 0.01, 3.0])
    expected = average_precision([found], [scores], [truth])
    assert 0 < expected["ap"] < 1
    assert average_precision([found * unit], [scores], [truth * unit]) == pytest.approx(expected)


def test_a_clip_that_comes_twice_counts_once():
    metric = AthletesMetrics()
    good, bad = detections([LEFT], numbers=[7]), detections([NOWHERE], scores=[0.8])
    truth = athletes([0], [LEFT], roles=[PLAYER])
    metric.update([good], batch(athletes=truth, ids="a"))
    for _ in range(3):
        metric.update([bad], batch(athletes=truth, ids="b"))
    # Two people, one found: recall 1/2 at precision 1, i.e. 51 of the 101 recall points of COCO.
    assert metric.compute()["ap50"] == pytest.approx(51 / 101)


def test_evaluation_is_silent(capfd):
    scores_of([detections([LEFT])], athletes([0], [LEFT]))
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_a_batch_without_athletes_is_refused():
    with pytest.raises(ValueError, match=r"batch\.athletes"):
        AthletesMetrics().update([detections([])], batch())


def test_too_few_predictions_are_refused():
    with pytest.raises(ValueError, match="expected 2 predictions"):
        AthletesMetrics().update(
            [detections([])], batch(num_frames=2, athletes=athletes([0], [LEFT]))
        )
