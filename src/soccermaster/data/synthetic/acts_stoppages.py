"""Acted events while the ball rests: fouls and cards, video reviews, injuries, changes, the end."""

from __future__ import annotations

import numpy as np

from soccermaster.data.synthetic.motion import formation
from soccermaster.data.synthetic.officials import (
    RED,
    YELLOW,
    add_fourth_official,
    add_staff,
    crowd_around,
    foul,
    nearby,
    referee_comes,
    show_card,
    walk_off,
)
from soccermaster.data.synthetic.people import OTHER, PLAYER, draw_person
from soccermaster.data.synthetic.play import attack, nearest, open_play, shift
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


def act_foul_with_no_card(script: Script, rng: np.random.Generator) -> Story:
    """A foul, a whistle, the victim gets up soon, and play goes on with a quick kick."""
    tempo = draw_word(rng, "quick", "patient")
    spot, where, victim, _ = _foul_scene(script, rng, -0.2, 2.6)
    restart_s = 4.0 if tempo == "quick" else 8.5
    referee = referee_comes(script, shift(spot, -4, 3), 1.5, 3.5)
    script.pose(referee, 0.2, 3.0, "arm")
    script.look((0.2, *spot, 40), (restart_s, *spot, 40))
    _restart(script, rng, spot, script.people[victim].team, restart_s, tempo)
    return Story("foul with no card", **where, tempo=tempo)


def act_yellow_card(script: Script, rng: np.random.Generator) -> Story:
    """The referee calls the culprit, shows him a yellow card, and play goes on."""
    spot, where, victim, culprit = _foul_scene(script, rng, -9.5, 5.5)
    outcome = draw_word(rng, "protest", "accept")
    _called_up(script, rng, spot, culprit, outcome, -5.0, 5.0, 3)
    show_card(script, YELLOW, -1.8, 4.2)
    script.look((-8.5, *spot, 32), (-5.5, *spot, 21), (5.0, *spot, 21), (7.0, *spot, 38))
    _restart(script, rng, spot, script.people[victim].team, 9.5, "normal")
    return Story("yellow card", **where, outcome=outcome)


def act_second_yellow_card(script: Script, rng: np.random.Generator) -> Story:
    """Yellow, then red; the culprit stands alone, and leaves the pitch."""
    spot, where, _, culprit = _foul_scene(script, rng, -10.0, 5.0)
    outcome, leaves = draw_word(rng, "slowly", "angrily"), draw_sign(rng)
    _called_up(script, rng, spot, culprit, "accept", -6.0, 3.5, 0)
    show_card(script, YELLOW, -5.0, -1.2)
    show_card(script, RED, -0.2, 4.5)
    script.pose(culprit, 0.0, 3.8, "head" if outcome == "slowly" else "protest")
    script.look((-9.0, *spot, 32), (-6.5, *spot, 21), (3.0, *spot, 21))
    walk_off(script, culprit, (spot[0] + 1.0, spot[1] + 1.0), 4.0, _tunnel(leaves))
    if outcome == "angrily":
        script.pose(culprit, 4.0, 10.0, "protest")
    return Story("second yellow card", **where, outcome=outcome, detail=flank_word(leaves))


def act_red_card(script: Script, rng: np.random.Generator) -> Story:
    """A bad foul, players of both teams run together, a red card at once, and he has to go."""
    spot, where, victim, culprit = _foul_scene(script, rng, -10.5, 15.0)
    outcome, leaves = draw_word(rng, "protest", "accept"), draw_sign(rng)
    both = nearby(script, spot, (0, 1), 12, but=(victim, culprit))
    middle = np.add(spot, (2.5, 1.0))
    crowd_around(script, rng, both, middle, -6.5, 4.5, (1.8, 4.2), "protest")
    referee_comes(script, tuple(middle), -5.0, 6.0)
    script.walk(
        culprit, (-5.0, *shift(middle, 0.6, 0.4)), (3.0, *shift(middle, 0.6, 0.4)), ramp_s=2
    )
    show_card(script, RED, -2.5, 4.5)
    script.look((-9.0, *spot, 34), (-6.5, *middle, 23), (3.0, *middle, 23))
    walk_off(script, culprit, tuple(shift(middle, 0.6, 0.4)), 4.0, _tunnel(leaves))
    if outcome == "protest":
        mates = nearby(script, spot, [script.people[culprit].team], 4, but=(culprit,))
        crowd_around(script, rng, mates, middle, 5.5, 13.0, (1.5, 3.0), "protest")
    return Story("red card", **where, outcome=outcome, detail=flank_word(leaves))


