import json
import zipfile

import numpy as np
import pytest

from soccermaster.geometry import (
    LINE_CROSSINGS,
    Camera,
    Pitch,
    clip_segments,
    points_from_polylines,
    segments_from_polylines,
    visible_keypoints,
    visible_polylines,
    visible_segments,
)
from soccermaster.geometry.crossings import fit_lines, line_crossings
from soccermaster.geometry.ground_fit import GroundMarks, marking_errors_px
from soccermaster.metrics.calibration import CalibrationMetrics
from soccermaster.vocabulary import LINES

SIZE = (960, 540)
PITCH = Pitch()
VIEWS = {
    "left goal": Camera.from_pan_tilt_roll(-38, 76, 0.2, 1900, (-2, 66, -16), SIZE),
    "midfield": Camera.from_pan_tilt_roll(1, 75, -0.3, 2200, (1, 72, -18), SIZE),
    "right goal": Camera.from_pan_tilt_roll(33, 78, 0.1, 1500, (2, 80, -14), SIZE),
}
view = pytest.mark.parametrize("camera", VIEWS.values(), ids=VIEWS.keys())


def crossings(polylines_px, size):
    """Keypoints by the first kind of derivation alone."""
    size = np.asarray(size, float)
    points_px, known = line_crossings(fit_lines(polylines_px, size), polylines_px, size)
    return points_px[:57], known[:57]


@view
def test_crossings_of_visible_lines_are_the_projected_keypoints(camera):
    polylines_px = visible_polylines(camera, PITCH)
    points_px, known = crossings(polylines_px, SIZE)
    projected_px = visible_keypoints(camera, PITCH)
    found = ~np.isnan(points_px[:, 0])
    assert found.any()
    assert known[found].all()
    assert np.allclose(points_px[found], projected_px[found], atol=0.05)


@view
def test_a_keypoint_is_not_called_absent_where_it_is_visible(camera):
    points_px, known = crossings(visible_polylines(camera, PITCH), SIZE)
    absent = known & np.isnan(points_px[:, 0])
    projected_px = visible_keypoints(camera, PITCH)
    inside = ((projected_px > 0) & (projected_px < SIZE)).all(axis=1)
    assert absent.any()
    assert not (absent & inside).any()


@view
def test_segments_of_annotations_are_what_the_camera_sees(camera):
    segments_px, known = segments_from_polylines(visible_polylines(camera, PITCH), SIZE)
    assert known.all()
    assert np.allclose(segments_px, visible_segments(camera, PITCH), equal_nan=True)


def test_an_unlisted_line_leaves_its_crossings_with_listed_lines_unknown():
    polylines_px = visible_polylines(VIEWS["left goal"], PITCH)
    del polylines_px["Big rect. left main"]
    points_px, known = crossings(polylines_px, SIZE)
    assert not known[25 - 1]  # on "Big rect. left bottom", which is listed
    assert np.isnan(points_px[25 - 1]).all()
    assert known[4 - 1]
    assert known[26 - 1]  # neither of its lines, at the other goal, is listed
    assert not known[30:].any()


def test_a_line_from_border_to_border_has_no_end_in_the_image():
    across = {"Side line top": np.array([(0.0, 100.0), (960.0, 120.0)])}
    _, known = crossings(across, SIZE)
    assert known[[1 - 1, 3 - 1]].all()
    assert not known[2 - 1]  # the middle line may be hidden
    short = {"Side line top": np.array([(0.0, 100.0), (700.0, 120.0)])}
    _, known = crossings(short, SIZE)
    assert not known[[1 - 1, 3 - 1]].any()


def test_least_squares_line_and_margin():
    vertical = np.array([(480.0, 50.0), (480.0, 500.0)])
    noisy = np.array([(0.0, 101.0), (320.0, 99.0), (640.0, 99.0), (960.0, 101.0)])
    polylines_px = {"Side line top": noisy, "Middle line": vertical, "Circle left": vertical}
    points_px, _ = crossings(polylines_px, SIZE)
    assert np.allclose(points_px[2 - 1], (480, 100))
    far = {"Side line top": noisy - (0, 380), "Middle line": vertical}  # crosses at y = -280
    points_px, known = crossings(far, SIZE)
    assert known[2 - 1]
    assert np.isnan(points_px[2 - 1]).all()


def test_parallel_lines_have_no_crossing():
    lines = {
        "Side line top": np.array([(0.0, 0.0), (900.0, 0.0)]),
        "Middle line": np.array([(0.0, 9.0), (900.0, 9.0)]),
    }
    points_px, known = crossings(lines, SIZE)
    assert known[2 - 1]
    assert np.isnan(points_px[2 - 1]).all()


