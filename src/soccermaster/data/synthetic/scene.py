"""The script of what people and the ball will do in a stretch of a match.

A `Script` is written by the functions in `events` and then evaluated at any times by `motion`:
where nothing is written, people keep their formation around the ball. World = centred pitch frame
(metres, z down); heights here are above the ground. Team 0 defends the left goal, team 1 the right
one, as in `vocabulary.TEAMS`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from soccermaster.data.synthetic.people import GOALKEEPER, PLAYER, REFEREE, Color, Person

#: What somebody does with his body, besides walking and running; "lie" is reached by falling.
POSES: tuple[str, ...] = (
    "none", "lie", "arms", "arm", "point", "screen", "ear", "head", "crouch", "protest", "hold",
)  # fmt: skip


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
    """Somebody takes one of `POSES` for some time."""

    person: int
    start_s: float
    end_s: float
    kind: str


@dataclass(frozen=True)
class Prop:
    """A thing in somebody's hand, or on the ground.

    Attributes:
        kind: "card", "flag" or "board" above the hand of a person; "monitor" or "stretcher".
        start_s: seen from then on.
        end_s: seen until then.
        color: RGB.
        person: who holds it; -1 nobody.
        xy_m: where it stands if nobody holds it.
        text: what is on a board.
    """

    kind: str
    start_s: float
    end_s: float
    color: Color
    person: int = -1
    xy_m: tuple[float, float] = (0.0, 0.0)
    text: str = ""


@dataclass(frozen=True)
class RoleChange:
    """From a time on somebody is something else: a substitute becomes a player."""

    person: int
    time_s: float
    role: int


@dataclass(frozen=True)
class Recording:
    """Positions that were measured in a real match; they replace what a script says.

    Attributes:
        times_s: of each sample.
        positions_m: of the first people of the script.
        ball_m: on the ground below the ball.
        ball_height_m: above the ground.
    """

    times_s: np.ndarray  # (N,)
    positions_m: np.ndarray  # (N, people, 2)
    ball_m: np.ndarray  # (N, 2)
    ball_height_m: np.ndarray  # (N,)


@dataclass
class Script:
    """What happens in a stretch of a match; times are in seconds, 0 is the middle of an event.

    Attributes:
        people: everybody who appears at some time.
        start_s: first moment that is written.
        end_s: last one.
        diagonal: 1 if the assistant of the right half stands at the far touchline, else -1.
        ball: where the ball passes, in ascending time.
        walks: ways of single people; later ones win.
        poses: gestures and falls.
        props: cards, flags, boards.
        roles: who becomes what.
        looks: what the camera shows instead of the ball, rows of (time_s, x_m, y_m, width_m).
        stops: times in which nobody runs for the ball.
        watched: (start_s, end_s, x_m, y_m): where everybody looks.
        scores: (time_s, team): when a goal counts, for the score in the picture.
        added: (time_s, minutes): when added time appears beside the clock.
        clock_s: match time at 0; None if anything goes.
        recording: of a real match, instead of what is written here.
    """

    people: list[Person]
    start_s: float
    end_s: float
    diagonal: int = 1
    ball: list[BallKey] = field(default_factory=list)
    walks: list[Walk] = field(default_factory=list)
    poses: list[PoseSpan] = field(default_factory=list)
    props: list[Prop] = field(default_factory=list)
    roles: list[RoleChange] = field(default_factory=list)
    looks: list[np.ndarray] = field(default_factory=list)
    stops: list[tuple[float, float]] = field(default_factory=list)
    watched: list[tuple[float, float, float, float]] = field(default_factory=list)
    scores: list[tuple[float, int]] = field(default_factory=list)
    added: list[tuple[float, int]] = field(default_factory=list)
    clock_s: float | None = None
    recording: Recording | None = None
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
        """Let somebody take a pose.

        Raises:
            ValueError: it is none of `POSES`.
        """
        if kind not in POSES:
            raise ValueError(f"expected a pose of {POSES}, got {kind!r}")
        self.poses.append(PoseSpan(person, start_s, end_s, kind))

    def become(self, person: int, time_s: float, role: int) -> None:
        """Let somebody have another role from a time on."""
        self.roles.append(RoleChange(person, time_s, role))

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

    def roles_at(self, time_s: float) -> np.ndarray:
        """The role of everybody at a time (P,)."""
        roles = self.traits()[0].copy()
        for change in self.roles:
            if change.time_s <= time_s:
                roles[change.person] = change.role
        return roles

    def team(self, team: int, role: int = PLAYER) -> list[int]:
        """The people of a team with a role, as indices."""
        return [i for i, p in enumerate(self.people) if p.team == team and p.role == role]

    def keeper(self, team: int) -> int:
        """The goalkeeper of a team."""
        return self.team(team, GOALKEEPER)[0]

    def referee(self) -> int:
        """The main referee."""
        return self.referees()[0]

    def referees(self) -> list[int]:
        """The main referee, then the others."""
        return [i for i, p in enumerate(self.people) if p.role == REFEREE]

    def add(self, person: Person) -> int:
        """Bring in one more person; returns his index."""
        self.people.append(person)
        return len(self.people) - 1

    def replace(self, index: int, person: Person) -> None:
        """Make somebody else of a person."""
        self.people[index] = person
        self._traits = None
