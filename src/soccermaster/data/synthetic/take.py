"""A take: a staged scene, filmed over some frames, and its drawn and annotated clip.

Staging costs little; drawing does. So whoever asks about a scene (how many players, which camera)
stages it without drawing it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from soccermaster.data.synthetic.camera_work import Operator, draw_operator, film
from soccermaster.data.synthetic.commentary import comment
from soccermaster.data.synthetic.events import Story, act
from soccermaster.data.synthetic.figure import Figures, number_height_px, place_figures
from soccermaster.data.synthetic.graphics import ScoreBox, draw_score_box, lay_over
from soccermaster.data.synthetic.lens import Lens
from soccermaster.data.synthetic.look import Look, draw_look
from soccermaster.data.synthetic.motion import Motion, move
from soccermaster.data.synthetic.people import BALL, OTHER, Person, draw_people
from soccermaster.data.synthetic.play import open_play
from soccermaster.data.synthetic.renderer import Renderer, ball_radius_px, compress
from soccermaster.data.synthetic.scene import Script
from soccermaster.geometry import Camera, Pitch, visible_keypoints, visible_segments
from soccermaster.structures import Annotations, Athletes, Cameras, Clip, Keypoints, Lines
from soccermaster.vocabulary import NO_NUMBER, UNKNOWN

#: The drawn markings follow the laws of the game, so the labels do too.
PITCH = Pitch("exact")
#: Figures with a smaller part of their box inside the frame are not annotated.
MIN_VISIBLE = 0.25
#: Track id of the ball; people have the ids from 1 on.
BALL_TRACK_ID = 0


@dataclass(frozen=True)
class Match:
    """What stays the same from scene to scene of a match."""

    people: tuple[Person, ...]
    operator: Operator
    look: Look
    score_box: ScoreBox


@dataclass(frozen=True)
class Take:
    """Everything that a clip shows, before it is drawn.

    Attributes:
        script: who and what.
        times_s: of each frame, in the script.
        motion: where everybody is in each frame.
        cameras: a stack of T cameras.
        look: the stadium, the light and the picture.
        blur_px: how far the picture moves while each frame is exposed.
        score_box: laid over the picture.
        noise_seeds: of each frame.
        story: what can be told; None in open play.
        text: comment; None in open play.
        lens: bends the picture and the labels; None is a perfect one.
    """

    script: Script
    times_s: Float[np.ndarray, " T"]
    motion: Motion
    cameras: Camera
    look: Look
    blur_px: Float[np.ndarray, "T 2"]
    score_box: ScoreBox
    noise_seeds: np.ndarray
    story: Story | None = None
    text: str | None = None
    lens: Lens | None = None


def stage(
    rng: np.random.Generator,
    times_s: Float[np.ndarray, " T"],
    image_size: tuple[int, int],
    event: str | None = None,
    match: Match | None = None,
    distortion: float = 0.0,
) -> Take:
    """Stage a scene and film it with the main camera.

    Args:
        rng: everything follows from it.
        times_s: of the frames; an event happens at 0.
        image_size: (H, W) in pixels.
        event: class to act; None is open play.
        match: the teams and the stadium; another one for each scene if None.
        distortion: the most that a lens bends the picture, as `-Lens.k`; 0 is never.
    """
    start_s, end_s = times_s[0] - 5.0, times_s[-1] + 3.0  # room for what leads up to the frames
    if event is not None:
        start_s, end_s = min(-16.0, start_s), max(16.0, end_s)
    people = draw_people(rng) if match is None else list(match.people)
    script = Script(people, float(start_s), float(end_s))
    story: Story | None = None
    if event is None:
        open_play(script, rng, script.start_s, script.end_s)
    else:
        story = act(event, script, rng)
    return film_script(rng, script, times_s, image_size, story, match, distortion)


def film_script(
    rng: np.random.Generator,
    script: Script,
    times_s: Float[np.ndarray, " T"],
    image_size: tuple[int, int],
    story: Story | None = None,
    match: Match | None = None,
    distortion: float = 0.0,
) -> Take:
    """Choose stadium and camera for a script, and film it; arguments as those of `stage`."""
    height, width = image_size
    operator = draw_operator(rng) if match is None else match.operator
    look = draw_look(rng) if match is None else match.look
    text = comment(story, rng) if story else None
    motion = move(script, times_s, seed=int(rng.integers(2**31)))
    both_s = np.concatenate([times_s, times_s + look.exposure_s])
    filmed = film(operator, script, both_s, (width, height))
    cameras, blur_px = filmed[: len(times_s)], picture_motion(filmed)
    if match is None:
        shirts = tuple(script.people[script.team(team)[0]].kit.shirt for team in (0, 1))
        score_box = draw_score_box(rng, shirts, look.graphics, script.clock_s)
    else:
        score_box = match.score_box
    noise_seeds = rng.integers(2**31, size=len(times_s))
    lens = Lens(-float(rng.uniform(0, distortion)), (width, height)) if distortion else None
    return Take(
        script, times_s, motion, cameras, look, blur_px, score_box, noise_seeds, story, text, lens
    )


def picture_motion(filmed: Camera) -> Float[np.ndarray, "T 2"]:
    """How far the middle of the picture moves while a frame is exposed, in pixels.

    Args:
        filmed: T cameras at the start of the exposures, then T at their ends.
    """
    half = len(filmed.position_m) // 2
    before, after = filmed[:half], filmed[half:]
    middle_px = np.array(before.image_size, np.float64) / 2
    rays = np.swapaxes(before.R, -1, -2) @ np.array([0.0, 0.0, 100.0])
    moved_px, _ = after.project((before.position_m + rays)[:, None])
    return moved_px[:, 0] - middle_px


def draw(take: Take, clip_id: str, source: str) -> Clip:
    """Draw the frames of a take, with all annotations."""
    width, height = take.cameras.image_size
    frames = np.empty((len(take.times_s), height, width, 3), np.uint8)
    figures_of_frames = []
    for t, (image, figures) in enumerate(draw_frames(take)):
        frames[t] = image
        figures_of_frames.append(figures)
    annotations = _annotate(take, figures_of_frames)
    return Clip(frames, take.times_s - take.times_s[0], annotations, clip_id, source)


def annotate(take: Take) -> Annotations:
    """The annotations of a take, without drawing it."""
    return _annotate(take, [_place(take, t, take.cameras[t]) for t in range(len(take.times_s))])


def draw_frames(take: Take) -> Iterator[tuple[UInt8[np.ndarray, "H W 3"], Figures]]:
    """Draw the frames of a take one by one, with the people as a perfect lens shows them."""
    script, motion, look, lens = take.script, take.motion, take.look, take.lens
    cameras = take.cameras if lens is None else lens.wide(take.cameras)
    renderer = Renderer(cameras.image_size, look, PITCH)
    for t, time_s in enumerate(take.times_s.tolist()):
        figures = _place(take, t, cameras[t])
        image = renderer.render(
            cameras[t],
            script.people,
            figures,
            motion.ball_m[t],
            int(take.noise_seeds[t]),
            [p for p in script.props if p.start_s <= time_s < p.end_s],
            motion.ball_m[t] + motion.ball_velocity_mps[t] * look.exposure_s,
            tuple(take.blur_px[t].tolist()),
        )
        if lens is not None:
            image, figures = lens.bend_picture(image), _place(take, t, take.cameras[t])
        goals = tuple(sum(s <= time_s and k == team for s, k in script.scores) for team in (0, 1))
        added = next((n for s, n in script.added if s <= time_s), None)
        lay_over(image, take.score_box, time_s, goals, added)
        yield compress(image, look.jpeg_quality), figures


def _place(take: Take, t: int, camera: Camera) -> Figures:
    motion = take.motion
    return place_figures(
        take.script.people,
        motion.positions_m[t],
        motion.headings_rad[t],
        motion.speeds_mps[t],
        motion.stride_rad[t],
        motion.fallen[t],
        motion.gestures[t],
        camera,
    )


def _annotate(take: Take, figures_of_frames: list[Figures]) -> Annotations:
    cameras, lens, num_frames = take.cameras, take.lens, len(take.times_s)
    points_px = visible_keypoints(cameras, PITCH)
    if lens is None:
        segments_px = visible_segments(cameras, PITCH)
    else:
        points_px, segments_px = lens.bend_points(points_px), lens.visible_segments(cameras, PITCH)
    rows = [_annotate_frame(t, take, figures) for t, figures in enumerate(figures_of_frames)]
    fields = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    return Annotations(
        athletes=Athletes(**fields),
        keypoints=Keypoints(
            points_px.astype(np.float32), np.ones((num_frames, len(PITCH.keypoints_m)), bool)
        ),
        lines=Lines(
            segments_px.astype(np.float32), np.ones((num_frames, len(PITCH.line_ends_m)), bool)
        ),
        cameras=Cameras(cameras.K, cameras.R, cameras.position_m),
        event=take.story.event if take.story else None,
        text=take.text,
    )


def _annotate_frame(t: int, take: Take, figures: Figures) -> dict[str, np.ndarray]:
    """The rows of `Athletes` for one frame: people, then the ball."""
    camera, motion, people = take.cameras[t], take.motion, take.script.people
    roles = take.script.roles_at(float(take.times_s[t]))
    ball_px, ball_depth_m = camera.project(motion.ball_m[t])
    radius_px = ball_radius_px(camera, max(float(ball_depth_m), 1e-3))
    boxes = np.concatenate(
        [figures.boxes_xyxy_px, np.concatenate([ball_px - radius_px, ball_px + radius_px])[None]]
    )
    if take.lens is not None:
        boxes = take.lens.bend_boxes(boxes)
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
