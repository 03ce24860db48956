"""Made-up predictions for the tests of pictures."""

from __future__ import annotations

import torch

from soccermaster import vocabulary
from soccermaster.structures import AthletesPrediction, KeypointsPrediction, LinesPrediction


def people(
    boxes_norm: list[list[float]], role: str = "player", number: int = 10, score: float = 0.9
) -> AthletesPrediction:
    n = len(boxes_norm)
    return AthletesPrediction(
        boxes_xyxy_norm=torch.tensor(boxes_norm).reshape(n, 4),
        scores=torch.full((n,), score),
        roles=torch.full((n,), vocabulary.ROLES.index(role)),
        role_scores=torch.ones(n),
        numbers=torch.full((n,), number),
        number_scores=torch.ones(n),
    )


def keypoints(points_norm: dict[int, tuple[float, float]]) -> KeypointsPrediction:
    points, scores = torch.full((57, 2), 0.5), torch.zeros(57)
    for number, point in points_norm.items():
        points[number - 1] = torch.tensor(point)
        scores[number - 1] = 0.9
    return KeypointsPrediction(points, scores)


def lines(segments_norm: dict[str, list[list[float]]]) -> LinesPrediction:
    segments, scores = torch.full((23, 2, 2), 0.5), torch.zeros(23)
    for name, segment in segments_norm.items():
        segments[vocabulary.LINES.index(name)] = torch.tensor(segment)
        scores[vocabulary.LINES.index(name)] = 0.9
    return LinesPrediction(segments, scores)
