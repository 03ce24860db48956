"""A stretch of a video to look at: both videos, and the numbers that were read."""

from __future__ import annotations

import numpy as np
import pytest

from soccermaster.data.frame_source import open_source
from soccermaster.data.video import probe
from soccermaster.downstream.watch import shirt_numbers, watch
from soccermaster.predict import FramePredictions
from soccermaster.viz.timeline import draw_timeline
from tests.downstream.match import predictor, short_match
from tests.viz.predictions import people


def test_a_stretch_becomes_two_videos(tmp_path):
    video = short_match(tmp_path)
    found = watch(predictor(), open_source(video), tmp_path / "out", start_s=1.0, duration_s=4.0)
    assert found.num_frames == 8  # no more than the video has
    overlay, pitch_map = probe(found.overlay), probe(found.pitch_map)
    assert (overlay.width, overlay.height, overlay.num_frames) == (160, 96, 8)
    assert pitch_map.num_frames == 8
    with pytest.raises(ValueError, match="expected a stretch inside of the video"):
        watch(predictor(), open_source(video), tmp_path / "out", start_s=500.0)
    with pytest.raises(ValueError, match="expected fps above 0, got 0"):
        watch(predictor(), open_source(video), tmp_path / "out", fps=0)


def test_numbers_are_counted_by_frame_and_role():
    box = [[0.1, 0.1, 0.2, 0.3]]
    image = np.zeros((9, 16, 3), np.uint8)
    seen = [
        FramePredictions(0, 0.0, image, athletes=people(box * 2, number=7)),  # twice in a frame
        FramePredictions(1, 0.2, image, athletes=people(box, number=7)),
        FramePredictions(2, 0.4, image, athletes=people(box, number=10)),
        FramePredictions(3, 0.6, image, athletes=people(box, number=100)),  # has none
        FramePredictions(4, 0.8, image, athletes=people(box, number=9, score=0.1)),
        FramePredictions(5, 1.0, image),
    ]
    found = shirt_numbers(seen, athlete_threshold=0.3)
    assert [(n.number, n.role, n.frames) for n in found] == [(7, "player", 2), (10, "player", 1)]


def test_likely_events_are_drawn_over_time():
    times_s = np.array([(0, 30), (10, 40), (20, 50)], float)
    unlikely = draw_timeline(times_s, np.full((3, 2), 0.01), ["goal", "corner"])
    likely = draw_timeline(times_s, np.array([(0.9, 0.1), (0.5, 0.5), (0.1, 0.9)]), ["a", "b"])
    assert likely.shape == unlikely.shape == (360, 960, 3)
    assert (likely[..., 2].astype(int) - likely[..., 0] > 80).mean() > 0.05  # blue bars
    assert (unlikely[..., 2].astype(int) - unlikely[..., 0] > 80).mean() < 0.01
