import numpy as np
import pytest

from soccermaster.geometry import Camera, Pitch, visible_polylines
from soccermaster.metrics.calibration import (
    EVALUATION_SIZE,
    CalibrationMetrics,
    Counts,
    class_counts,
    class_errors,
    project_markings,
)

CAMERA = Camera.from_pan_tilt_roll(-30, 77, 0.3, 1900, (-2, 66, -16), (960, 540))


def annotated(camera):
    """What a perfect annotator writes: fractions of (W - 1, H - 1), pixel centres at integers."""
    size = np.array(camera.image_size)
    return {
        name: (points_px - 0.5) / (size - 1)
        for name, points_px in visible_polylines(camera, Pitch("exact"), 2.0).items()
    }


def score(camera, annotation):
    metrics = CalibrationMetrics()
    metrics.update(camera, annotation)
    return metrics.compute()


@pytest.mark.parametrize("size", [(960, 540), (1920, 1080)])
def test_the_true_camera_is_perfect_at_any_size(size):
    scores = score(CAMERA.resize(size), annotated(CAMERA))
    assert [t.jac for t in scores.thresholds.values()] == [1, 1, 1]
    assert scores.completeness == 1


def test_bent_lines_are_followed():
    bent = Camera(CAMERA.K, CAMERA.R, CAMERA.position_m, (960, 540), [-1.5, 0, 0, 0])
    points_px = bent.project(Pitch("exact").polylines_m(5.0)["Side line left"])[0] - 0.5
    inside = ((points_px >= 0) & (points_px < EVALUATION_SIZE)).all(axis=1)
    marked = {"Side line left": points_px[inside]}
    assert class_errors(project_markings(bent), marked)["Side line left"] < 0.05
    assert class_errors(project_markings(CAMERA), marked)["Side line left"] > 5


def test_a_wrong_focal_length_costs_more_at_small_thresholds():
    K = CAMERA.K * [[1.015], [1.015], [1]]
    K[:2, 2] = CAMERA.K[:2, 2]
    off = Camera(K, CAMERA.R, CAMERA.position_m, (960, 540))
    jacs = [t.jac for t in score(off, annotated(CAMERA)).thresholds.values()]
    assert jacs == sorted(jacs)
    assert jacs[0] < 1


def test_the_half_turn_of_the_names_is_tried():
    annotation = annotated(CAMERA)
    turned = {Pitch().rot180_name(name): points for name, points in annotation.items()}
    scores = score(CAMERA, turned)
    assert scores.thresholds[5.0].jac == 1
    assert scores.thresholds[5.0].num_rotated == 1
    mirrored = {Pitch().flip_name(name): points for name, points in annotation.items()}
    assert score(CAMERA, mirrored).thresholds[5.0].jac < 0.5


def test_images_without_a_camera_count_for_completeness_alone():
    metrics = CalibrationMetrics()
    metrics.update(CAMERA, annotated(CAMERA))
    metrics.update(None, annotated(CAMERA))
    scores = metrics.compute()
    assert (scores.num_images, scores.num_predictions, scores.completeness) == (2, 1, 0.5)
    assert (scores.thresholds[5.0].jac, scores.thresholds[5.0].final) == (1, 0.5)


def test_names_are_stripped_and_unknown_ones_ignored():
    annotation = annotated(CAMERA)
    annotation["Goal left post left "] = annotation.pop("Goal left post left")
    annotation["Goal unknown"] = np.array([(0.1, 0.1)])
    annotation["Middle line"] = np.empty((0, 2))
    assert score(CAMERA, annotation).thresholds[5.0].jac == 1


def test_errors_and_counts_by_hand():
    line = np.array([(0.0, 0.0), (10.0, 0.0)])
    projected = {"Middle line": line, "Side line top": line}
    marked = {"Middle line": np.array([(5.0, 3.0), (13.0, 4.0)]), "Side line left": line}
    errors = class_errors(projected, marked)
    assert errors["Middle line"] == 5.0
    assert errors["Side line top"] == np.inf
    assert np.isnan(errors["Side line left"])
    fp, fn = Counts(fp=1), Counts(fn=1)
    expected = {"Middle line": fp, "Side line left": fn, "Side line top": fp}
    assert class_counts(errors, 5.0) == expected  # nearer than the threshold, not as near
    assert class_counts(errors, 5.1) == expected | {"Middle line": Counts(tp=1)}
    assert Counts(tp=3, fp=1, fn=2).jac == 0.5
    assert Counts().jac == 0


def test_polylines_end_at_the_border():
    lines = project_markings(CAMERA)
    for points_px in lines.values():
        assert (points_px >= 0).all()
        assert (points_px < EVALUATION_SIZE).all()
    ends = lines["Side line left"][[0, -1]]
    assert (np.isclose(ends, 0) | np.isclose(ends, (959, 539))).any()


def test_nothing_to_score_is_an_error():
    with pytest.raises(ValueError, match="at least one annotated image"):
        CalibrationMetrics().compute()
