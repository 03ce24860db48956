"""A Kalman filter of constant velocity for many tracks at once, in pixels or metres.

With diagonal noise the coordinates of such a filter never mix, so a track is C independent filters
of two states (value and velocity), and all tracks are a few (N, C) arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(eq=False)
class Motion:
    """Value and velocity (per frame) of C coordinates of N tracks, with their covariances."""

    value: Float[np.ndarray, "N C"]
    velocity: Float[np.ndarray, "N C"]
    value_var: Float[np.ndarray, "N C"]
    covariance: Float[np.ndarray, "N C"]  # of value and velocity
    velocity_var: Float[np.ndarray, "N C"]

    @classmethod
    def start(
        cls,
        measured: Float[np.ndarray, "N C"],
        value_std: Float[np.ndarray, "N C"] | float,
        velocity_std: Float[np.ndarray, "N C"] | float,
    ) -> Motion:
        """Tracks at rest; an unknown coordinate (NaN) starts when it is first measured."""
        measured = np.asarray(measured, np.float64)
        ones = np.ones_like(measured)
        return cls(
            measured.copy(),
            np.zeros_like(measured),
            ones * np.square(value_std),
            np.zeros_like(measured),
            ones * np.square(velocity_std),
        )

    def __len__(self) -> int:
        return len(self.value)

    def select(self, rows: Int[np.ndarray, " n"] | np.ndarray) -> Motion:
        """The tracks at `rows`."""
        return Motion(*(array[rows] for array in vars(self).values()))

    def join(self, other: Motion) -> Motion:
        """These tracks, then those of `other`."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Motion(*(np.concatenate(pair) for pair in pairs))

    def predict(
        self,
        value_std: Float[np.ndarray, "N C"] | float,
        velocity_std: Float[np.ndarray, "N C"] | float,
        decay: Float[np.ndarray, "N 1"] | float = 1.0,
    ) -> None:
        """One frame on.

        Args:
            value_std: noise of the step.
            velocity_std: noise of the change of velocity.
            decay: what remains of the velocity.
        """
        self.value += self.velocity
        self.value_var += 2 * self.covariance + self.velocity_var + np.square(value_std)
        self.covariance += self.velocity_var
        self.velocity *= decay
        self.covariance *= decay
        self.velocity_var *= np.square(decay)
        self.velocity_var += np.square(velocity_std)

    def distances(
        self, measured: Float[np.ndarray, "D C"], noise_std: Float[np.ndarray, "N D C"] | float
    ) -> Float[np.ndarray, "N D"]:
        """Squared Mahalanobis distance of every track and detection; NaN where not measurable."""
        offset = measured[None] - self.value[:, None]
        variance = self.value_var[:, None] + np.square(noise_std)
        return (offset**2 / variance).sum(axis=-1)

    def update(
        self,
        rows: Int[np.ndarray, " n"],
        measured: Float[np.ndarray, "n C"],
        noise_std: Float[np.ndarray, "n C"] | float,
    ) -> None:
        """Tracks `rows` are measured; NaN leaves a coordinate as it was predicted."""
        value, velocity = self.value[rows], self.velocity[rows]
        p, c, v = self.value_var[rows], self.covariance[rows], self.velocity_var[rows]
        known = np.isfinite(measured)
        first = known & ~np.isfinite(value)
        total = p + np.square(noise_std)
        offset = np.where(known & ~first, measured - value, 0.0)
        gain, gain_v = (np.where(known & ~first, x / total, 0.0) for x in (p, c))
        self.value[rows] = np.where(first, measured, value + gain * offset)
        self.velocity[rows] = velocity + gain_v * offset
        self.value_var[rows] = np.where(first, np.square(noise_std), (1 - gain) * p)
        self.covariance[rows] = (1 - gain) * c
        self.velocity_var[rows] = v - gain_v * c
