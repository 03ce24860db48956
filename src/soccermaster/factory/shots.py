"""Shots of a video, and which of them the main camera took.

A cut is where the colours of the picture change at once. The main camera stands high beside the
halfway line and sees mostly grass with small people on it; where SoccerNet's `Labels-cameras.json`
lies beside the video, its word counts instead, for replays from similar places look alike.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from soccermaster.factory.records import Records, make_table
from soccermaster.factory.stage import ClipContext, Stage, StageError

LABELS_FILE = "Labels-cameras.json"
MAIN_CAMERA = "Main camera center"
_SIZE = (90, 160)
_BINS = (8, 4, 4)
_GRASS_LOW, _GRASS_HIGH = (30, 40, 30), (90, 255, 255)
#: Frames on each side with which a change is compared.
_NEIGHBOURS = 12
#: Of changes so few frames apart the largest is the cut: a flash or a wipe changes several frames.
_SAME_CUT = 4


class Shots(Stage):
    """Finds the shots of a video and names the camera of each: "main" or "other".

    Args:
        min_change: least share of the picture's colours that changes at a cut.
        times_usual: a cut also changes so many times more than the frames around it.
        min_frames: shorter shots are kept only if they are the whole video.
        trim_end_frames: left out at the end of a shot, where a wipe may begin; not at the end of
            the video.
        main_share: least share of the looked-at frames that show the main camera's view.
        use_labels: read `Labels-cameras.json` beside the video where there is one.
    """

    name = "shots"
    per_video = True
    provides = frozenset({"shots"})

    def __init__(
        self,
        min_change: float = 0.3,
        times_usual: float = 5.0,
        min_frames: int = 25,
        trim_end_frames: int = 10,
        main_share: float = 0.5,
        use_labels: bool = True,
    ) -> None:
        self.min_change, self.times_usual = min_change, times_usual
        self.min_frames, self.trim_end_frames = min_frames, trim_end_frames
        self.main_share, self.use_labels = main_share, use_labels

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        labels = _labels_beside(clip.source.info.path) if self.use_labels else None
        if labels is not None:
            shots = labelled_shots(labels, clip.fps, clip.num_frames)
        else:
            changes, main = [], []
            before = None
            for _, _, picture in clip.source.iter(_SIZE):
                histogram = colour_histogram(picture)
                changes.append(0.0 if before is None else _change(before, histogram))
                main.append(is_main_view(picture))
                before = histogram
            starts = find_cuts(np.array(changes), self.min_change, self.times_usual)
            shots = []
            for first, stop in zip(starts, [*starts[1:], clip.num_frames], strict=True):
                share = float(np.mean(main[first:stop]))
                shots.append((first, stop - 1, share >= self.main_share, share))
        kept = self._trimmed(shots, clip.num_frames)
        table = make_table(
            "shots",
            source=LABELS_FILE if labels is not None else "colour_change",
            frame=[first for first, _, _, _ in kept],
            last_frame=[last for _, last, _, _ in kept],
            camera=["main" if main else "other" for _, _, main, _ in kept],
            confidence=[share for _, _, _, share in kept],
        )
        return records.replace(shots=table)

    def _trimmed(
        self, shots: list[tuple[int, int, bool, float]], num_frames: int
    ) -> list[tuple[int, int, bool, float]]:
        if len(shots) == 1:
            return shots
        trimmed = []
        for first, last, main, share in shots:
            end = last if last == num_frames - 1 else last - self.trim_end_frames
            if end - first + 1 >= self.min_frames:
                trimmed.append((first, end, main, share))
        return trimmed


def colour_histogram(picture: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, " bins"]:
    """Share of the picture in each bin of hue, saturation and value, sum 1."""
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    counts = cv2.calcHist([hsv], [0, 1, 2], None, _BINS, [0, 180, 0, 256, 0, 256])
    return counts.ravel() / counts.sum()


def find_cuts(changes: Float[np.ndarray, " T"], min_change: float, times_usual: float) -> list[int]:
    """The first frame of each shot; the first one is 0.

    Args:
        changes: share of the colours that changes from the frame before, 0..1.
        min_change: least change of a cut.
        times_usual: how many times the median change around it.
    """
    starts = [0]
    for t in np.flatnonzero(changes >= min_change).tolist():
        around = changes[max(t - _NEIGHBOURS, 0) : t + _NEIGHBOURS + 1]
        nearest = changes[max(t - _SAME_CUT, 0) : t + _SAME_CUT + 1]
        if t and changes[t] >= times_usual * np.median(around) and changes[t] == nearest.max():
            starts.append(t)
    return starts


def is_main_view(picture: UInt8[np.ndarray, "H W 3"]) -> bool:
    """Grass over most of the lower picture, in nearly every column: nobody fills the frame."""
    grass = cv2.inRange(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV), _GRASS_LOW, _GRASS_HIGH) > 0
    lower: Bool[np.ndarray, "h w"] = grass[int(0.45 * grass.shape[0]) :]
    return bool(grass.mean() >= 0.3 and np.mean(lower.mean(axis=0) >= 0.6) >= 0.75)


def labelled_shots(
    labels: dict[str, Any], fps: float, num_frames: int
) -> list[tuple[int, int, bool, float]]:
    """First frame, last frame, whether it is the main camera live, and 1: it was annotated.

    Args:
        labels: `annotations` of the half, as in `Labels-cameras.json`: `position` is the end.
        fps: of the video.
        num_frames: of the video.
    """
    shots, first = [], 0
    for shot in sorted(labels["annotations"], key=lambda shot: int(shot["position"])):
        last = min(round(int(shot["position"]) / 1000 * fps), num_frames) - 1
        if last >= first:
            main = shot["label"] == MAIN_CAMERA and shot.get("replay", "real-time") == "real-time"
            shots.append((first, last, main, 1.0))
            first = last + 1
    return shots


def _labels_beside(video: Path) -> dict[str, Any] | None:
    """The shots of the half that a file such as `1_720p.mkv` shows."""
    file, half = video.parent / LABELS_FILE, re.match(r"([12])(_|\.|$)", video.name)
    if not file.is_file() or half is None:
        return None
    try:
        annotations = json.loads(file.read_text(encoding="utf-8"))["annotations"]
        mine = [a for a in annotations if str(a["gameTime"]).split("-")[0].strip() == half[1]]
        int(mine[0]["position"]) if mine else None
    except (KeyError, ValueError, TypeError) as error:
        raise StageError(f"{file}: expected SoccerNet camera labels, got {error!r}") from error
    return {"annotations": mine} if mine else None


def _change(before: np.ndarray, after: np.ndarray) -> float:
    return float(np.abs(before - after).sum() / 2)
