"""Find the moments of a match by a sentence: embed the video once, then search in a small file.

    index = open_index(predictor, "match.mp4", "match.index")   # embeds, or reads what is there
    for moment in index.search(predictor, "a corner from the left", top_k=5):
        print(moment.start_s, moment.stop_s, moment.score)

The index is one safetensors file: a vector per clip, times, event scores and thumbnails.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from rich.progress import track
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from soccermaster.data.frame_source import FrameSource, encode_frame, open_source
from soccermaster.model import SoccerModel
from soccermaster.predict import Predictor

#: Width of thumbnails in pixels.
THUMBNAIL_PX = 320
#: Moments of one answer share less than this fraction of their time.
_MOST_SHARED = 0.5
_VERSION = 1


class SearchIndexError(ValueError):
    """An index is damaged, or belongs to another video or model."""


@dataclass(frozen=True)
class Moment:
    """A stretch of the video that a sentence fits."""

    start_s: float
    stop_s: float
    score: float  # cosine similarity, -1..1
    event: str | None  # most likely class, where the model tells events
    thumbnail: bytes  # JPEG of the middle


@dataclass(frozen=True, eq=False)
class MomentIndex:
    """N clips of a video, in the order of time.

    Attributes:
        vectors: in the space shared with text, L2-normalised.
        times_s: begin and end of each clip in seconds of the video.
        event_scores: of the C classes, which sum to 1; C is 0 for a model without events.
        event_classes: their names.
        thumbnails: a JPEG per clip.
        made_of: what the index was made of: the video, the model and the clips.
    """

    vectors: Float[np.ndarray, "N D"]
    times_s: Float[np.ndarray, "N 2"]
    event_scores: Float[np.ndarray, "N C"]
    event_classes: tuple[str, ...]
    thumbnails: tuple[bytes, ...]
    made_of: dict[str, Any]

    def search(self, predictor: Predictor, sentence: str, top_k: int = 5) -> list[Moment]:
        """The moments that fit a sentence best, best first; they hardly overlap.

        Raises:
            ValueError: the sentence is empty or `top_k` is not positive.
        """
        if not sentence.strip() or top_k < 1:
            raise ValueError(
                f"expected a sentence and top_k of at least 1, got {sentence!r} and {top_k}"
            )
        scores = self.vectors @ predictor.embed_texts([sentence])[0].numpy()
        chosen: list[int] = []
        for i in np.argsort(-scores, kind="stable").tolist():
            if all(_shared(self.times_s[i], self.times_s[j]) < _MOST_SHARED for j in chosen):
                chosen.append(i)
            if len(chosen) == top_k:
                break
        return [self._moment(i, float(scores[i])) for i in chosen]

    def save(self, path: Path | str) -> None:
        """Write the file; a reader never sees half of it."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.writing")
        arrays = {
            "vectors": self.vectors,
            "times_s": self.times_s,
            "event_scores": self.event_scores,
            "thumbnails": np.frombuffer(b"".join(self.thumbnails), np.uint8),
            "thumbnail_bytes": np.array([len(t) for t in self.thumbnails], np.int64),
        }
        header = {"version": _VERSION, "classes": self.event_classes, "made_of": self.made_of}
        save_file(arrays, partial, metadata={"soccermaster_index": json.dumps(header)})
        partial.replace(path)

    @classmethod
    def load(cls, path: Path | str) -> MomentIndex:
        """Read a file that `save` wrote.

        Raises:
            SearchIndexError: it is none, or of another version.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                header = json.loads((file.metadata() or {})["soccermaster_index"])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise SearchIndexError(
                f"expected an index of scripts/search.py at {path}, got {error!r}. Name another "
                "file with index=FILE, or make it again with input=VIDEO overwrite=true."
            ) from error
        if header.get("version") != _VERSION:
            raise SearchIndexError(
                f"expected version {_VERSION} of the index in {path}, got {header.get('version')}. "
                "Make it again with input=VIDEO overwrite=true."
            )
        ends = np.cumsum(arrays["thumbnail_bytes"])
        pictures = arrays["thumbnails"].tobytes()
        starts = ends - arrays["thumbnail_bytes"]
        thumbnails = tuple(pictures[a:b] for a, b in zip(starts, ends, strict=True))
        return cls(
            arrays["vectors"],
            arrays["times_s"],
            arrays["event_scores"],
            tuple(header["classes"]),
            thumbnails,
            header["made_of"],
        )

    def _moment(self, i: int, score: float) -> Moment:
        scores = self.event_scores[i]
        event = self.event_classes[int(scores.argmax())] if len(scores) else None
        start_s, stop_s = self.times_s[i].tolist()
        return Moment(start_s, stop_s, score, event, self.thumbnails[i])


def open_index(
    predictor: Predictor,
    input: Path | str | None,
    path: Path | str,
    stride_s: float = 10.0,
    fps: float = 25.0,
    overwrite: bool = False,
) -> MomentIndex:
    """The index of a video: read if it was made already, made and written otherwise.

    Args:
        predictor: the model and the length of clips.
        input: the video; None takes what the file is about.
        path: of the index.
        stride_s: seconds from one clip to the next; clips overlap.
        fps: of a folder of pictures.
        overwrite: replace a file that is the index of something else, or none.

    Raises:
        SearchIndexError: without `input`, there is no index or it is of another model; with it,
            the file is there already and of something else.
        VideoError: the video cannot be read.
    """
    path, model = Path(path), fingerprint(predictor.model)
    if input is None:
        index = MomentIndex.load(path)
        if index.made_of["model"] != model:
            raise SearchIndexError(
                f"expected the index {path} to be of this model, got one of another: their vectors "
                "cannot be compared. Make it again with input=VIDEO overwrite=true, or give its "
                "checkpoint."
            )
        return index
    source = open_source(input, fps)
    made_of = {"model": model, **_description(source, predictor, stride_s)}
    if path.is_file() and (index := _same_index(path, made_of, overwrite)) is not None:
        return index
    index = embed_video(predictor, source, stride_s)
    index.save(path)
    return index


def embed_video(predictor: Predictor, source: FrameSource, stride_s: float = 10.0) -> MomentIndex:
    """Embed overlapping clips of a video; it is decoded once.

    Raises:
        ValueError: the model has no head that aligns video and text.
    """
    predictor.embed_texts([])  # raises where nothing could be searched
    clips = predictor.sliding_clips(source, stride_s)
    vectors, times_s, scores, thumbnails, classes = [], [], [], [], ()
    for clip, picture in track(clips, "embedding", total=_num_clips(predictor, source, stride_s)):
        vectors.append(clip.vector.numpy())
        times_s.append((clip.first / source.info.fps, (clip.last + 1) / source.info.fps))
        if clip.event is not None:
            classes = clip.event.classes
            scores.append(clip.event.scores.numpy())
        thumbnails.append(encode_frame(_thumbnail(picture)))
    return MomentIndex(
        np.stack(vectors).astype(np.float32),
        np.array(times_s, np.float64),
        np.stack(scores) if scores else np.zeros((len(vectors), 0), np.float32),
        tuple(classes),
        tuple(thumbnails),
        {"model": fingerprint(predictor.model), **_description(source, predictor, stride_s)},
    )


def search_files(
    predictor: Predictor,
    index: MomentIndex,
    queries: Sequence[str],
    output: Path | str,
    top_k: int = 5,
) -> Path:
    """Write `moments.json` and a thumbnail per moment for some sentences.

    Args:
        predictor: the model of the index.
        index: of a video.
        queries: sentences.
        output: folder, made if necessary.
        top_k: moments per sentence.

    Returns:
        The path of `moments.json`.
    """
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    answers = []
    for q, query in enumerate(queries, start=1):
        moments = []
        for rank, moment in enumerate(index.search(predictor, query, top_k), start=1):
            name = f"query{q:02d}_{rank:02d}.jpg"
            (output / name).write_bytes(moment.thumbnail)
            moments.append(
                {
                    "start_s": round(moment.start_s, 3),
                    "stop_s": round(moment.stop_s, 3),
                    "score": round(moment.score, 4),
                    "event": moment.event,
                    "thumbnail": name,
                }
            )
        answers.append({"query": query, "moments": moments})
    path = output / "moments.json"
    path.write_text(json.dumps(answers, indent=2) + "\n", encoding="utf-8")
    return path


def fingerprint(model: SoccerModel) -> str:
    """A name of the weights: equal models have equal ones."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def clock(time_s: float) -> str:
    """A time of the video as minutes and seconds: "12:05"."""
    return f"{int(time_s) // 60:02d}:{int(time_s) % 60:02d}"


