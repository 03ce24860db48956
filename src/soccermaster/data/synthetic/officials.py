"""Building blocks of acted events in which the ball rests: fouls, cards, officials, crowds.

Each function adds to a `Script`. Flanks are -1 (the far touchline) and 1 (the near one).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from soccermaster.data.synthetic.motion import formation
from soccermaster.data.synthetic.people import (
    OTHER,
    PLAYER,
    REFEREE,
    draw_person,
    draw_staff_kit,
)
from soccermaster.data.synthetic.play import Point, nearest
from soccermaster.data.synthetic.scene import Prop, Script
from soccermaster.vocabulary import NO_NUMBER, UNKNOWN

YELLOW, RED = (250, 220, 20), (225, 20, 25)
_MAX_REFEREES = 3


def foul(script: Script, victim: int, spot: Point, time_s: float, down_s: float) -> int:
    """An opponent slides into somebody, who goes down; returns who did it."""
    culprit = nearest(script, 1 - script.people[victim].team, spot)
    script.walk(
        culprit,
        (time_s - 0.8, spot[0] + 2.5, spot[1] + 1.5),
        (time_s + 0.3, spot[0] + 0.5, spot[1] + 0.5),
        (time_s + 2.0, spot[0] + 1.0, spot[1] + 1.0),
        ramp_s=2.0,
    )
    script.pose(culprit, time_s - 0.4, time_s + 1.2, "lie")
    script.walk(victim, (time_s, *spot), (time_s + down_s, *spot), ramp_s=2.0)
    script.pose(victim, time_s, time_s + down_s, "lie")
    return culprit


def referee_comes(script: Script, spot: Point, arrive_s: float, leave_s: float) -> int:
    """The referee runs to a place and stays there for a while; returns who it is."""
    referee = script.referee()
    at = (spot[0] - 1.2, spot[1] + 1.0)
    script.walk(referee, (arrive_s, *at), (leave_s, *at), ramp_s=3.0)
    return referee


def show_card(script: Script, color: tuple[int, int, int], start_s: float, end_s: float) -> None:
    """The referee holds up a card."""
    referee = script.referee()
    script.pose(referee, start_s, end_s, "arm")
    script.props.append(Prop("card", start_s, end_s, color, person=referee))


def add_assistant(script: Script, rng: np.random.Generator, side: int, flank: int) -> int:
    """See to it that an assistant referee watches a half (-1, 1) from a flank; returns him."""
    script.diagonal = -flank * side
    place = 1 if side > 0 else 2  # as in motion.formation
    while len(script.referees()) <= place:
        kit = script.people[script.referee()].kit
        script.add(draw_person(rng, REFEREE, UNKNOWN, NO_NUMBER, kit, (np.nan, np.nan)))
    return script.referees()[place]


def add_fourth_official(script: Script, rng: np.random.Generator, spot: Point) -> int:
    """A fourth official at a fixed place; he takes the place of an assistant if there are many."""
    kit = script.people[script.referee()].kit
    person = draw_person(rng, REFEREE, UNKNOWN, NO_NUMBER, kit, spot)
    if len(script.referees()) < _MAX_REFEREES:
        return script.add(person)
    index = script.referees()[-1]
    script.replace(index, person)
    return index


def add_staff(script: Script, rng: np.random.Generator, spots: Iterable[Point]) -> list[int]:
    """People in the clothes of physios or coaches, at fixed places."""
    kit = draw_staff_kit(rng)
    return [
        script.add(draw_person(rng, OTHER, UNKNOWN, NO_NUMBER, kit, (float(x), float(y))))
        for x, y in spots
    ]


def crowd_around(
    script: Script,
    rng: np.random.Generator,
    people: Iterable[int],
    spot: Point | np.ndarray,
    start_s: float,
    end_s: float,
    radius_m: tuple[float, float] = (1.6, 3.2),
    pose: str | None = None,
) -> None:
    """People come to a place and stand around it, some of them in a pose."""
    people = list(people)
    for place, person in enumerate(people):
        angle = 2 * np.pi * (place + rng.uniform(-0.2, 0.2)) / len(people)
        at = spot + rng.uniform(*radius_m) * np.array([np.cos(angle), np.sin(angle)])
        script.walk(person, (start_s + rng.uniform(-0.6, 0.6), *at), (end_s, *at), ramp_s=3.0)
        if pose is not None and rng.random() < 0.7:
            script.pose(person, start_s, end_s, pose)


def nearby(
    script: Script, spot: Point | np.ndarray, teams: Iterable[int], count: int, but: Iterable[int]
) -> list[int]:
    """The outfield players of some teams who belong nearest to a place."""
    teams, but = set(teams), set(but)
    distances = np.linalg.norm(formation(script, np.asarray(spot)) - spot, axis=-1)
    order = [int(i) for i in np.argsort(distances)]
    return [
        i
        for i in order
        if script.people[i].role == PLAYER and script.people[i].team in teams and i not in but
    ][:count]


def walk_off(script: Script, person: int, spot: Point, start_s: float, gate: Point) -> None:
    """Somebody leaves the pitch for good, on foot, and the camera follows him."""
    way = np.subtract(gate, spot)
    far = float(np.linalg.norm(way))
    end_s = start_s + far / 2.6
    script.walk(person, (start_s, *spot), (end_s, *gate), ramp_s=1.5, stay=True)
    script.become(person, end_s - 1.0 / 2.6, OTHER)
    shown_s = min(end_s, script.end_s) - start_s
    after = np.add(spot, way * min(1.0, 2.6 * shown_s / far))
    script.look((start_s, *spot, 24.0), (start_s + shown_s, after[0], 0.93 * after[1], 24.0))


def celebrate(
    script: Script,
    rng: np.random.Generator,
    side: int,
    flank: int,
    scorer: int,
    start_s: float,
) -> None:
    """The scorer runs to a corner with his arms up, and his team follows; the others go home."""
    team = script.people[scorer].team
    corner = np.array([side * rng.uniform(43, 48), flank * rng.uniform(25, 30)])
    last_s = start_s + 12
    script.walk(scorer, (start_s + 4.5, *corner), (last_s, *corner), ramp_s=4.5, stay=True)
    script.pose(scorer, start_s, last_s, "arms")
    friends = [i for i in script.team(team) if i != scorer]
    for place, person in enumerate(friends[::-1][:8]):
        angle = rng.uniform(0, 2 * np.pi)
        at = corner + rng.uniform(0.8, 2.2) * np.array([np.cos(angle), np.sin(angle)])
        key = (start_s + 5.5 + 0.4 * place, *at)
        script.walk(person, key, (last_s, *at), ramp_s=5, stay=True)
        if rng.random() < 0.5:
            script.pose(person, start_s + 3, last_s, "arms")
    script.look(
        (start_s + 1.0, side * 45, 0.3 * corner[1], 32),
        (start_s + 5, *(0.96 * corner), 22),
        (script.end_s + 3, *(0.96 * corner), 21),
    )
