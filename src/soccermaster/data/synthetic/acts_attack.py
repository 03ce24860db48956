"""Acted events that grow out of play: possession, shots, goals, balls that go out."""

from __future__ import annotations

import numpy as np

from soccermaster.data.synthetic.officials import (
    add_assistant,
    celebrate,
    crowd_around,
    nearby,
    referee_comes,
)
from soccermaster.data.synthetic.play import (
    attack,
    cross,
    fill_box,
    goal_kick,
    keeper_throws,
    nearest,
    open_play,
    retreat,
    shoot,
)
from soccermaster.data.synthetic.scene import Prop, Script
from soccermaster.data.synthetic.story import (
    Story,
    draw_attack,
    draw_depth,
    draw_sign,
    draw_word,
    flank_word,
    side_word,
)


def act_ball_possession(script: Script, rng: np.random.Generator) -> Story:
    """One team passes the ball around one zone; the picture stays wide."""
    team, side, flank = int(rng.integers(2)), draw_sign(rng), draw_sign(rng)
    tempo = draw_word(rng, "quick", "patient")
    zone = np.array([side * rng.uniform(16, 26), flank * rng.uniform(11, 18)])
    time_s, at = script.start_s, tuple(zone)
    while time_s < script.end_s:
        target = tuple(zone + rng.uniform(-1, 1, 2) * (9, 7))
        step_s = 6.5 if tempo == "patient" else 5.0
        open_play(script, rng, time_s, time_s + step_s, at, target, team, tempo=tempo)
        time_s, at = time_s + step_s + 0.5, target
    script.look((script.start_s, *(zone * (0.8, 0.6)), 54), (script.end_s, *(zone * (1, 0.6)), 54))
    return Story("ball possession", side_word(side), "", flank_word(flank), tempo)


def act_clearance(script: Script, rng: np.random.Generator) -> Story:
    """Pressure on a goal, then a defender hits the ball far away and play changes ends."""
    side, team = draw_attack(rng)
    flank, body = draw_sign(rng), draw_word(rng, "header", "foot")
    spot = (side * rng.uniform(43, 47), flank * rng.uniform(2, 6))
    if body == "header":
        cross(script, rng, side, team, flank, spot, -0.1, "patient")
    else:
        attack(script, rng, side, team, spot, -0.5, "patient")
    defender = nearest(script, 1 - team, spot)
    script.walk(defender, (-1.0, *spot), (0.2, *spot), ramp_s=2.0)
    goes = draw_sign(rng)
    far_m = rng.uniform(4, 14) if body == "header" else -rng.uniform(14, 26)
    away = (side * far_m, goes * rng.uniform(16, 26))
    script.ball_at(0.0, spot, height_m=1.9 if body == "header" else 0.1)
    script.ball_at(2.8, away, arc_m=9)
    end = (-side * rng.uniform(34, 42), 0.4 * away[1])
    open_play(script, rng, 3.0, max(script.end_s, 9.0), away, end, 1 - team, tempo="quick")
    return Story("clearance", side_word(side), flank_word(goes), flank_word(flank), "", body)


def act_goal(script: Script, rng: np.random.Generator) -> Story:
    """A move ends with a shot into the net, and the scorer runs off to a corner to celebrate."""
    side, team = draw_attack(rng)
    goes = draw_sign(rng)
    scorer, story = _finish(script, rng, "goal", side, team, "scored", flank_word(goes))
    celebrate(script, rng, side, goes, scorer, 0.8)
    script.scores.append((3.0, team))
    return story


def act_own_goal(script: Script, rng: np.random.Generator) -> Story:
    """A cross goes in off a defender, who sinks to the ground; the attackers run back upfield."""
    side, team = draw_attack(rng)
    flank, tempo = draw_sign(rng), draw_word(rng, "quick", "patient")
    body = draw_word(rng, "header", "foot")
    spot = (side * rng.uniform(45.5, 48), -flank * rng.uniform(0.5, 3))
    wing = (side * rng.uniform(43, 47), flank * rng.uniform(20, 27))
    attack(script, rng, side, team, wing, -1.4, tempo)
    culprit = nearest(script, 1 - team, spot)
    script.walk(culprit, (-1.2, *spot), (11.0, *spot), ramp_s=2.5)
    script.ball_at(-0.4, spot, height_m=1.8 if body == "header" else 0.2, arc_m=2.0)
    script.ball_at(0.1, (side * 52.7, -flank * 2.0), height_m=0.5)
    script.ball_at(0.5, (side * 53.9, -flank * 1.8))
    keeper = script.keeper(1 - team)
    script.walk(keeper, (0.0, side * 51.4, flank * 1.0), (9.0, side * 51.0, flank), ramp_s=2)
    script.pose(keeper, 0.0, 2.5, "lie")
    script.pose(keeper, 2.5, 9.0, "crouch")
    script.pose(culprit, 0.2, 7.0, "lie")
    script.pose(culprit, 7.0, 11.0, "head")
    script.stop_play(-0.2, script.end_s + 5)
    mates = nearby(script, spot, [1 - team], 4, but=(culprit,))
    crowd_around(script, rng, mates, spot, 4.0, 10.0, (1.4, 2.4))
    for person in mates[:2]:
        script.pose(person, 0.5, 4.5, "head")
    meeting = np.array([side * rng.uniform(13, 20), flank * rng.uniform(8, 16)])
    happy = script.team(team)
    crowd_around(script, rng, happy, meeting, 7.0, 12.0, (1.0, 3.0), "arms")
    script.look(
        (0.8, side * 45, 0, 30), (2.5, side * 46.5, 0, 22), (7.0, side * 46.5, 0, 22),
        (10.0, *meeting, 26), (script.end_s + 3, *meeting, 26),
    )  # fmt: skip
    script.scores.append((3.0, team))
    return Story("own goal", side_word(side), "", flank_word(flank), tempo, body)


