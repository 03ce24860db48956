"""Scenes in which real tracking data moves the players and the ball.

    from kloppy import metrica  # the extra `tracking-data`
    dataset = metrica.load_tracking_csv(...)
    take = stage_recording(rng, dataset, 600 + np.arange(50) / 25, image_size=(360, 640))
    clip = draw(take, "metrica-600", "tracking")

Any provider that kloppy reads will do. The recorded pitch is stretched to 105 x 68 m.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from soccermaster.data.synthetic.people import GOALKEEPER, PLAYER, REFEREE, draw_people
from soccermaster.data.synthetic.scene import Recording, Script
from soccermaster.data.synthetic.take import Take, film_script
from soccermaster.geometry.pitch import LENGTH_M, WIDTH_M

if TYPE_CHECKING:
    from kloppy.domain import Player, TrackingDataset

#: Recorded time on both sides of the frames, for the camera and the runs that lead there.
_MARGIN_S = 8.0


def stage_recording(
    rng: np.random.Generator,
    dataset: TrackingDataset,
    times_s: Float[np.ndarray, " T"],
    image_size: tuple[int, int],
    period: int = 1,
) -> Take:
    """Stage some recorded seconds.

    Args:
        rng: of kits, stadium and camera.
        dataset: as kloppy reads it.
        times_s: of the frames, from the start of the period.
        image_size: (H, W) in pixels.
        period: 1 and 2 are the halves.

    Raises:
        ValueError: the recording has no such time, or no two teams.
    """
    first_s, last_s = float(times_s[0]), float(times_s[-1])
    recording, players = read_recording(dataset, first_s - _MARGIN_S, last_s + _MARGIN_S, period)
    script = Script(_cast(rng, recording, players), first_s, last_s, recording=recording)
    return film_script(rng, script, times_s, image_size)


def read_recording(
    dataset: TrackingDataset, start_s: float, end_s: float, period: int = 1
) -> tuple[Recording, list[Player]]:
    """Positions in the centred pitch frame, and whose they are, in order.

    Raises:
        ValueError: fewer than two frames lie in this time.
    """
    from kloppy.domain import Dimension, NormalizedPitchDimensions

    normalized = NormalizedPitchDimensions(
        x_dim=Dimension(0, 1), y_dim=Dimension(0, 1), pitch_length=LENGTH_M, pitch_width=WIDTH_M
    )
    frames = [
        frame
        for frame in dataset.transform(to_pitch_dimensions=normalized).frames
        if frame.period.id == period and start_s <= frame.timestamp.total_seconds() <= end_s
    ]
    if len(frames) < 2:
        raise ValueError(
            f"expected recorded frames of period {period} from {start_s:.1f} to {end_s:.1f} s, "
            f"got {len(frames)}. Choose times within the recording."
        )
    seen = {player for frame in frames for player in frame.players_data}
    players = sorted(seen, key=lambda p: (p.team.team_id, p.player_id))
    positions = np.full((len(frames), len(players), 2), np.nan)
    ball = np.full((len(frames), 3), np.nan)
    for t, frame in enumerate(frames):
        for place, player in enumerate(players):
            data = frame.players_data.get(player)
            if data is not None and data.coordinates is not None:
                positions[t, place] = data.coordinates.x, data.coordinates.y
        if frame.ball_coordinates is not None:
            point = frame.ball_coordinates
            ball[t] = point.x, point.y, max(0.0, getattr(point, "z", None) or 0.0)
    scale, middle = np.array([LENGTH_M, WIDTH_M]), 0.5
    times_s = np.array([frame.timestamp.total_seconds() for frame in frames])
    recording = Recording(
        times_s,
        _filled(times_s, (positions - middle) * scale),
        _filled(times_s, (ball[:, None, :2] - middle) * scale)[:, 0],
        np.nan_to_num(ball[:, 2]),
    )
    return recording, players


def _filled(times_s: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Gaps closed by straight lines; who was never seen stands far outside."""
    filled = values.copy()
    for place in range(values.shape[1]):
        known = np.isfinite(values[:, place]).all(axis=-1)
        for axis in range(2):
            filled[:, place, axis] = (
                np.interp(times_s, times_s[known], values[known, place, axis])
                if known.any()
                else 200.0
            )
    return filled


def _cast(rng: np.random.Generator, recording: Recording, players: list[Player]) -> list:
    """People with drawn bodies and kits in the places of the recorded ones, then referees."""
    teams = list(dict.fromkeys(player.team for player in players))
    if len(teams) != 2:
        raise ValueError(f"expected players of two teams, got {len(teams)}")
    mean_x_m = recording.positions_m[..., 0].mean(axis=0)
    of_team = [[i for i, p in enumerate(players) if p.team == team] for team in teams]
    # The keeper is the last one of his team, and his side is the team's side.
    sides = [np.mean(mean_x_m[own]) for own in of_team]
    left = int(np.argmin(sides))
    drawn = draw_people(rng)
    models = {
        (team, role): next(p for p in drawn if p.team == team and p.role == role)
        for team in (0, 1)
        for role in (GOALKEEPER, PLAYER)
    }
    people = []
    for i, player in enumerate(players):
        own = of_team[teams.index(player.team)]
        team = 0 if teams.index(player.team) == left else 1
        outward = -mean_x_m if team == 0 else mean_x_m
        role = GOALKEEPER if i == max(own, key=lambda k, o=outward: o[k]) else PLAYER
        number = int(player.jersey_no or 1)
        people.append(dataclasses.replace(models[team, role], number=number, role=role))
    return [*people, *(p for p in drawn if p.role == REFEREE)]
