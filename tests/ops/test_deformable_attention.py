from __future__ import annotations

import torch

from soccermaster.ops.deformable_attention import deformable_attention


def test_agrees_with_the_transformers_implementation():
    from transformers.models.deformable_detr.modeling_deformable_detr import (
        MultiScaleDeformableAttention,
    )

    grids = [(4, 6), (2, 3)]
    values = torch.randn(2, 30, 2, 8)
    locations = torch.rand(2, 5, 2, 2, 3, 2) * 1.4 - 0.2  # some outside of the map
    weights = torch.randn(2, 5, 2, 6).softmax(-1).reshape(2, 5, 2, 2, 3)
    ours = deformable_attention(values, grids, locations, weights)
    theirs = MultiScaleDeformableAttention()(
        values, torch.tensor(grids), grids, torch.tensor([0, 24]), locations, weights, 64
    )
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_sample_in_the_middle_of_a_cell_is_its_value():
    values = torch.arange(6.0).reshape(1, 6, 1, 1)
    location = torch.tensor([1.5 / 3, 0.5 / 2]).reshape(1, 1, 1, 1, 1, 2)
    out = deformable_attention(values, [(2, 3)], location, torch.ones(1, 1, 1, 1, 1))
    assert out.item() == 1
