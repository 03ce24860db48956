"""Readers of the public datasets; each gives `Clip`s."""

from soccermaster.data.datasets.base import ClipDataset, DatasetError
from soccermaster.data.datasets.joined import JoinedClips
from soccermaster.data.datasets.match_clips import MatchClips
from soccermaster.data.datasets.soccer_factory import SoccerFactory
from soccermaster.data.datasets.soccernet_calibration import SoccerNetCalibration
from soccermaster.data.datasets.soccernet_gsr import SoccerNetGSR
from soccermaster.data.datasets.soccernet_tracking import SoccerNetTracking

__all__ = [
    "ClipDataset",
    "DatasetError",
    "JoinedClips",
    "MatchClips",
    "SoccerFactory",
    "SoccerNetCalibration",
    "SoccerNetGSR",
    "SoccerNetTracking",
]
