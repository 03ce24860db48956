"""From a checkpoint and a video to predictions, in windows, without the training code.

    predictor = Predictor(load_model("outputs/my_run"))
    for frame in predictor.frames(open_source("match.mp4")):
        print(frame.index, frame.athletes.boxes_xyxy_norm)

Heads that read patches look at every frame. Heads that read frame vectors look at one frame per
second of clips of up to 30 seconds. Memory is bounded by the window, not by the video.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from soccermaster.data.frame_source import FrameSource
from soccermaster.model import SoccerModel
from soccermaster.ops.precision import bfloat16_is_fast
from soccermaster.structures import (
    AlignmentPrediction,
    AthletesPrediction,
    Batch,
    CommentaryPrediction,
    EventPrediction,
    KeypointsPrediction,
    LinesPrediction,
)
from soccermaster.vocabulary import EVENTS


@dataclass(frozen=True)
class FramePredictions:
    """What was found in one frame; None for heads that the model does not have."""

    index: int  # from 0
    time_s: float
    image: UInt8[np.ndarray, "H W 3"]  # RGB, original size
    athletes: AthletesPrediction | None = None
    keypoints: KeypointsPrediction | None = None
    lines: LinesPrediction | None = None
    others: dict[str, Any] = field(default_factory=dict)  # frame predictions of further tasks

    def pitch_px(
        self, threshold: float | None = None
    ) -> tuple[dict[int, tuple[float, float]], dict[int, tuple[tuple[float, float], ...]]]:
        """Keypoints and line ends by number, in pixels of the frame: the input of `calibrate`.

        Args:
            threshold: those above this score; above that of their heads if None.
        """
        size = np.array([self.image.shape[1], self.image.shape[0]])
        points_px, lines_px = {}, {}
        if self.keypoints is not None:
            places_px = self.keypoints.points_norm.numpy() * size
            for i in self.keypoints.present(threshold).nonzero().flatten().tolist():
                points_px[i + 1] = tuple(places_px[i].tolist())
        if self.lines is not None:
            ends_px = self.lines.segments_norm.numpy() * size
            for i in self.lines.present(threshold).nonzero().flatten().tolist():
                first, second = ends_px[i].tolist()
                lines_px[i + 1] = (tuple(first), tuple(second))
        return points_px, lines_px

    def feet_px(
        self, threshold: float
    ) -> tuple[Float[np.ndarray, "n 2"], Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Where people with a score above `threshold` stand, with their roles and numbers."""
        if self.athletes is None:
            return np.zeros((0, 2)), np.zeros(0, int), np.zeros(0, int)
        people = self.athletes.scores > threshold
        boxes = self.athletes.boxes_xyxy_norm[people].double().numpy()
        feet = np.stack([boxes[:, [0, 2]].mean(axis=1), boxes[:, 3]], axis=1)
        size = [self.image.shape[1], self.image.shape[0]]
        return (
            feet * size,
            self.athletes.roles[people].numpy(),
            self.athletes.numbers[people].numpy(),
        )


@dataclass(frozen=True)
class ClipPredictions:
    """What happened in a stretch of video."""

    first: int  # frame index from 0
    last: int  # inclusive
    event: EventPrediction | None = None
    retrieval: tuple[tuple[str, float], ...] = ()  # texts with cosine similarity, best first
    commentary: CommentaryPrediction | None = None
    vector: Float[Tensor, " D"] | None = None  # in the space shared with text
    others: dict[str, Any] = field(default_factory=dict)  # clip predictions of further tasks


