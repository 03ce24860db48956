"""Recorded positions drive the figures. Runs where the extra `tracking-data` is installed."""

from datetime import timedelta

import numpy as np
import pytest

from soccermaster.data.synthetic.people import GOALKEEPER, PLAYER
from soccermaster.data.synthetic.take import draw
from soccermaster.data.synthetic.tracking_data import read_recording, stage_recording

domain = pytest.importorskip("kloppy.domain")


@pytest.fixture(scope="module")
def dataset():
    """Ten seconds in which everybody of the left team runs 2 m/s to the right."""
    metric = domain.MetricPitchDimensions(
        x_dim=domain.Dimension(0, 105), y_dim=domain.Dimension(0, 68),
        pitch_length=105, pitch_width=68, standardized=False,
    )  # fmt: skip
    period = domain.Period(id=1, start_timestamp=timedelta(0), end_timestamp=timedelta(seconds=10))
    teams = [
        domain.Team(team_id=name, name=name, ground=ground)
        for name, ground in (("h", domain.Ground.HOME), ("a", domain.Ground.AWAY))
    ]
    players = [
        domain.Player(player_id=f"{team.team_id}{n}", team=team, jersey_no=n)
        for team in teams
        for n in range(1, 12)
    ]
    frames = []
    for t in range(101):
        data = {}
        for i, player in enumerate(players):
            depth = 4 * (i % 11)
            x = 2 + depth + 0.2 * t if i < 11 else 103 - depth
            data[player] = domain.PlayerData(domain.Point(x, 5 + 5 * (i % 11)))
        frames.append(
            domain.Frame(
                frame_id=t, timestamp=timedelta(seconds=t / 10), ball_owning_team=None,
                ball_state=None, period=period, players_data=data, other_data={},
                ball_coordinates=domain.Point3D(52.5, 34, 1.0), statistics=[],
            )
        )  # fmt: skip
    metadata = domain.Metadata(
        periods=[period], teams=teams, coordinate_system=None, pitch_dimensions=metric,
        orientation=domain.Orientation.HOME_AWAY, flags=domain.DatasetFlag(0),
        provider=domain.Provider.OTHER, frame_rate=10,
    )  # fmt: skip
    return domain.TrackingDataset(metadata=metadata, records=frames)


def test_positions_are_in_the_centred_frame(dataset):
    recording, players = read_recording(dataset, 0, 10)
    assert len(players) == 22
    np.testing.assert_allclose(recording.ball_m, 0, atol=1e-6)
    steps = np.diff(recording.positions_m[..., 0], axis=0).mean(axis=0)
    assert sorted(np.round(steps, 3).tolist()) == [0.0] * 11 + [0.2] * 11
    with pytest.raises(ValueError, match="within the recording"):
        read_recording(dataset, 100, 110)


def test_a_clip_shows_the_recorded_players(dataset):
    take = stage_recording(np.random.default_rng(0), dataset, np.array([4.0, 4.5]), (72, 128))
    roles = [p.role for p in take.script.people]
    assert roles.count(GOALKEEPER) == 2 and roles.count(PLAYER) == 20
    moved = np.diff(take.motion.positions_m[:, :22], axis=0)[0]
    left = np.array([p.team == 0 for p in take.script.people[:22]])
    np.testing.assert_allclose(moved[left], [[1.0, 0.0]] * 11, atol=1e-6)
    np.testing.assert_allclose(moved[~left], 0, atol=1e-6)
    clip = draw(take, "recorded", "tracking")
    assert clip.frames.shape == (2, 72, 128, 3)
