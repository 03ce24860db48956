"""Rendered clips with exact labels, as datasets.

A clip is a function of (seed, split, index) alone: nothing is stored, and any worker gives the
same clip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from soccermaster.data.datasets.base import ClipDataset
from soccermaster.data.synthetic.camera_work import draw_operator, film
from soccermaster.data.synthetic.commentary import comment
from soccermaster.data.synthetic.events import ACTS, Story, act
from soccermaster.data.synthetic.figure import Figures, number_height_px, place_figures
from soccermaster.data.synthetic.motion import Motion, move
from soccermaster.data.synthetic.people import BALL, OTHER, Person, draw_people
from soccermaster.data.synthetic.play import open_play
from soccermaster.data.synthetic.renderer import Renderer, ball_radius_px, draw_look
from soccermaster.data.synthetic.scene import Script
from soccermaster.geometry import Camera, Pitch, visible_keypoints, visible_segments
from soccermaster.structures import Annotations, Athletes, Cameras, Clip, Keypoints, Lines
from soccermaster.vocabulary import ANNOTATION_FIELDS, NO_NUMBER, UNKNOWN

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")

#: The drawn markings follow the laws of the game, so the labels do too.
PITCH = Pitch("exact")
#: Figures with a smaller part of their box inside the frame are not annotated.
MIN_VISIBLE = 0.25
#: Track id of the ball; people have the ids from 1 on.
BALL_TRACK_ID = 0


class SyntheticSpatial(ClipDataset):
    """Short clips with everything that can be known about their frames.

    Args:
        split: splits have no clip in common.
        num_clips: number of clips, or one per split.
        num_frames: T.
        fps: frames per second.
        image_size: (H, W) in pixels.
        seed: another seed gives another world.
        event_share: share of the clips that show a moment of an acted event.
    """

    name = "synthetic_spatial"
    provides = frozenset(ANNOTATION_FIELDS) - {"event", "text"}

    def __init__(
        self,
        split: Split,
        num_clips: Mapping[str, int] | int,
        num_frames: int = 2,
        fps: float = 25.0,
        image_size: tuple[int, int] = (360, 640),
        seed: int = 0,
        event_share: float = 0.4,
    ) -> None:
        self.split, self._length = _check_split(split, num_clips)
        self.num_frames, self.fps, self.image_size = num_frames, fps, image_size
        self.seed, self.event_share = seed, event_share

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Clip:
        """Clip `index`: one moment of its own match.

        Raises:
            IndexError: beyond the length.
        """
        rng = _clip_rng(self.seed, self.split, index, len(self), salt=0)
        middle_s = rng.uniform(-12, 12)
        event = str(rng.choice(list(ACTS))) if rng.random() < self.event_share else None
        times_s = middle_s + (np.arange(self.num_frames) - (self.num_frames - 1) / 2) / self.fps
        clip_id = f"{self.split}-{index:06d}"
        return _render(rng, times_s, self.image_size, event, clip_id, self.name)


class SyntheticSemantic(ClipDataset):
    """Clips of acted events with their class and a comment.

    The other labels are in the clips as well, but the dataset does not provide them, as clip lists
    of real matches do not either.

    Args:
        split: splits have no clip in common.
        num_clips: number of clips, or one per split.
        num_frames: T.
        fps: frames per second; the clip is centred on the event, give or take a second.
        image_size: (H, W) in pixels.
        seed: another seed gives another world.
        events: classes to act. Every block of as many clips holds each class once: in this order
            in evaluation, in a seeded order in training.
    """

    name = "synthetic_semantic"
    provides = frozenset(("event", "text"))

    def __init__(
        self,
        split: Split,
        num_clips: Mapping[str, int] | int,
        num_frames: int = 30,
        fps: float = 1.0,
        image_size: tuple[int, int] = (360, 640),
        seed: int = 0,
        events: Sequence[str] = tuple(ACTS),
    ) -> None:
        self.split, self._length = _check_split(split, num_clips)
        if unknown := sorted(set(events) - set(ACTS)):
            raise ValueError(f"expected events that can be acted {sorted(ACTS)}, got {unknown}")
        self.num_frames, self.fps, self.image_size = num_frames, fps, image_size
        self.seed, self.events = seed, tuple(events)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Clip:
        """Clip `index`.

        Raises:
            IndexError: beyond the length.
        """
        rng = _clip_rng(self.seed, self.split, index, len(self), salt=1)
        event = self._event(index % len(self))
        times_s = (np.arange(self.num_frames) - (self.num_frames - 1) / 2) / self.fps
        times_s += rng.uniform(-1, 1)
        clip_id = f"{self.split}-{index:06d}"
        return _render(rng, times_s, self.image_size, event, clip_id, self.name)

    def _event(self, index: int) -> str:
        block, place = divmod(index, len(self.events))
        if self.split == "train":
            order = np.random.default_rng([self.seed, block, 2]).permutation(len(self.events))
            place = int(order[place])
        return self.events[place]


def render_sequence(
    seed: int,
    num_frames: int,
    fps: float = 25.0,
    image_size: tuple[int, int] = (360, 640),
    event: str | None = None,
) -> Clip:
    """A continuous shot with all annotations, for writers of on-disk formats and for demos.

    Args:
        seed: everything follows from it.
        num_frames: T.
        fps: frames per second.
        image_size: (H, W) in pixels.
        event: class acted in the middle of the shot; None is open play.
    """
    rng = np.random.default_rng([seed, 99])
    times_s = (np.arange(num_frames) - (num_frames - 1) / 2) / fps
    return _render(rng, times_s, image_size, event, f"sequence-{seed:06d}", "synthetic")


def _check_split(split: str, num_clips: Mapping[str, int] | int) -> tuple[Split, int]:
    if split not in SPLITS:
        raise ValueError(f"expected a split of {SPLITS}, got {split!r}")
    if isinstance(num_clips, Mapping):
        if split not in num_clips:
            raise ValueError(f"expected num_clips for {split!r}, got only {sorted(num_clips)}")
        num_clips = num_clips[split]
    return split, int(num_clips)


def _clip_rng(seed: int, split: str, index: int, length: int, salt: int) -> np.random.Generator:
    if not -length <= index < length:
        raise IndexError(f"expected an index below {length}, got {index}")
    return np.random.default_rng([seed, SPLITS.index(split), index % length, salt])


def _render(
    rng: np.random.Generator,
    times_s: Float[np.ndarray, " T"],
    image_size: tuple[int, int],
    event: str | None,
    clip_id: str,
    source: str,
) -> Clip:
    height, width = image_size
    start_s, end_s = times_s[0] - 5.0, times_s[-1] + 3.0  # room for what leads up to the frames
    if event is not None:
        start_s, end_s = min(-16.0, start_s), max(16.0, end_s)
    script = Script(draw_people(rng), float(start_s), float(end_s))
    story: Story | None = None
    if event is None:
        open_play(script, rng, script.start_s, script.end_s)
    else:
        story = act(event, script, rng)
    operator, look = draw_operator(rng), draw_look(rng)
    text = comment(story, rng) if story else None
    motion = move(script, times_s, seed=int(rng.integers(2**31)))
    cameras = film(operator, script, times_s, (width, height))
    renderer = Renderer((width, height), look, PITCH)
    noise_seeds = rng.integers(2**31, size=len(times_s))
    frames = np.empty((len(times_s), height, width, 3), np.uint8)
    rows = []
    for t in range(len(times_s)):
        camera = cameras[t]
        figures = place_figures(
            script.people,
            motion.positions_m[t],
            motion.headings_rad[t],
            motion.speeds_mps[t],
            motion.stride_rad[t],
            motion.fallen[t],
            motion.gestures[t],
            camera,
        )
        props = [p for p in script.props if p.start_s <= times_s[t] < p.end_s]
        frames[t] = renderer.render(
            camera, script.people, figures, motion.ball_m[t], int(noise_seeds[t]), props
        )
        roles = script.roles_at(float(times_s[t]))
        rows.append(_annotate_frame(t, script.people, roles, figures, motion, camera))
    fields = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    annotations = Annotations(
        athletes=Athletes(**fields),
        keypoints=Keypoints(
            visible_keypoints(cameras, PITCH).astype(np.float32),
            np.ones((len(times_s), len(PITCH.keypoints_m)), bool),
        ),
        lines=Lines(
            visible_segments(cameras, PITCH).astype(np.float32),
            np.ones((len(times_s), len(PITCH.line_ends_m)), bool),
        ),
        cameras=Cameras(cameras.K, cameras.R, cameras.position_m),
        event=event,
        text=text,
    )
    return Clip(frames, times_s - times_s[0], annotations, clip_id, source)


def _annotate_frame(
    t: int,
    people: list[Person],
    roles: np.ndarray,
    figures: Figures,
    motion: Motion,
    camera: Camera,
) -> dict[str, np.ndarray]:
    """The rows of `Athletes` for one frame: people, then the ball."""
    ball_px, ball_depth_m = camera.project(motion.ball_m[t])
    radius_px = ball_radius_px(camera, max(float(ball_depth_m), 1e-3))
    boxes = np.concatenate(
        [figures.boxes_xyxy_px, np.concatenate([ball_px - radius_px, ball_px + radius_px])[None]]
    )
    size = np.array(camera.image_size * 2, np.float64)
    clipped = np.clip(boxes, 0, size)
    with np.errstate(invalid="ignore"):
        share = _area(clipped) / np.maximum(_area(boxes), 1e-9)
    seen = np.isfinite(boxes).all(axis=1) & (share >= MIN_VISIBLE)
    seen &= np.append(figures.depth_m, ball_depth_m) > 1.0
    other = roles == OTHER  # whoever does not play has no team, and no number that counts
    teams = np.where(other, UNKNOWN, [p.team for p in people])
    numbers = np.where(other, NO_NUMBER, [p.number for p in people])
    legibility = np.append(_legibility(numbers, figures, camera), 0.0)
    n = len(people)
    fields = {
        "boxes_xyxy_px": clipped.astype(np.float32),
        "roles": np.append(roles, BALL),
        "numbers": np.append(numbers, NO_NUMBER),
        "legibility": legibility.astype(np.float32),
        "track_ids": np.array([*range(1, n + 1), BALL_TRACK_ID]),
        "teams": np.append(teams, UNKNOWN),
        "positions_m": np.concatenate([motion.positions_m[t], motion.ball_m[t, None, :2]]).astype(
            np.float32
        ),
    }
    fields = {name: value[seen] for name, value in fields.items()}
    return {"frame": np.full(int(seen.sum()), t, np.int64)} | fields


def _legibility(numbers: np.ndarray, figures: Figures, camera: Camera) -> np.ndarray:
    """How well the number on each back can be read: size, angle, nearer people, frame border."""
    size = np.clip((number_height_px(figures) - 3.5) / 7.0, 0, 1)
    angle = np.clip((figures.facing_away - 0.2) / 0.4, 0, 1)
    corners = figures.number_px
    low, high = corners.min(axis=1), corners.max(axis=1)
    inside = ((low >= 0) & (high <= camera.image_size)).all(axis=1)
    backs = np.concatenate([low, high], axis=1)
    boxes = figures.boxes_xyxy_px
    overlap = np.concatenate(
        [np.maximum(backs[:, None, :2], boxes[None, :, :2]),
         np.minimum(backs[:, None, 2:], boxes[None, :, 2:])], axis=-1,
    )  # fmt: skip
    covered = _area(overlap) / np.maximum(_area(backs), 1e-9)[:, None]
    covered *= figures.depth_m[None] < figures.depth_m[:, None] - 1e-6  # (P, nearer P)
    free = 1 - np.clip(np.nan_to_num(covered).max(axis=1), 0, 1)
    return np.nan_to_num(size * angle * free) * inside * (numbers != NO_NUMBER)


def _area(boxes_xyxy: np.ndarray) -> np.ndarray:
    return np.prod(np.clip(boxes_xyxy[..., 2:] - boxes_xyxy[..., :2], 0, None), axis=-1)
