"""Scores of the tasks, as torchmetrics that synchronise across processes."""

from soccermaster.metrics.classification import EventMetrics
from soccermaster.metrics.detection import AthletesMetrics
from soccermaster.metrics.identity import IdentityMetrics
from soccermaster.metrics.keypoints import KeypointsMetrics, LinesMetrics
from soccermaster.metrics.retrieval import RetrievalMetrics
from soccermaster.metrics.track_attributes import attribute_scores
from soccermaster.metrics.tracking import game_state_scores, tracking_scores

__all__ = [
    "AthletesMetrics",
    "EventMetrics",
    "IdentityMetrics",
    "KeypointsMetrics",
    "LinesMetrics",
    "RetrievalMetrics",
    "attribute_scores",
    "game_state_scores",
    "tracking_scores",
]
