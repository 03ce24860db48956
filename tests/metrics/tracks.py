"""Random sequences of tracks for the tests of the tracking metrics."""

from __future__ import annotations

import numpy as np

from soccermaster.structures import Athletes
from soccermaster.vocabulary import NO_NUMBER, ROLES

ROLES_OF_PEOPLE = np.array([ROLES.index(r) for r in ("player", "goalkeeper", "referee", "other")])


def random_sequence(
    rng: np.random.Generator, num_frames: int = 30, num_people: int = 8, noise: float = 1.0
) -> tuple[Athletes, Athletes]:
    """Truth, and a prediction with misses, extras, switches of identity and wrong attributes."""
    track = np.tile(np.arange(1, num_people + 1), num_frames)
    frame = np.repeat(np.arange(num_frames), num_people)
    start = rng.uniform((-40, -25), (40, 25), (num_people, 2))
    speed = rng.normal(size=(num_people, 2)) * 0.2
    place = start[track - 1] + speed[track - 1] * frame[:, None]
    roles = rng.choice(ROLES_OF_PEOPLE, num_people, p=[0.7, 0.1, 0.15, 0.05])
    teams = np.where(np.isin(roles, ROLES_OF_PEOPLE[:2]), rng.integers(0, 2, num_people), -1)
    numbers = np.where(rng.random(num_people) < 0.8, rng.integers(0, 100, num_people), NO_NUMBER)
    keep = rng.random(len(frame)) < 0.9
    truth = people(frame, track, place, roles[track - 1], numbers[track - 1], teams[track - 1])
    truth = truth.select(keep)

    seen = truth.select(rng.random(len(truth)) < 0.85)
    extra = rng.random(len(seen)) < 0.15
    ids = seen.track_ids + num_people * (seen.frame // rng.integers(5, 25, len(seen)))
    moved = seen.positions_m + rng.normal(size=(len(seen), 2)) * noise
    predicted = people(
        np.concatenate([seen.frame, seen.frame[extra]]),
        np.concatenate([ids, 1000 + np.arange(extra.sum())]),
        np.concatenate([moved, rng.uniform(-40, 40, (extra.sum(), 2))]),
        *(
            np.concatenate([noisy, noisy[extra]])
            for noisy in (
                np.where(rng.random(len(seen)) < 0.05, ROLES_OF_PEOPLE[2], seen.roles),
                np.where(rng.random(len(seen)) < 0.1, NO_NUMBER, seen.numbers),
                np.where(rng.random(len(seen)) < 0.1, 1 - seen.teams.clip(0), seen.teams),
            )
        ),
    )
    return truth, predicted.select(np.argsort(predicted.frame, kind="stable"))


def people(frame, track_ids, place_m, roles, numbers, teams) -> Athletes:
    """Athletes whose boxes stand at their places."""
    middle = np.asarray(place_m, float) * (12, 8) + np.array([640, 360])
    half_size = np.array([20, 40])
    boxes = np.concatenate([middle - half_size, middle + half_size], axis=1)
    return Athletes.from_boxes(
        np.asarray(frame),
        boxes,
        roles=np.asarray(roles),
        numbers=np.asarray(numbers),
        teams=np.asarray(teams),
        track_ids=np.asarray(track_ids),
        positions_m=np.asarray(place_m, float),
    )
