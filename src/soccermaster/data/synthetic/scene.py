"""Who is on the pitch, and the script of what they will do.

A `Script` is written by the functions in `events` and then evaluated at any times by `motion`:
where nothing is written, people keep their formation around the ball. World = centred pitch frame
(metres, z down); heights here are above the ground. Team 0 defends the left goal, team 1 the right
one, as in `vocabulary.TEAMS`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from soccermaster.vocabulary import NO_NUMBER, ROLES, UNKNOWN

Color = tuple[int, int, int]

BALL, GOALKEEPER, OTHER, PLAYER, REFEREE = range(len(ROLES))


@dataclass(frozen=True)
class Kit:
    """What somebody wears, in RGB."""

    shirt: Color
    shorts: Color
    socks: Color
    number: Color


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


@dataclass(frozen=True)
class BallKey:
    """The ball passes (x, y) at a time; `arc_m` is the height of the arc that led there."""

    time_s: float
    x_m: float
    y_m: float
    height_m: float = 0.0
    arc_m: float = 0.0


@dataclass(frozen=True)
class Walk:
    """A way that somebody takes, as rows of (time_s, x_m, y_m).

    He leaves his formation `ramp_s` before the first row and is back `ramp_s` after the last one,
    or stays there if `stay`.
    """

    person: int
    keys: np.ndarray
    ramp_s: float
    stay: bool


@dataclass(frozen=True)
class PoseSpan:
    """Somebody lies ("lie") or lifts both arms ("arms") for some time."""

    person: int
    start_s: float
    end_s: float
    kind: str


@dataclass
class Script:
    """What happens in a stretch of a match; times are in seconds, 0 is the middle of an event."""

    people: list[Person]
    start_s: float
    end_s: float
    ball: list[BallKey] = field(default_factory=list)
    walks: list[Walk] = field(default_factory=list)
    poses: list[PoseSpan] = field(default_factory=list)
    looks: list[np.ndarray] = field(default_factory=list)
    stops: list[tuple[float, float]] = field(default_factory=list)
    watched: list[tuple[float, float, float, float]] = field(default_factory=list)
    _traits: tuple[np.ndarray, np.ndarray, np.ndarray] | None = field(default=None, repr=False)

    def ball_at(
        self,
        time_s: float,
        xy_m: tuple[float, float] | np.ndarray,
        height_m: float = 0.0,
        arc_m: float = 0.0,
    ) -> None:
        """Move the ball to a place. Times must ascend."""
        if self.ball and time_s <= self.ball[-1].time_s:
            raise ValueError(
                f"expected ball keys in ascending time, got {time_s} s after "
                f"{self.ball[-1].time_s} s"
            )
        self.ball.append(BallKey(time_s, float(xy_m[0]), float(xy_m[1]), height_m, arc_m))

    def walk(
        self,
        person: int,
        *keys: tuple[float, float, float],
        ramp_s: float = 2.5,
        stay: bool = False,
    ) -> None:
        """Send somebody along (time_s, x_m, y_m) points."""
        self.walks.append(Walk(person, np.array(keys, np.float64), ramp_s, stay))

    def pose(self, person: int, start_s: float, end_s: float, kind: str) -> None:
        """Let somebody lie or lift his arms."""
        self.poses.append(PoseSpan(person, start_s, end_s, kind))

    def look(self, *keys: tuple[float, float, float, float]) -> None:
        """Point the camera at (time_s, x_m, y_m, width_m) instead of the ball."""
        self.looks.append(np.array(keys, np.float64))

    def stop_play(self, start_s: float, end_s: float) -> None:
        """Nobody runs for the ball in this time."""
        self.stops.append((start_s, end_s))

    def watch(self, start_s: float, end_s: float, xy_m: tuple[float, float] | np.ndarray) -> None:
        """Everybody looks at a place instead of at the ball."""
        self.watched.append((start_s, end_s, float(xy_m[0]), float(xy_m[1])))

    def traits(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Role (P,), attacking direction (P,) and spot (P, 2) of everybody."""
        if self._traits is None or len(self._traits[0]) != len(self.people):
            self._traits = (
                np.array([p.role for p in self.people]),
                np.array([1.0 if p.team == 0 else -1.0 for p in self.people]),
                np.array([p.spot for p in self.people], np.float64),
            )
        return self._traits

    def team(self, team: int, role: int = PLAYER) -> list[int]:
        """The people of a team with a role, as indices."""
        return [i for i, p in enumerate(self.people) if p.team == team and p.role == role]

    def keeper(self, team: int) -> int:
        """The goalkeeper of a team."""
        return self.team(team, GOALKEEPER)[0]

    def referee(self) -> int:
        """The main referee."""
        return next(i for i, p in enumerate(self.people) if p.role == REFEREE)

    def add(self, person: Person) -> int:
        """Bring in one more person; returns his index."""
        self.people.append(person)
        return len(self.people) - 1


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
    """Clothes of substitutes in bibs, physios and coaches."""
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
    for shirt in chosen:
        shorts = (shirt, (245, 245, 245), (22, 22, 28))[int(rng.integers(3))]
        socks = (shirt, shorts, (245, 245, 245))[int(rng.integers(3))]
        kits.append(Kit(shirt, shorts, socks, _contrasting(shirt)))
    return kits


def _distance(color: Color, others: list[Color]) -> float:
    """Distance to the nearest of the other colours."""
    return min((math.dist(color, other) for other in others), default=math.inf)


def _contrasting(shirt: Color) -> Color:
    luma = 0.299 * shirt[0] + 0.587 * shirt[1] + 0.114 * shirt[2]
    return (248, 248, 248) if luma < 140 else (20, 20, 30)