def act_shot_off_target(script: Script, rng: np.random.Generator) -> Story:
    """A shot over or beside the goal; everybody turns back, and a long goal kick follows."""
    side, team = draw_attack(rng)
    outcome = draw_word(rng, "over", "wide")
    shooter, story = _finish(script, rng, "shot off target", side, team, outcome)
    script.pose(shooter, 0.8, 5.0, "head")
    goal_kick(script, rng, side, 1 - team, 11.0)
    script.look((0.2, side * 47, 0, 34), (9.5, side * 42, 0, 40))
    return story


def act_saved(script: Script, rng: np.random.Generator) -> Story:
    """The goalkeeper saves, lies on the ball, gets up and throws it far out."""
    side, team = draw_attack(rng)
    _, story = _finish(script, rng, "saved by goal-keeper", side, team, "saved")
    place = script.ball[-1]
    friends = nearby(script, (side * 47, 0), [1 - team], 3, but=())
    crowd_around(script, rng, friends, (side * 49.5, place.y_m), 2.5, 5.5, (1.5, 2.5))
    script.look((0.8, side * 48, 0, 26), (2.0, side * 49, 0.6 * place.y_m, 21),
                (6.0, side * 47, 0.6 * place.y_m, 21))  # fmt: skip
    keeper_throws(script, rng, side, 1 - team, 6.0)
    return story


def act_ball_out_of_play(script: Script, rng: np.random.Generator) -> Story:
    """The ball runs over a touchline; everybody stops and waits while somebody fetches it."""
    side, flank = draw_sign(rng), draw_sign(rng)
    team, tempo = int(rng.integers(2)), draw_word(rng, "quick", "patient")
    depth_m, zone = draw_depth(rng)
    spot = np.array([side * depth_m, flank * 34.3])
    open_play(
        script, rng, script.start_s, -1.6, target_m=tuple(spot * (0.85, 0.7)), team=team,
        tempo=tempo,
    )  # fmt: skip
    script.ball_at(0.0, spot)
    script.ball_at(2.5, spot * (1.04, 1.11))
    script.stop_play(-0.2, script.end_s + 5)
    fetcher = nearest(script, 1 - team, spot)
    script.walk(
        fetcher,
        (8.0, *(spot * (1.04, 1.10))),
        (9.5, *(spot * (1.04, 1.10))),
        (15.0, *(spot * (1.0, 1.02))),
        ramp_s=6.5,
        stay=True,
    )
    script.pose(fetcher, 9.0, script.end_s + 5, "hold")
    script.ball_at(9.0, spot * (1.04, 1.115))
    script.ball_at(9.6, spot * (1.04, 1.10), height_m=1.0)
    script.ball_at(15.0, spot * (1.0, 1.02), height_m=1.0)
    script.look((1.0, *(spot * (1, 0.75)), 40), (script.end_s + 3, *(spot * (1, 0.8)), 36))
    return Story("ball out of play", side_word(side), "", flank_word(flank), tempo, zone=zone)


