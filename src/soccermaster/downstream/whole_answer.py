"""Everything that the model says about a video, in one file: the paper's whole answer.

`predictions.jsonl` has a line per frame (athletes with id, role, number, team and place; keypoints;
lines; camera) and a line per clip of up to 30 seconds (event, retrieved texts), as the plain
prediction has; beside it are the files of the game state.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import track

from soccermaster.data.frame_source import FrameSource, open_source
from soccermaster.downstream.game_state import (
    GameStateFiles,
    complete_or_nothing,
    write_game_state,
)
from soccermaster.downstream.game_state_files import people_by_frame, person_record
from soccermaster.downstream.reconstruct import (
    CLIP_FRAMES,
    ClipState,
    FrameCamera,
    Rules,
    reconstruct,
)
from soccermaster.predict import ClipPredictions, FramePredictions, Predictor
from soccermaster.predict_files import PREDICTIONS_NAME, clip_record, frame_record
from soccermaster.viz.draw import event_lines


@dataclass(frozen=True)
class AllFiles:
    """What was written.

    Attributes:
        predictions: JSON lines, see `write_answer`.
        game_state: files of the game state.
    """

    predictions: Path
    game_state: GameStateFiles


def predict_all(
    predictor: Predictor,
    input: Path | str,
    output: Path | str,
    rules: Rules,
    athlete_threshold: float = 0.3,
    pitch_threshold: float | None = None,
    fps: float = 25.0,
    clip_frames: int = CLIP_FRAMES,
) -> AllFiles:
    """Athletes with ids and teams, keypoints, lines, cameras and events of a video.

    Arguments and errors are those of `game_state.predict_game_state`.
    """
    source = open_source(input, fps)
    rules.prepare(str(predictor.device))
    output = Path(output)
    frames = track(predictor.frames(source), "predicting", total=len(source))
    with complete_or_nothing(output) as partial:
        spool = partial / ".markings"
        with spool.open("w", encoding="utf-8") as file:
            noted = _noted(frames, file, athlete_threshold, pitch_threshold)
            states = list(
                reconstruct(source, noted, rules, athlete_threshold, pitch_threshold, clip_frames)
            )
        clips = list(predictor.clips(source))
        with spool.open(encoding="utf-8") as markings:
            write_answer(partial / PREDICTIONS_NAME, map(json.loads, markings), states, clips)
        spool.unlink()
    files = write_game_state(source, states, output, _captions(source, clips))
    answer = AllFiles(output / PREDICTIONS_NAME, files)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{files.to_text()}\nAll of it, with {len(clips)} clips: {answer.predictions}")
    return answer


def write_answer(
    path: Path,
    markings: Iterable[dict[str, Any]],
    states: Sequence[ClipState],
    clips: Sequence[ClipPredictions],
) -> None:
    """Write the JSON lines: the frames of a clip, then the clip; frames count from 1.

    Coordinates are pixels of the original frame, whose top left corner is (0, 0); a camera is K, R
    and t (metres), a world point X is at K (R X + t).

    Args:
        path: of the file.
        markings: `frame_record` of every frame.
        states: the game state of all frames.
        clips: events and texts of all frames.
    """
    found = (
        (people, camera, state.shot)
        for state in states
        for people, camera in zip(people_by_frame(state), state.cameras, strict=True)
    )
    ends = {clip.last: clip for clip in clips}
    with path.open("w", encoding="utf-8") as file:
        for index, (record, (people, camera, shot)) in enumerate(zip(markings, found, strict=True)):
            rows = range(len(people.athletes))
            athletes = [person_record(people, row) for row in rows]
            answer = record | {"shot": shot, "athletes": athletes, "camera": camera_record(camera)}
            if camera.camera is None:
                answer["no_camera"] = camera.reason
            file.write(json.dumps(answer, allow_nan=False) + "\n")
            if index in ends:
                file.write(json.dumps(clip_record(ends[index]), allow_nan=False) + "\n")


def camera_record(found: FrameCamera) -> dict[str, Any] | None:
    """The camera of a frame as JSON values; None where there is none."""
    camera = found.camera
    if camera is None:
        return None
    return {
        "K": camera.K.tolist(),
        "R": camera.R.tolist(),
        "t": (-camera.R @ camera.position_m).tolist(),
        "position_m": camera.position_m.tolist(),
        "observed": found.observed,
        "confidence": round(found.confidence, 4),
        "expected_error_px": round(found.expected_error_px, 3),
    }


def _noted(
    frames: Iterable[FramePredictions],
    file: TextIO,
    athlete_threshold: float,
    pitch_threshold: float | None,
) -> Iterator[FramePredictions]:
    """The frames, while their markings are written down."""
    for frame in frames:
        record = frame_record(frame, athlete_threshold, pitch_threshold)
        file.write(json.dumps(record) + "\n")
        yield frame


def _captions(source: FrameSource, clips: Sequence[ClipPredictions]) -> Any:
    lines: list[list[str]] = []
    for clip in clips:
        words = event_lines(clip.event) if clip.event is not None else []
        lines += [words] * (clip.last - clip.first + 1)
    return lines.__getitem__
