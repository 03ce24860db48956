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
    return truth, noisy_copy(rng, truth, noise)


def noisy_copy(rng: np.random.Generator, truth: Athletes, noise: float = 1.0) -> Athletes:
    """A prediction with misses, extras, switches of identity and wrong attributes.

    Args:
        rng: everything follows from it.
        truth: people, without balls.
        noise: of the places, in metres.
    """
    seen = truth.select(rng.random(len(truth)) < 0.85)
    extra = rng.random(len(seen)) < 0.15
    ids = seen.track_ids + 100 * (seen.frame // rng.integers(5, 25, len(seen)))
    rows = np.concatenate([np.arange(len(seen)), np.flatnonzero(extra)])
    predicted = Athletes.from_boxes(
        seen.frame[rows],
        seen.boxes_xyxy_px[rows] + 8 * noise * rng.normal(size=(len(rows), 1)),
        track_ids=np.concatenate([ids, 100_000 + np.arange(extra.sum())]),
        positions_m=seen.positions_m[rows] + noise * rng.normal(size=(len(rows), 2)),
        roles=np.where(rng.random(len(rows)) < 0.05, ROLES_OF_PEOPLE[2], seen.roles[rows]),
        numbers=np.where(rng.random(len(rows)) < 0.1, NO_NUMBER, seen.numbers[rows]),
        teams=np.where(rng.random(len(rows)) < 0.1, 1 - seen.teams[rows].clip(0), seen.teams[rows]),
    )
    return predicted.select(np.argsort(predicted.frame, kind="stable"))


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