def test_a_single_point_is_unknown_not_absent():
    polylines_px = {"Middle line": np.array([(4.0, 5.0), (4.0, 5.0)])}
    segments_px, known = segments_from_polylines(polylines_px, SIZE)
    assert known.tolist() == [name != "Middle line" for name in LINES]
    assert np.isnan(segments_px).all()
    _, known = crossings(polylines_px, SIZE)
    assert not known[[2 - 1, 29 - 1]].any()


def test_segments_take_the_most_distant_points_and_are_clipped():
    polylines_px = {"Middle line": np.array([(480.0, 300.0), (480.0, -60.0), (480.0, 600.0)])}
    segments_px, _ = segments_from_polylines(polylines_px, SIZE)
    ends = segments_px[LINES.index("Middle line")]
    assert sorted(ends[:, 1]) == [0.0, 540.0]


def test_clip_segments():
    segments_px = np.array(
        [
            [(-10, 10), (10, 30)],  # enters from the left
            [(-10, 10), (-5, 30)],  # outside
            [(5, 5), (6, 6)],  # inside
            [(-10, 5), (200, 5)],  # across, parallel to an axis
            [(-20, 10), (10, -20)],  # passes a corner outside
            [(np.nan, 0), (10, 10)],
        ]
    )
    clipped = clip_segments(segments_px, (100, 50))
    assert np.allclose(clipped[0], [(0, 20), (10, 30)])
    assert np.allclose(clipped[2], segments_px[2])
    assert np.allclose(clipped[3], [(0, 5), (100, 5)])
    assert np.isnan(clipped[[1, 4, 5]]).all()


def test_lines_that_pass_the_camera_are_cut_in_front_of_it():
    beside = Camera.from_pan_tilt_roll(0, 80, 0, 700, (0, 10, -5), SIZE)
    segments_px = visible_segments(beside, PITCH)
    middle = segments_px[LINES.index("Middle line")]
    assert np.isclose(middle[:, 0], 480).all()
    assert middle[:, 1].max() == 540  # runs out of the image below, not to infinity
    assert np.isnan(segments_px[LINES.index("Side line bottom")]).all()


def test_stack_of_cameras():
    stack = Camera(*(np.stack([getattr(c, n) for c in VIEWS.values()])
                     for n in ("K", "R", "position_m")), SIZE)  # fmt: skip
    segments_px = visible_segments(stack, PITCH)
    for i, camera in enumerate(VIEWS.values()):
        assert np.allclose(segments_px[i], visible_segments(camera, PITCH), equal_nan=True)
    assert visible_keypoints(stack, PITCH).shape == (3, 57, 2)


def test_annotated_classes_of_a_midfield_view():
    names = visible_polylines(VIEWS["midfield"], PITCH)
    assert set(names) == {"Middle line", "Side line top", "Circle central"}
    for points_px in names.values():
        assert ((points_px >= 0) & (points_px <= SIZE)).all()


def test_every_derived_keypoint_has_two_lines():
    assert [n for n in LINE_CROSSINGS if n <= 57] == list(range(1, 31))


def annotate(camera, rng=None, noise_px=0.0):
    """An annotation with noise, and about as many points on circles as real ones have."""
    polylines_px = {}
    for name, points_px in visible_polylines(camera, Pitch("exact"), 1.0).items():
        chosen = points_px[np.linspace(0, len(points_px) - 1, min(len(points_px), 12)).astype(int)]
        noise = 0 if rng is None else rng.normal(0, noise_px, chosen.shape)
        polylines_px[name] = chosen + noise
    return polylines_px


def in_image(points_px):
    return ((points_px >= 1) & (points_px <= np.array(SIZE) - 1)).all(axis=1)


def random_views(count):
    """Broadcast cameras that look at 20..75 m of pitch."""
    rng = np.random.default_rng(3)
    for _ in range(count):
        position_m = np.array([rng.normal(0, 4), rng.uniform(60, 100), -rng.uniform(10, 25)])
        ray = np.array([rng.uniform(-50, 50), rng.uniform(-30, 30), 0]) - position_m
        distance = np.linalg.norm(ray)
        pan, tilt = np.degrees([np.arctan2(ray[0], -ray[1]), np.arccos(ray[2] / distance)])
        focal_px = SIZE[0] * distance / rng.uniform(20, 75)
        yield Camera.from_pan_tilt_roll(pan, tilt, rng.normal(0, 0.5), focal_px, position_m, SIZE)


@view
def test_every_keypoint_of_a_clean_annotation_is_found(camera):
    """The table's values are up to 15 cm off (keypoint 52); so is what is restored from them."""
    found = points_from_polylines(annotate(camera), SIZE, template="exact")
    expected_px = camera.project(Pitch("exact").points_m)[0]
    seen = in_image(expected_px)
    assert found.known[seen].all()
    assert np.allclose(found.points_px[seen], expected_px[seen], atol=0.5)
    assert found.restored.any()
    assert found.image_from_pitch is not None
    table = points_from_polylines(annotate(camera), SIZE)
    off_px = np.linalg.norm(table.points_px - found.points_px, axis=1)
    if seen[52 - 1]:
        assert 1 < off_px[52 - 1] < 6
    assert np.nanmax(np.delete(off_px, 52 - 1)) < 0.5


