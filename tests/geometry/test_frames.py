import numpy as np
import pytest

from soccermaster.geometry import Pitch, apply_homography, change_frame, planar_transform


def test_corners_in_every_frame():
    corners_m = Pitch().keypoints_m[[1 - 1, 30 - 1]]
    assert change_frame(corners_m, "table", "centred").tolist() == [[0, 0, 0], [105, 68, 0]]
    yards = change_frame(corners_m, "yards", "centred")
    assert np.allclose(yards, [[0, 0, 0], [114.82905, 74.36548, 0]])


def test_height_scales_and_stays_down():
    crossbar_m = Pitch().keypoints_m[12 - 1]
    assert change_frame(crossbar_m, "table", "centred")[2] == -2.44
    assert change_frame(crossbar_m, "yards", "centred")[2] == pytest.approx(-2.44 * 1.09361)


@pytest.mark.parametrize("source", ["centred", "table", "yards"])
@pytest.mark.parametrize("target", ["centred", "table", "yards"])
def test_there_and_back(source, target):
    points = np.array([(3.0, 4.0), (50.0, 20.0)])
    there = change_frame(points, target, source)
    assert np.allclose(change_frame(there, source, target), points)
    assert np.allclose(apply_homography(planar_transform(target, source), points), there)


def test_unknown_frames_are_refused():
    with pytest.raises(ValueError, match="feet"):
        planar_transform("feet", "centred")
