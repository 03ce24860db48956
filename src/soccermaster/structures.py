"""The types at the borders between packages: clips, batches, features and predictions.

Shapes: B clips, T frames, C channels, H W pixels, h w patch grid, N = h*w patches, D width,
K keypoints, L lines, M annotated athletes. A `Clip` holds numpy arrays (workers, OpenCV); a `Batch`
holds tensors (devices); the annotation types serve both, with `*b` empty for a clip and (B,) for a
batch. Pixel coordinates are continuous: (0, 0) is the top-left corner of the top-left pixel, whose
centre is (0.5, 0.5).

Unknown is different from empty: a field that was not annotated is None (for the whole clip), False
in `known` (for one point or line), -1 (integer labels) or NaN (numbers).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor

from soccermaster.vocabulary import LEGIBLE_ABOVE, NO_NUMBER, ROLES, UNKNOWN

Array = np.ndarray | Tensor
_T = TypeVar("_T")


@dataclass(frozen=True)
class Athletes:
    """People (and balls) annotated in the frames of a clip, one row per person and frame.

    Rows of one frame are contiguous and frames ascend. In a batch, `frame` counts through all
    frames of all clips: clip * T + frame within the clip.
    """

    frame: Int[Array, " M"]
    boxes_xyxy_px: Float[Array, "M 4"]
    roles: Int[Array, " M"]  # index in vocabulary.ROLES; -1 unknown
    numbers: Int[Array, " M"]  # 0..99; 100 has none; -1 unknown
    legibility: Float[Array, " M"]  # 0..1, of the shirt number in this frame; NaN unknown
    track_ids: Int[Array, " M"]  # constant over the clip; -1 unknown
    teams: Int[Array, " M"]  # index in vocabulary.TEAMS; -1 unknown or none
    positions_m: Float[Array, "M 2"]  # feet on the pitch, centred frame; NaN unknown

    def __len__(self) -> int:
        return len(self.frame)

    @classmethod
    def from_boxes(
        cls,
        frame: Int[np.ndarray, " M"],
        boxes_xyxy_px: Float[np.ndarray, "M 4"],
        **known: Array,
    ) -> Athletes:
        """Athletes with boxes; fields that are not given are unknown.

        Args:
            frame: frame index of each row.
            boxes_xyxy_px: boxes in pixels.
            **known: any other field of the class.
        """
        n = len(frame)
        unknown = {
            "roles": np.full(n, -1, np.int64),
            "numbers": np.full(n, -1, np.int64),
            "legibility": np.full(n, np.nan, np.float32),
            "track_ids": np.full(n, -1, np.int64),
            "teams": np.full(n, -1, np.int64),
            "positions_m": np.full((n, 2), np.nan, np.float32),
        }
        return cls(
            frame=np.asarray(frame, np.int64).reshape(n),
            boxes_xyxy_px=np.asarray(boxes_xyxy_px, np.float32).reshape(n, 4),
            **(unknown | known),
        )

    def select(self, rows: Shaped[Array, " n"]) -> Athletes:
        """The athletes at `rows` (indices or a boolean mask)."""
        return dataclasses.replace(
            self, **{f.name: getattr(self, f.name)[rows] for f in dataclasses.fields(self)}
        )

    def readable_numbers(self, rule: Literal["paper", "official"]) -> Int[Array, " M"]:
        """The number where it can be read, `NO_NUMBER` where it cannot, -1 where nobody knows.

        Where nobody annotated legibility at all, every number counts as readable. Where somebody
        did, the numbers of the rows that he did not look at are unknown: whether they can be read
        there nobody said.

        Args:
            rule: "paper": only players have numbers; "official", as in the released code: anybody
                with a legible number.
        """
        unreadable = self.legibility <= LEGIBLE_ABOVE  # False for NaN
        overlooked = self.legibility != self.legibility
        unknown = overlooked & (~overlooked).any() & (self.numbers != NO_NUMBER)
        numbers = self.numbers * ~unknown + UNKNOWN * unknown
        if rule == "paper":
            no_player = (self.roles != ROLES.index("player")) & (self.roles != UNKNOWN)
            unreadable = unreadable | no_player
        return numbers * ~unreadable + NO_NUMBER * unreadable


@dataclass(frozen=True)
class Keypoints:
    """Pitch keypoints 1..57 (at index 0..56) per frame.

    A point with `known` True and NaN coordinates is known to be absent; one with `known` False was
    not decidable and teaches nothing. Points may lie outside the frame.
    """

    points_px: Float[Array, "*b T 57 2"]
    known: Bool[Array, "*b T 57"]


@dataclass(frozen=True)
class Lines:
    """The visible part of each straight pitch line per frame, in the order of vocabulary.LINES.

    The two ends come in any order. A line with `known` True and NaN ends is known to be absent.
    """

    segments_px: Float[Array, "*b T 23 2 2"]
    known: Bool[Array, "*b T 23"]


@dataclass(frozen=True)
class Cameras:
    """A pinhole camera per frame; world: centred pitch frame (metres, z down); NaN if unknown."""

    K: Float[Array, "*b T 3 3"]
    R: Float[Array, "*b T 3 3"]  # camera_from_world
    position_m: Float[Array, "*b T 3"]


@dataclass(frozen=True)
class Annotations:
    """What is known about a clip; None means that it was not annotated."""

    athletes: Athletes | None = None
    keypoints: Keypoints | None = None
    lines: Lines | None = None
    cameras: Cameras | None = None
    event: str | None = None  # one of the event vocabulary
    text: str | None = None  # anonymised comment: [PLAYER], [TEAM], ...
    #: Where the markings are named as if from the left goal, for a view from behind one does not
    #: tell which it is: a mirror leaves them that end.
    named_from_left: Bool[np.ndarray, " T"] | None = None


@dataclass(frozen=True)
class Clip:
    """Some frames of video with their annotations, as a dataset returns them."""

    frames: UInt8[np.ndarray, "T H W 3"]  # RGB
    times_s: Float[np.ndarray, " T"]  # of each frame in its video
    annotations: Annotations
    clip_id: str  # unique within its dataset
    source: str  # name of the dataset
    frame_mask: Bool[np.ndarray, " T"] | None = None  # False: padding; None: all frames are real
    features: Features | None = None  # of these frames, kept from before (B = 1)


@dataclass(frozen=True)
class Batch:
    """Clips of one dataset, stacked, with sparse annotations in pixels of `images`."""

    images: UInt8[Tensor, "B T 3 H W"] | Float[Tensor, "B T 3 H W"]  # uint8, or float in [-1, 1]
    frame_mask: Bool[Tensor, "B T"]  # False: padding
    provides: frozenset[str] = frozenset()  # annotation fields of the dataset
    source: str = ""  # name of the dataset
    clip_ids: tuple[str, ...] = ()
    athletes: Athletes | None = None
    keypoints: Keypoints | None = None
    lines: Lines | None = None
    cameras: Cameras | None = None
    events: tuple[str | None, ...] = ()
    texts: tuple[str | None, ...] = ()
    text_ids: Int[Tensor, "N L"] | None = None  # tokens in place of `texts`
    features: Features | None = None  # kept from before: tasks read these, not `images`

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) of the images in pixels."""
        return self.images.shape[-2], self.images.shape[-1]

    @property
    def num_frames(self) -> int:
        """T, frames per clip."""
        return self.images.shape[1]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with every tensor on `device`."""
        return _map_tensors(self, lambda t: t.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory."""
        return _map_tensors(self, lambda t: t.pin_memory())


