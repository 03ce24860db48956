"""Cameras besides the main one: close-ups of a person, and replays from other places.

They are for matches, where a viewer must tell them from the main camera; the labels of the pitch
and the ranges of `camera_work` hold for the main camera alone.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from soccermaster.data.synthetic.camera_work import Operator, film
from soccermaster.data.synthetic.motion import Motion, ball_positions
from soccermaster.data.synthetic.scene import Script
from soccermaster.geometry import Camera


def close_up(
    motion: Motion,
    person: int,
    position_m: Float[np.ndarray, " 3"],
    width_m: float,
    image_size: tuple[int, int],
) -> Camera:
    """A long lens that follows the chest of somebody.

    Args:
        motion: at T times.
        person: whom to follow.
        position_m: of the camera.
        width_m: in view at the person.
        image_size: (W, H) in pixels.
    """
    chest_m = np.concatenate(
        [motion.positions_m[:, person], np.full((len(motion.times_s), 1), -1.15)], axis=1
    )
    return _aimed(chest_m, width_m, position_m, image_size)


def beside(operator: Operator, side: int) -> Operator:
    """The camera at the level of a penalty area, "Main camera left" (-1) or "right" (1)."""
    x_m, y_m, z_m = operator.position_m
    position_m = np.array([side * 36.0 + 0.3 * x_m, 0.85 * y_m, 0.9 * z_m])
    return dataclasses.replace(operator, position_m=position_m, width_m=26.0)


def replay_from_side(
    operator: Operator, script: Script, times_s: Float[np.ndarray, " T"],
    image_size: tuple[int, int],
) -> tuple[Camera, str]:  # fmt: skip
    """A replay from the side on which the ball is; returns the cameras and the SoccerNet label."""
    ball_x_m = float(ball_positions(script, np.asarray(times_s)).mean(axis=0)[0])
    side = 1 if ball_x_m > 0 else -1
    label = "Main camera right" if side > 0 else "Main camera left"
    return film(beside(operator, side), script, times_s, image_size), label


def _aimed(
    aim_m: Float[np.ndarray, "T 3"],
    width_m: float,
    position_m: np.ndarray,
    image_size: tuple[int, int],
) -> Camera:
    offset = aim_m - position_m
    ground_m = np.hypot(offset[:, 0], offset[:, 1])
    far_m = np.linalg.norm(offset, axis=1)
    return Camera.from_pan_tilt_roll(
        np.degrees(np.arctan2(offset[:, 0], -offset[:, 1])),
        90 - np.degrees(np.arctan2(offset[:, 2], ground_m)),
        0.0,
        image_size[0] * far_m / width_m,
        position_m,
        image_size,
    )
