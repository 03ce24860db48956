import numpy as np
import pytest

from soccermaster.geometry.ellipse import cross_line, fit_ellipse, tangent_points


def arc(start, end, count, noise=0.0):
    angle = np.linspace(start, end, count)
    points = np.stack([100 + 50 * np.cos(angle), 40 + 20 * np.sin(angle)], axis=1)
    return points + np.random.default_rng(0).normal(0, noise, points.shape)


@pytest.mark.parametrize("count", [5, 8, 30])
def test_an_ellipse_comes_back(count):
    conic = fit_ellipse(arc(0.3, 2.6, count))
    crossing = cross_line(conic, np.array([0.0, 1.0, -40.0]))
    assert np.allclose(sorted(crossing[:, 0]), (50, 150), atol=1e-6)


def test_four_points_have_a_fifth_and_always_the_same():
    points = arc(0.6, 2.5, 4)
    conic = fit_ellipse(points)
    assert np.array_equal(conic, fit_ellipse(points[[2, 0, 3, 1]]))
    crossing = cross_line(conic, np.array([1.0, 0.0, -100.0]))
    assert np.abs(crossing[:, 1] - 60).min() < 1.5  # the top of the arc


def test_what_is_no_ellipse_is_refused():
    assert fit_ellipse(arc(0, 1, 3)) is None
    assert fit_ellipse(np.tile([(1.0, 2.0)], (9, 1))) is None
    line = np.linspace(0, 1, 9)[:, None] * (30.0, 10.0)
    assert fit_ellipse(line) is None
    corners = np.array([(0.0, 0.0), (10.0, 0.0), (0.0, 10.0), (10.0, 10.0)])
    assert fit_ellipse(corners) is None  # no function over its chord


def test_lines_and_tangents():
    conic = fit_ellipse(arc(0, 6, 40))
    assert np.allclose(cross_line(conic, np.array([1.0, 0.0, -100.0])), [(100, 60), (100, 20)])
    assert cross_line(conic, np.array([1.0, 0.0, -200.0])) is None
    touching = tangent_points(conic, np.array([100.0, 0.0]))
    assert np.allclose(sorted(touching[:, 0]), (100 - 43.3013, 100 + 43.3013), atol=1e-3)
    assert np.allclose(touching[:, 1], 30)
    assert tangent_points(conic, np.array([110.0, 45.0])) is None