class Predictor:
    """A model with the bookkeeping that video needs.

    Args:
        model: in evaluation mode.
        texts: sentences among which the best for each clip are retrieved; the event classes when
            None.
        window: frames per forward pass of the heads that look at every frame.
        clip_seconds: length of the clips of the other heads.
        clip_fps: frames per second that those heads look at.
        top_texts: retrieved sentences per clip.
        device: "auto" takes a GPU when there is one.
        precision: "auto" computes in bfloat16 where the device is fast in it; "float32" does not.

    Raises:
        ValueError: a number is not positive, or there is no such device.
    """

    def __init__(
        self,
        model: SoccerModel,
        texts: Sequence[str] | None = None,
        window: int = 8,
        clip_seconds: float = 30.0,
        clip_fps: float = 1.0,
        top_texts: int = 3,
        device: str = "auto",
        precision: Literal["auto", "float32"] = "auto",
    ) -> None:
        for name, value in (
            ("window", window),
            ("clip_seconds", clip_seconds),
            ("clip_fps", clip_fps),
        ):
            if not value > 0:
                raise ValueError(f"expected {name} above 0, got {value}")
        self.device = _device(device)
        self.bfloat16 = precision == "auto" and bfloat16_is_fast(self.device)
        self.model = model.to(self.device).eval()
        self.texts = tuple(EVENTS if texts is None else texts)
        self.window = window
        self.clip_seconds = clip_seconds
        self.clip_fps = clip_fps
        self.top_texts = top_texts
        names = [n for n in model.check_names(None) if model.tasks[n].baseline_of is None]
        reads = {name: model.tasks[name].reads for name in names}
        self.frame_tasks = [name for name, read in reads.items() if "frames" not in read]
        self.clip_tasks = [name for name, read in reads.items() if "frames" in read]
        self._text_vectors: Tensor | None = None

    def image_size(self, task: str) -> tuple[int, int]:
        """(H, W) that a task was trained at; that of the encoder when it is not recorded."""
        sizes = (self.model.config or {}).get("input_sizes", {})
        height, width = sizes.get(task, self.model.encoder.image_size)
        return int(height), int(width)

    @torch.no_grad()
    def frames(
        self, source: FrameSource, first: int = 0, stop: int | None = None
    ) -> Iterator[FramePredictions]:
        """Predictions of every frame with an index in [first, stop), in order."""
        frames = itertools.islice(source.iter(), first, stop)
        while window := list(itertools.islice(frames, self.window)):
            yield from self.predict_frames(window)

    @torch.no_grad()
    def predict_frames(
        self, window: Sequence[tuple[int, float, UInt8[np.ndarray, "H W 3"]]]
    ) -> list[FramePredictions]:
        """Predictions of some frames (index, time in seconds, RGB), one pass per input size."""
        found: list[dict[str, Any]] = [{} for _ in window]
        for size, tasks in self._by_size(self.frame_tasks).items():
            images = np.stack([_resize(image, size) for _, _, image in window])
            for name, predictions in self._run(images[:, None], tasks).items():  # T = 1
                for row, prediction in zip(found, predictions, strict=True):
                    kind = _FIELDS.get(type(prediction))
                    (row if kind else row.setdefault("others", {}))[kind or name] = prediction
        return [
            FramePredictions(index, time_s, image, **row)
            for (index, time_s, image), row in zip(window, found, strict=True)
        ]

    def clips(self, source: FrameSource) -> Iterator[ClipPredictions]:
        """Predictions of the clips of a video, one after the other; the last may be shorter."""
        fps, total = source.info.fps, len(source)
        length = max(1, round(self.clip_seconds * fps))
        for first in range(0, total, length):
            yield self.predict_clip(source, first, min(first + length, total))

    @torch.no_grad()
    def predict_clip(self, source: FrameSource, first: int, stop: int) -> ClipPredictions:
        """Predictions of the frames [first, stop) as one clip."""
        step = source.info.fps / self.clip_fps
        wanted = np.arange(first + step / 2, stop, step).astype(int)
        if len(wanted) == 0:
            wanted = np.array([(first + stop - 1) // 2])
        return self._predict_clip(first, stop, lambda size: source.read(wanted.tolist(), size))

    @torch.no_grad()
    def sliding_clips(
        self, source: FrameSource, stride_s: float
    ) -> Iterator[tuple[ClipPredictions, UInt8[np.ndarray, "H W 3"]]]:
        """Predictions of overlapping clips, with the picture in the middle of each.

        The source is decoded once. The last clip ends with the video; a video shorter than a clip
        is one clip.

        Args:
            source: of the frames.
            stride_s: seconds from the start of one clip to the next.
        """
        step, total = source.info.fps / self.clip_fps, len(source)
        wanted = np.arange(step / 2, total, step).astype(int)
        if len(wanted) == 0:
            wanted = np.array([(total - 1) // 2])
        length = min(len(wanted), max(1, round(self.clip_seconds * self.clip_fps)))
        stride = max(1, round(stride_s * self.clip_fps))
        window: collections.deque[np.ndarray] = collections.deque(maxlen=length)
        for count, frame in enumerate(source.stream(wanted.tolist()), start=1):
            window.append(frame)
            due = (count - length) % stride == 0 or count == len(wanted)
            if count >= length and due:
                first = round((count - length) * step)
                stop = min(round(count * step), total)
                clip = self._predict_clip(
                    first, stop, lambda size: np.stack([_resize(f, size) for f in window])
                )
                yield clip, window[length // 2]

    @property
    def can_search(self) -> bool:
        """Whether the model aligns video and text, so that moments can be found by a sentence."""
        return self._aligning_task() is not None

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "n D"]:
        """Vectors of some texts, whose products with `ClipPredictions.vector` are similarities.

        Raises:
            ValueError: the model has no head that aligns video and text, or no text tower.
        """
        name = self._aligning_task()
        if name is None:
            raise ValueError(
                "expected a model that aligns video and text, got one without such a head. Train "
                "it with task=[alignment], or choose checkpoint=soccermaster-tiny."
            )
        return self.model.tasks[name].encode_text(texts).cpu()

    def _aligning_task(self) -> str | None:
        names = (n for n in self.clip_tasks if hasattr(self.model.tasks[n], "encode_text"))
        return next(names, None)

    def _predict_clip(
        self,
        first: int,
        stop: int,
        read: Callable[[tuple[int, int]], UInt8[np.ndarray, "T H W 3"]],
    ) -> ClipPredictions:
        """Predictions of frames that `read` gives in the size that it is asked for."""
        event, retrieval, vector, commentary, others = None, (), None, None, {}
        for size, tasks in self._by_size(self.clip_tasks).items():
            for name, (prediction,) in self._run(read(size)[None], tasks).items():
                if isinstance(prediction, EventPrediction):
                    event = prediction
                elif isinstance(prediction, AlignmentPrediction):
                    vector = prediction.video
                    retrieval = self._retrieve(name, vector)
                elif isinstance(prediction, CommentaryPrediction):
                    commentary = prediction
                else:
                    others[name] = prediction
        return ClipPredictions(first, stop - 1, event, retrieval, commentary, vector, others)

    def _retrieve(self, task: str, video: Tensor) -> tuple[tuple[str, float], ...]:
        alignment = self.model.tasks[task]
        if not self.texts or alignment.text is None:
            return ()
        if self._text_vectors is None:
            self._text_vectors = alignment.encode_text(self.texts).cpu()
        scores, order = (self._text_vectors @ video).topk(min(self.top_texts, len(self.texts)))
        return tuple((self.texts[i], float(s)) for i, s in zip(order.tolist(), scores, strict=True))

    def _by_size(self, tasks: Sequence[str]) -> dict[tuple[int, int], list[str]]:
        groups: dict[tuple[int, int], list[str]] = {}
        for name in tasks:
            groups.setdefault(self.image_size(name), []).append(name)
        return groups

    def _run(
        self, frames: UInt8[np.ndarray, "B T H W 3"], tasks: Sequence[str]
    ) -> dict[str, list[Any]]:
        """Decoded predictions of some tasks, on the CPU."""
        images = torch.from_numpy(rearrange(frames, "B T H W C -> B T C H W").copy())
        mask = torch.ones(images.shape[:2], dtype=torch.bool)
        batch = Batch(images=images, frame_mask=mask).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            outputs = self.model.run(batch, tasks)
        decoded = {name: self.model.tasks[name].decode(o, batch) for name, o in outputs.items()}
        return {name: [_to_cpu(p) for p in predictions] for name, predictions in decoded.items()}


_FIELDS = {
    AthletesPrediction: "athletes",
    KeypointsPrediction: "keypoints",
    LinesPrediction: "lines",
}


def _to_cpu(prediction: Any) -> Any:
    """A tensor, or a dataclass of tensors, on the CPU in float32; anything else as it is."""
    if isinstance(prediction, Tensor):
        return prediction.float().cpu() if prediction.is_floating_point() else prediction.cpu()
    if not dataclasses.is_dataclass(prediction):
        return prediction
    changed = {k: _to_cpu(v) for k, v in vars(prediction).items() if isinstance(v, Tensor)}
    return dataclasses.replace(prediction, **changed)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"expected a device of this machine (cpu, cuda), got '{name}'") from error
    return device


def _resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