def act_injury(script: Script, rng: np.random.Generator) -> Story:
    """A player stays down, play stops and physios run to him; he is carried off or gets up."""
    outcome = draw_word(rng, "carried", "continues")
    down_s = 30.0 if outcome == "carried" else 14.0  # he gets up after all
    spot, where, victim, _ = _foul_scene(script, rng, -6.0, down_s, slide=False)
    flank = int(np.sign(spot[1]))
    out = (float(spot[0] + rng.uniform(-10, 10)), flank * 35.5)
    script.ball_at(-3.0, out)
    script.stop_play(-5.8, script.end_s + 5)
    script.watch(-5.0, 16.0, spot)
    around = nearby(script, spot, (0, 1), 6, but=(victim,))
    crowd_around(script, rng, [*around, script.referee()], spot, -2.0, 14.0, (3.0, 4.5))
    bench = np.array([spot[0] * 0.6, flank * 36.5])
    carers = add_staff(script, rng, [shift(bench, place, 0) for place in (-1, 0.5, 2)])
    arrive_s = -2.0 + float(np.linalg.norm(bench - spot)) / 5.5
    for place, person in enumerate(carers):
        at = shift(spot, 1.1 * (place - 1), -0.8 if place != 1 else 0.9)
        script.pose(person, arrive_s, 9.0, "crouch")
        keys = [(-2.0, *script.people[person].spot), (arrive_s, *at), (9.5, *at)]
        if outcome == "carried":
            keys.append((9.5 + float(np.linalg.norm(bench - spot)) / 1.9, *(bench + at - spot)))
        script.walk(person, *keys, ramp_s=0.5, stay=True)
    if outcome == "carried":
        end_s = 9.5 + float(np.linalg.norm(bench - spot)) / 1.9
        script.props.append(Prop("stretcher", arrive_s, script.end_s + 9, (240, 120, 20), victim))
        script.walk(victim, (-6.0, *spot), (9.5, *spot), (end_s, *bench), ramp_s=2, stay=True)
        script.look((-5, *spot, 32), (-2, *spot, 22), (9, *spot, 21),
                    (15, *(spot + 0.3 * (bench - spot)), 23))  # fmt: skip
    else:
        script.look((-5, *spot, 32), (-2, *spot, 22), (10, *spot, 21), (15, *spot, 36))
    return Story("injury", **where, outcome=outcome)


