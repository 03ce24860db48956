from __future__ import annotations

import numpy as np
import pytest

import soccermaster as sm
from soccermaster.geometry import Camera, Pitch, visible_polylines, visible_segments
from soccermaster.geometry.calibration import calibrate_batch
from soccermaster.geometry.calibration.observations import gather
from soccermaster.geometry.calibration.residuals import State, evaluate

SIZE = (1280, 720)


def view(pan_deg: float = 30.0, focal_px: float = 2200.0, **changes: float) -> Camera:
    """A main camera; by default it looks at the right penalty area."""
    values = {"tilt_deg": 77.0, "roll_deg": 0.3, "position_m": (2.0, 70.0, -15.0)} | changes
    return Camera.from_pan_tilt_roll(
        pan_deg, values["tilt_deg"], values["roll_deg"], focal_px, values["position_m"], SIZE
    )


def points(camera: Camera, rng: np.random.Generator | None = None, noise_px: float = 0.0) -> dict:
    template = np.concatenate([Pitch().keypoints_m, Pitch().auxiliary_m])
    points_px, _ = camera.project(template)
    inside = ((points_px >= 0) & (points_px < camera.image_size)).all(axis=1)
    if rng is not None:
        points_px = points_px + noise_px * rng.normal(size=points_px.shape)
    return {int(i) + 1: tuple(points_px[i]) for i in np.flatnonzero(inside)}


def lines(camera: Camera) -> dict:
    segments_px = visible_segments(camera, Pitch())
    return {
        i + 1: (tuple(second), tuple(first))
        for i, (first, second) in enumerate(segments_px)
        if np.isfinite(first).all()
    }


def ground_error_px(truth: Camera, camera: Camera) -> float:
    """Mean distance over the visible pitch."""
    x, y = np.meshgrid(np.linspace(-52.5, 52.5, 40), np.linspace(-34, 34, 30))
    ground_m = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    points_px, _ = truth.project(ground_m)
    inside = ((points_px >= 0) & (points_px < truth.image_size)).all(axis=1)
    moved_px, _ = camera.project(ground_m[inside])
    return float(np.linalg.norm(moved_px - points_px[inside], axis=1).mean())


def test_jacobian_is_the_derivative_of_the_residuals():
    camera = view()
    frame = gather(
        points(camera), lines(camera), SIZE, visible_polylines(camera, Pitch()), None, None, "table"
    )
    state = State(
        camera.R[None],
        camera.position_m[None],
        np.log(camera.K[None, 0, 0]),
        np.array([[0.01, 0.002, 0.001]]),
    )
    # Circles leave out a term that vanishes with the residual: compare where it is small.
    pinhole = State(state.R, state.position_m, state.log_focal, np.zeros((1, 0)))
    for start, circles in ((pinhole, True), (state, False)):
        rows = slice(None) if circles else slice(0, -frame.seen.num_circles)
        jac = evaluate(start, frame.seen)[2][:, :, rows]
        for i in range(start.num_parameters):
            step = np.zeros((1, start.num_parameters))
            step[0, i] = 1e-6
            after, before = (
                evaluate(start.step(s), frame.seen, jacobian=False)[0][:, rows]
                for s in (step, -step)
            )
            numeric = (after - before) / 2e-6
            assert np.abs(jac[:, i] - numeric).max() < 0.03 * np.abs(numeric).max()


@pytest.mark.parametrize("pan_deg", [-35.0, 0.0, 30.0])
def test_finds_the_camera_from_perfect_points_and_lines(pan_deg):
    camera = view(pan_deg)
    found = sm.calibrate(points(camera), lines(camera), SIZE)
    assert found.reason is None
    np.testing.assert_allclose(found.camera.position_m, camera.position_m, atol=0.5)
    assert abs(found.camera.K[0, 0] / camera.K[0, 0] - 1) < 0.01
    assert ground_error_px(camera, found.camera) < 0.2
    assert found.error_px < 0.2
    assert set(found.inliers) == set(points(camera))
    assert set(found.inlier_lines) == set(lines(camera))
    assert found.covariance.shape == (7, 7)
    assert (np.linalg.eigvalsh(found.covariance) > 0).all()
    assert found.confidence > 0.9


def test_survives_wrong_points():
    rng = np.random.default_rng(0)
    camera = view()
    seen = points(camera, rng, 1.0)
    wrong = list(seen)[::5]
    for number in wrong:
        seen[number] = tuple(rng.uniform(0, 1, 2) * SIZE)
    found = sm.calibrate(seen, None, SIZE)
    assert ground_error_px(camera, found.camera) < 3.0
    assert not set(wrong) & set(found.inliers)