def act_lead_to_corner(script: Script, rng: np.random.Generator) -> Story:
    """A shot or cross goes off a defender behind the goal line; the box fills for a corner."""
    side, team = draw_attack(rng)
    flank, tempo = draw_sign(rng), draw_word(rng, "quick", "patient")
    outcome = draw_word(rng, "blocked", "tipped")
    spot = (side * rng.uniform(38, 43), flank * rng.uniform(7, 14))
    attack(script, rng, side, team, spot, -0.8, tempo)
    if outcome == "blocked":
        block = (spot[0] + side * 3, 0.8 * spot[1])
        blocker = nearest(script, 1 - team, block)
        script.walk(blocker, (-0.7, *block), (2.0, *block), ramp_s=2)
        script.pose(blocker, -0.5, 2.0, "lie")
        script.ball_at(-0.5, block, height_m=0.4)
    else:
        keeper = script.keeper(1 - team)
        block = (side * 51.6, flank * 2.8)
        script.walk(keeper, (-0.9, side * 51.3, 0.3), (0, *block), (2.5, *block), ramp_s=1.5)
        script.pose(keeper, -0.3, 2.2, "lie")
        script.ball_at(-0.1, block, height_m=1.5)
    script.ball_at(1.4, (side * 57.5, flank * rng.uniform(8, 14)), arc_m=1.0)
    script.stop_play(0.0, script.end_s + 5)
    flag = np.array([side * 52.2, flank * 33.6])
    referee = referee_comes(script, (side * 38, flank * 6), 1.5, 6.0)
    script.pose(referee, 1.2, 5.0, "point")
    taker = nearest(script, team, flag)
    script.walk(taker, (11.0, *(flag * (0.99, 0.97))), (16, *(flag * (0.97, 0.95))), ramp_s=9)
    script.ball_at(7.0, (side * 55.5, flank * 31))
    script.ball_at(9.5, flag)
    fill_box(script, rng, side, team, 11.0, 17.0, but=taker)
    script.look(
        (0.8, side * 46, flank * 6, 36), (4.0, side * 47, flank * 9, 34),
        (8.0, *(0.92 * flag), 30), (12.0, *(0.9 * flag), 30),
        (script.end_s + 3, side * 46, flank * 14, 38),
    )  # fmt: skip
    return Story("lead to corner", side_word(side), outcome, flank_word(flank), tempo)


def act_off_side(script: Script, rng: np.random.Generator) -> Story:
    """A pass into the back of the defence; the assistant's flag goes up, and play turns round."""
    side, team = draw_attack(rng)
    flank, tempo = draw_sign(rng), draw_word(rng, "quick", "patient")
    assistant = add_assistant(script, rng, side, flank)
    spot = (side * rng.uniform(20, 27), rng.uniform(-14, 14))
    end = np.array([side * rng.uniform(37, 44), -0.5 * spot[1]])
    attack(script, rng, side, team, spot, -1.6, tempo)
    runner = nearest(script, team, end)
    script.walk(runner, (-1.6, *(end * (0.9, 1))), (0.2, *end), (5.0, *end), ramp_s=3)
    script.ball_at(-0.1, end)
    script.ball_at(2.0, end * (1.04, 1))
    line_m = (float(end[0] - side), flank * 35.0)
    script.walk(assistant, (-1.5, *line_m), (8.0, *line_m), ramp_s=3)
    script.pose(assistant, 0.3, 7.5, "arm")
    flag = draw_word(rng, "red", "yellow")
    color = (235, 40, 30) if flag == "red" else (250, 225, 30)
    script.props.append(Prop("flag", 0.3, 7.5, color, person=assistant))
    script.stop_play(0.4, 9.2)
    script.pose(runner, 1.2, 6.0, "protest")
    script.look(
        (0.3, *end, 34), (2.4, line_m[0] - side * 2, 0.9 * line_m[1], 22),
        (6.6, line_m[0] - side * 2, 0.9 * line_m[1], 22),
    )  # fmt: skip
    kick = (side * 40.0, float(end[1]))
    script.ball_at(6.5, kick)
    script.walk(script.keeper(1 - team), (8.0, kick[0] + side, kick[1]), (9.4, *kick), ramp_s=5)
    retreat(script, rng, side, 3.0, 9.0, but=(runner, script.keeper(1 - team)))
    script.ball_at(9.4, (kick[0] + 0.01, kick[1]))
    away = (-side * rng.uniform(6, 18), rng.uniform(-20, 20))
    script.ball_at(12.0, away, arc_m=10)
    open_play(script, rng, 12.2, max(script.end_s, 15.5), away, team=1 - team)
    return Story("off side", side_word(side), "", flank_word(flank), tempo)


def _finish(
    script: Script,
    rng: np.random.Generator,
    event: str,
    side: int,
    team: int,
    outcome: str,
    detail: str = "",
) -> tuple[int, Story]:
    """An attack that ends with a shot; returns who shot, and what there is to tell."""
    flank, tempo = draw_sign(rng), draw_word(rng, "quick", "patient")
    distance = draw_word(rng, "header", "close", "long")
    if distance == "header":
        spot = (side * rng.uniform(43.5, 47), -flank * rng.uniform(0, 4))
        shooter = cross(script, rng, side, team, flank, spot, -0.6, tempo)
    else:
        depth_m = rng.uniform(40, 45) if distance == "close" else rng.uniform(27, 32)
        spot = (side * depth_m, flank * rng.uniform(6, 14))
        shooter = attack(script, rng, side, team, spot, -1.0, tempo)
    shoot(script, rng, side, 1 - team, outcome, -0.2)
    body = "header" if distance == "header" else "foot"
    where = "close" if distance == "header" else distance
    words = (outcome, flank_word(flank), tempo, body, detail, where)
    return shooter, Story(event, side_word(side), *words)
