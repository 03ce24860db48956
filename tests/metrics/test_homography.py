import numpy as np
import pytest

from soccermaster.geometry import Camera, planar_transform
from soccermaster.metrics.homography import (
    HomographyScores,
    homography_scores,
    iou_part,
    iou_whole,
    projection_error_m,
    reprojection_error,
    summary,
)

CAMERA = Camera.from_pan_tilt_roll(-20, 77, 0.3, 2500, (-2, 66, -16), (1280, 720))


def template_from_image(camera):
    return planar_transform("yards", "centred") @ np.linalg.inv(camera.image_from_pitch)


TRUTH = template_from_image(CAMERA)
#: The frame as a whole on the template, one yard for ten pixels.
FLAT = np.diag([0.1, 0.1, 1.0])


def rng():
    return np.random.default_rng(0)


def test_the_truth_is_perfect():
    scores = homography_scores(TRUTH, TRUTH, rng())
    assert scores.iou_part == 1
    assert scores.iou_whole == pytest.approx(1)
    assert scores.projection_m == pytest.approx(0, abs=1e-9)
    assert scores.reprojection == pytest.approx(0, abs=1e-9)


def test_scale_of_a_homography_does_not_matter():
    assert homography_scores(3 * TRUTH, TRUTH, rng()).iou_whole == pytest.approx(1)


def test_known_shifts():
    shift = np.array([[1, 0, 20], [0, 1, 0], [0, 0, 1.0]])
    # 128 - 20 of the columns 20..115 stay: 95 of 115
    assert iou_part(shift @ FLAT, FLAT) == pytest.approx(95 / 115, abs=0.02)
    assert iou_whole(shift @ FLAT, FLAT) == pytest.approx(1080 / 1480)
    assert reprojection_error(shift @ FLAT, FLAT) == pytest.approx(200 / 720)
    expected_m = 20 * (100 / 115) * 0.9144
    assert projection_error_m(shift @ FLAT, FLAT, rng()) == pytest.approx(expected_m)


def test_errors_grow_with_the_error_of_the_camera():
    scores = []
    for pan_deg in (-20.1, -20.5, -22):
        angles = (pan_deg, *CAMERA.pan_tilt_roll()[1:])
        off = Camera.from_pan_tilt_roll(*angles, 2500, CAMERA.position_m, (1280, 720))
        scores.append(homography_scores(template_from_image(off), TRUTH, rng()))
    assert scores[0].iou_part > scores[1].iou_part > scores[2].iou_part
    assert scores[0].iou_whole > scores[1].iou_whole > scores[2].iou_whole
    assert scores[0].projection_m < scores[1].projection_m < scores[2].projection_m
    assert scores[0].reprojection < scores[1].reprojection < scores[2].reprojection


def test_what_makes_no_polygon_scores_zero():
    through_infinity = np.array([[1, 0, 0], [0, 1, 0], [1 / 640, 0, -1.0]])
    assert iou_whole(TRUTH @ np.linalg.inv(through_infinity), TRUTH) == 0


def test_no_pitch_in_the_frame_is_undefined():
    away = np.array([[1, 0, 5000], [0, 1, 0], [0, 0, 1.0]]) @ FLAT
    assert np.isnan(projection_error_m(FLAT, away, rng()))
    assert np.isnan(reprojection_error(FLAT, away))


def test_summary_leaves_out_what_is_undefined():
    scores = [HomographyScores(0.5, 0.5, float("nan"), 0.1), HomographyScores(1, 0.5, 2, 0.3)]
    result = summary(scores)
    assert result["iou_part"] == (0.75, 0.75)
    assert result["projection_m"] == (2, 2)
    assert np.isnan(summary([])["iou_part"]).all()
