"""Small models with the protocols of the factory, for pictures with few people on plain grass."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2
import numpy as np

from soccermaster.factory.models import (
    FrameBoxes,
    FrameMasks,
    ModelUnavailableError,
    NumberReading,
    PitchMarkings,
    RoleReading,
)
from soccermaster.factory.records import Records
from soccermaster.factory.stage import ClipContext, Stage
from soccermaster.vocabulary import ROLES


class BlobDetector:
    """Whatever is not green below the upper third, of about the size of a person."""

    name = "blobs"

    def load(self, device: str) -> None:
        self.device = device

    def detect(self, frames: np.ndarray) -> list[FrameBoxes]:
        found = []
        for frame in frames:
            grass = cv2.inRange(
                cv2.cvtColor(frame, cv2.COLOR_RGB2HSV), (30, 40, 30), (90, 255, 255)
            )
            other = (grass == 0).astype(np.uint8)
            other[: len(frame) // 3] = 0
            _, _, stats, _ = cv2.connectedComponentsWithStats(other)
            boxes = [
                (x, y, x + w, y + h)
                for x, y, w, h, area in stats[1:]
                if 8 <= h <= 80 and 3 <= w <= 40 and area > 0.3 * w * h
            ]
            boxes = np.array(boxes, np.float32).reshape(-1, 4)
            found.append(FrameBoxes(boxes, np.full(len(boxes), 0.9), np.full(len(boxes), -1)))
        return found


class FixedPitch:
    """The same keypoints in every picture that is mostly green, none in others."""

    name = "fixed_pitch"

    def __init__(self, points_file: str) -> None:
        self.points_file = points_file

    def load(self, device: str) -> None:
        if not Path(self.points_file).is_file():
            raise ModelUnavailableError(
                f"FixedPitch needs keypoints: put them at {self.points_file}"
            )
        self.points_px = np.load(self.points_file)

    def markings(self, frames: np.ndarray) -> list[PitchMarkings]:
        found = []
        for frame in frames:
            seen = frame[..., 1].mean() > 40
            points = self.points_px if seen else np.full((57, 2), np.nan)
            found.append(
                PitchMarkings(points, np.ones(57), np.full((23, 2, 2), np.nan), np.zeros(23))
            )
        return found


class BoxSegmenter:
    """Objects stay where they were prompted."""

    name = "still"

    def load(self, device: str) -> None:
        self.device = device

    def propagate(self, frames, prompt_frames, boxes_xyxy_px):
        height, width = frames[0].shape[:2]
        masks = np.zeros((len(boxes_xyxy_px), height, width), bool)
        for mask, (x0, y0, x1, y1) in zip(masks, np.rint(boxes_xyxy_px).astype(int), strict=True):
            mask[max(y0, 0) : y1, max(x0, 0) : x1] = True
        for t in range(len(frames)):
            yield FrameMasks(t, masks, np.full(len(masks), 0.8))


class Reader:
    """Says the same about everybody.

    Args:
        number: what it reads; -1 for an answer that nobody understands.
        late: does not answer in time.
    """

    name = "reader"

    def __init__(self, number: int = 7, late: bool = False) -> None:
        self.number, self.late = number, late

    def load(self, device: str) -> None:
        self.device = device

    def legibility(self, crops: list[np.ndarray]) -> np.ndarray:
        if self.late:
            raise TimeoutError("no answer after 1 s")
        return np.ones(len(crops), np.float32)

    def read_numbers(self, crops: list[np.ndarray]) -> list[NumberReading]:
        if self.late:
            raise TimeoutError("no answer after 1 s")
        return [NumberReading(self.number, 0.9, "an answer")] * len(crops)

    def read_roles(self, crops: list[np.ndarray], scenes: list[np.ndarray]) -> list[RoleReading]:
        if self.late:
            raise TimeoutError("no answer after 1 s")
        return [RoleReading(ROLES.index("player"), 0.9, "player")] * len(crops)


class Slow(Stage):
    """Takes its time and changes nothing, so that there is a moment to be killed in."""

    name = "slow"
    provides = frozenset()

    def __init__(self, seconds: float = 0.05) -> None:
        self.seconds = seconds

    def run(self, clip: ClipContext, records: Records) -> Records:
        time.sleep(self.seconds)
        return records


class FailsAtTheEnd(Stage):
    """Does nothing, and fails to write about all clips."""

    name = "spoils"

    def run(self, clip: ClipContext, records: Records) -> Records:
        return records

    def finish(self, output: Path, clips: list[tuple[str, int]], gone: list[int]) -> list[str]:
        raise OSError("the disk is full")


class FailsAt(Stage):
    """Fails, or ends its process, on the clips whose id holds a word; once if a file is given."""

    name = "fails"

    def __init__(self, word: str, how: str = "raise", once: str | None = None) -> None:
        self.word, self.how, self.once = word, how, once

    def run(self, clip: ClipContext, records: Records) -> Records:
        if self.word in clip.clip_id and not (self.once and Path(self.once).exists()):
            if self.once:
                Path(self.once).touch()
            if self.how == "die":
                os._exit(9)
            raise RuntimeError("this clip cannot be done")
        return records
