"""The score and the clock that the broadcaster lays over the picture."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from soccermaster.data.synthetic.people import Color

_NAMES = ("ASH", "BRI", "CAR", "DEN", "EAS", "FAI", "GRE", "HAL", "KIN", "LOW", "MAR", "NOR")


@dataclass(frozen=True)
class ScoreBox:
    """Who plays, and what the score and the clock were at time 0 of the script.

    Attributes:
        names: three letters each.
        colors: shirts.
        score: goals of team 0 and team 1.
        clock_s: match time.
        side: "left" or "right" corner of the picture; "" shows nothing.
    """

    names: tuple[str, str]
    colors: tuple[Color, Color]
    score: tuple[int, int]
    clock_s: float
    side: str


def draw_score_box(
    rng: np.random.Generator, colors: tuple[Color, Color], side: str, clock_s: float | None
) -> ScoreBox:
    """A random score; the clock is random too if it is None."""
    first, second = rng.choice(len(_NAMES), 2, replace=False)
    drawn_s = float(rng.uniform(40, 5300))
    clock_s = drawn_s if clock_s is None else clock_s
    goals_a_team = clock_s / 4000
    score = (int(rng.poisson(goals_a_team)), int(rng.poisson(goals_a_team)))
    return ScoreBox(
        (_NAMES[first], _NAMES[second]),
        colors,
        score,
        clock_s,
        side,
    )


def lay_over(
    image: UInt8[np.ndarray, "H W 3"],
    box: ScoreBox,
    time_s: float,
    goals: tuple[int, int],
    added_minutes: int | None,
) -> None:
    """Draw the box into an image, in place.

    Args:
        image: RGB.
        box: what it shows at time 0.
        time_s: of the frame, in the script.
        goals: of both teams since time 0.
        added_minutes: shown beside the clock, if any.
    """
    if not box.side:
        return
    seconds = max(0, int(box.clock_s + time_s))
    clock = f"{seconds // 60:02d}:{seconds % 60:02d}"
    score = f"{box.score[0] + goals[0]}-{box.score[1] + goals[1]}"
    extra = f"+{added_minutes}" if added_minutes is not None else ""
    sign = _sign(box.names, box.colors, score, clock, extra)
    height = max(5, round(0.05 * image.shape[0]))
    width = round(sign.shape[1] * height / sign.shape[0])
    sign = cv2.resize(sign, (width, height), interpolation=cv2.INTER_AREA)
    top, margin = round(0.045 * image.shape[0]), round(0.035 * image.shape[1])
    left = margin if box.side == "left" else image.shape[1] - margin - width
    left = max(left, 0)
    image[top : top + height, left : left + width] = sign[:, : image.shape[1] - left]


@functools.lru_cache(maxsize=128)
def _sign(
    names: tuple[str, str], colors: tuple[Color, Color], score: str, clock: str, extra: str
) -> np.ndarray:
    """The box, 40 pixels high."""
    canvas = np.full((40, 372 if extra else 316, 3), (24, 26, 34), np.uint8)
    canvas[:, 0:86] = (232, 232, 236)
    for left, name, color in ((88, names[0], colors[0]), (228, names[1], colors[1])):
        canvas[:, left : left + 8] = color
        _write(canvas, name, left + 13, 0.85, (245, 245, 245))
    _write(canvas, clock, 4, 0.8, (20, 22, 30))
    _write(canvas, score, 168, 0.9, (250, 220, 60))
    if extra:
        canvas[:, 316:] = (200, 30, 40)
        _write(canvas, extra, 324, 0.9, (255, 255, 255))
    return canvas


def _write(canvas: np.ndarray, text: str, left: int, size: float, color: Color) -> None:
    cv2.putText(canvas, text, (left, 29), cv2.FONT_HERSHEY_DUPLEX, size, color, 2, cv2.LINE_AA)
