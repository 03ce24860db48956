from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from soccermaster.metrics.keypoints import KeypointsMetrics, LinesMetrics, segment_distances
from soccermaster.structures import Keypoints, KeypointsPrediction, Lines, LinesPrediction

from .batches import HEIGHT, WIDTH, batch

NAN = float("nan")


def annotated(points_px, known=None, num_frames=1):
    """Keypoints 1.. of one clip from a list of points; the others are undecided."""
    points = torch.full((1, num_frames, 57, 2), NAN)
    decided = torch.zeros(1, num_frames, 57, dtype=torch.bool)
    n = len(points_px)
    points[:, :, :n] = torch.tensor(points_px).reshape(n, 2)
    decided[:, :, :n] = torch.tensor(known if known is not None else [True] * n).bool()
    return Keypoints(points, decided)


def predicted(points_px, scores=None):
    points, all_scores = torch.zeros(57, 2), torch.zeros(57)
    n = len(points_px)
    points[:n] = torch.tensor(points_px).reshape(n, 2) / torch.tensor([WIDTH, HEIGHT])
    all_scores[:n] = torch.tensor(scores if scores is not None else [0.9] * n)
    return KeypointsPrediction(points, all_scores)


def scores_of(prediction, truth, **batch_fields):
    metric = KeypointsMetrics()
    metric.update(
        [prediction] * truth.known.shape[1],
        batch(num_frames=truth.known.shape[1], keypoints=truth, **batch_fields),
    )
    return metric.compute()


def test_perfect_predictions_score_one():
    points = [[10.0, 20.0], [190.0, 99.0]]
    assert scores_of(predicted(points), annotated(points)) == pytest.approx(
        {"f1_5px": 1, "precision_5px": 1, "recall_5px": 1, "accuracy_5px": 1, "error_px": 0},
        abs=1e-4,
    )


def test_empty_predictions_have_recall_zero_and_no_precision():
    scores = scores_of(predicted([]), annotated([[10.0, 20.0]]))
    assert scores["recall_5px"] == 0
    assert scores["f1_5px"] == 0
    assert scores["accuracy_5px"] == 0
    assert math.isnan(scores["precision_5px"])
    assert math.isnan(scores["error_px"])


def test_nothing_decided_is_undefined():
    nothing = annotated([])
    for prediction in (predicted([]), predicted([[10.0, 20.0]])):
        assert all(math.isnan(score) for score in scores_of(prediction, nothing).values())


def test_a_rightly_empty_frame_is_accurate_and_has_no_f1():
    scores = scores_of(predicted([]), annotated([[NAN, NAN]]))
    assert scores["accuracy_5px"] == 1
    assert math.isnan(scores["f1_5px"])


def test_a_wrong_place_is_one_false_positive_and_one_false_negative():
    points = [[10.0, 20.0], [50.0, 50.0]]
    scores = scores_of(predicted([[10.0, 20.0], [90.0, 50.0]]), annotated(points))
    assert scores["precision_5px"] == 0.5
    assert scores["recall_5px"] == 0.5
    assert scores["f1_5px"] == 0.5
    assert scores["accuracy_5px"] == 0.5


def test_distances_are_measured_in_a_square_frame_of_512():
    # 1.5 px of 200 are 3.84 px of 512; 1.5 px of 100 are 7.68 px of 512.
    points = [[10.0, 20.0], [10.0, 20.0]]
    scores = scores_of(predicted([[11.5, 20.0], [10.0, 21.5]]), annotated(points))
    assert scores["recall_5px"] == 0.5
    assert scores["error_px"] == pytest.approx(3.84, abs=1e-4)


def test_undecided_points_are_left_out():
    truth = annotated([[10.0, 20.0], [50.0, 50.0]], known=[True, False])
    scores = scores_of(predicted([[10.0, 20.0], [90.0, 90.0]]), truth)
    assert scores["precision_5px"] == scores["recall_5px"] == scores["accuracy_5px"] == 1


def test_points_outside_the_frame_are_absent():
    truth = annotated([[10.0, 20.0], [-4.0, 50.0]])
    scores = scores_of(predicted([[10.0, 20.0], [0.0, 50.0]]), truth)
    assert scores["precision_5px"] == 0.5
    assert scores["recall_5px"] == 1


def test_a_prediction_at_the_threshold_is_absent():
    scores = scores_of(predicted([[10.0, 20.0]], scores=[0.1]), annotated([[10.0, 20.0]]))
    assert scores["recall_5px"] == 0


