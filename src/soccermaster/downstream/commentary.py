"""Commentary of a whole match: a timed sentence for every stretch of a video."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from soccermaster.data.frame_source import FrameSource, open_source
from soccermaster.data.synthetic.files import write_json
from soccermaster.data.video import VideoWriter
from soccermaster.predict import Predictor
from soccermaster.viz.draw import draw_banner

JSON_NAME = "commentary.json"
SRT_NAME = "commentary.srt"
VIDEO_NAME = "commentary.mp4"


@dataclass(frozen=True)
class TimedSentence:
    """A sentence and the stretch of video that it is about; times from the start of the video."""

    start_s: float
    end_s: float
    text: str
    event: str | None = None  # where the model classifies events too


@dataclass(frozen=True)
class CommentaryFiles:
    """What was written."""

    json: Path
    srt: Path
    video: Path | None  # with the sentences in the picture, without sound
    sentences: tuple[TimedSentence, ...]


def write_commentary(
    predictor: Predictor,
    input: Path | str,
    output: Path | str,
    burn_in: bool = False,
    fps: float = 25.0,
) -> CommentaryFiles:
    """Comment a video, a folder of pictures or a picture; files get their names when complete.

    Args:
        predictor: a model with a commentary head; its `clip_seconds` is the length of the
            stretches.
        input: what to look at.
        output: folder for `commentary.json` (start_s, end_s, text, event) and `commentary.srt`,
            made if necessary.
        burn_in: write `commentary.mp4` too, which shows the sentences.
        fps: of a folder of pictures.

    Raises:
        ValueError: the model has no commentary head.
        VideoError: the input cannot be read.
    """
    source = open_source(input, fps)
    total = len(source) / source.info.fps
    stretches = max(1, round(total / predictor.clip_seconds))
    found = track(comment(predictor, source), "commenting", total=stretches)
    sentences = tuple(found)
    output = Path(output)
    write_json(output / JSON_NAME, [dataclasses.asdict(sentence) for sentence in sentences])
    partial = output / f".{SRT_NAME}.writing"
    partial.write_text(to_srt(sentences), encoding="utf-8")
    partial.replace(output / SRT_NAME)
    video = output / VIDEO_NAME if burn_in else None
    if video is not None:
        show(source, sentences, video)
    files = CommentaryFiles(output / JSON_NAME, output / SRT_NAME, video, sentences)
    names = ", ".join(str(p) for p in (files.json, files.srt, files.video) if p is not None)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{len(sentences)} sentences: {names}", markup=False)
    return files


def comment(predictor: Predictor, source: FrameSource) -> Iterator[TimedSentence]:
    """The sentences of a video, one stretch after the other; the last may be shorter.

    Raises:
        ValueError: the model has no commentary head.
    """
    times_s, frame_s = source.times_s, 1 / source.info.fps
    for clip in predictor.clips(source):
        if clip.commentary is None:
            raise ValueError(
                "expected a model with a commentary head, got one with the tasks "
                f"{sorted(predictor.model.tasks)}. Train one with experiment=commentary."
            )
        yield TimedSentence(
            start_s=round(float(times_s[clip.first]), 3),
            end_s=round(float(times_s[clip.last]) + frame_s, 3),
            text=clip.commentary.text,
            event=None if clip.event is None else clip.event.event,
        )


def to_srt(sentences: Sequence[TimedSentence]) -> str:
    """Subtitles in SubRip's format, which players show beside the video."""
    cues = [
        f"{number}\n{_clock(s.start_s)} --> {_clock(s.end_s)}\n{' '.join(s.text.split())}\n"
        for number, s in enumerate(sentences, start=1)
    ]
    return "\n".join(cues)


def show(source: FrameSource, sentences: Sequence[TimedSentence], path: Path | str) -> None:
    """Write a video with each sentence in the frames that it is about; without sound."""
    size, times_s = (source.info.height, source.info.width), source.times_s
    with VideoWriter(path, source.info.fps, size) as writer:
        for index, _, image in track(source.iter(), "drawing", total=len(source)):
            now_s = round(float(times_s[index]), 3)
            shown = [s.text for s in sentences if s.start_s <= now_s < s.end_s]
            writer.write(draw_banner(image, shown))


def _clock(seconds: float) -> str:
    milliseconds = round(1000 * seconds)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d},{milliseconds % 1000:03d}"
