"""Acted events that start from a resting ball: kick-off, throw-in, corner, free kick, penalty."""

from __future__ import annotations

import numpy as np

from soccermaster.data.synthetic.motion import formation
from soccermaster.data.synthetic.officials import (
    celebrate,
    crowd_around,
    foul,
    nearby,
    referee_comes,
)
from soccermaster.data.synthetic.play import (
    attack,
    fill_box,
    goal_kick,
    inside,
    keeper_throws,
    nearest,
    open_play,
    shift,
    shoot,
)
from soccermaster.data.synthetic.scene import Script
from soccermaster.data.synthetic.story import (
    Story,
    draw_attack,
    draw_depth,
    draw_sign,
    draw_word,
    flank_word,
    side_word,
)


def act_start_of_half_game(script: Script, rng: np.random.Generator) -> Story:
    """Everybody waits in his own half until the ball leaves the centre spot."""
    team, flank = int(rng.integers(2)), draw_sign(rng)
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
        script.walk(person, (script.start_s - 3, *spot), (0.0, *spot), ramp_s=3.5)
    script.walk(script.referee(), (script.start_s - 3, -6, 4), (0.0, -6, 4), ramp_s=3)
    script.pose(script.referee(), -1.5, 0.2, "arm")
    script.ball_at(min(script.start_s, -1.0), (0.0, 0.0))
    script.ball_at(0.0, (0.001, 0.0))
    script.stop_play(script.start_s - 5, 0.3)
    outcome = draw_word(rng, "back", "long")
    if outcome == "back":
        first = (-forward * rng.uniform(12, 18), flank * rng.uniform(5, 10))
        goal, tempo, reach_s = (-forward * 26, flank * 20), "patient", 1.7
        script.walk(nearest(script, team, first, but=(attackers[0],)), (1.6, *first), ramp_s=2)
    else:
        first = (forward * rng.uniform(24, 32), flank * rng.uniform(16, 24))
        goal, tempo, reach_s = (forward * 40, flank * 18), "quick", 3.2
        script.ball_at(0.9, (-forward * 6, flank * 2.0))
        for place, person in enumerate(attackers):
            at = (forward * (22 + 6 * place), flank * (18 - 6 * place))
            script.walk(person, (4.0, *at), ramp_s=4)
    script.ball_at(reach_s, first, arc_m=8 if outcome == "long" else 0)
    end_s = max(script.end_s, 8.0)
    open_play(script, rng, reach_s + 0.2, end_s, first, goal, team, tempo)
    script.look((script.start_s, 0, -3, 62), (0.5, 0, -3, 56))
    script.clock_s = float(rng.choice([0, 2700]))
    return Story("start of half game", side_word(-forward), outcome, flank_word(flank))


def act_throw_in(script: Script, rng: np.random.Generator) -> Story:
    """The ball is out; a player fetches it, holds it over his head and throws."""
    team, side, flank = int(rng.integers(2)), draw_sign(rng), draw_sign(rng)
    forward = 1 if team == 0 else -1
    outcome = draw_word(rng, "forward", "back")
    depth_m, zone = draw_depth(rng)
    spot = np.array([side * depth_m, flank * 34.2])
    open_play(script, rng, script.start_s, -12.0, target_m=spot * (1, 0.8), team=1 - team)
    script.ball_at(-11.2, spot * (1, 1.06))
    thrower = nearest(script, team, spot)
    script.walk(
        thrower,
        (-6.5, *(spot * (1, 1.05))),
        (-5.0, *spot),
        (0.2, *spot),
        (3, *(spot * (1, 0.9))),
        ramp_s=4.5,
    )
    script.ball_at(-6.0, spot * (1, 1.055))
    script.ball_at(-5.0, spot * (1, 1.001), height_m=1.9)
    script.ball_at(0.0, spot, height_m=2.1)
    script.pose(thrower, -5.0, 0.4, "arms")
    script.stop_play(-11.5, 0.2)
    along = forward * (1 if outcome == "forward" else -1)
    target = inside(shift(spot, along * rng.uniform(9, 13), -flank * rng.uniform(5, 9)))
    receiver = nearest(script, team, target, but=(thrower,))
    script.walk(receiver, (1.1, *target), ramp_s=2)
    script.ball_at(1.1, target, arc_m=1.0)
    for person in nearby(script, spot, (0, 1), 5, but=(thrower, receiver)):
        at = shift(spot, rng.uniform(-10, 10), -flank * rng.uniform(5, 13))
        script.walk(person, (-4, *at), (0.0, *at), ramp_s=4)
    goal = (float(np.clip(target[0] + along * 26, -42, 42)), float(0.4 * target[1]))
    open_play(
        script, rng, 1.3, max(script.end_s, 6.0), target, goal, team,
        "quick" if outcome == "forward" else "patient",
    )  # fmt: skip
    width_m = rng.uniform(24, 28)
    script.look((-9, *(spot * (1, 0.8)), width_m), (0.5, *(spot * (1, 0.77)), width_m))
    return Story("throw in", side_word(spot[0]), outcome, flank_word(flank), zone=zone)


