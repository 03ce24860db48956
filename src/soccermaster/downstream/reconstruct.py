"""Who is where on the pitch in every frame of a video, with number and team: the game state.

Every frame is predicted once. The video is cut into shots; the cameras of a shot come from
`calibrate_video`, and what the heads found in it goes to `Rules`, which follow people and decide
who they are. The rules are given from outside: `soccermaster.factory.stage_rules.StageRules` runs
the stages of the factory, those of `configs/downstream/game_state.yaml` in that order.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool, Float, Int

from soccermaster.data.frame_source import FrameSource
from soccermaster.downstream.calibrate_video import SeenFrame, calibrated_frames
from soccermaster.geometry import Camera
from soccermaster.geometry.calibration import Calibration
from soccermaster.predict import FramePredictions
from soccermaster.structures import Athletes
from soccermaster.vocabulary import NO_NUMBER, UNKNOWN

#: Longer shots are cut into clips of at most so many frames; a track does not reach over the cut.
CLIP_FRAMES: int = 3000


@dataclass(frozen=True)
class ClipFindings:
    """What the heads found in a stretch of video without a cut: M people in T frames.

    Attributes:
        source: of the frames.
        frames: numbers of the T frames in the source; frame t of the rows is `frames[t]`.
        shot: from 1.
        calibrations: of the T frames.
        observed: whether the markings of the frame itself agree with its camera.
        frame: of each row, ascending, from 0 within the clip.
        boxes_xyxy_px: in pixels of the source.
        scores: of the people, 0..1.
        roles: index in vocabulary.ROLES; -1 none.
        role_scores: 0..1.
        numbers: 0..99; 100 none to see.
        number_scores: 0..1.
    """

    source: FrameSource
    frames: range
    shot: int
    calibrations: tuple[Calibration, ...]
    observed: Bool[np.ndarray, " T"]
    frame: Int[np.ndarray, " M"]
    boxes_xyxy_px: Float[np.ndarray, "M 4"]
    scores: Float[np.ndarray, " M"]
    roles: Int[np.ndarray, " M"]
    role_scores: Float[np.ndarray, " M"]
    numbers: Int[np.ndarray, " M"]
    number_scores: Float[np.ndarray, " M"]


@dataclass(frozen=True)
class TrackedPeople:
    """The people of a clip with their tracks, one row per person and frame.

    Attributes:
        athletes: every row has a track. Numbers that are not known are `NO_NUMBER`.
        corners_m: left and right end of the lower edge of the box on the pitch; NaN unknown.
        scores: of the detections; NaN where nobody was seen and the row was filled in.
        number_confidence: share of the readings of the track that say its number; NaN unknown.
        role_confidence: the same for the role.
    """

    athletes: Athletes
    corners_m: Float[np.ndarray, "M 2 2"]
    scores: Float[np.ndarray, " M"]
    number_confidence: Float[np.ndarray, " M"]
    role_confidence: Float[np.ndarray, " M"]

    def select(self, rows: np.ndarray) -> TrackedPeople:
        """The people at `rows` (indices or a boolean mask)."""
        arrays = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        athletes = arrays.pop("athletes").select(rows)
        return TrackedPeople(athletes, **{name: array[rows] for name, array in arrays.items()})


@dataclass(frozen=True)
class Decisions:
    """What rules make of a clip.

    Attributes:
        people: frames from 0 within the clip, track ids from 1 within the clip.
        valid: frames whose camera counts.
        summary: counts for the report; `remarks` lists what is missing, in words.
    """

    people: TrackedPeople
    valid: Bool[np.ndarray, " T"]
    summary: Mapping[str, Any]


class Rules(Protocol):
    """Who is who: tracks, roles, numbers, teams and places from what was found frame by frame."""

    def prepare(self, device: str) -> None:
        """Load what is needed, before any frame is predicted."""

    def __call__(self, found: ClipFindings) -> Decisions:
        """The people of a clip. A clip in which nothing was found gives no people, no error."""


@dataclass(frozen=True)
class FrameCamera:
    """The camera of a frame, or why there is none.

    Attributes:
        camera: in pixels of the video; None where there is none.
        observed: whether markings of the frame itself agree with it; otherwise it comes from the
            frames around.
        confidence: 0..1.
        expected_error_px: of points on the pitch.
        reason: why there is no camera; None where there is one.
    """

    camera: Camera | None
    observed: bool
    confidence: float
    expected_error_px: float
    reason: str | None


@dataclass(frozen=True)
class ClipState:
    """The game state of a clip, which is a shot or a part of a long one.

    Attributes:
        frames: numbers of its T frames in the video, from 0.
        times_s: of the frames.
        shot: from 1.
        people: frames are those of the video, from 0; track ids are unique in the video.
        cameras: of the T frames.
        summary: see `Decisions`.
    """

    frames: range
    times_s: tuple[float, ...]
    shot: int
    people: TrackedPeople
    cameras: tuple[FrameCamera, ...]
    summary: Mapping[str, Any] = field(default_factory=dict)


def reconstruct(
    source: FrameSource,
    frames: Iterable[FramePredictions],
    rules: Rules,
    athlete_threshold: float = 0.3,
    pitch_threshold: float | None = None,
    clip_frames: int = CLIP_FRAMES,
) -> Iterator[ClipState]:
    """The game state of a video, clip by clip in order; pictures are not kept.

    Numbers and teams are only said in clips in which a pitch was recognised.

    Args:
        source: the video, from which the rules may read again.
        frames: predictions for each frame of `source`, in order.
        rules: who is who; see `Rules`.
        athlete_threshold: least score of a person.
        pitch_threshold: least score of a keypoint or line; those of their heads if None.
        clip_frames: see `CLIP_FRAMES`.

    Raises:
        ValueError: the predictions come from a model without a head for athletes, or without any
            for the pitch.
    """
    waiting: deque[dict[str, np.ndarray]] = deque()

    def noted() -> Iterator[FramePredictions]:
        for frame in frames:
            waiting.append(_people(frame, athlete_threshold))
            yield frame

    clip: list[_Frame] = []
    num_tracks = 0
    for seen, found, observed in calibrated_frames(noted(), pitch_threshold, athlete_threshold):
        if clip and (seen.shot != clip[0].seen.shot or len(clip) == clip_frames):
            state = _decide(source, clip, rules, num_tracks)
            yield state
            num_tracks, clip = num_tracks + len(np.unique(state.people.athletes.track_ids)), []
        clip.append(_Frame(seen, found, observed, waiting.popleft()))
    if clip:
        yield _decide(source, clip, rules, num_tracks)


def join_people(clips: Sequence[ClipState]) -> TrackedPeople:
    """The people of all clips, in order of time."""
    people = [clip.people for clip in clips]
    athletes = Athletes(**{
        f.name: np.concatenate([getattr(p.athletes, f.name) for p in people])
        for f in dataclasses.fields(Athletes)
    })  # fmt: skip
    names = [f.name for f in dataclasses.fields(TrackedPeople) if f.name != "athletes"]
    joined = {name: np.concatenate([getattr(p, name) for p in people]) for name in names}
    return TrackedPeople(athletes, **joined)


@dataclass(frozen=True)
class _Frame:
    """What is known about one frame before the rules."""

    seen: SeenFrame
    calibration: Calibration
    observed: bool
    people: dict[str, np.ndarray]


def _people(frame: FramePredictions, threshold: float) -> dict[str, np.ndarray]:
    """The columns of `ClipFindings` about people, for one frame."""
    if frame.athletes is None:
        raise ValueError(
            "expected a model that finds athletes, got one without that head. "
            "Train it with task=[athletes,pitch_keypoints,pitch_lines]."
        )
    found = frame.athletes
    kept = found.scores > threshold
    height, width = frame.image.shape[:2]
    boxes = found.boxes_xyxy_norm[kept].double().numpy() * [width, height, width, height]
    boxes = np.clip(boxes, 0, [width, height, width, height])
    columns = {
        "boxes_xyxy_px": boxes,
        "scores": found.scores[kept].double().numpy(),
        "roles": found.roles[kept].numpy(),
        "role_scores": found.role_scores[kept].double().numpy(),
        "numbers": found.numbers[kept].numpy(),
        "number_scores": found.number_scores[kept].double().numpy(),
    }
    there = (boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1)
    return {name: column[there] for name, column in columns.items()}


def _decide(
    source: FrameSource, clip: Sequence[_Frame], rules: Rules, num_tracks: int
) -> ClipState:
    first = clip[0].seen.index
    counts = [len(item.people["scores"]) for item in clip]
    columns = {
        name: np.concatenate([item.people[name] for item in clip]) for name in clip[0].people
    }
    decided = rules(
        ClipFindings(
            source=source,
            frames=range(first, first + len(clip)),
            shot=clip[0].seen.shot,
            calibrations=tuple(item.calibration for item in clip),
            observed=np.array([item.observed for item in clip], bool),
            frame=np.repeat(np.arange(len(clip)), counts),
            **columns,
        )
    )
    return ClipState(
        frames=range(first, first + len(clip)),
        times_s=tuple(item.seen.time_s for item in clip),
        shot=clip[0].seen.shot,
        people=_in_video(decided, first, num_tracks),
        cameras=tuple(
            _camera(item, bool(valid)) for item, valid in zip(clip, decided.valid, strict=True)
        ),
        summary=decided.summary,
    )


def _in_video(decided: Decisions, first: int, num_tracks: int) -> TrackedPeople:
    """Frames and ids of the video; without a pitch nobody has a number or a team."""
    athletes = decided.people.athletes
    _, order = np.unique(athletes.track_ids, return_inverse=True)
    changed: dict[str, Any] = {
        "frame": athletes.frame + first,
        "track_ids": order.reshape(-1) + num_tracks + 1,
    }
    people = decided.people
    if not decided.valid.any():
        changed["numbers"] = np.full(len(athletes), NO_NUMBER)
        changed["teams"] = np.full(len(athletes), UNKNOWN)
        unknown = np.full(len(athletes), np.nan)
        people = dataclasses.replace(people, number_confidence=unknown)
    return dataclasses.replace(people, athletes=dataclasses.replace(athletes, **changed))


def _camera(item: _Frame, valid: bool) -> FrameCamera:
    found = item.calibration
    if found.camera is not None and valid:
        return FrameCamera(
            found.camera, item.observed, found.confidence, found.expected_error_px, None
        )
    reason = found.reason or "its lines lie too far from those of the picture"
    return FrameCamera(None, False, 0.0, float("nan"), reason)