def test_annotations_with_noise_never_hide_or_invent_a_point():
    rng = np.random.default_rng(0)
    errors_px = {False: [], True: []}
    num_seen = num_found = 0
    for camera in random_views(40):
        found = points_from_polylines(annotate(camera, rng, 1.0), SIZE)
        expected_px = camera.project(PITCH.points_m)[0]
        seen = in_image(expected_px)[:57]
        here = np.isfinite(found.keypoints_px[:, 0])
        margin = 20
        well_inside = (
            (expected_px > margin) & (expected_px < np.array(SIZE) - margin)
        ).all(axis=1)[:57]  # fmt: skip
        assert not (well_inside & found.known[:57] & ~here).any()  # never called absent
        num_seen, num_found = num_seen + seen.sum(), num_found + (seen & here).sum()
        error_px = np.linalg.norm(found.keypoints_px - expected_px[:57], axis=1)
        inside = here & in_image(found.keypoints_px)
        for restored in (False, True):
            errors_px[restored] += error_px[inside & (found.restored[:57] == restored)].tolist()
    assert num_found > 0.95 * num_seen
    for errors in errors_px.values():
        assert len(errors) > 100
        assert np.median(errors) < 2
        assert np.quantile(errors, 0.99) < 15


def test_the_same_annotation_gives_the_same_points():
    polylines_px = annotate(VIEWS["left goal"], np.random.default_rng(0), 1.0)
    first, second = (points_from_polylines(polylines_px, SIZE) for _ in range(2))
    assert np.array_equal(first.points_px, second.points_px, equal_nan=True)
    shuffled = {n: polylines_px[n][::-1] for n in reversed(polylines_px)}
    third = points_from_polylines(shuffled, SIZE)
    assert np.allclose(first.points_px, third.points_px, atol=1e-3, equal_nan=True)
    assert (first.known == third.known).all()


def test_midfield_is_registered_by_its_circle():
    """Two crossings are too few; the circle, its line and the tangents say the rest."""
    camera = Camera.from_pan_tilt_roll(0, 80, 0.1, 1500, (0, 75, -17), SIZE)
    polylines_px = annotate(camera)
    assert set(polylines_px) == {"Side line top", "Middle line", "Circle central"}
    found = points_from_polylines(polylines_px, SIZE, template="exact")
    expected_px = camera.project(Pitch("exact").points_m)[0]
    numbers = np.array([2, 32, 35, 38, 39, 48, 49, 50, 51, 52, 53, 54]) - 1
    assert np.allclose(found.points_px[numbers], expected_px[numbers], atol=2)


def test_what_nothing_decides_is_unknown():
    camera = Camera.from_pan_tilt_roll(0, 80, 0.1, 1500, (0, 75, -17), SIZE)
    polylines_px = annotate(camera)
    del polylines_px["Side line top"]
    found = points_from_polylines(polylines_px, SIZE)
    assert found.image_from_pitch is None
    assert "no homography of the ground" in found.reasons
    assert not found.known[[32 - 1, 35 - 1, 38 - 1, 51 - 1]].any()
    assert found.known[[31 - 1, 37 - 1, 45 - 1, 57 - 1]].all()  # no marking near them is listed
    assert np.isnan(found.points_px).all()


def test_contradicting_annotations_give_no_homography():
    polylines_px = annotate(VIEWS["left goal"])
    swapped = dict(polylines_px)
    swapped["Side line left"] = polylines_px["Big rect. left main"]
    swapped["Big rect. left main"] = polylines_px["Side line left"]
    found = points_from_polylines(swapped, SIZE)
    assert found.image_from_pitch is None
    assert not found.restored.any()


def test_no_annotation_is_all_absent():
    found = points_from_polylines({}, SIZE)
    assert np.isnan(found.points_px).all()
    assert found.known.all()


@pytest.mark.parametrize("points", [[], [(5.0, 5.0)], [(5.0, 5.0)] * 3])
def test_classes_with_too_few_points_say_nothing(points):
    polylines_px = annotate(VIEWS["left goal"])
    few = np.array(points).reshape(-1, 2)
    for name in ("Circle left", "Middle line", "Goal right crossbar"):
        polylines_px[name] = few
    found = points_from_polylines(polylines_px, SIZE)
    assert found.image_from_pitch is not None
    only_these = points_from_polylines({"Circle left": few, "Middle line": few}, SIZE)
    assert np.isnan(only_these.points_px).all()
    assert not only_these.known[[2 - 1, 31 - 1, 51 - 1]].any()


