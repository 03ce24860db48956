"""Who is where in the picture, and what he looks like: detections, embeddings, shirt colours."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from soccermaster.factory.models import Detector, Embedder
from soccermaster.factory.people import gather_people
from soccermaster.factory.records import Records, make_table
from soccermaster.factory.stage import ClipContext, Stage, crop_pictures
from soccermaster.vocabulary import ROLES

_BALL = ROLES.index("ball")
#: Grass in OpenCV's HSV (hue 0..179).
_GRASS_LOW, _GRASS_HIGH = (30, 40, 30), (90, 255, 255)


class Detect(Stage):
    """People (and the ball, where the detector knows it) in every frame.

    Args:
        detector: finds them.
        min_score: boxes below are left out. 0.4 is that of the released pipeline.
        keep_ball: keep boxes of class ball; they are never tracked as people.
    """

    name = "detect"
    provides = frozenset({"detections"})

    def __init__(self, detector: Detector, min_score: float = 0.4, keep_ball: bool = False) -> None:
        self.detector, self.min_score, self.keep_ball = detector, min_score, keep_ball

    def models(self) -> list[Detector]:
        """See `Stage.models`."""
        return [self.detector]

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        frames, boxes, scores, classes = [], [], [], []
        width, height = clip.image_size
        for numbers, pictures in clip.batches():
            for t, found in zip(numbers, self.detector.detect(pictures), strict=True):
                inside = np.clip(found.boxes_xyxy_px, 0, [width, height, width, height])
                keep = (np.asarray(found.scores) >= self.min_score) & (
                    (inside[:, 2:] - inside[:, :2]) >= 1
                ).all(axis=1)
                if not self.keep_ball:
                    keep &= np.asarray(found.classes) != _BALL
                frames.append(np.full(int(keep.sum()), t))
                boxes.append(inside[keep])
                scores.append(np.asarray(found.scores)[keep])
                classes.append(np.asarray(found.classes)[keep])
        frame = np.concatenate(frames) if frames else np.zeros(0, int)
        table = make_table(
            "detections",
            source=self.detector.name,
            frame=frame,
            detection_id=np.arange(len(frame)),
            box_xyxy_px=np.concatenate([np.zeros((0, 4)), *boxes]),
            category=np.concatenate([np.zeros(0), *classes]),
            confidence=np.concatenate([np.zeros(0), *scores]),
        )
        return records.replace(detections=table)


class Embed(Stage):
    """Appearance of every person in every frame (ReID).

    Args:
        embedder: of crops.
    """

    name = "reid"
    requires = frozenset({"detections"})
    provides = frozenset({"embeddings"})

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder

    def models(self) -> list[Embedder]:
        """See `Stage.models`."""
        return [self.embedder]

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people = gather_people(records)
        rows, vectors = [], []
        for numbers, pictures in clip.batches():
            crops = []
            for t, picture in zip(numbers, pictures, strict=True):
                here = np.flatnonzero((people.frame == t) & ~people.is_ball)
                crops += crop_pictures(picture, people.boxes_xyxy_px[here])
                rows.append(here)
            if crops:
                vectors.append(np.asarray(self.embedder.embed(crops), np.float32))
        order = np.concatenate([np.zeros(0, int), *rows])
        table = make_table(
            "embeddings",
            source=self.embedder.name,
            frame=people.frame[order],
            detection_id=people.detection_id[order],
            vector=np.concatenate(vectors) if vectors else np.zeros((0, 1), np.float32),
        )
        return records.replace(embeddings=table)


class ShirtColour(Stage):
    """The mean colour of the upper body, without grass; needs no network."""

    name = "colour"
    requires = frozenset({"detections"})
    provides = frozenset({"colours"})

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people = gather_people(records)
        lab = np.full((len(people), 3), np.nan, np.float32)
        for numbers, pictures in clip.batches():
            for t, picture in zip(numbers, pictures, strict=True):
                here = np.flatnonzero((people.frame == t) & ~people.is_ball)
                for row, crop in zip(
                    here, crop_pictures(picture, people.boxes_xyxy_px[here]), strict=True
                ):
                    lab[row] = shirt_lab(crop)
        rows = np.flatnonzero(np.isfinite(lab).all(axis=1))
        table = make_table(
            "colours",
            source="upper_body",
            frame=people.frame[rows],
            detection_id=people.detection_id[rows],
            lab=lab[rows],
        )
        return records.replace(colours=table)


def shirt_lab(crop: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, " 3"]:
    """Mean L, a, b (0..255) of the middle of the upper body without grass; NaN if all is grass."""
    height, width = crop.shape[:2]
    body = crop[int(0.15 * height) : max(int(0.5 * height), 1), int(0.2 * width) :]
    body = body[:, : max(int(0.6 * width), 1)]
    if not body.size:
        return np.full(3, np.nan, np.float32)
    grass = cv2.inRange(cv2.cvtColor(body, cv2.COLOR_RGB2HSV), _GRASS_LOW, _GRASS_HIGH) > 0
    lab = cv2.cvtColor(body, cv2.COLOR_RGB2LAB)[~grass]
    return lab.mean(axis=0).astype(np.float32) if len(lab) else np.full(3, np.nan, np.float32)