def test_ratios_are_over_all_frames_together():
    points = torch.full((1, 2, 57, 2), NAN)
    known = torch.zeros(1, 2, 57, dtype=torch.bool)
    known[0, :, :3] = True
    points[0, 0, :3] = torch.tensor([[10.0, 10.0], [20.0, 20.0], [30.0, 30.0]])
    points[0, 1, 0] = torch.tensor([10.0, 10.0])
    metric = KeypointsMetrics()
    full, empty = predicted([[10.0, 10.0], [20.0, 20.0], [30.0, 30.0]]), predicted([])
    metric.update([full, empty], batch(num_frames=2, keypoints=Keypoints(points, known)))
    assert metric.compute()["recall_5px"] == 0.75


def test_padding_frames_are_left_out():
    truth = annotated([[10.0, 20.0]], num_frames=2)
    mask = torch.tensor([[True, False]])
    metric = KeypointsMetrics()
    metric.update(
        [predicted([[10.0, 20.0]]), predicted([[90.0, 90.0]])],
        batch(num_frames=2, keypoints=truth, frame_mask=mask),
    )
    assert metric.compute()["f1_5px"] == 1


def test_a_clip_that_comes_twice_counts_once():
    metric = KeypointsMetrics()
    truth = annotated([[10.0, 20.0]])
    metric.update([predicted([[10.0, 20.0]])], batch(keypoints=truth, ids="a"))
    for _ in range(3):
        metric.update([predicted([])], batch(keypoints=truth, ids="b"))
    assert metric.compute()["recall_5px"] == 0.5


def test_the_radius_is_part_of_the_name():
    metric = KeypointsMetrics(radius_px=2.5)
    truth = annotated([[10.0, 20.0]])
    metric.update([predicted([[11.5, 20.0]])], batch(keypoints=truth))  # 3.84 px away
    assert metric.compute()["f1_2.5px"] == 0


def line_batch(segments_px, **fields):
    segments = torch.full((1, 1, 23, 2, 2), NAN)
    segments[0, 0, : len(segments_px)] = torch.tensor(segments_px)
    return batch(lines=Lines(segments, torch.ones(1, 1, 23, dtype=torch.bool)), **fields)


def line_prediction(segments_px):
    segments, scores = torch.zeros(23, 2, 2), torch.zeros(23)
    n = len(segments_px)
    segments[:n] = torch.tensor(segments_px) / torch.tensor([WIDTH, HEIGHT])
    scores[:n] = 0.5
    return LinesPrediction(segments, scores)


def test_lines_match_in_either_order_of_ends():
    first, second = [[10.0, 20.0], [190.0, 80.0]], [[50.0, 0.0], [50.0, 99.0]]
    metric = LinesMetrics()
    metric.update([line_prediction([first, second[::-1]])], line_batch([first, second]))
    scores = metric.compute()
    assert scores["f1_5px"] == scores["accuracy_5px"] == 1
    assert scores["error_px"] == pytest.approx(0, abs=1e-4)


def test_both_ends_of_a_line_must_be_near():
    line = [[10.0, 20.0], [190.0, 80.0]]
    metric = LinesMetrics()
    metric.update([line_prediction([[[10.0, 20.0], [150.0, 80.0]]])], line_batch([line]))
    scores = metric.compute()
    assert scores["precision_5px"] == scores["recall_5px"] == 0
    assert scores["accuracy_5px"] == pytest.approx(22 / 23)


def test_the_error_of_a_line_is_the_mean_of_its_ends():
    line = [[10.0, 20.0], [190.0, 80.0]]
    metric = LinesMetrics()
    metric.update([line_prediction([[[11.5, 20.0], [190.0, 80.0]]])], line_batch([line]))
    assert metric.compute()["error_px"] == pytest.approx(3.84 / 2, abs=1e-4)


def test_segment_distance_is_symmetric_in_the_order_of_ends():
    rng = np.random.default_rng(0)
    a = torch.from_numpy(rng.uniform(size=(50, 2, 2)))
    b = torch.from_numpy(rng.uniform(size=(50, 2, 2)))
    worst, mean = segment_distances(a, b)
    for other in (segment_distances(a.flip(1), b), segment_distances(b, a)):
        assert torch.equal(worst, other[0])
        assert torch.allclose(mean, other[1])


def test_a_batch_without_keypoints_is_refused():
    with pytest.raises(ValueError, match=r"batch\.keypoints"):
        KeypointsMetrics().update([predicted([])], batch())
