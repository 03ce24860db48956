"""Full synthetic matches: videos of both halves in shots, with labels as in SoccerNet-v2.

A half is a row of moments around acted events. The main camera shows each of them; after some,
close-ups follow, and replays between wipes. `Labels-v2.json` has the actions, and
`Labels-cameras.json` every shot with its end, its camera, and whether it is a replay of what.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from soccermaster.data.synthetic.camera_work import draw_operator
from soccermaster.data.synthetic.cut_away import close_up, replay_from_side
from soccermaster.data.synthetic.events import ACTS
from soccermaster.data.synthetic.files import derived_seed, refuse_existing, write_json
from soccermaster.data.synthetic.graphics import draw_score_box
from soccermaster.data.synthetic.look import draw_look
from soccermaster.data.synthetic.motion import move
from soccermaster.data.synthetic.people import OTHER, PLAYER, draw_people
from soccermaster.data.synthetic.take import Match, Take, draw_frames, stage
from soccermaster.data.video import VideoWriter

#: Class of SoccerNet-v2 for each acted event that has one.
V2_LABELS: dict[str, str] = {
    "clearance": "Clearance", "second yellow card": "Yellow->red card", "throw in": "Throw-in",
    "shot off target": "Shots off target", "start of half game": "Kick-off",
    "substitution": "Substitution", "saved by goal-keeper": "Shots on target",
    "red card": "Red card", "lead to corner": "Ball out of play",
    "ball out of play": "Ball out of play", "off side": "Offside", "goal": "Goal",
    "penalty": "Penalty", "yellow card": "Yellow card", "foul lead to penalty": "Foul",
    "corner": "Corner", "free kick": "Direct free-kick", "foul with no card": "Foul",
    "own goal": "Goal",
}  # fmt: skip
MAIN, CLOSE_UP = "Main camera center", "Close-up player or field referee"

_REPLAYED = (
    "goal", "own goal", "penalty", "red card", "second yellow card", "corner", "off side",
    "saved by goal-keeper", "shot off target", "foul lead to penalty",
)  # fmt: skip
_ATTACKS = (
    "goal", "own goal", "penalty", "shot off target", "corner", "free kick", "off side",
    "foul lead to penalty", "lead to corner",
)  # fmt: skip
_BEFORE_S, _AFTER_S, _CLOSE_UP_S, _REPLAY_S, _WIPE_S = 12.0, 10.0, 3.0, 5.0, 0.4


@dataclass(frozen=True)
class _Shot:
    """Frames of one camera.

    Attributes:
        take: what is drawn.
        label: SoccerNet's name of the camera.
        replay: "real-time" or "replay".
        change: how it starts: "abrupt" or "logo".
        about: action that a replay shows again, as an annotation.
    """

    take: Take
    label: str
    replay: str = "real-time"
    change: str = "abrupt"
    about: dict[str, Any] | None = None


def write_match(
    output: Path | str,
    index: int,
    *,
    seed: int = 0,
    minutes: float = 3.0,
    fps: int = 25,
    image_size: tuple[int, int] = (360, 640),
    overwrite: bool = False,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Path:
    """Writes one match: a video per half and its labels.

    Args:
        output: folder for the tree `{league}/{season}/{match}`.
        index: number of the match; it gives its name.
        seed: same seed, same matches.
        minutes: least length of each half.
        fps: frames per second.
        image_size: (H, W).
        overwrite: replace a match that is there.
        progress: goes around the loop over the moments of a half, to show how far it is.

    Returns:
        The folder of the match.

    Raises:
        FileExistsError: the match is there and `overwrite` is False; nothing was written then.
    """
    season = Path(output) / "synthetic_league" / "2031-2032"
    home, away = f"Home {index}", f"Away {index}"
    begin = f"2031-08-{1 + index % 28:02d} - 18-00 {home} "
    refuse_existing(season.glob(f"{begin}*"), overwrite)
    for old in season.glob(f"{begin}*"):
        shutil.rmtree(old)
    partial = season / f".{index}.{os.getpid()}.partial"
    rng = np.random.default_rng(derived_seed(seed, "match", str(index)))
    match = _draw_match(rng)
    actions: list[dict[str, Any]] = []
    shots: list[dict[str, Any]] = []
    try:
        for half in (1, 2):
            path = partial / f"{half}_{image_size[0]}p.mp4"
            match = _write_half(
                path, half, match, rng, minutes, fps, image_size, actions, shots, progress
            )
            match = _changed_sides(match)
        score = match.score_box.score
        folder = season / f"{begin}{score[0]} - {score[1]} {away}"
        common = {
            "UrlLocal": str(folder.relative_to(output)),
            "UrlYoutube": "",
            "gameHomeTeam": home,
            "gameAwayTeam": away,
            "gameDate": begin[:10],
            "gameScore": f"{score[0]} - {score[1]}",
        }
        write_json(partial / "Labels-v2.json", {**common, "annotations": actions})
        write_json(partial / "Labels-cameras.json", {**common, "annotations": shots})
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _write_half(
    path: Path,
    half: int,
    match: Match,
    rng: np.random.Generator,
    minutes: float,
    fps: int,
    image_size: tuple[int, int],
    actions: list[dict[str, Any]],
    shots: list[dict[str, Any]],
    progress: Callable[[Iterable[int]], Iterable[int]],
) -> Match:
    """Writes the video of a half, appends its actions and shots; returns the match at its end."""
    written = 0
    moment_s = _BEFORE_S + _AFTER_S
    between = [event for event in ACTS if not event.endswith("half game")]
    count = max(2, round(60 * minutes / (moment_s + 0.5 * (_CLOSE_UP_S + _REPLAY_S))))
    order = [between[i] for i in rng.permutation(len(between))]
    events = ["start of half game", *(order[i % len(order)] for i in range(count - 2))]
    events.append("end of half game")
    with VideoWriter(path, fps, image_size, crf=24) as writer:
        for place in progress(range(count)):
            start_s = written / fps
            at_s = start_s + _BEFORE_S
            about = None
            for shot in _moment(rng, match, events[place], half, start_s, fps, image_size):
                if about is None:
                    about = _action(half, at_s, events[place], shot.take)
                    if about["label"]:
                        actions.append(about)
                for image in _frames(shot, fps):
                    writer.write(image)
                    written += 1
                shots.append(_camera_annotation(half, 1000 * written / fps, shot, about))
                take = shot.take
            match = _with_goals(match, take)
    return match


def _moment(
    rng: np.random.Generator,
    match: Match,
    event: str,
    half: int,
    start_s: float,
    fps: int,
    image_size: tuple[int, int],
) -> Iterator[_Shot]:
    """The shots around one event."""
    size = image_size[::-1]
    clock_s = 2700.0 * (half - 1) + start_s + _BEFORE_S
    match = dataclasses.replace(
        match, score_box=dataclasses.replace(match.score_box, clock_s=clock_s)
    )
    times_s = np.arange(-_BEFORE_S, _AFTER_S, 1 / fps)
    take = stage(rng, times_s, image_size, event, match)
    motion_seed = int(rng.integers(2**31))
    yield _Shot(take, MAIN)
    if rng.random() < 0.6:
        times_s = _AFTER_S + np.arange(0, _CLOSE_UP_S, 1 / fps)
        motion = move(take.script, times_s, motion_seed)
        person = _to_show(take, motion.positions_m[0])
        where = motion.positions_m[0, person]
        position_m = np.array([0.7 * where[0], 39.0, -2.4])
        cameras = close_up(motion, person, position_m, rng.uniform(3.5, 7.0), size)
        yield _Shot(_filmed(take, times_s, motion, cameras, rng), CLOSE_UP)
    if event in _REPLAYED:
        times_s = -3.0 + np.arange(0, _REPLAY_S, 1 / fps)
        motion = move(take.script, times_s, motion_seed)
        cameras, label = replay_from_side(match.operator, take.script, times_s, size)
        again = _filmed(take, times_s, motion, cameras, rng)
        yield _Shot(again, label, "replay", "logo")


def _filmed(take: Take, times_s: np.ndarray, motion, cameras, rng: np.random.Generator) -> Take:
    """The same scene through other cameras; the clock is not shown."""
    return dataclasses.replace(
        take,
        times_s=times_s,
        motion=motion,
        cameras=cameras,
        blur_px=np.zeros((len(times_s), 2)),
        score_box=dataclasses.replace(take.score_box, side=""),
        noise_seeds=rng.integers(2**31, size=len(times_s)),
    )


def _to_show(take: Take, positions_m: np.ndarray) -> int:
    """The player who is nearest to the ball and not too near to the close-up camera."""
    ball_m = take.motion.ball_m[-1, :2]
    distance = np.linalg.norm(positions_m - ball_m, axis=1)
    players = take.script.roles_at(_AFTER_S) == PLAYER
    return int(np.argmin(distance + 1e3 * ~players + 1e3 * (positions_m[:, 1] > 30)))


def _frames(shot: _Shot, fps: int) -> Iterator[np.ndarray]:
    """The pictures of a shot; replays come and go behind a wipe."""
    count, wipe = len(shot.take.times_s), max(1, round(_WIPE_S * fps))
    for t, (image, _) in enumerate(draw_frames(shot.take)):
        if shot.change == "logo":
            share = max(1 - t / wipe, 1 - (count - 1 - t) / wipe)
            _draw_wipe(image, share, shot.take.score_box.colors)
            cv2.putText(image, "R", (image.shape[1] - 30, 34), cv2.FONT_HERSHEY_DUPLEX, 1.0,
                        (255, 255, 255), 2, cv2.LINE_AA)  # fmt: skip
        yield image


def _draw_wipe(image: np.ndarray, share: float, colors: tuple) -> None:
    """A bar in the colours of the teams that covers a share of the picture."""
    if share <= 0:
        return
    height, width = image.shape[:2]
    edge = round(share * width)
    image[:, :edge] = colors[0]
    image[height // 3 : 2 * height // 3, :edge] = colors[1]


def _action(half: int, at_s: float, event: str, take: Take) -> dict[str, Any]:
    return {
        "gameTime": _game_time(half, at_s),
        "label": V2_LABELS.get(event, ""),
        "position": str(round(1000 * at_s)),
        "team": _team(half, event, take),
        "visibility": "visible",
    }


def _team(half: int, event: str, take: Take) -> str:
    """The home team defends the left goal in the first half."""
    if event not in _ATTACKS or take.story is None:
        return "not applicable"
    attacks_right = take.story.side == "right"
    return "home" if attacks_right == (half == 1) else "away"


def _camera_annotation(half: int, end_ms: float, shot: _Shot, about: dict) -> dict[str, Any]:
    annotation = {
        "gameTime": _game_time(half, end_ms / 1000),
        "label": shot.label,
        "position": str(round(end_ms)),
        "replay": shot.replay,
        "change_type": shot.change,
    }
    if shot.replay == "replay":
        link = {"half": str(half), "time": about["gameTime"][4:]}
        annotation["link"] = {**link, **{k: about[k] for k in ("label", "position", "team")}}
    return annotation


def _game_time(half: int, time_s: float) -> str:
    return f"{half} - {int(time_s) // 60:02d}:{int(time_s) % 60:02d}"


def _with_goals(match: Match, take: Take) -> Match:
    """The match after the goals of a scene."""
    score = tuple(
        goals + sum(team == k for _, k in take.script.scores)
        for team, goals in enumerate(match.score_box.score)
    )
    return dataclasses.replace(match, score_box=dataclasses.replace(match.score_box, score=score))


def _draw_match(rng: np.random.Generator) -> Match:
    people = tuple(draw_people(rng))
    look = dataclasses.replace(draw_look(rng), graphics="left", jpeg_quality=0)
    shirts = tuple(
        next(p.kit.shirt for p in people if p.team == team and p.role == PLAYER) for team in (0, 1)
    )
    score_box = dataclasses.replace(draw_score_box(rng, shirts, "left", 0.0), score=(0, 0))
    return Match(people, draw_operator(rng), look, score_box)


def _changed_sides(match: Match) -> Match:
    """Who defended the left goal defends the right one, in the score box as well."""
    people = tuple(
        dataclasses.replace(p, team=1 - p.team) if p.team in (0, 1) and p.role != OTHER else p
        for p in match.people
    )
    box = match.score_box
    swapped = {"names": box.names[::-1], "colors": box.colors[::-1], "score": box.score[::-1]}
    return dataclasses.replace(match, people=people, score_box=dataclasses.replace(box, **swapped))
