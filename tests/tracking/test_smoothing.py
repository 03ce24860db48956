import numpy as np
import pytest

from soccermaster.tracking.smoothing import crossable_gaps, short_gaps


@pytest.mark.parametrize(
    ("frames", "gaps"),
    [([0, 1, 2], []), ([0, 2], [(0, 1)]), ([0, 4], [(0, 1)]), ([0, 5], []), ([4, 0], [(1, 0)])],
    ids=["none", "one frame", "three frames", "four frames", "in any order"],
)
def test_short_gaps(frames, gaps):
    frame = np.array(frames)
    assert short_gaps(frame, np.ones(len(frame), int), max_gap_frames=3) == gaps
    assert short_gaps(frame, np.full(len(frame), -1), max_gap_frames=3) == []


@pytest.mark.parametrize(
    ("way_m", "crossable"),
    [(0.0, True), (4.4, True), (4.5, False), (np.nan, True)],
    ids=["stands", "runs", "flies", "unknown"],
)
def test_gaps_that_a_runner_crosses(way_m, crossable):
    frame, positions_m = np.array([0, 5]), np.array([[0.0, 0.0], [way_m, 0.0]])
    gaps = crossable_gaps(frame, np.ones(2, int), positions_m, 10, fps=25.0, max_speed_m_s=12.0)
    assert gaps == ([(0, 1)] if crossable else [])