def test_four_points_are_enough_and_say_how_sure_they_are():
    camera = view()
    seen = points(camera, np.random.default_rng(1), 0.5)
    four = {number: seen[number] for number in (6, 26, 10, 22)}
    found = sm.calibrate(four, None, SIZE)
    everything = sm.calibrate(seen, lines(camera), SIZE)
    assert ground_error_px(camera, found.camera) < 10.0
    assert found.expected_error_px > everything.expected_error_px
    assert found.confidence < everything.confidence


def test_lines_alone_and_circles_alone_with_a_line():
    camera = view()
    found = sm.calibrate({}, lines(camera), SIZE)
    assert ground_error_px(camera, found.camera) < 0.5
    centre = view(0.0, 1700.0)
    polylines = visible_polylines(centre, Pitch())
    seen = {n: polylines[n] for n in ("Circle central", "Middle line", "Side line top")}
    found = sm.calibrate({}, None, SIZE, polylines_px=seen)
    assert ground_error_px(centre, found.camera) < 3.0
    assert found.inlier_polylines["Circle central"].all()


def test_auxiliary_points_are_points():
    camera = view()
    seen = {n: p for n, p in points(camera).items() if n >= 58 or n in (6, 7, 26)}
    assert sum(n >= 58 for n in seen) >= 3
    assert ground_error_px(camera, sm.calibrate(seen, None, SIZE).camera) < 1.0


def test_distortion_is_found():
    camera = Camera.from_pan_tilt_roll(
        30.0, 77.0, 0.0, 2000.0, (2.0, 70.0, -15.0), SIZE, [0.4, 0.0, 0.0, 0.0]
    )
    template = Pitch().polylines_m(1.0)
    polylines = {}
    for name, points_m in template.items():
        points_px, _ = camera.project(points_m)
        inside = ((points_px >= 0) & (points_px < SIZE)).all(axis=1)
        if inside.sum() >= 2:
            polylines[name] = points_px[inside]
    pinhole = sm.calibrate({}, None, SIZE, polylines_px=polylines)
    found = sm.calibrate({}, None, SIZE, polylines_px=polylines, distortion=True)
    assert found.error_px < 0.3 * pinhole.error_px
    k1, k4 = found.camera.distortion[[0, 5]]
    assert abs(k1 - k4 - 0.4) < 0.1


def test_is_deterministic_and_does_not_mind_the_order():
    camera = view()
    seen = points(camera, np.random.default_rng(2), 2.0)
    first = sm.calibrate(seen, lines(camera), SIZE)
    again = sm.calibrate(dict(reversed(seen.items())), lines(camera), SIZE)
    np.testing.assert_allclose(first.camera.R, again.camera.R, atol=1e-6)
    swapped = {n: (b, a) for n, (a, b) in lines(camera).items()}
    other = sm.calibrate(seen, swapped, SIZE)
    np.testing.assert_allclose(first.camera.position_m, other.camera.position_m, atol=1e-3)


def test_a_score_of_zero_ignores_a_point():
    camera = view()
    seen = points(camera)
    scores = dict.fromkeys(seen, 1.0)
    number = next(iter(seen))
    seen[number], scores[number] = (3.0, 3.0), 0.0
    found = sm.calibrate(seen, None, SIZE, point_scores=scores)
    assert ground_error_px(camera, found.camera) < 0.5
    assert number not in found.inliers


def test_another_image_size_gives_the_same_camera():
    camera = view()
    twice = {n: (2 * x, 2 * y) for n, (x, y) in points(camera).items()}
    found = sm.calibrate(twice, None, (2560, 1440)).camera.resize(SIZE)
    assert ground_error_px(camera, found) < 0.3


def test_refuses_what_does_not_determine_a_camera():
    rng = np.random.default_rng(3)
    camera = view()
    seen = points(camera)
    nothing = sm.calibrate({}, None, SIZE)
    assert nothing.camera is None
    assert "too few" in nothing.reason
    assert nothing.confidence == 0.0
    assert sm.calibrate({n: seen[n] for n in (6, 26, 10)}, None, SIZE).camera is None
    on_goal_line = {n: seen[n] for n in (3, 7, 11, 14, 18) if n in seen}
    assert len(on_goal_line) >= 4
    assert sm.calibrate(on_goal_line, None, SIZE).camera is None
    for count in (4, 5, 8, 15):
        numbers = rng.choice(57, count, replace=False) + 1
        random = {int(n): tuple(rng.uniform(0, 1, 2) * SIZE) for n in numbers}
        assert sm.calibrate(random, None, SIZE).camera is None
    mirrored = {n: (SIZE[0] - x, y) for n, (x, y) in seen.items()}
    assert sm.calibrate(mirrored, None, SIZE).camera is None


