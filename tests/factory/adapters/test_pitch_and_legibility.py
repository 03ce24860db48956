"""Heatmap networks and our own heads for the pitch; the legibility classifier."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from soccermaster.factory.adapters.legibility_resnet import LegibilityResnet
from soccermaster.factory.adapters.pnl_heatmaps import HeatmapNetwork, PnlHeatmaps
from soccermaster.factory.adapters.soccer_model import SoccerDetector, SoccerPitch
from soccermaster.factory.models import ModelUnavailableError
from soccermaster.geometry import Camera, Pitch
from soccermaster.geometry.calibration import calibrate
from soccermaster.models.weights import CheckpointError

from .tiny_models import (
    TINY_HRNET,
    picture,
    pictures,
    save_heatmap_network,
    save_legibility,
    save_soccer_model,
)


@pytest.fixture
def weights(tmp_path):
    save_heatmap_network(tmp_path / "kp", 58)
    save_heatmap_network(tmp_path / "lines", 24)
    return {"keypoint_weights": tmp_path / "kp", "line_weights": tmp_path / "lines"}


def test_heatmap_networks_have_the_published_sizes():
    with torch.no_grad():
        assert HeatmapNetwork(58, **TINY_HRNET)(torch.zeros(1, 3, 540, 960)).shape == (
            1,
            58,
            270,
            480,
        )
    with torch.device("meta"):
        names = HeatmapNetwork(24).state_dict()
    assert names["head.0.3.weight"].shape == (24, 48 * 15 + 64, 1, 1)


def test_markings_of_heatmap_networks(weights):
    model = PnlHeatmaps(**weights, keypoint_threshold=0.0, line_threshold=0.0, network=TINY_HRNET)
    model.load("cpu")
    (found,) = model.markings(pictures(1, 270, 480))
    assert found.points_px.shape == (57, 2) and found.segments_px.shape == (23, 2, 2)
    assert (found.points_px[found.point_scores > 0] <= [480, 270]).all()
    model.keypoint_threshold = model.line_threshold = 1.0
    (nothing,) = model.markings(pictures(1, 270, 480))
    assert np.isnan(nothing.points_px).all() and np.isnan(nothing.segments_px).all()


def test_other_networks_are_refused(weights):
    with pytest.raises(CheckpointError, match=r"head\.0\.3\.weight: model \(58"):
        PnlHeatmaps(weights["line_weights"], weights["line_weights"], network=TINY_HRNET).load(
            "cpu"
        )


def test_heatmaps_of_a_known_camera_give_it_back():
    """Blobs where a camera sees the keypoints, decoded and solved, are that camera."""
    truth = Camera.from_pan_tilt_roll(-25.0, 78.0, 0.0, 2000.0, (0.0, 60.0, -16.0), (1920, 1080))
    points_px, depth = truth.project(Pitch().keypoints_m)
    inside = (depth > 0) & (points_px >= 0).all(1) & (points_px < [1920, 1080]).all(1)
    rows, columns = torch.meshgrid(torch.arange(270.0), torch.arange(480.0), indexing="ij")
    heatmaps = torch.zeros(1, 58, 270, 480)
    for index in np.flatnonzero(inside):
        x, y = points_px[index] / 4
        square = (columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2
        heatmaps[0, index] = torch.exp(-square / (2 * 2.0**2))
    (found,) = PnlHeatmaps().decode(heatmaps, torch.zeros(1, 24, 270, 480), [(1080, 1920)])
    there = np.isfinite(found.points_px).all(1)
    assert (there == inside).all() and there.sum() >= 8
    np.testing.assert_allclose(found.points_px[there], points_px[inside], atol=0.2)
    observed = {int(i) + 1: tuple(found.points_px[i]) for i in np.flatnonzero(there)}
    camera = calibrate(observed, image_size=(1920, 1080)).camera
    np.testing.assert_allclose(camera.position_m, truth.position_m, atol=1.0)


def test_own_pitch_heads(tmp_path):
    model = SoccerPitch(save_soccer_model(tmp_path / "model"), threshold=0.0, batch_size=2)
    model.load("cpu")
    found = model.markings(pictures(3))
    assert len(found) == 3 and found[0].points_px.shape == (57, 2)
    assert (found[0].points_px[found[0].point_scores > 0] <= [192, 108]).all()
    assert set(model.predictor.model.tasks) == {"pitch_keypoints", "pitch_lines"}


def test_legibility(tmp_path):
    path = save_legibility(tmp_path / "legibility.safetensors")
    model = LegibilityResnet(path, batch_size=2)
    model.load("cpu")
    crops = [picture(90, 40, 1), picture(17, 33, 2), picture(1, 1, 3)]
    scores = model.legibility(crops)
    assert scores.shape == (3,) and ((scores > 0) & (scores < 1)).all()
    assert model.legibility([]).shape == (0,)


@pytest.mark.parametrize(
    ("model", "download"),
    [
        (PnlHeatmaps(), "SV_kp"),
        (SoccerPitch(), "scripts/train.py"),
        (LegibilityResnet(), "legibility_resnet34"),
    ],
)
def test_without_weights_one_line_says_what_to_download(model, download):
    with pytest.raises(ModelUnavailableError, match=download) as caught:
        model.load("cpu")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_without_such_a_head(tmp_path):
    folder = save_soccer_model(tmp_path / "model", heads=("pitch_lines",))
    with pytest.raises(ModelUnavailableError, match="holds pitch_lines, no AthleteDetection"):
        SoccerDetector(folder).load("cpu")
