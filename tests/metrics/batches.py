"""Small hand-made batches for the tests of metrics."""

from __future__ import annotations

import numpy as np
import torch

from soccermaster import structures, vocabulary
from soccermaster.structures import Athletes, AthletesPrediction, Batch

HEIGHT, WIDTH = 100, 200
PLAYER = vocabulary.ROLES.index("player")
BALL = vocabulary.ROLES.index("ball")
REFEREE = vocabulary.ROLES.index("referee")


def batch(
    num_clips: int = 1, num_frames: int = 1, ids: str | None = None, **annotations: object
) -> Batch:
    """A batch of black images; `ids` has one letter per clip."""
    return Batch(
        images=torch.zeros(num_clips, num_frames, 3, HEIGHT, WIDTH, dtype=torch.uint8),
        frame_mask=annotations.pop("frame_mask", torch.ones(num_clips, num_frames).bool()),
        source="test",
        clip_ids=tuple(ids or ()),
        **annotations,
    )


def athletes(frame: list[int], boxes: list[list[float]], **known: object) -> Athletes:
    """Annotated people as tensors."""
    known = {name: np.asarray(value) for name, value in known.items()}
    people = Athletes.from_boxes(np.asarray(frame), np.asarray(boxes), **known)
    return structures.Athletes(**{k: torch.as_tensor(v) for k, v in vars(people).items()})


def detections(
    boxes_px: list[list[float]],
    scores: list[float] | None = None,
    roles: list[int] | None = None,
    numbers: list[int] | None = None,
) -> AthletesPrediction:
    """Detections in one frame; by default confident players without a number."""
    n = len(boxes_px)
    scale = torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT], dtype=torch.float32)
    return AthletesPrediction(
        boxes_xyxy_norm=torch.tensor(boxes_px, dtype=torch.float32).reshape(n, 4) / scale,
        scores=torch.tensor(scores or [0.9] * n),
        roles=torch.tensor(roles or [PLAYER] * n, dtype=torch.int64),
        role_scores=torch.ones(n),
        numbers=torch.tensor(numbers or [vocabulary.NO_NUMBER] * n, dtype=torch.int64),
        number_scores=torch.ones(n),
    )
