"""From a video to the files of its game state: tracks with role, number, team and place.

`reconstruct` says how; this predicts, reconstructs and writes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from soccermaster.data.frame_source import FrameSource, open_source
from soccermaster.data.images import write_png
from soccermaster.downstream.game_state_files import (
    sequence_name,
    write_gsr,
    write_mot,
    write_parquet,
    write_report,
    write_video,
)
from soccermaster.downstream.reconstruct import CLIP_FRAMES, ClipState, Rules, reconstruct
from soccermaster.predict import Predictor

MOT_NAME, TABLE_NAME = "mot.txt", "tracks.parquet"
VIDEO_NAME, PICTURE_NAME = "game_state.mp4", "game_state.png"
REPORT_NAME = "report.json"


@dataclass(frozen=True)
class GameStateFiles:
    """What was written.

    Attributes:
        gsr: `NAME.json`, predictions for the evaluator of SoccerNet-GSR.
        mot: boxes and ids as MOT text.
        table: all columns as Parquet.
        video: the annotated frames beside the map; a picture for a picture.
        report_file: `report`, as JSON.
        report: what was found, and what is missing.
    """

    gsr: Path
    mot: Path
    table: Path
    video: Path
    report_file: Path
    report: dict[str, Any]

    def to_text(self) -> str:
        """A few lines for the terminal: counts, files, and what was remarkable."""
        report = self.report
        lines = [
            f"{report['frames']} frames ({report['frames_with_camera']} with a camera, "
            f"{report['shots']} shots), {report['tracks']} tracks "
            f"({report['tracks_with_number']} with a number): "
            f"{self.gsr}, {self.mot}, {self.table}, {self.video}, {self.report_file}"
        ]
        for clip in report["clips"]:
            first, last = clip["frames"]
            lines += [f"  frames {first} to {last}: {remark}" for remark in clip["remarks"]]
        return "\n".join(lines)


def predict_game_state(
    predictor: Predictor,
    input: Path | str,
    output: Path | str,
    rules: Rules,
    athlete_threshold: float = 0.3,
    pitch_threshold: float | None = None,
    fps: float = 25.0,
    clip_frames: int = CLIP_FRAMES,
) -> GameStateFiles:
    """Reconstruct the game state of a video, a folder of pictures or a picture.

    Args:
        predictor: a model with a head for athletes and one for keypoints, lines or both.
        input: what to look at.
        output: folder, made if necessary. Files of an earlier call are replaced.
        rules: who is who, such as `factory.stage_rules.StageRules`.
        athlete_threshold: least score of a person.
        pitch_threshold: least score of a keypoint or line; those of their heads if None.
        fps: of a folder of pictures.
        clip_frames: longer shots are cut, and tracks with them.

    Raises:
        VideoError: the input cannot be read.
        ModelUnavailableError: the rules lack a model.
        ValueError: the model lacks a head.
    """
    source = open_source(input, fps)
    rules.prepare(str(predictor.device))
    frames = track(predictor.frames(source), "predicting", total=len(source))
    clips = list(
        reconstruct(source, frames, rules, athlete_threshold, pitch_threshold, clip_frames)
    )
    files = write_game_state(source, clips, output)
    Console(soft_wrap=True, highlight=False).print(files.to_text(), markup=False)
    return files


def write_game_state(
    source: FrameSource,
    clips: Sequence[ClipState],
    output: Path | str,
    caption: Callable[[int], Sequence[str]] = lambda frame: (),
) -> GameStateFiles:
    """Write a game state; nothing is there under its name before everything is complete.

    Args:
        source: of the pictures.
        clips: of all frames of `source`, in order.
        output: folder, made if necessary. Files of an earlier call are replaced.
        caption: lines of text for a frame, from 0, on the video.
    """
    output = Path(output)
    gsr = f"{sequence_name(source)[0]}.json"
    if gsr == REPORT_NAME:
        gsr = f"video-{gsr}"
    with complete_or_nothing(output) as partial:
        write_gsr(partial / gsr, source, clips)
        write_mot(partial / MOT_NAME, clips)
        write_parquet(partial / TABLE_NAME, clips)
        report = write_report(partial / REPORT_NAME, source, clips)
        last = write_video(partial / VIDEO_NAME, source, clips, caption)
        (output / PICTURE_NAME).unlink(missing_ok=True)
        if len(source) == 1:
            write_png(partial / PICTURE_NAME, last)
    return GameStateFiles(
        gsr=output / gsr,
        mot=output / MOT_NAME,
        table=output / TABLE_NAME,
        video=output / (PICTURE_NAME if len(source) == 1 else VIDEO_NAME),
        report_file=output / REPORT_NAME,
        report=report,
    )


@contextmanager
def complete_or_nothing(output: Path) -> Iterator[Path]:
    """A folder whose files move to `output` when all are written, and are gone if that fails."""
    output.mkdir(parents=True, exist_ok=True)
    partial = output / ".writing"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        for path in sorted(partial.iterdir()):
            path.replace(output / path.name)
    finally:
        shutil.rmtree(partial)
