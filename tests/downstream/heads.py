"""What heads would say that know the annotations of a synthetic clip."""

from __future__ import annotations

import numpy as np
import torch

from soccermaster.data.frame_source import open_source
from soccermaster.data.video import VideoWriter
from soccermaster.geometry import Camera, Pitch, visible_keypoints, visible_segments
from soccermaster.predict import FramePredictions
from soccermaster.structures import AthletesPrediction, KeypointsPrediction, LinesPrediction
from soccermaster.vocabulary import ROLES

SIZE = (320, 180)


def camera_of(clip, index):
    cameras = clip.annotations.cameras
    return Camera(cameras.K[index], cameras.R[index], cameras.position_m[index], SIZE)


def predictions(index, image, camera, athletes=None):
    """What heads that know the camera say; nothing without one."""
    points, segments = torch.zeros(57, 2), torch.zeros(23, 2, 2)
    scores, line_scores = torch.zeros(57), torch.zeros(23)
    if camera is not None:
        points_px = visible_keypoints(camera, Pitch())
        seen = ((points_px >= 0) & (points_px <= SIZE)).all(axis=1)
        points[seen] = torch.tensor(points_px[seen] / SIZE).float()
        scores[seen] = 0.3
        segments_px = visible_segments(camera, Pitch())
        drawn = np.isfinite(segments_px).all(axis=(1, 2))
        segments[drawn] = torch.tensor(segments_px[drawn] / SIZE).float()
        line_scores[drawn] = 0.3
    return FramePredictions(
        index,
        index / 25,
        image,
        keypoints=KeypointsPrediction(points, scores, 0.2),
        lines=LinesPrediction(segments, line_scores, 0.2),
        athletes=athletes,
    )


def people_of(clip, index):
    """The people of a frame as the head for athletes says them, without the ball."""
    people = clip.annotations.athletes
    people = people.select((people.frame == index) & (people.roles != ROLES.index("ball")))
    n = len(people)
    boxes = np.clip(people.boxes_xyxy_px, 0, [*SIZE, *SIZE]) / [*SIZE, *SIZE]
    return AthletesPrediction(
        boxes_xyxy_norm=torch.tensor(boxes).float(),
        scores=torch.full((n,), 0.9),
        roles=torch.tensor(people.roles),
        role_scores=torch.full((n,), 0.9),
        numbers=torch.tensor(np.where(people.numbers < 0, 100, people.numbers)),
        number_scores=torch.full((n,), 0.9),
    )


def nobody():
    """What the head for athletes says of an empty picture."""
    none = torch.zeros(0, dtype=torch.long)
    return AthletesPrediction(
        torch.zeros(0, 4), torch.zeros(0), none, torch.zeros(0), none, torch.zeros(0)
    )


def written_video(path, frames):
    with VideoWriter(path, 25, SIZE[::-1]) as video:
        for frame in frames:
            video.write(frame)
    return open_source(path)