def _description(source: FrameSource, predictor: Predictor, stride_s: float) -> dict[str, Any]:
    path = source.info.path
    return {
        "video": path.name,
        "bytes": path.stat().st_size if path.is_file() else None,
        "num_frames": len(source),
        "fps": float(source.info.fps),
        "clip_seconds": float(predictor.clip_seconds),
        "clip_fps": float(predictor.clip_fps),
        "stride_s": float(stride_s),
    }


def _same_index(path: Path, made_of: Mapping[str, Any], overwrite: bool) -> MomentIndex | None:
    """The index in a file if it was made of that; None if it may be replaced."""
    try:
        index = MomentIndex.load(path)
    except SearchIndexError:
        if overwrite:
            return None
        raise
    others = [
        f"{name} {index.made_of.get(name)} (here: {value})"
        for name, value in made_of.items()
        if index.made_of.get(name) != value
    ]
    if not others:
        return index
    if overwrite:
        return None
    raise SearchIndexError(
        f"expected {path} to be the index of {made_of['video']} that is asked for, got one of "
        f"{', '.join(others)}. Name another file with index=FILE, or replace it with "
        "overwrite=true."
    )


def _num_clips(predictor: Predictor, source: FrameSource, stride_s: float) -> int:
    spare_s = len(source) / source.info.fps - predictor.clip_seconds
    return 1 + max(0, math.ceil(spare_s / stride_s))


def _thumbnail(picture: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
    height = max(1, round(picture.shape[0] * THUMBNAIL_PX / picture.shape[1]))
    return cv2.resize(picture, (THUMBNAIL_PX, height), interpolation=cv2.INTER_AREA)


def _shared(one: np.ndarray, other: np.ndarray) -> float:
    """Common time of two stretches, as a fraction of the shorter one."""
    common = min(one[1], other[1]) - max(one[0], other[0])
    return max(0.0, float(common / min(one[1] - one[0], other[1] - other[0])))
