"""What broadcast cameras are like: a weak belief that decides only where observations do not.

Source: the real main cameras of SoccerNet-Calibration 2022 (as PnLCalib solved them) lie at
x -10..11, y 41..98, z -25..-8.6 m with a roll within 0.9 degrees. The belief is wider than that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from soccermaster.geometry.calibration.residuals import State


@dataclass(frozen=True)
class CameraPrior:
    """Independent normal distributions of position, roll and distortion.

    A camera far from it, at a distance of `reach` standard deviations and more, is another kind of
    camera (behind a goal, on the opposite stand): the belief lets go of it, with the loss of Geman
    and McClure, d^2 / (1 + d^2 / reach^2).
    """

    position_m: tuple[float, float, float] = (0.0, 72.0, -16.0)
    position_std_m: tuple[float, float, float] = (8.0, 18.0, 6.0)
    roll_std_rad: float = 0.02
    kappa_std: tuple[float, float, float] = (0.03, 0.01, 0.01)
    reach: float = 4.0

    def normal_equations(
        self, state: State
    ) -> tuple[Float[np.ndarray, " B"], Float[np.ndarray, "B p"], Float[np.ndarray, "B p p"]]:
        """The loss (squared standard deviations), half its gradient, and the normal matrix."""
        num, size = len(state), state.num_parameters
        inverse = 1 / np.asarray(self.position_std_m)
        values = np.empty((num, size - 3))
        values[:, :3] = (state.position_m - self.position_m) * inverse
        values[:, 3] = state.R[:, 0, 2] / self.roll_std_rad  # the x axis is level without roll
        jac = np.zeros((num, size, size - 3))
        jac[:, 3:6, :3] = state.R * inverse
        jac[:, 1, 3] = state.R[:, 2, 2] / self.roll_std_rad
        jac[:, 2, 3] = -state.R[:, 1, 2] / self.roll_std_rad
        if size > 7:
            values[:, 4:] = state.kappa / np.asarray(self.kappa_std)
            jac[:, [7, 8, 9], [4, 5, 6]] = 1 / np.asarray(self.kappa_std)
        distance2 = (values[:, :4] ** 2).sum(axis=1)
        hold = np.ones_like(values)
        hold[:, :4] = (1 + distance2 / self.reach**2)[:, None] ** -2
        weighted = jac * hold[:, None]
        gradient = (weighted @ values[:, :, None])[:, :, 0]
        cost = distance2 / (1 + distance2 / self.reach**2) + (values[:, 4:] ** 2).sum(axis=1)
        return cost, gradient, weighted @ np.swapaxes(jac, 1, 2)

    def distance2(self, state: State) -> Float[np.ndarray, " B"]:
        """Squared distance of position and roll in standard deviations (4 degrees of freedom)."""
        offset = (state.position_m - self.position_m) / np.asarray(self.position_std_m)
        roll = state.R[:, 0, 2] / self.roll_std_rad
        return (offset**2).sum(axis=1) + roll**2
