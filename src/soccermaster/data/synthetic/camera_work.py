"""The main camera of a broadcast: a real pinhole beside the pitch that follows the ball.

It stands near the halfway line behind the near touchline and only pans, tilts and zooms. Ranges are
those of cameras calibrated from real matches: x within +-11 m, y 41..98 m, 8.6..25 m above the
ground, roll within +-0.9 degrees,
20..75 m of pitch in view, pans of up to 10 degrees per second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from soccermaster.data.synthetic.motion import ball_positions
from soccermaster.data.synthetic.scene import Script
from soccermaster.geometry import Camera


@dataclass(frozen=True)
class Operator:
    """Where the camera stands and the habits of the person behind it.

    Attributes:
        position_m: centre of projection.
        roll_deg: constant tilt of the picture.
        width_m: how much of the pitch is in view at the distance of the ball, usually.
        detail_width: factor on the widths that a script asks for.
        lag_s: how late the picture follows.
        sway_deg: size of the small unsteady movements.
        phase_rad: of the small movements and of the slow zooming, four values.
    """

    position_m: Float[np.ndarray, " 3"]
    roll_deg: float
    width_m: float
    detail_width: float
    lag_s: float
    sway_deg: float
    phase_rad: Float[np.ndarray, " 4"]


def draw_operator(rng: np.random.Generator) -> Operator:
    """A camera position and a style."""
    y_m = float(np.clip(rng.normal(67, 11), 45, 98))
    elevation = rng.uniform(0.17, 0.29)  # height over distance to the centre
    return Operator(
        position_m=np.array(
            [np.clip(rng.normal(0, 3), -11, 11), y_m, -np.clip(elevation * y_m, 8.6, 25)]
        ),
        roll_deg=float(np.clip(rng.normal(0, 0.3), -0.9, 0.9)),
        width_m=float(rng.uniform(28, 60)),
        detail_width=float(rng.uniform(1.0, 1.3)),
        lag_s=float(rng.uniform(0.2, 0.7)),
        sway_deg=float(rng.uniform(0.02, 0.12)),
        phase_rad=rng.uniform(0, 2 * np.pi, 4),
    )


def film(
    operator: Operator,
    script: Script,
    times_s: Float[np.ndarray, " T"],
    image_size: tuple[int, int],
) -> Camera:
    """A stack of T cameras that follow the script.

    Args:
        operator: where and how.
        script: its `looks` override the ball as the thing to show.
        times_s: of each frame.
        image_size: (W, H) in pixels.
    """
    times_s = np.asarray(times_s, np.float64)
    first_s, last_s = float(times_s.min()) - _RUN_IN_S, float(times_s.max()) + _STEP_S
    grid_s = first_s + _STEP_S * np.arange(int((last_s - first_s) / _STEP_S) + 2)
    aim = _aim(operator, script, grid_s)
    offset = aim[:, :2] - operator.position_m[:2]
    offset[:, 0] = np.clip(offset[:, 0], 1.05 * offset[:, 1], -1.05 * offset[:, 1])
    ground_m = np.linalg.norm(offset, axis=-1)
    height_m = -operator.position_m[2]
    focal = np.hypot(ground_m, height_m) / np.clip(aim[:, 2], *WIDTH_RANGE_M)
    wished = {
        "pan": (np.degrees(np.arctan2(offset[:, 0], -offset[:, 1])), MAX_PAN_DEG_PER_S),
        "tilt": (90 - np.degrees(np.arctan2(height_m, ground_m)), 5.0),
        "zoom": (np.log(np.clip(focal, *FOCAL_RANGE)), 0.45),
    }
    done = {
        name: np.interp(times_s, grid_s, _follow(wish, most_per_s * _STEP_S))
        for name, (wish, most_per_s) in wished.items()
    }
    sway = operator.sway_deg * np.sin(np.outer(times_s, (1.9, 2.7, 0.9)) + operator.phase_rad[1:])
    tilt_deg = done["tilt"] + sway[:, 1]
    # Pan, tilt and zoom follow by themselves: what is in view at the place that is looked at, now.
    reach_m = height_m / np.cos(np.radians(tilt_deg))
    focal = np.clip(np.exp(done["zoom"]), reach_m / WIDTH_RANGE_M[1], reach_m / WIDTH_RANGE_M[0])
    return Camera.from_pan_tilt_roll(
        done["pan"] + sway[:, 0],
        tilt_deg,
        np.full(len(times_s), operator.roll_deg) + 0.3 * sway[:, 2],
        np.clip(focal, *FOCAL_RANGE) * image_size[0],
        operator.position_m,
        image_size,
    )


#: Metres of pitch in view at the place that is looked at.
WIDTH_RANGE_M = (20.5, 74.0)
#: Focal lengths in image widths.
FOCAL_RANGE = (0.94, 4.75)
#: Fastest pan, without the small movements.
MAX_PAN_DEG_PER_S = 9.2
_STEP_S, _RUN_IN_S = 0.2, 4.0


def _aim(operator: Operator, script: Script, times_s: np.ndarray) -> np.ndarray:
    """Where the operator wants to look (x, y), and how much of the pitch to show, in metres."""
    window_s = np.linspace(-1.4, 0.8, 7) - operator.lag_s
    ball = ball_positions(script, times_s[:, None] + window_s)[..., :2].mean(axis=1)
    zoom = 1 + 0.14 * np.sin(times_s / 5 + operator.phase_rad[0])
    width_m = operator.width_m * zoom * (1 - 0.2 * (np.abs(ball[:, 0]) / 52.5) ** 2)
    aim = np.stack([np.clip(ball[:, 0], -44, 44), 0.65 * ball[:, 1] - 2.0, width_m], axis=-1)
    for keys in script.looks:
        aim = _blend_look(aim, keys * (1, 1, 1, operator.detail_width), times_s)
    aim[:, 1] = np.minimum(aim[:, 1], operator.position_m[1] + 1.7 * operator.position_m[2])
    return aim


def _follow(wish: np.ndarray, most: float) -> np.ndarray:
    """A smooth way that stays near the wished one and never moves by more than `most` per step."""
    soft = np.convolve(np.pad(wish, 2, mode="edge"), (0.1, 0.2, 0.4, 0.2, 0.1), mode="valid")
    if np.abs(np.diff(soft)).max() <= most:
        return soft
    way = soft.tolist()
    for i in range(1, len(way)):
        way[i] = way[i - 1] + min(max(way[i] - way[i - 1], -most), most)
    return np.array(way)


def _blend_look(aim: np.ndarray, keys: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """Move over to the scripted view before its first key and back after its last one."""
    scripted = np.stack([np.interp(times_s, keys[:, 0], keys[:, c]) for c in (1, 2, 3)], axis=-1)
    ramp_s = 2.0
    into = (times_s - keys[0, 0]) / ramp_s + 1
    out = (keys[-1, 0] - times_s) / ramp_s + 1
    weight = np.clip(np.minimum(into, out), 0, 1)
    weight = (weight * weight * (3 - 2 * weight))[:, None]
    return aim + weight * (scripted - aim)
