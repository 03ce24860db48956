"""The ball's place: which frames teach it, and how errors are counted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from soccermaster.predict import FramePredictions
from soccermaster.predict_files import frame_record
from soccermaster.structures import Batch, Features
from soccermaster.tasks.ball_position import BallPosition, BallPrediction, ball_positions
from soccermaster.vocabulary import ROLES
from tests.batches import full_batch

BALL = ROLES.index("ball")


def with_one_ball(frames: int = 2) -> tuple[Batch, Tensor]:
    """Two clips whose first person of every frame is the ball."""
    batch = full_batch(frames=frames)
    athletes = batch.athletes.select(batch.athletes.roles != BALL)
    first = torch.ones(len(athletes), dtype=torch.bool)
    first[1:] = athletes.frame[1:] != athletes.frame[:-1]
    roles = torch.where(first, BALL, athletes.roles)
    return dataclasses.replace(batch, athletes=dataclasses.replace(athletes, roles=roles)), first


def test_the_place_of_the_only_ball_is_the_target():
    batch, first = with_one_ball()
    places = ball_positions(batch)
    assert torch.equal(places.flatten(0, 1), batch.athletes.positions_m[first])


def test_a_frame_with_no_ball_or_with_two_has_no_target():
    batch, first = with_one_ball()
    athletes = batch.athletes
    rows = first.nonzero().flatten()
    roles = athletes.roles.clone()
    roles[rows[0]] = ROLES.index("player")
    roles[rows[1] + 1] = BALL
    batch = dataclasses.replace(batch, athletes=dataclasses.replace(athletes, roles=roles))
    places = ball_positions(batch).flatten(0, 1)
    assert places[:2].isnan().all() and places[2:].isfinite().all()
    terms = BallPosition(32).loss(BallPosition(32)(features_of(batch)), batch)
    assert terms["huber"].isfinite()


def test_scores_are_distances_in_metres():
    batch, _ = with_one_ball()
    metric = BallPosition(32).make_metrics()
    truth = ball_positions(batch).flatten(0, 1)
    off = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 8.0], [30.0, 40.0]]) * 1.01
    metric.update([BallPrediction(place) for place in truth + off], batch)
    scores = metric.compute()
    assert scores["mean_error_m"] == pytest.approx(1.01 * (5 + 8 + 50) / 4, abs=1e-4)
    assert scores["median_error_m"] == pytest.approx(1.01 * 6.5, abs=1e-4)
    assert (scores["within_5m"], scores["within_10m"]) == (0.25, 0.75)


def test_an_unknown_probe_is_refused():
    with pytest.raises(ValueError, match="attentive"):
        BallPosition(32, probe="deep")


def test_predictions_are_written_in_metres():
    found = {"ball_position": BallPrediction(torch.tensor([1.234, -5.0]))}
    frame = FramePredictions(0, 0.0, np.zeros((4, 6, 3), np.uint8), others=found)
    record = frame_record(frame, 0.3, 0.3)
    assert record["ball_position"] == {"position_m": [1.23, -5.0]}


def features_of(batch: Batch) -> Features:
    clips, frames = batch.frame_mask.shape
    return Features(grid=(2, 3), patches=torch.randn(clips, frames, 6, 32))