@dataclass(frozen=True)
class Features:
    """What the encoder gives to the tasks; fields that were not asked for are None."""

    grid: tuple[int, int]  # (h, w) of the patches
    patches: Float[Tensor, "B T N D"] | None = None  # before any temporal attention
    frames: Float[Tensor, "B T D"] | None = None  # pooled, after temporal attention
    clip: Float[Tensor, "B D"] | None = None  # where the encoder pools time itself
    pyramid: tuple[Tensor, ...] | None = None  # (B, T, C, rows, columns), each twice as fine
    frame_mask: Bool[Tensor, "B T"] | None = None  # False: padding; None: all frames are real

    def clip_vector(self) -> Float[Tensor, "B D"]:
        """One vector per clip: the encoder's own, or the mean over the frames (the paper)."""
        return self.mean_frame() if self.clip is None else self.clip

    def mean_frame(self) -> Float[Tensor, "B D"]:
        """The mean of `frames` over the real frames of each clip."""
        if self.frames is None:
            raise ValueError(
                "expected features with 'frames', got patches only. "
                "Ask the encoder for outputs={'frames'}."
            )
        if self.frame_mask is None:
            return self.frames.mean(1)
        mask = self.frame_mask.to(self.frames.dtype).unsqueeze(-1)
        return (self.frames * mask).sum(1) / mask.sum(1).clamp(min=1)

    def named_tensors(self) -> dict[str, Tensor]:
        """What is there besides `frame_mask`, by name; maps of the pyramid are "pyramid.0", ..."""
        single = {name: getattr(self, name) for name in ("patches", "frames", "clip")}
        maps = {f"pyramid.{i}": level for i, level in enumerate(self.pyramid or ())}
        return {k: v for k, v in (single | maps).items() if v is not None}

    @classmethod
    def from_named_tensors(
        cls,
        grid: tuple[int, int],
        tensors: Mapping[str, Tensor],
        frame_mask: Bool[Tensor, "B T"] | None = None,
    ) -> Features:
        """The inverse of `named_tensors`."""
        levels = sorted(name for name in tensors if name.startswith("pyramid."))
        return cls(
            grid,
            *(tensors.get(name) for name in ("patches", "frames", "clip")),
            pyramid=tuple(tensors[name] for name in levels) or None,
            frame_mask=frame_mask,
        )


