import numpy as np
import pytest

from soccermaster.geometry import apply_homography, estimate_homography

H = np.array([[9.96, 1.54, -775.3], [-0.42, 0.69, 152.3], [0.0008, -0.0033, 0.4]]) / 0.4
CORNERS = np.array([(60.0, 10.0), (115.0, 10.0), (115.0, 60.0), (60.0, 60.0)])


def test_four_points_give_the_matrix_back():
    assert np.allclose(estimate_homography(CORNERS, apply_homography(H, CORNERS)), H, atol=1e-6)


def test_ransac_ignores_outliers():
    rng = np.random.default_rng(0)
    src = rng.uniform((60, 10), (115, 60), size=(30, 2))
    dst = apply_homography(H, src)
    dst[:6] += 100
    plain = estimate_homography(src, dst)
    robust = estimate_homography(src, dst, ransac_px=3)
    assert np.allclose(apply_homography(robust, src[6:]), dst[6:], atol=1e-3)
    assert not np.allclose(apply_homography(plain, src[6:]), dst[6:], atol=1)


def test_points_with_nan_do_not_count():
    dst = apply_homography(H, CORNERS)
    src = np.concatenate([CORNERS, [(np.nan, 0)]])
    assert np.allclose(estimate_homography(src, np.concatenate([dst, [(0, 0)]])), H, atol=1e-6)
    dst[0] = np.nan
    assert estimate_homography(CORNERS, dst) is None


@pytest.mark.parametrize(
    "points",
    [
        CORNERS[:3],
        np.stack([np.arange(6.0), 2 * np.arange(6.0)], axis=1),  # all on a line
        np.array([(0, 0), (1, 0), (2, 0), (3, 0), (1, 5)], dtype=float),  # all but one
        np.zeros((5, 2)),
        np.zeros((0, 2)),
    ],
)
@pytest.mark.parametrize("ransac_px", [None, 5.0])
def test_degenerate_arrangements_give_none(points, ransac_px):
    assert estimate_homography(points, apply_homography(H, points), ransac_px) is None


def test_unequal_numbers_are_an_error():
    with pytest.raises(ValueError, match="4, 3"):
        estimate_homography(CORNERS, CORNERS[:3])


def test_apply_takes_stacks_and_marks_infinity():
    mapped = apply_homography(np.stack([np.eye(3), np.diag([2, 3, 1])]), CORNERS)
    assert np.allclose(mapped[1], CORNERS * (2, 3))
    to_infinity = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0]])
    assert np.isnan(apply_homography(to_infinity, [(0.0, 1.0)])).all()