def act_corner(script: Script, rng: np.random.Generator) -> Story:
    """Both teams crowd the box; the ball comes in from the corner at time 0."""
    side, team = draw_attack(rng)
    flank = draw_sign(rng)
    flag = np.array([side * 52.2, flank * 33.7])
    taker = nearest(script, team, flag)
    script.ball_at(script.start_s, shift(flag, side * 3, flank))
    script.ball_at(-11.0, flag)
    script.walk(
        taker,
        (-11.0, *shift(flag, -side * 0.4, 0)),
        (-5.0, *shift(flag, side * 1.5, flank * 2)),
        (-1.5, *shift(flag, side * 1.5, flank * 2)),
        (0.0, *flag),
        (2.5, *shift(flag, -side * 3, -flank * 3)),
        ramp_s=5,
    )
    script.pose(taker, -4.0, -1.5, "arm")
    script.stop_play(script.start_s - 5, 0.0)
    fill_box(script, rng, side, team, -11.0, 2.5, but=taker)
    post = draw_sign(rng)
    head = (side * rng.uniform(44, 48), flank * post * rng.uniform(3, 6))
    script.ball_at(0.0, shift(flag, 0.001, 0))
    script.ball_at(1.5, head, height_m=1.9, arc_m=3.0)
    outcome = draw_word(rng, "cleared", "caught", "wide")
    if outcome == "cleared":
        away = (side * rng.uniform(14, 22), draw_sign(rng) * rng.uniform(8, 18))
        script.ball_at(3.4, away, arc_m=6.0)
        end_s, goal = max(script.end_s, 9.0), (-side * 30.0, 0.5 * away[1])
        open_play(script, rng, 3.6, end_s, away, goal, 1 - team, "quick")
    elif outcome == "caught":
        keeper = script.keeper(1 - team)
        script.walk(keeper, (1.9, *head), (5.5, *head), ramp_s=1.5)
        script.ball_at(2.0, (head[0] + side, head[1]), height_m=1.4)
        script.pose(keeper, 2.0, 6.0, "hold")
        script.ball_at(5.5, (head[0] + side * 1.1, head[1]), height_m=1.2)
        script.stop_play(2.0, 6.0)
        keeper_throws(script, rng, side, 1 - team, 6.0)
    else:
        script.ball_at(2.4, (side * 57, flank * post * rng.uniform(5, 8)), height_m=1.0)
        goal_kick(script, rng, side, 1 - team, 12.0)
    script.look(
        (-13, *(0.92 * flag), 26), (-6, *(0.9 * flag), 26), (-2.0, side * 46, flank * 14, 44),
        (1.5, side * 43, 0, 40),
    )  # fmt: skip
    return Story(
        "corner", side_word(side), outcome, flank_word(flank),
        detail="front post" if post > 0 else "back post",
    )  # fmt: skip