def act_var(script: Script, rng: np.random.Generator) -> Story:
    """Everybody waits while the referee runs to the monitor and comes back with a sign."""
    side, team = draw_attack(rng)
    flank, outcome = draw_sign(rng), draw_word(rng, "penalty", "no penalty")
    incident = np.array([side * rng.uniform(38, 45), draw_sign(rng) * rng.uniform(3, 10)])
    victim = open_play(script, rng, script.start_s, -14.0, target_m=tuple(incident), team=team)
    foul(script, victim, tuple(incident), -13.9, 4.0)
    script.ball_at(-12.5, shift(incident, side * 2, 2))
    script.stop_play(-13.9, script.end_s + 5)
    referee, wait = script.referee(), np.array([side * 29.0, flank * 9.0])
    monitor = np.array([side * rng.uniform(4, 12), flank * 35.6])
    place = (float(monitor[0]), float(monitor[1] + flank * 0.8))
    always = (script.start_s - 9, script.end_s + 9)
    script.props.append(Prop("monitor", *always, (120, 190, 255), xy_m=place))
    stand = shift(monitor, 0, -flank * 0.9)
    back = np.array([side * 22.0, flank * 19.0])
    script.walk(referee, (-11.0, *wait), (-8.0, *wait), (-2.5, *stand), (5.5, *stand),
                (10.0, *back), (17.0, *back), ramp_s=3)  # fmt: skip
    script.pose(referee, -11.0, -7.5, "ear")
    script.pose(referee, 9.0, 11.5, "screen")
    script.pose(referee, 11.5, 17.0, "point" if outcome == "penalty" else "protest")
    script.watch(9.0, 17.0, (side * 52, 0) if outcome == "penalty" else (0, 0))
    for team_index in (0, 1):
        group = nearby(script, shift(incident, -side * 6, 0), [team_index], 6, but=())
        at = shift(incident, -side * 7, 7.0 * (2 * team_index - 1))
        crowd_around(script, rng, group, at, -8.0, 17.0, (1.5, 3.5))
    script.look((-11, *wait, 26), (-8, *wait, 23), (-2.5, *(stand * (1, 0.92)), 22),
                (5.5, *(stand * (1, 0.92)), 21), (10, *back, 24), (17, *back, 24))  # fmt: skip
    return Story("var", side_word(side), outcome, flank_word(flank))


def act_substitution(script: Script, rng: np.random.Generator) -> Story:
    """Play has stopped; players jog off at the halfway line, others come on."""
    team, flank, side = int(rng.integers(2)), draw_sign(rng), draw_sign(rng)
    outcome, tempo = draw_word(rng, "one", "two"), draw_word(rng, "quick", "patient")
    gate = np.array([side * rng.uniform(2, 6), flank * 34.0])
    count = 2 if outcome == "two" else 1
    leavers = [int(i) for i in rng.choice(script.team(team), count, replace=False)]
    taken = {script.people[i].number for i in script.team(team)}
    ball = (side * float(rng.uniform(12, 28)), -flank * 34.6)
    open_play(script, rng, script.start_s, -11.5, target_m=(ball[0], 0.85 * ball[1]), team=team)
    script.ball_at(-10.5, ball)
    script.stop_play(-11, 12.5)
    official = add_fourth_official(script, rng, (float(gate[0] + 0.3), float(flank * 35.5)))
    script.pose(official, -9, 3, "arms")
    numbers = [int(n) for n in rng.choice([n for n in range(2, 40) if n not in taken], 2, False)]
    text = f"{script.people[leavers[0]].number} {numbers[0]}"
    script.props.append(Prop("board", -9, 3, (230, 60, 40), official, text=text))
    add_staff(script, rng, [(gate[0] + 5, flank * 37.0), (gate[0] - 4, flank * 37.2)])
    walk_mps = 3.4 if tempo == "quick" else 1.9
    for place, leaver in enumerate(leavers):
        kit = script.people[leaver].kit
        fresh = script.add(
            draw_person(rng, PLAYER, team, numbers[place], kit, script.people[leaver].spot)
        )
        beside = shift(gate, 1.5 + 1.4 * place, flank * 1.4)
        exit_s = -0.5 + 3.0 * place
        start = gate * (1, 0.45) + (rng.uniform(-9, 9), 0)
        start_s = exit_s - float(np.linalg.norm(gate - start)) / walk_mps
        bench = shift(gate, 7.0 + place, flank * 5)
        script.walk(
            leaver, (start_s, *start), (exit_s, *gate), (exit_s + 1.5, *shift(gate, 0, flank * 2)),
            (exit_s + 7, *bench), ramp_s=5, stay=True,
        )  # fmt: skip
        script.become(leaver, exit_s + 0.5, OTHER)
        script.walk(
            fresh, (script.start_s - 5, *beside), (exit_s + 1.0, *beside),
            (exit_s + 2.5, *(gate * (1, 0.92))), (exit_s + 6.5, *(gate * (1, 0.4))), ramp_s=6,
        )  # fmt: skip
        script.become(fresh, -np.inf, OTHER)
        script.become(fresh, exit_s + 0.5, PLAYER)
    width_m = rng.uniform(22, 26)
    view = gate * (1, 0.87)
    script.look((-8.5, *view, width_m), (6, *view, width_m))
    open_play(script, rng, 13.0, max(script.end_s, 14.0), ball, team=1 - team)
    return Story("substitution", side_word(side), outcome, flank_word(flank), tempo)


