"""Scores of the tasks, as torchmetrics that synchronise across processes."""

from soccermaster.metrics.classification import EventMetrics
from soccermaster.metrics.detection import AthletesMetrics
from soccermaster.metrics.keypoints import KeypointsMetrics, LinesMetrics
from soccermaster.metrics.retrieval import RetrievalMetrics

__all__ = [
    "AthletesMetrics",
    "EventMetrics",
    "KeypointsMetrics",
    "LinesMetrics",
    "RetrievalMetrics",
]
