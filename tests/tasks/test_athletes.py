from __future__ import annotations

import dataclasses

import numpy as np
import torch

from soccermaster.ops.boxes import xyxy_to_cxcywh
from soccermaster.structures import Athletes, Batch, Features
from soccermaster.tasks.athletes import AthleteDetection, make_targets
from soccermaster.vocabulary import NO_NUMBER, ROLES

PLAYER, KEEPER, BALL = (ROLES.index(r) for r in ("player", "goalkeeper", "ball"))


def batch_of(**fields: list) -> Batch:
    n = len(fields["roles"])
    boxes = np.tile([10.0, 10, 20, 40], (n, 1))
    people = Athletes.from_boxes(
        np.zeros(n), boxes, **{k: np.asarray(v) for k, v in fields.items()}
    )
    people = Athletes(**{k: torch.as_tensor(v) for k, v in vars(people).items()})
    return Batch(
        images=torch.zeros(1, 1, 3, 50, 100),
        frame_mask=torch.ones(1, 1, dtype=torch.bool),
        athletes=people,
    )


def test_numbers_count_for_players_who_can_be_read():
    nan = float("nan")
    batch = batch_of(
        roles=[PLAYER, PLAYER, PLAYER, KEEPER, PLAYER],
        numbers=[7, 7, 23, 1, -1],
        legibility=[0.9, 0.2, nan, 0.9, nan],
    )
    targets = make_targets(batch, detect_ball=False, number_rule="paper")
    assert targets.numbers.tolist() == [7, NO_NUMBER, -1, NO_NUMBER, -1]  # 23: nobody looked
    assert targets.tens.tolist() == [9, 9, -1, 9, -1]  # none, none, unknown, none, unknown
    assert targets.units.tolist() == [7, 10, -1, 10, -1]
    released = make_targets(batch, detect_ball=False, number_rule="official")
    assert released.numbers.tolist() == [7, NO_NUMBER, -1, 1, -1]


def test_every_number_counts_where_nobody_annotated_legibility():
    batch = batch_of(roles=[PLAYER, KEEPER], numbers=[23, 1], legibility=[float("nan")] * 2)
    targets = make_targets(batch, detect_ball=False, number_rule="paper")
    assert targets.numbers.tolist() == [23, NO_NUMBER]
    assert targets.tens.tolist()[0] == 1 and targets.units.tolist()[0] == 3  # "2", "3"


def test_the_ball_is_left_out_unless_asked_for():
    batch = batch_of(roles=[PLAYER, BALL], numbers=[1, NO_NUMBER])
    assert len(make_targets(batch, False, "paper").roles) == 1
    assert len(make_targets(batch, True, "paper").roles) == 2


def test_boxes_become_fractions_of_the_frame():
    targets = make_targets(batch_of(roles=[PLAYER]), False, "paper")
    assert torch.allclose(targets.boxes_cxcywh, torch.tensor([[0.15, 0.5, 0.1, 0.6]]))


def test_perfect_boxes_cost_nothing_and_decode_to_themselves():
    task = AthleteDetection(embed_dim=16, hidden_dim=32, num_queries=10)
    output = task(Features(grid=(2, 2), patches=torch.rand(1, 1, 4, 16)))
    batch = batch_of(roles=[PLAYER], numbers=[7])
    box = xyxy_to_cxcywh(torch.tensor([0.1, 0.2, 0.2, 0.8]))
    boxes = output.boxes_cxcywh.clone()
    boxes[0, 0, 3] = box
    logits = torch.full_like(output.logits, -20.0)
    logits[0, 0, 3] = 20.0
    perfect = dataclasses.replace(output, boxes_cxcywh=boxes, logits=logits)
    terms = task.loss(perfect, batch)
    assert terms["box"] < 1e-5
    assert terms["giou"] < 1e-5
    assert terms["object"] < 1e-5
    first = task.decode(perfect)[0]
    assert torch.allclose(first.boxes_xyxy_norm[0], torch.tensor([0.1, 0.2, 0.2, 0.8]))
    assert first.scores[0] > 0.99


def test_a_frame_without_people_teaches_background_alone():
    task = AthleteDetection(embed_dim=16, hidden_dim=32, num_queries=10)
    output = task(Features(grid=(2, 2), patches=torch.rand(1, 1, 4, 16)))
    terms = task.loss(output, batch_of(roles=[]))
    assert terms["object"] > 0
    assert all(terms[name] == 0 for name in terms if name != "object")
    task.weigh(terms).backward()
