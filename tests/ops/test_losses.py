from __future__ import annotations

import math

import torch

from soccermaster.ops.losses import (
    heatmap_focal,
    heatmap_mse,
    masked_cross_entropy,
    pairwise_sigmoid_loss,
    pairwise_softmax_loss,
    sigmoid_focal_loss,
)


def test_focal_loss_of_an_undecided_logit():
    loss = sigmoid_focal_loss(torch.zeros(2), torch.tensor([1.0, 0.0]))
    expected = [0.25 * 0.25 * math.log(2), 0.75 * 0.25 * math.log(2)]
    assert torch.allclose(loss, torch.tensor(expected))


def test_heatmap_mse_leaves_invalid_channels_out():
    predicted, targets = torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
    targets[:, 1] = 3
    assert heatmap_mse(predicted, targets, torch.tensor([[True, False]])) == 1
    assert heatmap_mse(predicted, targets, torch.tensor([[True, True]])) == 5


def test_nothing_to_learn_is_zero_and_attached():
    predicted = torch.rand(1, 2, 4, 4, requires_grad=True)
    none = torch.zeros(1, 2, dtype=torch.bool)
    for loss in (
        heatmap_mse(predicted, torch.ones(1, 2, 4, 4), none),
        heatmap_focal(predicted, torch.ones(1, 2, 4, 4), none),
    ):
        assert loss == 0
        loss.backward()
    logits = torch.randn(0, 5, requires_grad=True)
    loss = masked_cross_entropy(logits, torch.zeros(0, dtype=torch.long), torch.zeros(0).bool())
    assert loss == 0
    loss.backward()


def test_heatmap_focal_is_least_at_the_target():
    targets = torch.rand(1, 1, 4, 4)
    valid = torch.ones(1, 1, dtype=torch.bool)
    at_target = heatmap_focal(targets, targets, valid)
    assert at_target < heatmap_focal(targets * 0.5, targets, valid)


def test_cross_entropy_averages_over_known_rows():
    logits = torch.tensor([[0.0, 0.0], [9.0, 0.0]])
    known = torch.tensor([True, False])
    loss = masked_cross_entropy(logits, torch.tensor([0, -1]), known)
    assert torch.allclose(loss, torch.tensor(math.log(2)))


def test_pairwise_sigmoid_loss_at_the_start_of_training():
    """About 10 for the own text, almost nothing for each of the others."""
    logits = torch.full((4, 4), -10.0)
    loss = pairwise_sigmoid_loss(logits, torch.eye(4, dtype=torch.bool))
    assert abs(loss.item() - (10 + 3 * 4.54e-5)) < 1e-3


def test_softmax_loss_of_pairs_is_cross_entropy_in_both_directions():
    logits = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    target = torch.arange(2)
    expected = (
        torch.nn.functional.cross_entropy(logits, target)
        + torch.nn.functional.cross_entropy(logits.T, target)
    ) / 2
    assert torch.allclose(pairwise_softmax_loss(logits, torch.eye(2, dtype=torch.bool)), expected)


def test_softmax_loss_takes_any_of_several_positives():
    logits = torch.tensor([[9.0, 9.0], [9.0, 9.0]])
    assert pairwise_softmax_loss(logits, torch.ones(2, 2, dtype=torch.bool)) == 0
