"""Acting out events: what people, ball and camera do in the half minute around an event.

`ACTS` maps a class of `vocabulary.EVENTS` to a function that writes a `Script`. The event happens
at time 0 of the script. To act a further class, write such a function and add it to the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from soccermaster.data.synthetic.motion import formation
from soccermaster.data.synthetic.play import (
    anywhere,
    celebrate,
    fill_box,
    goal_kick,
    inside,
    keeper_holds,
    nearest,
    open_play,
    shift,
    shoot,
)
from soccermaster.data.synthetic.scene import (
    OTHER,
    PLAYER,
    REFEREE,
    Script,
    draw_person,
    draw_staff_kit,
)
from soccermaster.vocabulary import NO_NUMBER, UNKNOWN


@dataclass(frozen=True)
class Story:
    """What a comment can tell about an event.

    Attributes:
        event: class name.
        side: "left" or "right": the half of the picture's pitch where it happens.
        outcome: a word that depends on the event, such as "scored" or "cleared".
    """

    event: str
    side: str
    outcome: str


Act = Callable[[Script, np.random.Generator], Story]


def act_goal(script: Script, rng: np.random.Generator) -> Story:
    """A move ends with a shot into the net, and the scorer runs off to celebrate."""
    side, team = _attack(rng)
    spot = (side * rng.uniform(36, 46), rng.uniform(-14, 14))
    scorer = open_play(script, rng, script.start_s, -1.0, target_m=spot, team=team)
    shoot(script, rng, side, 1 - team, "scored", -0.25)
    celebrate(script, rng, side, scorer, 0.8)
    return Story("goal", _word(side), "far" if abs(spot[0]) < 38 else "near")


def act_corner(script: Script, rng: np.random.Generator) -> Story:
    """Both teams crowd the box; the ball comes in from the corner at time 0."""
    side, team = _attack(rng)
    far = float(rng.choice([-1, 1]))
    flag = np.array([side * 52.2, far * 33.7])
    out = (side * 53.5, far * rng.uniform(12, 24))
    taker = nearest(script, team, flag)
    open_play(script, rng, script.start_s, -12.0, target_m=(side * 40, far * 20), team=team)
    script.ball_at(-11.0, out)
    script.ball_at(-6.0, flag)
    script.walk(
        taker,
        (-6.5, *shift(flag, -side * 0.4, 0)),
        (-2.5, *shift(flag, side * 1.5, far * 2)),
        (0.0, *flag),
        (2.5, *shift(flag, -side * 3, -far * 3)),
        ramp_s=5,
    )
    script.stop_play(-11.5, 0.0)
    fill_box(script, rng, side, team, -6.0, 2.0, but=taker)
    head = (side * rng.uniform(43, 48), rng.uniform(-5, 5))
    script.ball_at(0.0, shift(flag, 0.001, 0))
    script.ball_at(1.5, head, height_m=1.9, arc_m=3.0)
    outcome = str(rng.choice(["cleared", "caught", "wide"]))
    if outcome == "cleared":
        away = (side * rng.uniform(22, 30), rng.uniform(-18, 18))
        script.ball_at(3.2, away, arc_m=4.0)
        open_play(script, rng, 3.4, script.end_s, away, team=int(rng.integers(2)))
    elif outcome == "caught":
        keeper_holds(script, rng, side, 1 - team, 2.0)
    else:
        script.ball_at(2.4, (side * 57, rng.choice([-1, 1]) * rng.uniform(4.5, 8)))
        goal_kick(script, side, 1 - team)
    wide = (-1.0, side * 46, far * 17, 48)
    script.look((-9, *(0.92 * flag), 30), (-4, *(0.9 * flag), 32), wide, (1.5, side * 42, 0, 40))
    return Story("corner", _word(side), outcome)


def act_substitution(script: Script, rng: np.random.Generator) -> Story:
    """Play has stopped; one player jogs off at the halfway line, another one comes on."""
    team = int(rng.integers(2))
    line = float(rng.choice([-1, 1])) * 34.0
    gate = np.array([rng.uniform(-4, 4), line])
    leaver = int(rng.choice(script.team(team)))
    kit = script.people[leaver].kit
    taken = {script.people[i].number for i in script.team(team)}
    number = int(rng.choice([n for n in range(2, 40) if n not in taken]))
    beside = shift(gate, 1.5, np.sign(line) * 1.3)
    fresh = script.add(draw_person(rng, PLAYER, team, number, kit, script.people[leaver].spot))
    official_spot = (float(gate[0] + 0.3), float(line + np.sign(line) * 1.5))
    referee_kit = script.people[script.referee()].kit
    official = script.add(draw_person(rng, REFEREE, UNKNOWN, NO_NUMBER, referee_kit, official_spot))
    coach_spot = (float(gate[0] + 6), float(line + np.sign(line) * 2.5))
    script.add(draw_person(rng, OTHER, UNKNOWN, NO_NUMBER, draw_staff_kit(rng), coach_spot))
    ball = (float(rng.uniform(-25, 25)), float(rng.choice([-1, 1])) * 34.6)
    open_play(script, rng, script.start_s, -11.5, target_m=(ball[0], 0.85 * ball[1]), team=team)
    script.ball_at(-10.5, ball)
    script.stop_play(-11, 11)
    script.pose(official, -9, 4, "arms")
    bench = shift(gate, 9.0, np.sign(line) * 6)
    script.walk(
        leaver,
        (-5, *(gate * (1, 0.5))),
        (0.5, *gate),
        (2, *shift(gate, 0, np.sign(line) * 2)),
        (8, *bench),
        ramp_s=5,
        stay=True,
    )
    script.walk(
        fresh,
        (script.start_s, *beside),
        (1.5, *beside),
        (3, *(gate * (1, 0.9))),
        (7, *(gate * (1, 0.4))),
        ramp_s=6,
    )
    width_m = rng.uniform(20, 30)
    script.look((-8, *(0.88 * gate), width_m), (5, *(0.85 * gate), width_m))
    open_play(script, rng, 12.0, max(script.end_s, 13.0), ball, team=1 - team)
    return Story("substitution", _word(gate[0]), "near" if line > 0 else "far")


def act_start_of_half_game(script: Script, rng: np.random.Generator) -> Story:
    """Everybody waits in his own half until the ball leaves the centre spot."""
    team = int(rng.integers(2))
    forward = 1.0 if team == 0 else -1.0
    home = formation(script, np.zeros(2))
    attackers = sorted(script.team(team), key=lambda i: -forward * home[i, 0])[:2]
    for person in (*script.team(0), *script.team(1)):
        own = -1.0 if script.people[person].team == 0 else 1.0
        spot = np.array([own * max(1.5, abs(home[person, 0]) * 0.85), home[person, 1]])
        distance = np.linalg.norm(spot)
        if distance < 10.5:
            spot = np.array([own * 10.5, spot[1]])
        if person in attackers:
            spot = np.array([-forward * 0.5, 0.8 * (1 if person == attackers[0] else -1) + 0.4])
        script.walk(person, (script.start_s, *spot), (0.0, *spot), ramp_s=3.5)
    script.walk(script.referee(), (script.start_s, -6, 4), (0.0, -6, 4), ramp_s=3)
    script.ball_at(min(script.start_s, -1.0), (0.0, 0.0))
    script.ball_at(0.0, (0.001, 0.0))
    script.stop_play(script.start_s - 5, 0.3)
    back = (-forward * rng.uniform(12, 20), rng.uniform(-12, 12))
    script.walk(nearest(script, team, back, but=(attackers[0],)), (1.6, *back), ramp_s=2)
    open_play(script, rng, 1.7, max(script.end_s, 3.0), back, team=team)
    return Story("start of half game", _word(-forward), str(rng.choice(["first", "second"])))


def act_throw_in(script: Script, rng: np.random.Generator) -> Story:
    """The ball is out; a player fetches it, holds it over his head and throws."""
    team = int(rng.integers(2))
    line = float(rng.choice([-1, 1])) * 34.2
    spot = np.array([rng.uniform(-42, 42), line])
    open_play(script, rng, script.start_s, -10.0, target_m=spot * (1, 0.8), team=1 - team)
    script.ball_at(-9.2, spot * (1, 1.06))
    thrower = nearest(script, team, spot)
    script.walk(
        thrower,
        (-4.5, *(spot * (1, 1.05))),
        (-3.5, *spot),
        (0.2, *spot),
        (3, *(spot * (1, 0.9))),
        ramp_s=4.5,
    )
    script.ball_at(-4.5, spot * (1, 1.055))
    script.ball_at(-3.5, spot * (1, 1.001), height_m=1.9)
    script.ball_at(0.0, spot, height_m=2.1)
    script.pose(thrower, -3.5, 0.25, "arms")
    script.stop_play(-9.5, 0.2)
    target = inside(shift(spot, rng.normal(0, 9), -np.sign(line) * rng.uniform(7, 14)))
    receiver = nearest(script, team, target, but=(thrower,))
    script.walk(receiver, (1.1, *target), ramp_s=2)
    script.ball_at(1.1, target, arc_m=1.0)
    open_play(script, rng, 1.3, max(script.end_s, 2.5), target, team=team)
    script.look((-6, *(spot * (1, 0.8)), rng.uniform(24, 34)), (0.5, *(spot * (1, 0.75)), 32))
    return Story("throw in", _word(spot[0]), "near" if line > 0 else "far")


def act_free_kick(script: Script, rng: np.random.Generator) -> Story:
    """After a foul outside the box a wall is formed, and the kick comes at time 0."""
    side, team = _attack(rng)
    spot = np.array([side * rng.uniform(22, 33), rng.uniform(-20, 20)])
    victim = open_play(script, rng, script.start_s, -12.5, target_m=tuple(spot), team=team)
    script.pose(victim, -12.3, -8.5, "lie")
    script.walk(victim, (-12.5, *spot), (-8.5, *shift(spot, 0.8, 0.3)), ramp_s=2)
    script.ball_at(-8.0, shift(spot, 0.2, 0))
    script.ball_at(0.0, spot)
    script.stop_play(-12.5, 0.2)
    taker = nearest(script, team, spot, but=(victim,))
    away = shift(spot, -side * 4.5, rng.choice([-1, 1]) * 2.0)
    script.walk(
        taker,
        (-7, *shift(spot, -side * 0.8, 0)),
        (-3, *away),
        (-1.6, *away),
        (0, *spot),
        (2, *shift(spot, side * 3, 0)),
        ramp_s=4,
    )
    goal = np.array([side * 52.5, 0.0])
    direction = (goal - spot) / np.linalg.norm(goal - spot)
    normal = np.array([-direction[1], direction[0]])
    defenders = script.team(1 - team)
    wall = sorted(defenders, key=lambda i: script.people[i].spot[0])[-int(rng.integers(3, 6)) :]
    for place, person in enumerate(wall):
        at = spot + 9.15 * direction + normal * 0.75 * (place - (len(wall) - 1) / 2)
        script.walk(person, (-6.5, *at), (0.6, *at), ramp_s=4)
    fill_box(script, rng, side, team, -5.0, 2.0, but=taker, wall=wall)
    script.walk(script.referee(), (-9, *shift(spot, -2, 5)), (1, *shift(spot, -2, 5)), ramp_s=4)
    outcome = str(rng.choice(["scored", "saved", "over", "cleared"]))
    if outcome == "cleared":
        away = (side * rng.uniform(20, 30), rng.uniform(-20, 20))
        script.ball_at(1.3, (side * 44, rng.uniform(-6, 6)), height_m=1.8, arc_m=3)
        script.ball_at(3.0, away, arc_m=4)
        open_play(script, rng, 3.2, max(script.end_s, 4.5), away, team=1 - team)
    else:
        shoot(script, rng, side, 1 - team, outcome, 1.2)
        if outcome == "scored":
            celebrate(script, rng, side, taker, 2.0)
    script.look((-9, *(spot * (1.05, 0.9)), 32), (-0.5, *(spot * (1.15, 0.7)), 40))
    return Story("free kick", _word(side), outcome)


def act_penalty(script: Script, rng: np.random.Generator) -> Story:
    """One against one: everybody else waits outside of the box."""
    side, team = _attack(rng)
    mark = np.array([side * 41.5, 0.0])
    keeper = script.keeper(1 - team)
    target = (side * 44, rng.uniform(-8, 8))
    victim = open_play(script, rng, script.start_s, -13.0, target_m=target, team=team)
    script.pose(victim, -12.8, -9.5, "lie")
    script.ball_at(-10.0, mark)
    script.ball_at(0.0, shift(mark, 0.001, 0))
    script.stop_play(-13.0, 0.4)
    kickers = [i for i in script.team(team) if i != victim]
    taker = max(kickers, key=lambda i: script.people[i].spot[0])
    script.walk(
        taker,
        (-8, *shift(mark, -side * 0.8, 0)),
        (-4, *shift(mark, -side * 5, -1)),
        (-1.4, *shift(mark, -side * 5, -1)),
        (0, *shift(mark, -side * 0.3, 0)),
        ramp_s=4,
    )
    script.walk(keeper, (-7, side * 52.3, 0), (0.0, side * 52.2, 0), ramp_s=3)
    waiting = [i for i in (*script.team(0), *script.team(1)) if i != taker]
    waiting.sort(key=lambda i: -side * formation(script, mark)[i, 0])
    for place, person in enumerate(waiting[:14]):
        y = (place - 6.5) * 2.2 + rng.normal(0, 0.5)
        x = side * (35.2 - 3.2 * (abs(y) < 8) - rng.uniform(0, 2.0))
        script.walk(person, (-6, x, y), (0.3, x, y), ramp_s=5)
    script.walk(script.referee(), (-9, side * 43, -13), (1, side * 43, -13), ramp_s=4)
    outcome = str(rng.choice(["scored", "saved", "missed"], p=[0.6, 0.25, 0.15]))
    shoot(script, rng, side, 1 - team, "over" if outcome == "missed" else outcome, 0.55)
    if outcome == "scored":
        celebrate(script, rng, side, taker, 1.2)
    script.look((-9, side * 43, 0, 32), (1, side * 45, 0, 30))
    return Story("penalty", _word(side), outcome)


def act_injury(script: Script, rng: np.random.Generator) -> Story:
    """A player stays down, play stops and two physios run to him."""
    team = int(rng.integers(2))
    spot = np.array(anywhere(rng)) * (0.8, 0.7)
    victim = open_play(script, rng, script.start_s, -5.0, target_m=tuple(spot), team=team)
    script.pose(victim, -4.6, 14.0, "lie")
    script.walk(victim, (-5.0, *spot), (14.0, *spot), ramp_s=2)
    out = (float(spot[0] + rng.uniform(-10, 10)), float(rng.choice([-1, 1])) * 35.5)
    script.ball_at(-2.5, out)
    script.stop_play(-4.8, script.end_s + 5)
    script.watch(-4.0, 14.0, spot)
    around = formation(script, spot)
    near = np.argsort(np.linalg.norm(around - spot, axis=-1))
    standing = [int(i) for i in near if script.people[i].role == PLAYER and i != victim][:5]
    for place, person in enumerate([*standing, script.referee()]):
        angle = 2 * np.pi * place / 6 + rng.normal(0, 0.2)
        at = spot + rng.uniform(2.2, 4.0) * np.array([np.cos(angle), np.sin(angle)])
        script.walk(person, (-1.0 + rng.uniform(0, 3), *at), (14, *at), ramp_s=4)
    bench = np.array([rng.uniform(-8, 8), rng.choice([-1, 1]) * 37.0])
    kit = draw_staff_kit(rng)
    for place in (-1, 1):
        person = draw_person(rng, OTHER, UNKNOWN, NO_NUMBER, kit, (bench[0] + place, bench[1]))
        index = script.add(person)
        arrive_s = 1.0 + np.linalg.norm(bench - spot) / 5.5
        script.walk(
            index,
            (1.0, bench[0] + place, bench[1]),
            (arrive_s, *shift(spot, place * 0.8, -0.5)),
            (20, *shift(spot, place * 0.8, -0.5)),
            ramp_s=1,
            stay=True,
        )
    script.look((-2, *spot, 30), (2, *spot, 20), (13, *spot, 20))
    return Story("injury", _word(spot[0]), str(rng.choice(["treatment", "continues"])))


def act_shot_off_target(script: Script, rng: np.random.Generator) -> Story:
    """A shot over or beside the goal, then a goal kick."""
    side, team = _attack(rng)
    spot = (side * rng.uniform(30, 44), rng.uniform(-15, 15))
    open_play(script, rng, script.start_s, -0.9, target_m=spot, team=team)
    shoot(script, rng, side, 1 - team, "over", 0.0)
    return Story("shot off target", _word(side), "far" if abs(spot[0]) < 36 else "near")


def act_saved(script: Script, rng: np.random.Generator) -> Story:
    """A shot that the goalkeeper saves."""
    side, team = _attack(rng)
    spot = (side * rng.uniform(32, 45), rng.uniform(-13, 13))
    open_play(script, rng, script.start_s, -0.8, target_m=spot, team=team)
    shoot(script, rng, side, 1 - team, "saved", 0.0)
    return Story("saved by goal-keeper", _word(side), "far" if abs(spot[0]) < 37 else "near")


def act_ball_possession(script: Script, rng: np.random.Generator) -> Story:
    """One team passes the ball around."""
    team = int(rng.integers(2))
    half = float(rng.choice([-1, 1])) * 18
    open_play(script, rng, script.start_s, script.end_s, target_m=(half, 0), team=team)
    return Story("ball possession", _word(half), "patient")


#: How each acted event class is acted; the event happens at time 0.
ACTS: dict[str, Act] = {
    "goal": act_goal,
    "corner": act_corner,
    "substitution": act_substitution,
    "start of half game": act_start_of_half_game,
    "throw in": act_throw_in,
    "free kick": act_free_kick,
    "penalty": act_penalty,
    "injury": act_injury,
    "shot off target": act_shot_off_target,
    "saved by goal-keeper": act_saved,
    "ball possession": act_ball_possession,
}


def act(event: str, script: Script, rng: np.random.Generator) -> Story:
    """Write an event into an empty script.

    Raises:
        ValueError: nobody knows how to act `event`.
    """
    if event not in ACTS:
        raise ValueError(
            f"expected one of the acted events {sorted(ACTS)}, got {event!r}. "
            "Add a function for it to soccermaster.data.synthetic.events.ACTS."
        )
    return ACTS[event](script, rng)


def _attack(rng: np.random.Generator) -> tuple[int, int]:
    """Which goal is attacked (-1 left, 1 right), and the team that attacks it."""
    side = int(rng.choice([-1, 1]))
    return side, 0 if side > 0 else 1


def _word(x_m: float) -> str:
    return "right" if x_m > 0 else "left"
