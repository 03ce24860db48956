"""A game state as files: for the SoccerNet evaluator, as MOT text, as a table, and to look at.

Frames count from 1 in all of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import UInt8

from soccermaster.data.datasets.game_state_file import GameState, Polylines
from soccermaster.data.datasets.game_state_writer import SPLIT_DIGITS, write_predictions
from soccermaster.data.frame_source import FrameSource
from soccermaster.data.video import VideoWriter
from soccermaster.downstream.reconstruct import ClipState, FrameCamera, TrackedPeople, join_people
from soccermaster.viz.canvas import athlete_colour
from soccermaster.viz.draw import athlete_label, draw_banner, draw_boxes, draw_pitch_markings
from soccermaster.viz.pitch_map import (
    draw_field_of_view,
    draw_pitch,
    draw_positions,
    field_of_view_m,
    write_message,
)
from soccermaster.vocabulary import NO_NUMBER, ROLES, TEAMS, UNKNOWN

#: The columns of the Parquet file; what is not known is null.
COLUMNS: pa.Schema = pa.schema(
    [
        pa.field("frame", pa.int32(), nullable=False),
        pa.field("time_s", pa.float64(), nullable=False),
        pa.field("shot", pa.int32(), nullable=False),
        pa.field("track_id", pa.int32(), nullable=False),
        ("role", pa.string()),
        ("number", pa.int16()),
        ("team", pa.string()),
        ("x_m", pa.float32()),
        ("y_m", pa.float32()),
        *(pa.field(name, pa.float32(), nullable=False) for name in ("x0_px", "y0_px")),
        *(pa.field(name, pa.float32(), nullable=False) for name in ("x1_px", "y1_px")),
        ("score", pa.float32()),  # null: nobody was seen, the row was filled in
        ("role_confidence", pa.float32()),
        ("number_confidence", pa.float32()),
    ]
)
#: Width of the map beside the picture, as a share of the picture's.
_MAP_SHARE = 0.75


def sequence_name(source: FrameSource) -> tuple[str, str]:
    """What the evaluator calls a video, and the beginning of its image ids.

    The ids of `SPLIT/SNGS-021`, a folder or a video, are those of SoccerNet: a digit for the split
    and the number of the sequence, before the frame in six digits. Those of others begin with 0000.
    """
    path = source.info.path.resolve()
    folder = path.parent if path.name == "img1" else path
    name = folder.name if folder.is_dir() else folder.stem
    number = re.fullmatch(r"SNGS-(\d+)", name)
    if number is None:
        return name, "0000"
    return name, f"{SPLIT_DIGITS.get(folder.parent.name, 0)}{number[1]}"


def write_gsr(path: Path, source: FrameSource, clips: Sequence[ClipState]) -> None:
    """SoccerNet-GSR predictions, as its evaluator reads them; see `write_predictions`."""
    people, count = join_people(clips), len(source)
    name, prefix = sequence_name(source)
    known = np.array([c.camera is not None for clip in clips for c in clip.cameras], bool)
    state = GameState(
        name=name,
        fps=source.info.fps,
        image_size=(source.info.height, source.info.width),
        image_paths=(),
        image_ids=tuple(f"{prefix}{frame:06d}" for frame in range(1, count + 1)),
        frame_numbers=np.arange(1, count + 1),
        people_labeled=np.ones(count, bool),
        pitch_labeled=known,
        camera_labeled=known,
        athletes=people.athletes,
        corners_m=people.corners_m,
        polylines=Polylines.pack({}),
    )
    write_predictions(path, state, people.scores)


def write_mot(path: Path, clips: Sequence[ClipState]) -> None:
    """MOT text: frame, id, left, top, width, height, score, -1, -1, -1.

    The score of a box that was filled in, where nobody was seen, is -1.
    """
    people = join_people(clips)
    scores = np.where(np.isnan(people.scores), -1, people.scores)
    lines = []
    for frame, track, box, score in zip(
        people.athletes.frame, people.athletes.track_ids, people.athletes.boxes_xyxy_px, scores,
        strict=True,
    ):  # fmt: skip
        x0, y0, x1, y1 = (float(value) for value in box)
        place = f"{x0:.2f},{y0:.2f},{x1 - x0:.2f},{y1 - y0:.2f}"
        lines.append(f"{frame + 1},{track},{place},{score:.4g},-1,-1,-1\n")
    path.write_text("".join(lines), encoding="utf-8")


def write_parquet(path: Path, clips: Sequence[ClipState]) -> None:
    """One row per person and frame; see `COLUMNS`."""
    tables = [_table(clip) for clip in clips]
    pq.write_table(pa.concat_tables(tables), path, compression="zstd")


def write_report(path: Path, source: FrameSource, clips: Sequence[ClipState]) -> dict[str, Any]:
    """What was found and what is missing, in all and clip by clip; returns what was written."""
    name, _ = sequence_name(source)
    summaries = [clip.summary for clip in clips]
    report = {
        "video": name,
        "frames": len(source),
        "fps": source.info.fps,
        "image_size": [source.info.width, source.info.height],
        "frames_with_camera": sum(c.camera is not None for clip in clips for c in clip.cameras),
        "shots": clips[-1].shot,
        "tracks": sum(summary["tracks"] for summary in summaries),
        "tracks_with_number": sum(_num_numbers(clip.people) for clip in clips),
        "clips": [
            {
                **clip.summary,
                "frames": [clip.frames.start + 1, clip.frames.stop],
                "shot": clip.shot,
                "tracks_with_number": _num_numbers(clip.people),
            }
            for clip in clips
        ],
    }
    path.write_text(json.dumps(report, indent=1, allow_nan=False), encoding="utf-8")
    return report


def write_video(
    path: Path,
    source: FrameSource,
    clips: Sequence[ClipState],
    caption: Callable[[int], Sequence[str]] = lambda frame: (),
) -> UInt8[np.ndarray, "H W 3"]:
    """The frames with the people and what the camera sees of the pitch, beside a map from above.

    Args:
        path: of the video.
        source: of the frames.
        clips: their game state.
        caption: lines of text for a frame, from 0.

    Returns:
        The last picture.
    """
    empty_map = draw_pitch(max(1.0, _MAP_SHARE * source.info.width / draw_pitch(1.0).shape[1]))
    size = (max(source.info.height, empty_map.shape[0]), source.info.width + empty_map.shape[1])
    with VideoWriter(path, source.info.fps, size) as video:
        states = _by_frame(clips)
        for (index, _, image), (people, camera) in zip(source.iter(), states, strict=True):
            drawn = draw_banner(draw_people(image, people, camera), caption(index))
            picture = _beside(drawn, draw_map(empty_map, people, camera), size)
            video.write(picture)
    return picture


def draw_people(
    image: UInt8[np.ndarray, "H W 3"], people: TrackedPeople, camera: FrameCamera
) -> UInt8[np.ndarray, "H W 3"]:
    """Boxes in the colours of the teams with id, role and number, over the markings."""
    if camera.camera is not None:
        image = draw_pitch_markings(image, camera.camera)
    rows = people.athletes
    labels = []
    for track, role, number in zip(rows.track_ids, rows.roles, rows.numbers, strict=True):
        words = athlete_label(int(role), int(number)).removeprefix("player").strip()
        labels.append(f"#{track} {words}".strip())
    colours = [athlete_colour(int(r), int(t)) for r, t in zip(rows.roles, rows.teams, strict=True)]
    return draw_boxes(image, rows.boxes_xyxy_px.astype(np.float64), colours, labels)


def draw_map(
    empty_map: UInt8[np.ndarray, "h w 3"], people: TrackedPeople, camera: FrameCamera
) -> UInt8[np.ndarray, "h w 3"]:
    """Where everybody is, and what the camera sees; why nothing is known where it is not."""
    if camera.camera is None:
        return write_message(empty_map, f"no camera: {camera.reason}")
    corners_m = field_of_view_m(camera.camera.image_from_pitch, camera.camera.image_size)
    rows = people.athletes
    return draw_positions(
        draw_field_of_view(empty_map, corners_m),
        rows.positions_m,
        roles=rows.roles,
        teams=rows.teams,
        numbers=rows.numbers,
    )


def person_record(people: TrackedPeople, row: int) -> dict[str, Any]:
    """One person in one frame as JSON values; what is not known is null."""
    athletes = people.athletes
    role, number, team = (
        int(values[row]) for values in (athletes.roles, athletes.numbers, athletes.teams)
    )
    place = athletes.positions_m[row]
    return {
        "id": int(athletes.track_ids[row]),
        "box_xyxy_px": [round(float(value), 2) for value in athletes.boxes_xyxy_px[row]],
        "score": _rounded(people.scores[row]),
        "role": None if role == UNKNOWN else ROLES[role],
        "role_confidence": _rounded(people.role_confidence[row]),
        "number": number if 0 <= number < NO_NUMBER else None,
        "number_confidence": _rounded(people.number_confidence[row]),
        "team": None if team == UNKNOWN else TEAMS[team],
        "position_m": [_rounded(value, 3) for value in place] if np.isfinite(place).all() else None,
    }


def people_by_frame(clip: ClipState) -> Iterator[TrackedPeople]:
    """The people of each frame of a clip, in order."""
    starts = np.searchsorted(
        clip.people.athletes.frame, np.arange(clip.frames.start, clip.frames.stop + 1)
    )
    for first, stop in pairwise(starts):
        yield clip.people.select(np.arange(first, stop))


def _by_frame(clips: Sequence[ClipState]) -> Iterator[tuple[TrackedPeople, FrameCamera]]:
    for clip in clips:
        yield from zip(people_by_frame(clip), clip.cameras, strict=True)


def _table(clip: ClipState) -> pa.Table:
    people, athletes = clip.people, clip.people.athletes
    times_s = np.array(clip.times_s)[athletes.frame - clip.frames.start]
    number = athletes.numbers
    columns: dict[str, Any] = {
        "frame": athletes.frame + 1,
        "time_s": times_s,
        "shot": np.full(len(athletes), clip.shot),
        "track_id": athletes.track_ids,
        "role": [None if role == UNKNOWN else ROLES[role] for role in athletes.roles],
        "number": pa.array(number, pa.int16(), mask=(number < 0) | (number >= NO_NUMBER)),
        "team": [None if team == UNKNOWN else TEAMS[team] for team in athletes.teams],
        "x_m": athletes.positions_m[:, 0],
        "y_m": athletes.positions_m[:, 1],
        "score": people.scores,
        "role_confidence": people.role_confidence,
        "number_confidence": people.number_confidence,
    }
    sides = ("x0_px", "y0_px", "x1_px", "y1_px")
    columns |= {name: athletes.boxes_xyxy_px[:, i] for i, name in enumerate(sides)}
    return pa.table([_arrow(columns[field.name], field.type) for field in COLUMNS], schema=COLUMNS)


def _arrow(values: Any, kind: pa.DataType) -> pa.Array:
    """NaN becomes null."""
    if isinstance(values, pa.Array):
        return values
    return pa.array(values, kind, from_pandas=True)


def _num_numbers(people: TrackedPeople) -> int:
    numbers = people.athletes.numbers
    known = (numbers >= 0) & (numbers < NO_NUMBER)
    return len(np.unique(people.athletes.track_ids[known]))


def _beside(left: np.ndarray, right: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Two pictures side by side on black, each in the middle of the height."""
    picture = np.zeros((*size, 3), np.uint8)
    for image, x in ((left, 0), (right, left.shape[1])):
        top = (size[0] - image.shape[0]) // 2
        picture[top : top + image.shape[0], x : x + image.shape[1]] = image
    return picture


def _rounded(value: float, digits: int = 4) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None