def act_free_kick(script: Script, rng: np.random.Generator) -> Story:
    """After a foul outside the box a wall is formed, and the kick comes at time 0."""
    side, team = draw_attack(rng)
    flank = draw_sign(rng)
    spot = np.array([side * rng.uniform(24, 32), flank * rng.uniform(7, 18)])
    victim = open_play(script, rng, script.start_s, -13.5, target_m=tuple(spot), team=team)
    foul(script, victim, tuple(spot), -13.4, 3.5)
    script.ball_at(-9.0, shift(spot, 0.2, 0))
    script.ball_at(0.0, spot)
    script.stop_play(-13.5, 0.2)
    taker = nearest(script, team, spot, but=(victim,))
    back = shift(spot, -side * 5.0, draw_sign(rng) * 2.0)
    script.walk(
        taker,
        (-8, *shift(spot, -side * 0.8, 0)),
        (-4, *back),
        (-1.6, *back),
        (0, *spot),
        (2, *shift(spot, side * 3, 0)),
        ramp_s=4,
    )
    goal = np.array([side * 52.5, 0.0])
    direction = (goal - spot) / np.linalg.norm(goal - spot)
    normal = np.array([-direction[1], direction[0]])
    defenders = script.team(1 - team)
    wall = sorted(defenders, key=lambda i: script.people[i].spot[0])[-int(rng.integers(4, 6)) :]
    for place, person in enumerate(wall):
        at = spot + 9.15 * direction + normal * 0.75 * (place - (len(wall) - 1) / 2)
        script.walk(person, (-7.5, *at), (0.6, *at), ramp_s=4)
    fill_box(script, rng, side, team, -6.0, 2.0, but=taker, wall=wall)
    aside = (-10.0, *shift(spot, -3, 5)), (1.0, *shift(spot, -3, 5))
    script.walk(script.referee(), *aside, ramp_s=4)
    script.pose(script.referee(), -2.0, 0.0, "arm")
    outcome = draw_word(rng, "scored", "saved", "over", "cleared")
    if outcome == "cleared":
        away = (side * rng.uniform(10, 20), flank * rng.uniform(4, 18))
        script.ball_at(1.3, (side * 44, rng.uniform(-5, 5)), height_m=1.8, arc_m=3)
        script.ball_at(3.2, away, arc_m=6)
        end_s, far_end = max(script.end_s, 9.0), (-side * 30.0, 0.5 * away[1])
        open_play(script, rng, 3.4, end_s, away, far_end, 1 - team, "quick")
    else:
        shoot(script, rng, side, 1 - team, outcome, 1.2)
        if outcome == "scored":
            celebrate(script, rng, side, flank, taker, 2.2)
            script.scores.append((4.5, team))
        elif outcome == "over":
            goal_kick(script, rng, side, 1 - team, 12.0)
        else:
            keeper_throws(script, rng, side, 1 - team, 6.5)
    script.look((-11, *(spot * (1.1, 0.9)), 30), (-0.5, *(spot * (1.15, 0.75)), 34))
    return Story("free kick", side_word(side), outcome, flank_word(flank))


