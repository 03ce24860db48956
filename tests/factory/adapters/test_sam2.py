"""SAM 2 video: every frame once, every object in it, from boxes in different frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from soccermaster.factory.adapters.sam2 import Sam2Segmenter, _masks
from soccermaster.factory.models import ModelUnavailableError

from .tiny_models import pictures, save_sam2


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory) -> Sam2Segmenter:
    segmenter = Sam2Segmenter(save_sam2(tmp_path_factory.mktemp("sam2")), dtype="float32")
    segmenter.load("cpu")
    return segmenter


def test_objects_of_different_frames_are_followed_both_ways(segmenter):
    boxes = np.array([[100.0, 20, 130, 90], [10, 10, 50, 90]])
    found = list(segmenter.propagate(pictures(2), np.array([1, 0]), boxes))
    assert [f.frame for f in found] == [0, 1]
    for frame in found:
        assert frame.masks.shape == (2, 256, 256) and frame.masks.dtype == bool
        assert ((frame.scores >= 0) & (frame.scores <= 1)).all()
        assert ((frame.scores > 0) == frame.masks.any(axis=(1, 2))).all()
    # each object as if it were alone, and in the caller's order
    (alone,) = segmenter.propagate(pictures(1), np.array([0]), boxes[1:])
    assert (alone.masks[0] == found[0].masks[1]).mean() > 0.99


def test_no_objects(segmenter):
    found = list(segmenter.propagate(pictures(2), np.zeros(0, int), np.zeros((0, 4))))
    assert [(f.frame, len(f.masks)) for f in found] == [(0, 0), (1, 0)]


def test_a_box_outside_of_the_window(segmenter):
    with pytest.raises(ValueError, match=r"frames 0\.\.1"):
        list(segmenter.propagate(pictures(2), np.array([2]), np.zeros((1, 4))))


def test_scores():
    logits = torch.full((2, 4, 4), -9.0)
    logits[0, :2] = 2.0
    masks, scores = _masks(logits, torch.tensor([0.5, 0.9]))
    assert masks.sum() == 8
    torch.testing.assert_close(scores, torch.tensor([0.5 * torch.tensor(2.0).sigmoid(), 0.0]))


def test_without_weights_one_line_says_what_to_download():
    with pytest.raises(ModelUnavailableError, match="facebook/sam2") as caught:
        Sam2Segmenter(None).load("cpu")
    assert "\n" not in str(caught.value)
