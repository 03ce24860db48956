"""Readers of the public datasets; each gives `Clip`s."""

from soccermaster.data.datasets.base import ClipDataset, DatasetError
from soccermaster.data.datasets.match_clips import MatchClips
from soccermaster.data.datasets.soccernet_gsr import SoccerNetGSR

__all__ = ["ClipDataset", "DatasetError", "MatchClips", "SoccerNetGSR"]
