from __future__ import annotations

import numpy as np
import pytest

from soccermaster.geometry import Camera, Pitch, apply_homography
from soccermaster.geometry.registration import register_ground


@pytest.fixture
def points_px() -> np.ndarray:
    """What a broadcast camera sees of the template."""
    camera = Camera.from_pan_tilt_roll(30.0, 75.0, 0.3, 2200.0, (2.0, 70.0, -15.0), (1280, 720))
    points, _ = camera.project(Pitch().keypoints_m)
    inside = ((points >= 0) & (points < [1280, 720])).all(axis=1)
    assert inside.sum() >= 8
    return np.where(inside[:, None], points, np.nan)


def test_registers_a_broadcast_view(points_px):
    ground = register_ground(points_px, (1280, 720))
    assert ground is not None
    seen = ground.inliers
    back_m = apply_homography(ground.pitch_from_image, points_px[seen])
    assert np.abs(back_m - Pitch().keypoints_m[seen, :2]).max() < 0.2


def test_survives_a_wrong_point(points_px):
    seen = np.flatnonzero(np.isfinite(points_px[:, 0]))
    points_px[seen[0]] = [30.0, 700.0]
    ground = register_ground(points_px, (1280, 720))
    assert ground is not None
    assert not ground.inliers[seen[0]]


def test_refuses_noise_mirrors_and_few_points(points_px):
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert register_ground(rng.uniform(0, 700, (57, 2)), (1280, 720)) is None
    assert register_ground(points_px * [-1, 1] + [1280, 0], (1280, 720)) is None
    few = points_px.copy()
    few[np.flatnonzero(np.isfinite(few[:, 0]))[5:]] = np.nan
    assert register_ground(few, (1280, 720)) is None
