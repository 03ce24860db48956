"""Targets of the heatmap heads, and that decoding undoes drawing."""

from __future__ import annotations

import pytest
import torch

from soccermaster.tasks import pitch_keypoints, pitch_lines
from soccermaster.tasks.pitch_keypoints import KeypointsOutput, PitchKeypoints
from soccermaster.tasks.pitch_lines import LinesOutput, PitchLines
from tests.batches import full_batch


def test_decoding_keypoint_targets_gives_the_annotated_points():
    batch = full_batch(frames=1, size=(96, 160))
    targets, _ = pitch_keypoints.make_targets(batch, (48, 80), sigma=1.0)
    predictions = PitchKeypoints(8, (8, 8, 8)).decode(KeypointsOutput(targets))
    size = torch.tensor([160.0, 96.0])
    points = batch.keypoints.points_px.flatten(0, 1)
    inside = ((points > 6) & (points < size - 6)).all(-1)
    assert inside.any()
    for predicted, wanted, seen in zip(predictions, points, inside, strict=True):
        error_px = (predicted.points_norm * size - wanted)[seen].norm(dim=-1)
        assert error_px.max() < 0.1
        assert (predicted.scores[seen] > 0.7).all()


def test_decoding_line_targets_gives_the_ends_of_the_segments():
    batch = full_batch(frames=1, size=(96, 160))
    targets, _ = pitch_lines.make_targets(batch, (48, 80), sigma=1.0)
    predictions = PitchLines(8, (8, 8, 8), min_distance=2).decode(LinesOutput(targets))
    size = torch.tensor([160.0, 96.0])
    checked = 0
    for predicted, wanted in zip(predictions, batch.lines.segments_px.flatten(0, 1), strict=True):
        lengths = (wanted[:, 0] - wanted[:, 1]).norm(dim=-1)
        for line in (lengths > 20).nonzero().flatten():
            ends = predicted.segments_norm[line] * size
            straight = (ends - wanted[line]).norm(dim=-1).amax()
            swapped = (ends.flip(0) - wanted[line]).norm(dim=-1).amax()
            assert min(straight, swapped) < 1.5  # half a cell at the frame's edge
            checked += 1
    assert checked >= 2


@pytest.mark.parametrize("module", [pitch_keypoints, pitch_lines])
def test_unknown_channels_and_padding_frames_do_not_teach(module):
    batch = full_batch(frames=2, padded=True)
    batch.keypoints.known[:, :, 3] = False
    batch.lines.known[:, :, 3] = False
    _, valid = module.make_targets(batch, (32, 48), sigma=1.0)
    assert not valid[:, 1].any()
    assert not valid[:, :, 3].any()
    assert valid[:, 0, 4].all()


def test_targets_of_a_dense_line_channel_stay_in_range():
    targets, _ = pitch_lines.make_targets(full_batch(), (32, 48), sigma=2.0)
    assert targets.min() >= 0
    assert targets.max() <= 1
    assert targets[:, :, -1].amax() > 0.9  # the channel with all lines drawn
