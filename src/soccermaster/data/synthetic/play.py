"""Building blocks of acted events that move the ball: passing, attacking, crossing, shooting.

Each function adds to a `Script`. Sides are -1 (the left goal) and 1 (the right goal).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from soccermaster.data.synthetic.motion import formation
from soccermaster.data.synthetic.scene import Script

Point = tuple[float, float]

#: How long somebody keeps the ball (s), how fast it travels (m/s) and how far forward it goes (m).
_TEMPI: dict[str, tuple[float, float, float, float]] = {
    "normal": (0.7, 2.0, 14.0, 3.0),
    "quick": (0.3, 0.9, 19.0, 9.0),
    "patient": (1.1, 2.6, 12.0, -1.0),
}


def open_play(
    script: Script,
    rng: np.random.Generator,
    start_s: float,
    end_s: float,
    origin_m: Point | None = None,
    target_m: Point | None = None,
    team: int | None = None,
    tempo: str = "normal",
) -> int:
    """Passes from one place to another, with players of one team receiving and dribbling.

    Args:
        script: its last ball key must lie before `start_s`.
        rng: random choices.
        start_s: when the ball is at the origin.
        end_s: when it is at the target.
        origin_m: first place; random if None.
        target_m: last place; wherever the passes lead if None.
        team: who has the ball; random if None.
        tempo: "normal", "quick" or "patient".

    Returns:
        The player who has the ball at `end_s`.
    """
    least_hold_s, most_hold_s, pass_mps, advance_m = _TEMPI[tempo]
    team = int(rng.integers(2)) if team is None else team
    forward = 1.0 if team == 0 else -1.0
    if origin_m is None:
        near = 0.35 * pass_mps * (end_s - start_s)  # a target must be within reach
        origin_m = anywhere(rng)
        if target_m is not None:
            origin_m = target_m + _limit(np.subtract(origin_m, target_m), near)
    at, time_s = inside(np.asarray(origin_m, np.float64)), start_s
    script.ball_at(start_s, at)
    holder = nearest(script, team, at)
    recent = [holder]
    while end_s - time_s > 2.2 * (most_hold_s + 0.3):
        hold_s = rng.uniform(least_hold_s, most_hold_s)
        release = inside(at + rng.normal(0, 1.2, 2) + np.array([forward * 2.0 * hold_s, 0]))
        way = rng.normal(0, 1, 2) * (11, 10) + (forward * advance_m, 0)
        if target_m is not None:
            way = 0.5 * way + (target_m - release) * min(1.0, (hold_s + 1.5) / (end_s - time_s))
        wish = inside(release + _limit(way, 26.0))
        receiver = nearest(script, team, wish, but=recent[-3:])
        place = formation(script, wish)[receiver]
        landing = inside(release + _limit(0.4 * wish + 0.6 * place - release, 30.0))
        far = float(np.linalg.norm(landing - release))
        pass_s = float(np.clip(far / pass_mps, 0.5, 2.2))
        script.walk(holder, (time_s, *at), (time_s + hold_s, *release), ramp_s=1.5)
        script.ball_at(time_s + hold_s, release)
        time_s += hold_s + pass_s
        script.ball_at(time_s, landing, arc_m=rng.uniform(1.5, 6) if far > 15 else 0.0)
        at, holder = landing, receiver
        recent.append(holder)
    left_s = end_s - time_s
    if target_m is None:
        target_m = inside(at + rng.normal(0, 0.8, 2) * left_s)
    elif np.linalg.norm(target_m - at) > 3.5 * left_s:  # too far to run: one more pass
        script.walk(holder, (time_s, *at), (time_s + 0.2 * left_s, *at), ramp_s=1.5)
        script.ball_at(time_s + 0.2 * left_s, at)
        time_s, at = time_s + 0.85 * left_s, np.asarray(target_m)
        script.ball_at(time_s, at, arc_m=2.0)
        holder = nearest(script, team, at, but=recent[-2:])
    script.walk(holder, (time_s, *at), (end_s, *target_m), ramp_s=1.5)
    script.ball_at(end_s, target_m)
    return holder


def attack(
    script: Script,
    rng: np.random.Generator,
    side: int,
    team: int,
    spot: Point,
    end_s: float,
    tempo: str,
) -> int:
    """The move that brings the ball to a place near a goal.

    A "quick" one starts with a turnover in the other half; a "patient" one stays in front of the
    goal from the start.

    Returns:
        The player who has the ball at `end_s`.
    """
    if tempo == "quick":
        turn_s = end_s - 7.0
        lost = (-side * rng.uniform(12, 24), 0.5 * spot[1] + rng.uniform(-8, 8))
        open_play(script, rng, script.start_s, turn_s, target_m=lost, team=1 - team)
        start_s = turn_s + 0.4
        return open_play(script, rng, start_s, end_s, lost, spot, team, tempo="quick")
    origin = (side * rng.uniform(18, 28), float(np.clip(spot[1] + rng.uniform(-9, 9), -28, 28)))
    return open_play(script, rng, script.start_s, end_s, origin, spot, team, tempo="patient")


def cross(
    script: Script,
    rng: np.random.Generator,
    side: int,
    team: int,
    flank: int,
    target: Point,
    arrive_s: float,
    tempo: str,
) -> int:
    """An attack down a flank (-1 far, 1 near) and a high ball to somebody at `target`.

    Returns:
        The player who meets the ball at `arrive_s`.
    """
    wing = (side * rng.uniform(39, 46), flank * rng.uniform(23, 29))
    leave_s = arrive_s - 1.4
    crosser = attack(script, rng, side, team, wing, leave_s, tempo)
    header = nearest(script, team, target, but=(crosser,))
    script.walk(header, (leave_s - 1.0, target[0] - side * 4, target[1]), (arrive_s, *target))
    runners = sorted(script.team(team), key=lambda i: -script.people[i].spot[0])
    for person in [i for i in runners if i not in (crosser, header)][:3]:
        at = (side * rng.uniform(40, 47), rng.uniform(-8, 8))
        script.walk(person, (arrive_s - 0.5, *at), ramp_s=3.5)
    script.ball_at(arrive_s, target, height_m=2.0, arc_m=3.5)
    return header


def shoot(
    script: Script,
    rng: np.random.Generator,
    side: int,
    defending: int,
    outcome: str,
    arrive_s: float,
    toward: int | None = None,
) -> float:
    """The ball goes to the goal and arrives at a time; the goalkeeper dives.

    Args:
        script: its last ball key is where the shot is taken.
        rng: random choices.
        side: the goal.
        defending: team of the goalkeeper.
        outcome: "scored", "saved", "over" or "wide".
        arrive_s: when the ball reaches the goal.
        toward: -1 to the far post, 1 to the near one; random if None.

    Returns:
        When the ball arrives.
    """
    last = script.ball[-1]
    flight_s = float(np.clip(np.hypot(side * 52.5 - last.x_m, last.y_m) / 24, 0.4, 1.5))
    leave_s = max(last.time_s + 0.05, arrive_s - flight_s)
    arrive_s = leave_s + flight_s
    corner = float(rng.choice([-1, 1])) if toward is None else float(toward)
    keeper = script.keeper(defending)
    if leave_s > last.time_s + 0.06:
        script.ball_at(leave_s, (last.x_m, last.y_m), height_m=last.height_m)
    if outcome in ("over", "wide"):
        y, height_m = (3.0, 4.0) if outcome == "over" else (rng.uniform(4.6, 7), 0.6)
        script.ball_at(arrive_s, (side * 53.0, corner * y), height_m=height_m)
        script.ball_at(arrive_s + 1.0, (side * 60, corner * (y + 3)), height_m=0.3, arc_m=1.0)
        script.walk(keeper, (arrive_s, side * 51.5, corner * 1.5), ramp_s=0.8)
        return arrive_s
    y = corner * rng.uniform(1.6, 3.2)
    reach = y if outcome == "saved" else 0.55 * y * rng.choice([-1, 1])
    script.walk(
        keeper,
        (arrive_s - 0.7, side * 51.3, 0.0),
        (arrive_s, side * 51.8, reach),
        (arrive_s + 3.5, side * 51.8, reach),
        ramp_s=1.2,
    )
    script.pose(keeper, arrive_s - 0.3, arrive_s + 3.0, "lie")
    if outcome == "scored":
        script.ball_at(arrive_s, (side * 52.6, y), height_m=rng.uniform(0.2, 1.7))
        script.ball_at(arrive_s + 0.35, (side * 53.9, y * 0.95))
        script.stop_play(arrive_s, script.end_s + 5)
    else:
        script.ball_at(arrive_s, (side * 51.6, y), height_m=rng.uniform(0.2, 1.2))
        script.ball_at(arrive_s + 3.0, (side * 51.4, y), height_m=0.3)
        script.stop_play(arrive_s, arrive_s + 7.0)
    return arrive_s


def fill_box(
    script: Script,
    rng: np.random.Generator,
    side: int,
    team: int,
    start_s: float,
    end_s: float,
    but: int,
    wall: list[int] | None = None,
) -> None:
    """Send attackers and defenders into the penalty area."""
    busy = {but, *(wall or ())}
    attackers = sorted(script.team(team), key=lambda i: -script.people[i].spot[0])[:7]
    defenders = sorted(script.team(1 - team), key=lambda i: script.people[i].spot[0])[:9]
    for person in (*attackers, *defenders):
        if person in busy:
            continue
        at = (side * rng.uniform(38, 49.5), rng.uniform(-9, 9))
        moved = (at[0] + side * rng.uniform(0, 2.5), at[1] * 0.7)
        kick_s = max(start_s + 0.1, end_s - 2.4)
        script.walk(person, (start_s, *at), (kick_s, *at), (end_s, *moved), ramp_s=5)
    keeper, last_s = script.keeper(1 - team), max(start_s + 0.1, end_s - 1.0)
    script.walk(keeper, (start_s, side * 51.5, 0.5), (last_s, side * 51, 0.0), ramp_s=3)


def keeper_throws(
    script: Script, rng: np.random.Generator, side: int, defending: int, time_s: float
) -> None:
    """The goalkeeper has the ball, runs some steps and throws it far out to start an attack."""
    keeper, last = script.keeper(defending), script.ball[-1]
    script.ball_at(time_s, (last.x_m - side * 0.4, last.y_m), height_m=1.3)
    edge = (side * 40.0, 0.5 * last.y_m)
    script.walk(keeper, (time_s, last.x_m, last.y_m), (time_s + 2.5, *edge), ramp_s=0.5)
    script.pose(keeper, time_s - 0.2, time_s + 2.5, "hold")
    script.ball_at(time_s + 2.5, edge, height_m=1.3)
    away = (-side * rng.uniform(2, 14), rng.choice([-1, 1]) * rng.uniform(10, 22))
    script.ball_at(time_s + 4.6, away, arc_m=7)
    end_s = max(script.end_s, time_s + 8.0)
    goal = (-side * 40.0, 0.5 * away[1])
    open_play(script, rng, time_s + 4.8, end_s, away, goal, team=defending, tempo="quick")


def goal_kick(
    script: Script, rng: np.random.Generator, side: int, defending: int, time_s: float
) -> None:
    """Everybody goes upfield; the ball is brought to the goal area and waits for a long kick."""
    spot = (side * 47.2, float(rng.choice([-1, 1])) * 6.0)
    leave_s = script.ball[-1].time_s
    script.stop_play(leave_s - 0.5, script.end_s + 5)
    script.ball_at(leave_s + 3.0, (side * 55, 1.2 * spot[1]))
    script.ball_at(leave_s + 6.0, spot)
    script.ball_at(time_s, (spot[0] + 0.01, spot[1]))
    script.ball_at(time_s + 3.0, (-side * rng.uniform(2, 15), rng.uniform(-20, 20)), arc_m=12)
    keeper = script.keeper(defending)
    script.walk(
        keeper,
        (leave_s + 3.0, side * 54.5, 1.2 * spot[1]),
        (leave_s + 6.0, side * 47.8, spot[1]),
        (time_s - 2.0, side * 51.5, spot[1] + 1),
        (time_s, side * 47.6, spot[1]),
        ramp_s=2.5,
    )
    retreat(script, rng, side, leave_s + 2.5, time_s, but=(keeper,))


def retreat(
    script: Script,
    rng: np.random.Generator,
    side: int,
    start_s: float,
    end_s: float,
    but: Iterable[int] = (),
) -> None:
    """Everybody leaves an end of the pitch for the middle."""
    places = formation(script, np.array([side * 14.0, 0.0]))
    for team in (0, 1):
        for person in script.team(team):
            if person not in but:
                x, y = places[person]
                x = side * min(side * x, rng.uniform(24, 32))
                script.walk(person, (start_s + 5.0, x, y), (end_s, x, y), ramp_s=5.0)


def shift(xy_m: np.ndarray, x_m: float, y_m: float) -> np.ndarray:
    """A place moved by some metres."""
    return xy_m + np.array([x_m, y_m])


def inside(xy_m: np.ndarray) -> np.ndarray:
    """The nearest place on the pitch, with some distance to its lines."""
    return np.clip(xy_m, (-50.0, -32.5), (50.0, 32.5))


def _limit(vector: np.ndarray, length: float) -> np.ndarray:
    return vector * min(1.0, length / (float(np.linalg.norm(vector)) + 1e-9))


def nearest(script: Script, team: int, xy_m: np.ndarray | Point, but: Iterable[int] = ()) -> int:
    """The player of a team, other than some, whose formation place is nearest."""
    places = formation(script, np.asarray(xy_m, np.float64))
    players = [i for i in script.team(team) if i not in but]
    distances = np.hypot(*(places[players] - xy_m).T)
    return players[int(distances.argmin())]


def anywhere(rng: np.random.Generator) -> Point:
    """A random place on the pitch."""
    return float(rng.uniform(-44, 44)), float(rng.uniform(-29, 29))
