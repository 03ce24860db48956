"""What the factory asks of the models behind its stages; any class with these methods will do.

An adapter takes plain values in its constructor (names, thresholds, folders) and loads nothing
there: `load(device)` does, once per process, and fails with one line that says what to download and
where to put it. All pictures are RGB uint8; pixel coordinates are continuous, (0, 0) being the top
left corner of the top left pixel of the picture that was passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from soccermaster.vocabulary import NO_NUMBER, ROLES, UNKNOWN

Picture = UInt8[np.ndarray, "H W 3"]


class ModelUnavailableError(OSError):
    """A model cannot be loaded: the extra or the weights are missing. The message is one line."""


@dataclass(frozen=True)
class FrameBoxes:
    """What a detector found in one frame.

    Attributes:
        boxes_xyxy_px: in pixels of the frame that was passed.
        scores: 0..1.
        classes: index in `vocabulary.ROLES`; -1 is a person of unknown role. 0 is the ball.
    """

    boxes_xyxy_px: Float[np.ndarray, "m 4"]
    scores: Float[np.ndarray, " m"]
    classes: Int[np.ndarray, " m"]


@dataclass(frozen=True)
class NumberReading:
    """What a reader says about a number.

    Attributes:
        number: 0..99; 100 when it says that there is none to see; -1 when it was not understood.
        confidence: 0..1, NaN if the reader gives none.
        answer: its words, for the record.
    """

    number: int
    confidence: float
    answer: str = ""

    def __post_init__(self) -> None:
        if not UNKNOWN <= self.number <= NO_NUMBER:
            raise ValueError(f"expected a number in -1..100, got {self.number}")


@dataclass(frozen=True)
class RoleReading:
    """What a reader says about a role: index in `vocabulary.ROLES`, -1 when not understood."""

    role: int
    confidence: float
    answer: str = ""

    def __post_init__(self) -> None:
        if not UNKNOWN <= self.role < len(ROLES):
            raise ValueError(f"expected a role in -1..{len(ROLES) - 1}, got {self.role}")


@dataclass(frozen=True)
class FrameMasks:
    """The masks of all objects in one frame of a propagation.

    Attributes:
        frame: index in the frames that were passed.
        masks: may be smaller than the frame; then they cover it all the same.
        scores: 0..1 of each mask; 0 where the object is not visible.
    """

    frame: int
    masks: Bool[np.ndarray, "K h w"]
    scores: Float[np.ndarray, " K"]


@dataclass(frozen=True)
class PitchMarkings:
    """Pitch keypoints and lines found in one frame.

    Attributes:
        points_px: keypoints 1..57 at index 0..56; NaN where not found.
        point_scores: 0..1.
        segments_px: two points on each of the lines of `vocabulary.LINES`; NaN where not found.
        line_scores: 0..1.
    """

    points_px: Float[np.ndarray, "57 2"]
    point_scores: Float[np.ndarray, " 57"]
    segments_px: Float[np.ndarray, "23 2 2"]
    line_scores: Float[np.ndarray, " 23"]


@runtime_checkable
class Model(Protocol):
    """What every model has.

    Attributes:
        name: goes into the column `source` of the records.
    """

    name: str

    def load(self, device: str) -> None:
        """Load the weights to a device ("cpu", "cuda:0"); again on the same device does nothing.

        Raises:
            ModelUnavailableError: the extra or the weights are missing; what to get, and where to
                put it.
        """
        ...


@runtime_checkable
class HasWeights(Protocol):
    """A model whose results change when its files do, though its configuration does not."""

    def fingerprint(self) -> str:
        """Changes with the weights; the same on every machine that has them."""
        ...


class Detector(Model, Protocol):
    """Finds people, and perhaps the ball."""

    def detect(self, frames: UInt8[np.ndarray, "n H W 3"]) -> list[FrameBoxes]:
        """What is in each frame, best first; the detector's own low floor of scores applies."""
        ...


class Embedder(Model, Protocol):
    """Appearance of people, for comparing them."""

    def embed(self, crops: Sequence[Picture]) -> Float[np.ndarray, "n D"]:
        """One L2-normalised vector per crop (float32). Crops have any size, at least 1 x 1."""
        ...


class Segmenter(Model, Protocol):
    """Follows objects through a video from boxes."""

    def propagate(
        self,
        frames: Sequence[Picture],
        prompt_frames: Int[np.ndarray, " K"],
        boxes_xyxy_px: Float[np.ndarray, "K 4"],
    ) -> Iterator[FrameMasks]:
        """The masks of K objects in every frame, in any order of frames, each frame once.

        Args:
            frames: a window of the video; may be read lazily, one index at a time.
            prompt_frames: index of the frame in which each object is given by its box.
            boxes_xyxy_px: that box.
        """
        ...


class LegibilityModel(Model, Protocol):
    """How well the shirt number of a person can be read."""

    def legibility(self, crops: Sequence[Picture]) -> Float[np.ndarray, " n"]:
        """0..1 for each crop; NaN where the model cannot tell.

        Raises:
            TimeoutError: as in `NumberReader`.
            ConnectionError: as in `NumberReader`.
        """
        ...


class NumberReader(Model, Protocol):
    """Reads the number on a back."""

    def read_numbers(self, crops: Sequence[Picture]) -> list[NumberReading]:
        """One reading per crop.

        Raises:
            TimeoutError: the model did not answer in time; nothing is known about these crops.
            ConnectionError: it is not there to be asked, and may be later.
        """
        ...


class RoleReader(Model, Protocol):
    """Says what somebody does on the pitch."""

    def read_roles(self, crops: Sequence[Picture], scenes: Sequence[Picture]) -> list[RoleReading]:
        """One reading per crop.

        Args:
            crops: of people.
            scenes: the whole frame of each crop, reduced to at most 480 x 270.

        Raises:
            TimeoutError: as in `NumberReader`.
            ConnectionError: as in `NumberReader`.
        """
        ...


class PitchDetector(Model, Protocol):
    """Finds the markings of the pitch, from which cameras are solved."""

    def markings(self, frames: UInt8[np.ndarray, "n H W 3"]) -> list[PitchMarkings]:
        """What is visible in each frame, above the thresholds of the detector."""
        ...
