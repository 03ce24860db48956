"""What a comment can tell about an acted event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from soccermaster.data.synthetic.scene import Script


@dataclass(frozen=True)
class Story:
    """What can be seen of an event besides its class; an empty word is not told.

    Attributes:
        event: class name.
        side: "left" or "right": the half of the picture's pitch where it happens.
        outcome: a word that depends on the event, such as "scored" or "cleared".
        flank: "near" (to the camera), "far" or "middle".
        tempo: "quick" or "patient": the move that led there, or what follows.
        body: "foot" or "header".
        detail: a second outcome; a word that depends on the event.
        distance: "close" or "long", of a shot.
        zone: "halfway" (close to that line) or "deep" in the half.
    """

    event: str
    side: str
    outcome: str = ""
    flank: str = ""
    tempo: str = ""
    body: str = ""
    detail: str = ""
    distance: str = ""
    zone: str = ""


Act = Callable[[Script, np.random.Generator], Story]


def draw_attack(rng: np.random.Generator) -> tuple[int, int]:
    """Which goal is attacked (-1 left, 1 right), and the team that attacks it."""
    side = draw_sign(rng)
    return side, 0 if side > 0 else 1


def draw_sign(rng: np.random.Generator) -> int:
    """-1 or 1."""
    return int(rng.choice([-1, 1]))


def draw_word(rng: np.random.Generator, *words: str) -> str:
    """One of some words."""
    return words[int(rng.integers(len(words)))]


def draw_depth(rng: np.random.Generator) -> tuple[float, str]:
    """A distance from the halfway line in metres, and the word for the zone."""
    if rng.random() < 0.5:
        return float(rng.uniform(6, 15)), "halfway"
    return float(rng.uniform(25, 36)), "deep"


def side_word(x_m: float) -> str:
    """The half of the pitch."""
    return "right" if x_m > 0 else "left"


def flank_word(y_m: float, middle_m: float = 0.0) -> str:
    """The near or the far side of the pitch, or its middle."""
    if abs(y_m) < middle_m:
        return "middle"
    return "near" if y_m > 0 else "far"
