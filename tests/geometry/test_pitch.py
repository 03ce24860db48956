import csv

import numpy as np
import pytest

from soccermaster.geometry import LINE_CROSSINGS, Pitch
from soccermaster.vocabulary import CIRCLES, LINES

PITCH = Pitch()
CORNER = np.array([52.5, 34.0, 0.0])


@pytest.mark.parametrize(
    "name",
    ["point_flip", "point_rot180", "keypoint_flip", "keypoint_rot180", "line_flip", "line_rot180"],
)
def test_symmetries_are_their_own_inverse(name):
    partner = getattr(PITCH, name)
    assert (partner[partner] == np.arange(len(partner))).all()


def test_known_partners():
    assert PITCH.keypoint_flip[1 - 1] == 3 - 1
    assert PITCH.keypoint_flip[38 - 1] == 39 - 1
    assert np.nonzero(PITCH.keypoint_flip == np.arange(57))[0].tolist() == [1, 28, 31, 34, 50]
    first_thirty = np.arange(1, 31)
    assert (PITCH.keypoint_rot180[:30] + 1 == 31 - first_thirty).all()
    assert PITCH.keypoint_rot180[48 - 1] == 54 - 1
    assert PITCH.flip_name("Goal left post left") == "Goal right post right"
    assert PITCH.rot180_name("Goal left post left") == "Goal right post left"
    assert PITCH.rot180_name("Side line top") == "Side line bottom"
    assert PITCH.rot180_name("Big rect. left bottom") == "Big rect. right top"


@pytest.mark.parametrize("name", LINES + CIRCLES)
def test_flip_of_a_name_swaps_its_words(name):
    swapped = {"left": "right", "right": "left"}
    expected = " ".join(swapped.get(word, word) for word in name.split())
    assert PITCH.flip_name(name) == expected
    assert PITCH.flip_name(PITCH.flip_name(name)) == name
    assert PITCH.rot180_name(PITCH.rot180_name(name)) == name


def test_auxiliary_points_and_circles_have_partners():
    assert PITCH.points_m.shape == (73, 3)
    assert (PITCH.points_m[57:] == PITCH.auxiliary_m).all()
    reference = {58: 61, 59: 60, 62: 63, 64: 65, 66: 67, 68: 69, 70: 73, 71: 72}
    for number, partner in reference.items():
        assert PITCH.point_flip[[number - 1, partner - 1]].tolist() == [partner - 1, number - 1]
    assert PITCH.point_rot180[58 - 1] == 73 - 1
    assert PITCH.circle_flip.tolist() == PITCH.circle_rot180.tolist() == [0, 2, 1]
    assert PITCH.circle_centres_m.tolist() == [[0, 0, 0], [-41.5, 0, 0], [41.5, 0, 0]]


def test_unknown_names_are_refused():
    with pytest.raises(KeyError, match="Line unknown"):
        PITCH.flip_name("Line unknown")
    with pytest.raises(ValueError, match="'exact'"):
        Pitch("rounded")


def test_line_crossings_lie_on_both_lines():
    """Goal posts meet the goal line at ground level, all others cross in the plane."""
    ends_m = dict(zip(LINES, PITCH.line_ends_m, strict=True))
    for number, names in LINE_CROSSINGS.items():
        points_m, first = (PITCH.keypoints_m, 1) if number <= 57 else (PITCH.auxiliary_m, 58)
        for name in names:
            start, end = ends_m[name]
            direction = (end - start) / np.linalg.norm(end - start)
            offset = points_m[number - first] - start
            away = np.linalg.norm(offset - (offset @ direction) * direction)
            assert away < 1e-9, (number, name)


def test_templates_differ_by_rounding_and_the_slip_of_keypoint_52():
    exact = Pitch("exact")
    error_m = np.linalg.norm(exact.keypoints_m - PITCH.keypoints_m, axis=1)
    assert error_m[52 - 1] == pytest.approx(0.15)
    assert np.delete(error_m, 52 - 1).max() < 0.015
    assert PITCH.keypoints_m[52 - 1, 0] + 52.5 == 61.5
    on_centre_circle = [32, 35, 38, 39, 42, 43, 48, 49, 50, 52, 53, 54]
    radius = np.linalg.norm(exact.keypoints_m[np.array(on_centre_circle) - 1], axis=1)
    assert np.allclose(radius, 9.15)


def test_exact_template_touches_its_tangents():
    """The radius to a point of tangency is perpendicular to the tangent."""
    m = Pitch("exact").keypoints_m
    for touch, origin, centre in ((37, 5, 45), (38, 2, 51), (43, 29, 51), (44, 26, 57)):
        radius = m[touch - 1] - m[centre - 1]
        assert radius @ (m[origin - 1] - m[touch - 1]) == pytest.approx(0, abs=1e-9)
    assert m[39 - 1, :2] + CORNER[:2] == pytest.approx((61.312, 31.538), abs=1e-3)


def test_polylines_follow_the_markings():
    polylines = PITCH.polylines_m(0.9, circle_step_m=0.2)
    assert list(polylines) == [*LINES, *CIRCLES]
    crossbar = polylines["Goal left crossbar"]
    assert np.allclose(crossbar[:, 2], -2.44)
    assert np.allclose(np.linalg.norm(np.diff(crossbar, axis=0), axis=1)[:-1], 0.9)
    assert np.allclose(crossbar[-1], (-52.5, -3.66, -2.44))
    arc = polylines["Circle left"]
    assert (arc[:, 0] >= -36 - 1e-9).all()
    assert np.allclose(arc[[0, -1], 1], (-7.3125, 7.3125), atol=1e-4)
    assert np.allclose(polylines["Circle central"][0], polylines["Circle central"][-1])


def test_template_arrays_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        PITCH.keypoints_m[0] = 0


def test_table_agrees_with_the_reference_table(shared):
    with (shared / "reference" / "pitch_keypoints.csv").open() as file:
        rows = list(csv.DictReader(file))
    table_m = np.array([[float(row[axis]) for axis in "xyz"] for row in rows])
    assert np.allclose(PITCH.keypoints_m + CORNER, table_m, atol=1e-12)
    assert [int(row["flip"]) - 1 for row in rows] == PITCH.keypoint_flip.tolist()
    for row in rows[:30]:
        _, names = row["derivation"].split(":")
        assert tuple(names.split("|")) == LINE_CROSSINGS[int(row["index"])]
    with (shared / "reference" / "pitch_lines.csv").open() as file:
        rows = list(csv.DictReader(file))
    ends_m = [[[float(row[axis + end]) for axis in "xyz"] for end in "12"] for row in rows]
    assert np.allclose(PITCH.line_ends_m + CORNER, ends_m, atol=1e-12)
    assert [int(row["flip"]) - 1 for row in rows] == PITCH.line_flip.tolist()