def test_line_ends_give_way_to_keypoints():
    camera = VIEWS["left goal"]
    polylines_px = annotate(camera)
    index = LINES.index("Big rect. left top")
    ends_px = polylines_px["Big rect. left top"]
    polylines_px["Big rect. left top"] = ends_px[[0]] + [[0.2], [0.7]] * np.diff(ends_px, axis=0)
    keypoints_px = points_from_polylines(polylines_px, SIZE).keypoints_px
    short, _ = segments_from_polylines(polylines_px, SIZE)
    full, _ = segments_from_polylines(polylines_px, SIZE, keypoints_px)
    corner_px = camera.project(PITCH.keypoints_m[4 - 1])[0]  # the other end is outside
    assert np.linalg.norm(short[index] - corner_px, axis=1).min() > 5
    assert np.allclose(full[index][1], corner_px, atol=0.1)
    assert (full[index][0] == short[index][0]).all()


@pytest.mark.parametrize("name,least", [("sn22", 0.95), ("wc14", 0.99)])
def test_real_annotations(shared, name, least):
    """Most real images are registered, and the markings agree with the homography."""
    archive = zipfile.ZipFile(shared / "samples" / "calibration" / f"{name}_ground_truth.zip")
    errors_px, counts = [], []
    files = sorted(file for file in archive.namelist() if file.endswith(".json"))[:100]
    for file in files:
        polylines_px = {
            marking.strip(): np.array([(p["x"], p["y"]) for p in points]) * (959, 539) + 0.5
            for marking, points in json.loads(archive.read(file)).items()
        }
        found = points_from_polylines(polylines_px, SIZE)
        inside = in_image(found.keypoints_px)
        assert found.known[:57][inside].all()
        counts.append(inside.sum())
        if found.image_from_pitch is not None:
            pitch_from_image = np.linalg.inv(found.image_from_pitch)
            marks = GroundMarks.of(polylines_px)
            errors_px.append(np.median(marking_errors_px(pitch_from_image, marks)))
    assert len(errors_px) >= least * len(files)
    assert np.median(errors_px) < 1
    assert 13 < np.mean(counts) < 17  # the reference finds 14.2 in 122 of the images


def test_real_keypoints_agree_with_real_cameras(shared):
    """With the cameras that explain every marking within 5 px."""
    folder = shared / "samples" / "calibration"
    cameras = zipfile.ZipFile(folder / "wc14_pnlcalib_cameras.zip")
    truth = zipfile.ZipFile(folder / "wc14_ground_truth.zip")
    errors_px = []
    for file in sorted(truth.namelist())[:40]:
        record = {
            n.strip(): np.array([(p["x"], p["y"]) for p in points])
            for n, points in json.loads(truth.read(file)).items()
        }
        camera = Camera.from_soccernet(json.loads(cameras.read(f"camera_{file}")), SIZE)
        metrics = CalibrationMetrics([5.0])
        metrics.update(camera, record)
        if metrics.compute().thresholds[5.0].jac < 1:
            continue
        found = points_from_polylines({n: p * (959, 539) + 0.5 for n, p in record.items()}, SIZE)
        inside = in_image(found.points_px)
        expected_px = camera.project(PITCH.points_m)[0]
        errors_px += np.linalg.norm(found.points_px - expected_px, axis=1)[inside].tolist()
    assert len(errors_px) > 100
    assert np.median(errors_px) < 2.5
    assert np.quantile(errors_px, 0.95) < 10


def test_bent_segments_end_where_the_bent_line_leaves_the_image():
    straight = VIEWS["left goal"]
    bent = Camera(straight.K, straight.R, straight.position_m, SIZE, [-1.0, 0, 0, 0])
    stack = Camera(*(np.stack([getattr(c, n) for c in (straight, bent)])
                     for n in ("K", "R", "position_m")), SIZE,
                   np.stack([straight.distortion, bent.distortion]))  # fmt: skip
    segments_px = visible_segments(stack, PITCH)
    assert np.allclose(segments_px[0], visible_segments(straight, PITCH), atol=0.5, equal_nan=True)
    assert np.allclose(segments_px[1], visible_segments(bent, PITCH), equal_nan=True)
    dense_px = bent.project(Pitch().polylines_m(0.1)["Side line left"])[0]
    inside = dense_px[((dense_px >= 0) & (dense_px <= SIZE)).all(axis=1)]
    ends_px = segments_px[1][LINES.index("Side line left")]
    gap_px = np.linalg.norm(ends_px - inside[[0, -1]], axis=1)
    assert gap_px.max() < 2  # the points are 10 cm apart
    assert np.linalg.norm(ends_px - segments_px[0][LINES.index("Side line left")], axis=1).max() > 1