@dataclass(frozen=True)
class AthletesPrediction:
    """People found in one frame, best first. Boxes are fractions of the frame width and height."""

    boxes_xyxy_norm: Float[Tensor, "n 4"]
    scores: Float[Tensor, " n"]  # 0..1
    roles: Int[Tensor, " n"]  # index in vocabulary.ROLES; -1 none
    role_scores: Float[Tensor, " n"]
    numbers: Int[Tensor, " n"]  # 0..99; 100 none
    number_scores: Float[Tensor, " n"]


@dataclass(frozen=True)
class KeypointsPrediction:
    """The best place of each pitch keypoint in one frame, in fractions of width and height."""

    points_norm: Float[Tensor, "57 2"]
    scores: Float[Tensor, " 57"]  # 0..1
    threshold: float = 0.1  # of the head

    def present(self, threshold: float | None = None) -> Bool[Tensor, " 57"]:
        """Which points are there: their score is above `threshold`, that of the head if None."""
        return self.scores > (self.threshold if threshold is None else threshold)


@dataclass(frozen=True)
class LinesPrediction:
    """The two ends of each pitch line in one frame, in fractions of width and height."""

    segments_norm: Float[Tensor, "23 2 2"]
    scores: Float[Tensor, " 23"]  # of the weaker end
    threshold: float = 0.1  # of the head

    def present(self, threshold: float | None = None) -> Bool[Tensor, " 23"]:
        """Which lines are there: their score is above `threshold`, that of the head if None."""
        return self.scores > (self.threshold if threshold is None else threshold)


@dataclass(frozen=True)
class EventPrediction:
    """Scores of the event classes for one clip."""

    classes: tuple[str, ...]
    scores: Float[Tensor, " C"]  # sum to 1

    @property
    def event(self) -> str:
        """The most likely class."""
        return self.classes[int(self.scores.argmax())]


@dataclass(frozen=True)
class AlignmentPrediction:
    """One clip in the space shared with text; both vectors are L2-normalised."""

    video: Float[Tensor, " D"]
    text: Float[Tensor, " D"] | None = None  # of the clip's own comment, if it has one


@dataclass(frozen=True)
class CommentaryPrediction:
    """A sentence about one clip, anonymised: [PLAYER], [TEAM], ..."""

    text: str


@dataclass(frozen=True)
class IdentityPrediction:
    """Given boxes of one frame, with the track that each belongs to."""

    boxes_xyxy_norm: Float[Tensor, "n 4"]
    track_ids: Int[Tensor, " n"]  # from 1, constant over the clip


Prediction = (
    AthletesPrediction
    | KeypointsPrediction
    | LinesPrediction
    | EventPrediction
    | AlignmentPrediction
    | CommentaryPrediction
    | IdentityPrediction
)


def _map_tensors(value: _T, function: Any) -> _T:
    if isinstance(value, Tensor):
        return function(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = {}
        for field in dataclasses.fields(value):
            old = getattr(value, field.name)
            if isinstance(old, Tensor | tuple) or dataclasses.is_dataclass(old):
                changed[field.name] = _map_tensors(old, function)
        return dataclasses.replace(value, **changed)
    if isinstance(value, tuple):
        return tuple(_map_tensors(item, function) for item in value)
    return value


def unknown_fields(fields: Iterable[str], vocabulary: Iterable[str]) -> list[str]:
    """The words of `fields` that are not in `vocabulary`, sorted."""
    return sorted(set(fields) - set(vocabulary))