def test_bad_input_is_an_error():
    good = {1: (1.0, 2.0)}
    with pytest.raises(KeyError, match="74"):
        sm.calibrate({74: (1.0, 2.0)}, None, SIZE)
    with pytest.raises(KeyError, match="0"):
        sm.calibrate({0: (1.0, 2.0)}, None, SIZE)
    with pytest.raises(KeyError, match="24"):
        sm.calibrate(good, {24: ((0, 0), (1, 1))}, SIZE)
    with pytest.raises(KeyError, match="Circle middle"):
        sm.calibrate(good, None, SIZE, polylines_px={"Circle middle": [(0, 0), (1, 1)]})
    with pytest.raises(ValueError, match="finite"):
        sm.calibrate({1: (np.nan, 2.0)}, None, SIZE)
    with pytest.raises(ValueError, match="image_size"):
        sm.calibrate(good)
    with pytest.raises(ValueError, match="image_size"):
        sm.calibrate(good, None, (0, 720))
    with pytest.raises(ValueError, match=r"\(n, 2\)"):
        sm.calibrate(good, None, SIZE, polylines_px={"Middle line": [1.0, 2.0]})
    with pytest.raises(KeyError, match="point_scores"):
        sm.calibrate(good, None, SIZE, point_scores={2: 1.0})
    with pytest.raises(ValueError, match="template"):
        sm.calibrate(good, None, SIZE, template="approximate")


def test_batch_is_one_by_one():
    cameras = [view(-20.0), view(25.0)]
    seen = [points(camera) for camera in cameras]
    batch = calibrate_batch(seen, [lines(c) for c in cameras], SIZE)
    for camera, own, found in zip(cameras, seen, batch, strict=True):
        alone = sm.calibrate(own, lines(camera), SIZE)
        np.testing.assert_array_equal(alone.camera.K, found.camera.K)
    with pytest.raises(ValueError, match="lines_px for each of 2 frames"):
        calibrate_batch(seen, [None], SIZE)


def test_clip_shares_the_position_and_fills_gaps():
    rng = np.random.default_rng(4)
    cameras = [view(float(pan)) for pan in 25 * np.sin(np.arange(40) / 12)]
    seen = [points(camera, rng, 2.0) for camera in cameras]
    missing = [0, 7, 8, 30]
    for t in missing:
        seen[t] = {}
    clip = sm.calibrate_clip(seen, None, SIZE)
    assert clip.valid.all()
    assert len(clip) == len(cameras)
    assert not clip.observed[missing].any()
    assert clip.observed.sum() == len(cameras) - len(missing)
    smooth = [ground_error_px(c, f.camera) for c, f in zip(cameras, clip, strict=True)]
    alone = [
        ground_error_px(c, f.camera)
        for c, f in zip(cameras, clip.independent, strict=True)
        if f.camera is not None
    ]
    assert np.mean(smooth) < 0.5 * np.mean(alone)
    np.testing.assert_allclose(clip.position_m, cameras[0].position_m, atol=2.0)
    for frame in clip:
        np.testing.assert_array_equal(frame.camera.position_m, clip[0].camera.position_m)


def test_clip_marks_a_frame_of_another_camera_and_long_gaps():
    cameras = [view(float(pan)) for pan in np.linspace(-10, 10, 30)]
    seen = [points(camera, np.random.default_rng(5), 1.0) for camera in cameras]
    seen[12] = points(view(35.0))
    clip = sm.calibrate_clip(seen, None, SIZE)
    assert clip.valid.sum() == 29
    assert clip[12].camera is None
    assert "contradict" in clip[12].reason
    (single,) = sm.calibrate_clip(seen[:1], None, SIZE)
    assert single.error_px == sm.calibrate(seen[0], None, SIZE).error_px
    alone = sm.calibrate_clip([{}] * 3, None, SIZE)
    assert not alone.valid.any()
    assert alone.position_m is None
    with pytest.raises(ValueError, match="at least one frame"):
        sm.calibrate_clip([], None, SIZE)