def act_show_added_time(script: Script, rng: np.random.Generator) -> Story:
    """The picture leaves the game for the fourth official, who lifts a board with the minutes."""
    team, flank, side = int(rng.integers(2)), draw_sign(rng), draw_sign(rng)
    minutes = int(rng.integers(1, 10))
    zone = (side * rng.uniform(16, 30), -flank * rng.uniform(4, 14))
    tempo = draw_word(rng, "quick", "patient")
    open_play(script, rng, script.start_s, max(script.end_s, 6.0), zone, (zone[0], -zone[1]), team,
              tempo)  # fmt: skip
    spot = np.array([side * rng.uniform(1, 4), flank * 35.6])
    official = add_fourth_official(script, rng, (float(spot[0]), float(spot[1])))
    script.pose(official, -5.0, 5.5, "arms")
    script.props.append(Prop("board", -5.0, 5.5, (40, 230, 70), official, text=f"+{minutes}"))
    script.added.append((0.0, minutes))
    script.clock_s = float(rng.choice([2700, 5400]) - rng.uniform(5, 50))
    add_staff(script, rng, [(spot[0] + 8, flank * 37.5)])
    view = spot * (1, 0.93)
    script.look((-4.0, *view, 21), (5.0, *view, 20))
    return Story("show added time", side_word(side), str(minutes), flank_word(flank), tempo)


def act_end_of_half_game(script: Script, rng: np.random.Generator) -> Story:
    """The whistle; the picture widens, and everybody walks off or meets in the middle."""
    side, flank = draw_sign(rng), draw_sign(rng)
    outcome, tempo = draw_word(rng, "off", "hands"), draw_word(rng, "quick", "patient")
    script.clock_s = float(rng.choice([2700, 5400]) + rng.uniform(30, 280))
    zone = (side * rng.uniform(14, 30), rng.uniform(-15, 15))
    open_play(script, rng, script.start_s, -0.3, target_m=zone, tempo=tempo)
    script.ball_at(2.0, (0.7 * zone[0], 0.7 * zone[1]))
    script.stop_play(-0.4, script.end_s + 9)
    referee = script.referee()
    script.pose(referee, -0.3, 3.5, "arms")
    gate = np.array([0.0, flank * 36.0])
    teams = [*script.team(0), *script.team(1), script.keeper(0), script.keeper(1), referee]
    home = formation(script, np.array(zone))
    winners = int(rng.integers(2))
    for place, person in enumerate(teams):
        if outcome == "hands":
            angle, radius = 2 * np.pi * place / len(teams), rng.uniform(2, 6.5)
            at = radius * np.array([np.cos(angle), np.sin(angle)])
            if script.people[person].team == winners and rng.random() < 0.6:
                script.pose(person, 0.5, 14.0, "arms")
        else:
            at = shift(gate, rng.uniform(-3, 3), -flank * rng.uniform(0.0, 5.0))
        arrive_s = 2.0 + float(np.linalg.norm(home[person] - at)) / rng.uniform(2.4, 3.0)
        script.walk(person, (arrive_s, *at), ramp_s=arrive_s - 0.5, stay=True)
    aim = (0.0, flank * 14.0) if outcome == "off" else (0.0, 0.0)
    script.look((2.5, 0.5 * zone[0], 0.5 * zone[1], 60), (7.0, *aim, 56),
                (script.end_s + 3, *aim, 46))  # fmt: skip
    return Story("end of half game", side_word(side), outcome, flank_word(flank), tempo)


