"""A local page: drop a video, see what a model sees in it, and find moments by a sentence.

    page = build_page(Predictor(load_model("soccermaster-tiny")))
    page.launch()

Needs the extra `demo` (gradio). Nothing leaves the machine: no fonts, no analytics, no sharing.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from soccermaster.data.frame_source import FrameSource, open_source
from soccermaster.downstream.search import MomentIndex, clock, embed_video
from soccermaster.downstream.watch import Watched, watch
from soccermaster.predict import ClipPredictions, Predictor
from soccermaster.viz.timeline import draw_timeline

if TYPE_CHECKING:
    import gradio

TITLE = "soccermaster"
_HELP = (
    "Drop a video. A stretch of it is looked at frame by frame: people, shirt numbers, the pitch "
    "projected by the camera that was found, and the map from above. All of it is searched."
)
_NUMBERS = ["number", "role", "frames", "score"]
#: How often gradio looks for files to remove, and how old they are then, in seconds.
_KEPT_S = (3600, 24 * 3600)


def build_page(predictor: Predictor, name: str = "", top_k: int = 5) -> gradio.Blocks:
    """The page; `launch` serves it. What the model has no heads for stays empty on it.

    Args:
        predictor: with the model.
        name: of the model, to be shown.
        top_k: moments per sentence.

    Raises:
        ValueError: gradio is not installed.
    """
    try:
        import gradio as gr
    except ModuleNotFoundError as error:
        raise ValueError("the page needs gradio: pip install 'soccermaster[demo]'") from error

    folder = Path(tempfile.mkdtemp(prefix="soccermaster_demo_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

    def analyse(
        video: str | None, start_s: float | None, duration_s: float | None, fps: float | None
    ) -> tuple[str, str, str, np.ndarray | None, list[list[Any]], MomentIndex | None]:
        if video is None:
            raise gr.Error("Drop a video first.")
        if start_s is None or duration_s is None or fps is None:
            raise gr.Error("Say from where, how long, and how many frames per second.")
        try:
            source = open_source(video)
            # one analysis runs at a time, and gradio copies what it shows: the next one writes over
            watched = watch(predictor, source, folder, start_s, duration_s, fps)
            index, timeline = index_and_timeline(predictor, source)
        except ValueError as error:
            raise gr.Error(str(error)) from error
        numbers = [[n.number, n.role, n.frames, round(n.score, 2)] for n in watched.numbers]
        overlay, pitch_map = str(watched.overlay), str(watched.pitch_map)
        return summary(watched, index), overlay, pitch_map, timeline, numbers, index

    def find(index: MomentIndex | None, sentence: str) -> list[tuple[np.ndarray, str]]:
        try:
            predictor.embed_texts([])  # raises where nothing can be searched
            if index is None:
                raise ValueError("Analyse a video first.")
            moments = index.search(predictor, sentence, top_k)
        except ValueError as error:
            raise gr.Error(str(error)) from error
        return [
            (_picture(m.thumbnail), f"{clock(m.start_s)}-{clock(m.stop_s)}  {m.score:.2f}")
            for m in moments
        ]

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=_KEPT_S) as page:
        gr.Markdown(f"# {TITLE} {name}\n\n{_HELP}")
        index = gr.State(None)
        with gr.Row():
            video = gr.Video(label="Video", sources=["upload"], elem_id="video")
            with gr.Column():
                start_s = gr.Number(0, label="from (s)", minimum=0)
                duration_s = gr.Number(10, label="how long (s)", minimum=0.2, maximum=60)
                fps = gr.Number(5, label="frames per second", minimum=0.2, maximum=25)
                button = gr.Button("Analyse", variant="primary", elem_id="analyse")
                status = gr.Markdown(elem_id="status")
        with gr.Row():
            overlay = gr.Video(label="People and pitch", elem_id="overlay", autoplay=True)
            pitch_map = gr.Video(label="From above", elem_id="map", autoplay=True)
        with gr.Row():
            timeline = gr.Image(label="Events over time", elem_id="events", interactive=False)
            numbers = gr.Dataframe(
                headers=_NUMBERS, label="Shirt numbers", elem_id="numbers", interactive=False
            )
        with gr.Row():
            sentence = gr.Textbox(
                label="Find a moment", placeholder="a corner for [TEAM]", elem_id="query"
            )
            search = gr.Button("Find", elem_id="find")
        gallery = gr.Gallery(
            label="Moments", elem_id="moments", columns=top_k, height="auto", preview=False
        )
        button.click(
            analyse,
            [video, start_s, duration_s, fps],
            [status, overlay, pitch_map, timeline, numbers, index],
        )
        for event in (search.click, sentence.submit):
            event(find, [index, sentence], gallery)
    return page


def launch(
    page: gradio.Blocks, port: int | None = None, wait: bool = True, browser: bool = False
) -> str:
    """Serve the page on this machine alone.

    Args:
        page: of `build_page`.
        port: a free one from 7860 up when None.
        wait: until Ctrl-C; else the address is returned at once.
        browser: open the page in the browser of the desktop, where there is one.

    Returns:
        The address.
    """
    import gradio as gr

    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    _, address, _ = page.launch(
        server_name="127.0.0.1",
        server_port=port,
        share=False,
        prevent_thread_lock=True,
        inbrowser=browser and _has_desktop(),
        quiet=True,
        theme=theme,
    )
    if wait:
        print(f"Open {address} (Ctrl-C ends it)", flush=True)
        page.block_thread()
    return address


def summary(watched: Watched, index: MomentIndex | None) -> str:
    """What was seen, in one line."""
    clips = "no" if index is None else len(index.vectors)
    return (
        f"{watched.num_frames} frames, {watched.num_cameras} with a camera, "
        f"{watched.people_per_frame:.1f} people per frame; {clips} clips to search"
    )


def index_and_timeline(
    predictor: Predictor, source: FrameSource
) -> tuple[MomentIndex | None, np.ndarray | None]:
    """The index of a video and a picture of its events; None for what the model has no head for."""
    stride_s = predictor.clip_seconds / 3
    if predictor.can_search:
        index = embed_video(predictor, source, stride_s)
        if not index.event_classes:
            return index, None
        return index, draw_timeline(index.times_s, index.event_scores, index.event_classes)
    if not predictor.clip_tasks:
        return None, None
    clips = [clip for clip, _ in predictor.sliding_clips(source, stride_s)]
    return None, _timeline(clips, source.info.fps)


def _timeline(clips: Sequence[ClipPredictions], fps: float) -> np.ndarray | None:
    told = [(clip, clip.event) for clip in clips if clip.event is not None]
    if not told:
        return None
    times_s = np.array([(clip.first / fps, (clip.last + 1) / fps) for clip, _ in told])
    scores = np.stack([event.scores.numpy() for _, event in told])
    return draw_timeline(times_s, scores, told[0][1].classes)


def _has_desktop() -> bool:
    screens = ("DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in screens)


def _picture(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