def act_penalty(script: Script, rng: np.random.Generator) -> Story:
    """One against one: everybody else waits outside of the box."""
    side, team = draw_attack(rng)
    mark = np.array([side * 41.5, 0.0])
    keeper = script.keeper(1 - team)
    script.ball_at(script.start_s, mark)
    script.ball_at(0.0, shift(mark, 0.001, 0))
    script.stop_play(script.start_s - 5, 0.4)
    taker = max(script.team(team), key=lambda i: script.people[i].spot[0])
    script.walk(
        taker,
        (script.start_s, *shift(mark, -side * 0.8, 0)),
        (-9, *shift(mark, -side * 0.8, 0)),
        (-5, *shift(mark, -side * 5, -1)),
        (-1.4, *shift(mark, -side * 5, -1)),
        (0, *shift(mark, -side * 0.3, 0)),
        ramp_s=4,
    )
    script.walk(keeper, (-11, side * 52.3, 0), (0.0, side * 52.2, 0), ramp_s=3)
    waiting = [i for i in (*script.team(0), *script.team(1)) if i != taker]
    waiting.sort(key=lambda i: -side * formation(script, mark)[i, 0])
    for place, person in enumerate(waiting[:16]):
        y = (place - 7.5) * 2.2 + rng.normal(0, 0.5)
        x = side * (35.2 - 3.2 * (abs(y) < 8) - rng.uniform(0, 2.0))
        script.walk(person, (-12, x, y), (0.3, x, y), ramp_s=5)
    script.walk(script.referee(), (-12, side * 43, -13), (1, side * 43, -13), ramp_s=4)
    outcome = str(rng.choice(["scored", "saved", "over"], p=[0.5, 0.3, 0.2]))
    toward, flank = draw_sign(rng), draw_sign(rng)
    shoot(script, rng, side, 1 - team, outcome, 0.55, toward)
    if outcome == "scored":
        celebrate(script, rng, side, flank, taker, 1.4)
        script.scores.append((3.5, team))
    elif outcome == "saved":
        friends = nearby(script, (side * 44, 0), [1 - team], 4, but=())
        crowd_around(script, rng, friends, (side * 50, 0.0), 3.0, 7.0, (1.2, 2.5), "arms")
        keeper_throws(script, rng, side, 1 - team, 8.0)
    else:
        script.pose(taker, 0.8, 7.0, "head")
        goal_kick(script, rng, side, 1 - team, 12.0)
    script.look((-14, side * 43, 0, 32), (1, side * 45, 0, 30), (2.5, side * 46, 0, 30))
    word = flank_word(flank) if outcome == "scored" else ""
    return Story("penalty", side_word(side), outcome, detail=flank_word(toward), flank=word)


def act_foul_lead_to_penalty(script: Script, rng: np.random.Generator) -> Story:
    """A foul in the box; the referee runs up and points to the spot, some surround him."""
    side, team = draw_attack(rng)
    flank, tempo = draw_sign(rng), draw_word(rng, "quick", "patient")
    outcome = draw_word(rng, "protest", "accept")
    spot = (side * rng.uniform(40, 47), flank * rng.uniform(5, 11))
    mark = np.array([side * 41.5, 0.0])
    victim = attack(script, rng, side, team, spot, -3.0, tempo)
    foul(script, victim, spot, -2.9, 5.5)
    script.ball_at(-2.0, (spot[0] + side * 3.5, spot[1]))
    script.stop_play(-2.9, script.end_s + 5)
    referee = referee_comes(script, (mark[0] - side * 2.0, mark[1]), 0.0, 8.0)
    script.pose(referee, -2.0, 0.0, "arm")
    script.pose(referee, 0.0, 7.0, "point")
    script.watch(-1.0, 6.0, mark)
    others = nearby(script, mark, [1 - team], 7, but=())
    if outcome == "protest":
        at = (mark[0] - side * 2.5, mark[1] + 1)
        crowd_around(script, rng, others, at, 1.0, 8.0, (1.2, 2.6), "protest")
    else:
        for person in others[:4]:
            script.pose(person, -1.0, 5.0, "head")
    for person in nearby(script, mark, [team], 4, but=(victim,)):
        script.pose(person, -2.2, 3.0, "arms")
    script.ball_at(9.0, mark)
    taker = max(
        (i for i in script.team(team) if i != victim), key=lambda i: script.people[i].spot[0]
    )
    script.walk(
        taker, (9.0, *shift(mark, -side, 0.5)), (15.0, *shift(mark, -side * 4, 0)), ramp_s=5
    )
    script.look(
        (-2.2, *spot, 32), (0.5, mark[0], mark[1], 23), (7.0, mark[0], mark[1], 23),
        (10.0, side * 42, 0, 38), (script.end_s + 3, side * 42, 0, 38),
    )  # fmt: skip
    return Story("foul lead to penalty", side_word(side), outcome, flank_word(flank), tempo)