def _foul_scene(
    script: Script, rng: np.random.Generator, time_s: float, down_s: float, slide: bool = True
) -> tuple[tuple[float, float], dict[str, str], int, int]:
    """Play up to a foul; returns the place, its words for a story, the victim and the culprit."""
    side, flank, team = draw_sign(rng), draw_sign(rng), int(rng.integers(2))
    depth_m, zone = draw_depth(rng)
    spot = (side * depth_m, flank * rng.uniform(8, 24))
    if time_s - script.start_s > 8:
        victim = attack(script, rng, side, team, spot, time_s - 0.1, "patient")
    else:
        victim = open_play(
            script, rng, script.start_s, time_s - 0.1, target_m=spot, team=team, tempo="patient"
        )
    if slide:
        culprit = foul(script, victim, spot, time_s, down_s)
    else:
        culprit = nearest(script, 1 - team, spot)
        script.walk(victim, (time_s, *spot), (time_s + 2.0, *spot), ramp_s=2.0, stay=True)
        script.pose(victim, time_s, time_s + down_s, "lie")
    if slide:
        script.ball_at(time_s + 1.2, shift(np.array(spot), 2.2, 1.0))
        script.stop_play(time_s, time_s + 8.0)
    where = {"side": side_word(side), "flank": flank_word(flank), "zone": zone}
    return spot, where, victim, culprit


def _called_up(
    script: Script,
    rng: np.random.Generator,
    spot: tuple[float, float],
    culprit: int,
    outcome: str,
    start_s: float,
    end_s: float,
    mates: int,
) -> None:
    """The referee calls somebody; his team mates protest, or nobody else is near."""
    referee_comes(script, spot, start_s, end_s + 1.0)
    at = (spot[0] + 1.0, spot[1] + 1.0)
    script.walk(culprit, (start_s + 1.5, *at), (end_s, *at), ramp_s=2.5)
    script.stop_play(start_s - 4.0, end_s + 3.0)
    script.watch(start_s, end_s, spot)
    team = script.people[culprit].team
    if outcome == "protest":
        friends = nearby(script, spot, [team], mates + 2, but=(culprit,))
        crowd_around(script, rng, friends, spot, start_s + 1.0, end_s, (1.8, 3.0), "protest")
    else:
        script.pose(culprit, start_s + 1.5, end_s, "hold")


def _restart(
    script: Script,
    rng: np.random.Generator,
    spot: tuple[float, float],
    team: int,
    time_s: float,
    tempo: str,
) -> None:
    """A free kick to a team mate, and play goes on toward the other team's goal."""
    forward = 1.0 if team == 0 else -1.0
    taker = nearest(script, team, spot)
    script.walk(
        taker, (time_s - 1.5, *shift(np.array(spot), -forward, 0)), (time_s, *spot), ramp_s=3
    )
    last_s = script.ball[-1].time_s
    script.ball_at(max(last_s + 0.3, time_s - 2.0), spot)
    script.ball_at(time_s, (spot[0] + 0.01, spot[1]))
    script.stop_play(time_s - 4.0, time_s)
    first = (float(np.clip(spot[0] + forward * 12, -45, 45)), 0.6 * spot[1])
    script.ball_at(time_s + 1.2, first)
    goal = (float(np.clip(first[0] + forward * 24, -42, 42)), 0.3 * spot[1])
    end_s = max(script.end_s, time_s + 7.0)
    open_play(script, rng, time_s + 1.4, end_s, first, goal, team, tempo)


def _tunnel(flank: int) -> tuple[float, float]:
    """Where people leave the pitch."""
    return 0.0, flank * 36.0
