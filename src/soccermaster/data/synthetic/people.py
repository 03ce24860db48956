"""Who is on the pitch: bodies, kits and formations.

Colours of the two teams, their goalkeepers and the referees can always be told apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from soccermaster.vocabulary import NO_NUMBER, ROLES, UNKNOWN

Color = tuple[int, int, int]

BALL, GOALKEEPER, OTHER, PLAYER, REFEREE = range(len(ROLES))

#: What can be on a shirt besides its main colour.
PATTERNS: tuple[str, ...] = ("plain", "stripes", "hoops", "halves", "sash", "sleeves")


@dataclass(frozen=True)
class Kit:
    """What somebody wears, in RGB.

    Attributes:
        shirt: main colour.
        shorts: colour.
        socks: colour.
        number: colour of the shirt number.
        pattern: one of `PATTERNS`.
        second: the other colour of the pattern.
    """

    shirt: Color
    shorts: Color
    socks: Color
    number: Color
    pattern: str = "plain"
    second: Color = (255, 255, 255)


@dataclass(frozen=True)
class Person:
    """Somebody on or beside the pitch.

    Attributes:
        role: index in `vocabulary.ROLES`.
        team: index in `vocabulary.TEAMS`, or -1.
        number: shirt number 1..99, or 100 for none.
        kit: clothes.
        skin: RGB.
        hair: RGB.
        height_m: body height.
        spot: where he belongs. Players: (depth, lateral) in the block of their team, 0 at the back
            to 1 in front, -1..1 from far to near. Others: fixed place in metres, or NaN for
            referees, who follow the ball.
    """

    role: int
    team: int
    number: int
    kit: Kit
    skin: Color
    hair: Color
    height_m: float
    spot: tuple[float, float]


def draw_people(rng: np.random.Generator) -> list[Person]:
    """Two teams of eleven and one to three referees, in kits that can be told apart."""
    kits = _draw_kits(rng)
    people = []
    for team in (0, 1):
        formation = _FORMATIONS[int(rng.integers(len(_FORMATIONS)))]
        numbers = rng.permutation(np.arange(2, 100) if rng.random() < 0.3 else np.arange(2, 34))
        people.append(draw_person(rng, GOALKEEPER, team, 1, kits[2 + team], (np.nan, np.nan)))
        for spot, number in zip(formation, numbers, strict=False):
            people.append(draw_person(rng, PLAYER, team, int(number), kits[team], spot))
    for _ in range(int(rng.integers(1, 4))):
        people.append(draw_person(rng, REFEREE, UNKNOWN, NO_NUMBER, kits[4], (np.nan, np.nan)))
    return people


def draw_person(
    rng: np.random.Generator,
    role: int,
    team: int,
    number: int,
    kit: Kit,
    spot: tuple[float, float],
) -> Person:
    """Somebody with a random body."""
    skin = _SKINS[int(rng.integers(len(_SKINS)))]
    hair = _HAIRS[int(rng.integers(len(_HAIRS)))]
    height_m = float(np.clip(rng.normal(1.82, 0.06), 1.65, 2.0))
    return Person(role, team, number, kit, skin, hair, height_m, spot)


def draw_staff_kit(rng: np.random.Generator) -> Kit:
    """Clothes of physios and coaches."""
    shirt = _STAFF[int(rng.integers(len(_STAFF)))]
    return Kit(shirt, (30, 32, 40), (30, 32, 40), (230, 230, 230))


# fmt: off
_FORMATIONS: tuple[tuple[tuple[float, float], ...], ...] = (
    ((.08, -.85), (0, -.3), (0, .3), (.08, .85),  # 4-4-2
     (.45, -.8), (.4, -.25), (.4, .25), (.45, .8), (.9, -.2), (.95, .25)),
    ((.1, -.85), (0, -.3), (0, .3), (.1, .85),  # 4-3-3
     (.35, 0), (.5, -.4), (.5, .4), (.9, -.75), (1, 0), (.9, .75)),
    ((.1, -.85), (0, -.3), (0, .3), (.1, .85),  # 4-2-3-1
     (.35, -.25), (.35, .25), (.65, -.7), (.68, 0), (.65, .7), (1, 0)),
    ((0, -.5), (-.03, 0), (0, .5), (.4, -.95),  # 3-5-2
     (.35, -.3), (.3, 0), (.35, .3), (.4, .95), (.9, -.2), (.95, .2)),
)
_COLORS: tuple[Color, ...] = (
    (200, 22, 30), (150, 20, 45), (235, 105, 20), (250, 210, 30), (25, 110, 50), (60, 170, 235),
    (25, 60, 170), (18, 25, 75), (110, 45, 140), (242, 242, 242), (25, 25, 28), (240, 140, 175),
    (0, 150, 140), (120, 15, 25), (170, 225, 60), (140, 142, 148),
)
_REFEREES: tuple[Color, ...] = (
    (20, 20, 22), (235, 225, 30), (30, 190, 230), (235, 60, 130), (255, 130, 20),
)
_STAFF: tuple[Color, ...] = ((230, 90, 20), (40, 45, 60), (190, 235, 40), (90, 95, 105))
_SKINS: tuple[Color, ...] = (
    (240, 205, 175), (224, 180, 145), (198, 145, 105), (150, 100, 68), (105, 68, 45), (72, 48, 34),
)
_HAIRS: tuple[Color, ...] = ((25, 20, 18), (50, 35, 25), (90, 60, 35), (190, 150, 80), (20, 20, 22))
# fmt: on


def _draw_kits(rng: np.random.Generator) -> list[Kit]:
    """Kits of both teams, both goalkeepers and the referees, all of different colours."""
    chosen: list[Color] = []
    for palette in (_COLORS, _COLORS, _COLORS, _COLORS, _REFEREES):
        order = [palette[i] for i in rng.permutation(len(palette))]
        chosen.append(max(order, key=lambda c: min(_distance(c, chosen), 130.0)))
    kits = []
    for place, shirt in enumerate(chosen):
        shorts = (shirt, (245, 245, 245), (22, 22, 28))[int(rng.integers(3))]
        socks = (shirt, shorts, (245, 245, 245))[int(rng.integers(3))]
        second = ((245, 245, 245), (22, 22, 28), chosen[2])[int(rng.integers(3))]
        if math.dist(second, shirt) < 90:
            second = (245, 245, 245) if sum(shirt) < 380 else (22, 22, 28)
        outfield = place < 2
        pattern = str(rng.choice(PATTERNS)) if outfield and rng.random() < 0.6 else "plain"
        striped = pattern in ("stripes", "hoops", "halves")
        number = _contrasting_both(shirt, second) if striped else _contrasting(shirt)
        kits.append(Kit(shirt, shorts, socks, number, pattern, second))
    return kits


def _distance(color: Color, others: list[Color]) -> float:
    """Distance to the nearest of the other colours."""
    return min((math.dist(color, other) for other in others), default=math.inf)


def _contrasting(shirt: Color) -> Color:
    luma = 0.299 * shirt[0] + 0.587 * shirt[1] + 0.114 * shirt[2]
    return (248, 248, 248) if luma < 140 else (20, 20, 30)


def _contrasting_both(shirt: Color, second: Color) -> Color:
    candidates: tuple[Color, ...] = ((248, 248, 248), (20, 20, 30), (250, 210, 30), (200, 22, 30))
    return max(candidates, key=lambda c: _distance(c, [shirt, second]))
