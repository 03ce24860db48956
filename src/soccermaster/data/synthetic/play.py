"""Building blocks of acted events: passing, shooting, celebrating, crowding the box.

Each function adds to a `Script`. Sides are -1 (the left goal) and 1 (the right goal).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from soccermaster.data.synthetic.motion import formation
from soccermaster.data.synthetic.scene import Script

Point = tuple[float, float]


def open_play(
    script: Script,
    rng: np.random.Generator,
    start_s: float,
    end_s: float,
    origin_m: Point | None = None,
    target_m: Point | None = None,
    team: int | None = None,
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

    Returns:
        The player who has the ball at `end_s`.
    """
    team = int(rng.integers(2)) if team is None else team
    forward = 1.0 if team == 0 else -1.0
    if origin_m is None:
        near = 4.5 * (end_s - start_s)  # a target must be within reach
        origin_m = anywhere(rng)
        if target_m is not None:
            origin_m = target_m + _limit(np.subtract(origin_m, target_m), near)
    at, time_s = inside(np.asarray(origin_m, np.float64)), start_s
    script.ball_at(start_s, at)
    holder = nearest(script, team, at)
    recent = [holder]
    while end_s - time_s > 5.0:
        hold_s = rng.uniform(0.7, 2.0)
        release = inside(at + rng.normal(0, 1.2, 2) + np.array([forward * 2.0 * hold_s, 0]))
        way = rng.normal(0, 1, 2) * (11, 10) + (forward * 3, 0)
        if target_m is not None:
            way = 0.5 * way + (target_m - release) * min(1.0, (hold_s + 1.5) / (end_s - time_s))
        wish = inside(release + _limit(way, 26.0))
        receiver = nearest(script, team, wish, but=recent[-3:])
        place = formation(script, wish)[receiver]
        landing = inside(release + _limit(0.4 * wish + 0.6 * place - release, 30.0))
        far = float(np.linalg.norm(landing - release))
        pass_s = float(np.clip(far / 14.0, 0.7, 2.2))
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


def shoot(
    script: Script,
    rng: np.random.Generator,
    side: int,
    defending: int,
    outcome: str,
    arrive_s: float,
) -> None:
    """The ball goes to the goal and arrives at a time; the goalkeeper dives."""
    last = script.ball[-1]
    flight_s = float(np.clip(np.hypot(side * 52.5 - last.x_m, last.y_m) / 24, 0.4, 1.5))
    leave_s = max(last.time_s + 0.05, arrive_s - flight_s)
    arrive_s = leave_s + flight_s
    corner = float(rng.choice([-1, 1]))
    keeper = script.keeper(defending)
    if leave_s > last.time_s + 0.06:
        script.ball_at(leave_s, (last.x_m, last.y_m))
    if outcome == "over":
        script.ball_at(arrive_s, (side * 53.5, corner * rng.uniform(1, 9)), height_m=3.5)
        script.ball_at(arrive_s + 1.0, (side * 60, corner * rng.uniform(4, 12)), arc_m=1.0)
        script.walk(keeper, (arrive_s, side * 51.5, corner * 1.5), ramp_s=0.8)
        goal_kick(script, side, defending)
        return
    y = corner * rng.uniform(1.4, 3.2)
    reach = y if outcome == "saved" else 0.55 * y * rng.choice([-1, 1])
    script.walk(
        keeper,
        (arrive_s - 0.7, side * 51.3, 0.0),
        (arrive_s, side * 51.8, reach),
        (arrive_s + 1.6, side * 51.8, reach),
        ramp_s=1.2,
    )
    script.pose(keeper, arrive_s - 0.1, arrive_s + 1.4, "lie")
    if outcome == "scored":
        script.ball_at(arrive_s, (side * 52.6, y), height_m=rng.uniform(0.2, 1.7))
        script.ball_at(arrive_s + 0.35, (side * 53.9, y * 0.95))
        script.stop_play(arrive_s, script.end_s + 5)
    else:
        script.ball_at(arrive_s, (side * 51.6, y), height_m=rng.uniform(0.2, 1.2))
        if rng.random() < 0.5:
            keeper_holds(script, rng, side, defending, arrive_s + 0.4)
        else:
            script.ball_at(arrive_s + 1.3, (side * 54, np.sign(y) * rng.uniform(6, 12)))


def celebrate(
    script: Script, rng: np.random.Generator, side: int, scorer: int, start_s: float
) -> None:
    """The scorer runs to the corner with his arms up, and his team follows; the others go home."""
    team = script.people[scorer].team
    corner = np.array([side * rng.uniform(42, 49), rng.choice([-1, 1]) * rng.uniform(24, 31)])
    last_s = start_s + 11
    script.walk(scorer, (start_s + 4.5, *corner), (last_s, *corner), ramp_s=4.5)
    script.pose(scorer, start_s, last_s, "arms")
    friends = [i for i in script.team(team) if i != scorer]
    for place, person in enumerate(friends[::-1][:7]):
        angle = rng.uniform(0, 2 * np.pi)
        at = corner + rng.uniform(0.8, 2.2) * np.array([np.cos(angle), np.sin(angle)])
        script.walk(person, (start_s + 5.5 + 0.4 * place, *at), (last_s, *at), ramp_s=5)
        if rng.random() < 0.5:
            script.pose(person, start_s + 3, last_s, "arms")
    script.look(
        (start_s + 1.5, side * 44, 0.4 * corner[1], 30),
        (start_s + 5, *(0.97 * corner), 22),
        (last_s - 1, *(0.97 * corner), 20),
    )


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
        script.walk(person, (start_s, *at), (-0.2, *at), (end_s, *moved), ramp_s=5)
    script.walk(
        script.keeper(1 - team), (start_s, side * 51.5, 0.5), (1.0, side * 51, 0.0), ramp_s=3
    )


def keeper_holds(
    script: Script, rng: np.random.Generator, side: int, defending: int, time_s: float
) -> None:
    """The goalkeeper catches the ball, keeps it a while and throws it out."""
    keeper = script.keeper(defending)
    spot = (side * 49.5, rng.uniform(-3, 3))
    script.ball_at(time_s, spot, height_m=1.4)
    script.ball_at(time_s + 4.0, (spot[0] - side * 4, spot[1]), height_m=1.2)
    script.walk(keeper, (time_s, *spot), (time_s + 4.0, spot[0] - side * 4.2, spot[1]), ramp_s=1.5)
    script.stop_play(time_s, time_s + 4.0)
    away = (side * rng.uniform(10, 25), rng.uniform(-20, 20))
    script.ball_at(time_s + 6.0, away, arc_m=6)
    end_s = max(script.end_s, time_s + 8.0)
    open_play(script, rng, time_s + 6.2, end_s, away, team=defending)


def goal_kick(script: Script, side: int, defending: int) -> None:
    """The ball is brought to the goal area and waits there."""
    start_s = script.ball[-1].time_s
    spot = (side * 47.2, 5.0)
    script.stop_play(start_s - 0.5, script.end_s + 5)
    script.ball_at(start_s + 7.0, spot)
    script.walk(
        script.keeper(defending),
        (start_s + 6.5, side * 48, 5.3),
        (start_s + 14, side * 49.5, 4),
        ramp_s=5,
    )


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
