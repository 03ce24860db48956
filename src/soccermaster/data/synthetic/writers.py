"""Synthetic sequences as files in the formats of the real datasets.

`write_gsr` makes a SoccerNet-GSR tree and `write_match_clips` a clip list with its videos, so that
the readers, the factory and the evaluators run on them as on the real ones. Files and sequences
get their name when they are complete.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from soccermaster.data.datasets.game_state_file import LABELS_FILE, GameState, Polylines
from soccermaster.data.datasets.game_state_writer import SPLIT_DIGITS, game_state_labels
from soccermaster.data.datasets.match_clips import clip_list_path, video_folder
from soccermaster.data.synthetic.dataset import render_sequence
from soccermaster.data.synthetic.events import ACTS
from soccermaster.data.synthetic.files import (
    derived_seed,
    refuse_existing,
    write_image,
    write_json,
)
from soccermaster.data.video import VideoWriter
from soccermaster.geometry import Camera, Pitch, visible_polylines
from soccermaster.structures import Clip

#: Numbers of the real sequences of each split; synthetic ones take the first of them.
GSR_CLIP_NUMBERS: dict[str, tuple[int, ...]] = {
    "train": (*range(60, 78), *range(97, 116), *range(151, 171)),
    "valid": (*range(21, 60), *range(78, 97)),
    "test": (*range(116, 151), *range(187, 201)),
}

_CLIPS_PER_MATCH = 8
_TEAM_NAMES = ("Ashford", "Brightwell", "Carrow", "Denholm", "Eastmere", "Fairhaven", "Greystone")
_SURNAMES = ("Adler", "Bellamy", "Costa", "Dubois", "Eriksen", "Falk", "Garcia", "Horvat", "Ivers")


def write_gsr(
    output: Path | str,
    split: str,
    clip_ids: Sequence[str],
    *,
    seed: int = 0,
    num_frames: int = 30,
    fps: int = 25,
    image_size: tuple[int, int] = (360, 640),
    overwrite: bool = False,
    progress: Callable[[Iterable[str]], Iterable[str]] = iter,
) -> list[Path]:
    """Writes synthetic sequences as a SoccerNet-GSR tree, `output/SoccerNetGS/{split}/SNGS-xxx`.

    Args:
        output: folder for the tree.
        split: "train", "valid" or "test".
        clip_ids: three digits each, such as "060"; `gsr_clip_ids` gives the usual ones.
        seed: same seed, same sequences.
        num_frames: per sequence; real ones have 750.
        fps: frames per second; real ones have 25.
        image_size: (H, W); real ones have (1080, 1920).
        overwrite: replace sequences that are there.
        progress: goes around the loop over `clip_ids`, to show how far it is.

    Returns:
        The sequence folders.

    Raises:
        FileExistsError: a sequence is there and `overwrite` is False; nothing was written then.
    """
    folder = Path(output) / "SoccerNetGS" / split
    folders = [folder / f"SNGS-{clip_id}" for clip_id in clip_ids]
    refuse_existing(folders, overwrite)
    for clip_id in progress(clip_ids):
        clip = render_sequence(
            derived_seed(seed, "gsr", split, clip_id), num_frames, fps, image_size
        )
        write_gsr_sequence(folder / f"SNGS-{clip_id}", clip, split, fps)
    return folders


def write_gsr_sequence(folder: Path | str, clip: Clip, split: str, fps: int) -> None:
    """Writes one clip with athletes and cameras as a sequence folder, replacing what is there.

    Args:
        folder: ends in `SNGS-` and three digits.
        clip: the frames are numbered from 1.
        split: for the first digit of the image ids.
        fps: frames per second.
    """
    folder = Path(folder)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        (partial / "img1").mkdir(parents=True)
        for number, frame in enumerate(clip.frames, start=1):
            write_image(partial / f"img1/{number:06d}.jpg", frame)
        duration_s = len(clip.frames) / fps
        info = {
            "game_id": "0",
            "action_position": "0",
            "action_class": clip.annotations.event or "",
            "visibility": "visible",
            "game_time_start": "1 - 00:00",
            "game_time_stop": f"1 - 00:{math.ceil(duration_s):02d}",
            "clip_start": "0",
            "clip_stop": str(round(1000 * duration_s)),
        }
        labels = game_state_labels(_game_state(clip, folder, split, fps), info)
        (partial / LABELS_FILE).write_text(json.dumps(labels), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def gsr_clip_ids(split: str, count: int) -> list[str]:
    """The first `count` clip ids of a split of SoccerNet-GSR.

    Raises:
        ValueError: an unknown split, or more clips than the split has.
    """
    numbers = GSR_CLIP_NUMBERS.get(split, ())
    if count > len(numbers):
        raise ValueError(
            f"expected at most {len(numbers)} sequences in split {split!r} "
            f"(of {', '.join(GSR_CLIP_NUMBERS)}), got {count}. Ask for fewer, longer ones."
        )
    return [f"{number:03d}" for number in numbers[:count]]


def write_match_clips(
    output: Path | str,
    source: str,
    split: str,
    count: int,
    *,
    events: Sequence[str] | None = None,
    seed: int = 0,
    duration_s: float = 30.0,
    fps: int = 3,
    image_size: tuple[int, int] = (360, 640),
    overwrite: bool = False,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Path:
    """Writes synthetic event clips as a clip list with mp4 files.

    Args:
        output: folder for `video_clip_json` and `video_clip`.
        source: a source of `MatchClips`; "SoccerNet-v2" has no comments.
        split: "train", "valid" or "test".
        count: number of clips.
        events: their classes, in turns; None takes all that can be acted out.
        seed: same seed, same clips.
        duration_s: length of each clip.
        fps: frames per second; real clips have 25.
        image_size: (H, W).
        overwrite: replace a list that is there.
        progress: goes around the loop over the clips, to show how far it is.

    Returns:
        The list.

    Raises:
        FileExistsError: the list is there and `overwrite` is False; nothing was written then.
    """
    output, events = Path(output), tuple(events or ACTS)
    list_path = clip_list_path(output, source, split)
    refuse_existing([list_path], overwrite)
    videos = video_folder(output, source, split)
    records = []
    for index in progress(range(count)):
        rng = np.random.default_rng(derived_seed(seed, source, split, str(index)))
        clip = render_sequence(
            int(rng.integers(2**31)),
            round(duration_s * fps),
            fps,
            image_size,
            event=events[index % len(events)],
        )
        records.append(write_match_clip(videos, source, split, index, clip, fps, rng))
    write_json(list_path, records)
    return list_path


def write_match_clip(
    videos: Path,
    source: str,
    split: str,
    index: int,
    clip: Clip,
    fps: float,
    rng: np.random.Generator,
    crf: int = 26,
) -> dict[str, str]:
    """Writes the video of an event clip; returns its record in a clip list.

    Args:
        videos: folder that the names in the list belong to.
        source: a source of `MatchClips`; "SoccerNet-v2" has no comments.
        split: "train", "valid" or "test".
        index: of the clip in the list.
        clip: with event and text.
        fps: frames per second.
        rng: of the names in the comment.
        crf: quality of the video, 0 (lossless) to 51.
    """
    name, teams = _match_video(index, split)
    with VideoWriter(videos / name, fps, clip.frames.shape[1:3], crf=crf) as writer:
        for frame in clip.frames:
            writer.write(frame)
    record = {"video": name, "caption": clip.annotations.event or ""}
    if source != "SoccerNet-v2":
        record["comments_text"] = _with_names(clip.annotations.text or "", teams, rng)
        record["comments_text_anonymized"] = clip.annotations.text or ""
    return record


def _game_state(clip: Clip, folder: Path, split: str, fps: int) -> GameState:
    """The labels that annotators would have given, with the places that the camera tells."""
    athletes, cameras = clip.annotations.athletes, clip.annotations.cameras
    if athletes is None or cameras is None:
        raise ValueError(
            f"expected a clip with athletes and cameras, got {clip.clip_id!r} without. "
            "Take one from render_sequence."
        )
    num_frames, height, width = clip.frames.shape[:3]
    camera = Camera(cameras.K, cameras.R, cameras.position_m, (width, height))
    boxes = athletes.boxes_xyxy_px.round(3)
    corners_m = np.stack(
        [
            camera[frame].unproject_to_ground(box[[[0, 3], [2, 3]]].astype(np.float64))
            for frame, box in zip(athletes.frame, boxes, strict=True)
        ]
    )
    positions_m = athletes.positions_m.round(4)
    positions_m[~np.isfinite(corners_m).all(axis=(1, 2))] = np.nan
    everywhere = np.ones(num_frames, bool)
    number = folder.name.removeprefix("SNGS-")
    return GameState(
        name=folder.name,
        fps=fps,
        image_size=(height, width),
        image_paths=tuple(folder / f"img1/{t:06d}.jpg" for t in range(1, num_frames + 1)),
        image_ids=tuple(f"{SPLIT_DIGITS[split]}{number}{t:06d}" for t in range(1, num_frames + 1)),
        frame_numbers=np.arange(1, num_frames + 1),
        people_labeled=everywhere,
        pitch_labeled=everywhere,
        camera_labeled=everywhere,
        athletes=dataclasses.replace(athletes, boxes_xyxy_px=boxes, positions_m=positions_m),
        corners_m=corners_m.astype(np.float32).round(4),
        polylines=Polylines.pack({t: _polylines_norm(camera[t]) for t in range(num_frames)}),
    )


def _polylines_norm(camera: Camera) -> dict[str, np.ndarray]:
    return {
        name: (points_px / camera.image_size).round(6)
        for name, points_px in visible_polylines(camera, Pitch("exact")).items()
    }


def _match_video(index: int, split: str) -> tuple[str, tuple[str, str]]:
    """Path of a clip below the videos, and the teams of its match."""
    match, within = divmod(index, _CLIPS_PER_MATCH)
    # Matches of different splits are different matches.
    first_day = {"train": 1, "valid": 11, "test": 21}[split]
    home = _TEAM_NAMES[match % len(_TEAM_NAMES)]
    away = _TEAM_NAMES[(match + 1 + match // 7 % 6) % len(_TEAM_NAMES)]
    year, day = 2000 + match // 10, first_day + match % 10
    name = f"synthetic_league_{year}-{year + 1}/{year}-08-{day:02d} - 18-00 {home} 1 - 0 {away}"
    half, minute = 1 + 2 * within // _CLIPS_PER_MATCH, 5 * within % 45
    return f"{name}/{half}_{minute:02d}_{(7 * index) % 60:02d}.mp4", (home, away)


def _with_names(text: str, teams: tuple[str, str], rng: np.random.Generator) -> str:
    """The comment with invented names in place of the brackets."""
    for bracket, names in (
        ("[PLAYER]", _SURNAMES),
        ("[TEAM]", teams),
        ("[COACH]", _SURNAMES),
        ("[REFEREE]", _SURNAMES),
    ):
        while bracket in text:
            text = text.replace(bracket, names[int(rng.integers(len(names)))], 1)
    return text
