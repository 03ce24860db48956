from __future__ import annotations

import numpy as np
import pytest

from soccermaster.geometry import Camera
from soccermaster.geometry.calibration.prior import CameraPrior
from soccermaster.geometry.calibration.residuals import State


def state(y_m: float, roll_deg: float = 1.0) -> State:
    camera = Camera.from_pan_tilt_roll(20.0, 78.0, roll_deg, 2000.0, (3.0, y_m, -14.0), (960, 540))
    kappa = np.array([[0.02, -0.01, 0.005]])
    return State(camera.R[None], camera.position_m[None], np.log([2000.0]), kappa)


@pytest.mark.parametrize("y_m", [70.0, 110.0, 150.0, 250.0])  # 0, 2, 4 and 10 deviations away
def test_the_gradient_of_the_prior_is_that_of_its_cost(y_m):
    prior, at = CameraPrior(), state(y_m)
    _, gradient, _ = prior.normal_equations(at)
    steps = 1e-6 * np.eye(at.num_parameters)
    ahead, behind = (
        [prior.normal_equations(at.step(sign * step[None]))[0][0] for step in steps]
        for sign in (1, -1)
    )
    slope = (np.array(ahead) - behind) / 2e-6
    np.testing.assert_allclose(2 * gradient[0], slope, rtol=1e-4, atol=1e-5)


def test_the_prior_grows_with_the_distance_and_lets_go():
    costs = [
        CameraPrior().normal_equations(state(y))[0][0] for y in (72.0, 90.0, 140.0, 300.0, 3000.0)
    ]
    assert costs == sorted(costs)
    assert costs[-1] < 4.0**2 + 1.7  # reach^2, and the distortion
