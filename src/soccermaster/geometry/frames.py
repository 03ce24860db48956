"""Frames of reference of the ground plane, by name, and the way from one to another.

| name | origin | x | y | unit |
|---|---|---|---|---|
| "centred" | centre spot | -52.5..52.5 | -34..34, + toward the main camera | m |
| "table" | far left corner | 0..105 | 0..68, toward the main camera | m |
| "yards" | far left corner | 0..115 | 0..74, toward the main camera | yard |

z points down everywhere. The library's world is "centred" (SoccerNet); "table" is that of the
keypoint table of PnLCalib; "yards" is the template of the World Cup 2014 and TS-WorldCup
homographies (its metres times 1.09361: a 105 x 68 m pitch is 114.83 x 74.37 yards there).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

Frame = Literal["centred", "table", "yards"]

YARDS_PER_METRE = 1.09361
_CORNER_M = (52.5, 34.0)


def planar_transform(target: Frame, source: Frame) -> Float[np.ndarray, "3 3"]:
    """The matrix target_from_source for homogeneous ground points.

    Example: `planar_transform("yards", "centred") @ pitch_from_image` maps pixels to the template
    of the World Cup 2014 files.

    Raises:
        ValueError: a name is no frame.
    """
    return _from_centred(target) @ np.linalg.inv(_from_centred(source))


def change_frame(
    points: Float[np.ndarray, "*n d"], target: Frame, source: Frame
) -> Float[np.ndarray, "*n d"]:
    """Points (d = 2: on the ground, d = 3: with height) in the frame `target`.

    Raises:
        ValueError: a name is no frame.
    """
    points = np.asarray(points, np.float64)
    matrix = planar_transform(target, source)
    moved = points * matrix[0, 0]
    moved[..., :2] += matrix[:2, 2]
    return moved


def _from_centred(frame: Frame) -> np.ndarray:
    if frame not in get_args(Frame):
        raise ValueError(f"expected one of the frames {get_args(Frame)}, got {frame!r}")
    if frame == "centred":
        return np.eye(3)
    scale = YARDS_PER_METRE if frame == "yards" else 1.0
    x, y = _CORNER_M
    return np.array([[scale, 0, scale * x], [0, scale, scale * y], [0, 0, 1.0]])
