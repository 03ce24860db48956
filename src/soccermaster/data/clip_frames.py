"""Which frames of a video make a clip: consecutive ones, or some spread over a stretch of time.

Both count in seconds, so a video of any rate, also a variable one, gives the same moments.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from soccermaster.data.frame_source import FrameSource
from soccermaster.data.images import VideoError

# Times come from divisions and are rounded to the clock of the container (1 ms in Matroska).
_TOLERANCE_S = 1.5e-3


def consecutive_frames(
    source: FrameSource, start_s: float = 0.0, num_frames: int = 30, fps: float = 25.0
) -> Int[np.ndarray, " T"]:
    """The frames on screen at `fps` moments per second, from `start_s` on.

    Args:
        source: video or pictures.
        start_s: time of the first one.
        num_frames: T.
        fps: moments per second; a video with fewer frames per second shows some twice.

    Raises:
        VideoError: the video ends before.
    """
    wanted_s = start_s + np.arange(num_frames) / fps
    _check_inside(source, float(wanted_s[0]), float(wanted_s[-1]), f"{num_frames} frames")
    return _on_screen(source, wanted_s)


def spread_frames(
    source: FrameSource,
    num_frames: int = 30,
    start_s: float = 0.0,
    duration_s: float | None = None,
    short: Literal["error", "pad"] = "error",
) -> tuple[Int[np.ndarray, " T"], Bool[np.ndarray, " T"]]:
    """The frame on screen in the middle of each of T equal intervals.

    Args:
        source: video or pictures.
        num_frames: T.
        start_s: where the first interval begins.
        duration_s: of all intervals; None: up to the end of the video.
        short: what to do about a video of fewer frames than T: "error", or "pad": take them all,
            and the last one again for the rest.

    Returns:
        indices: ascending frame numbers.
        frame_mask: False where the last frame is repeated.

    Raises:
        VideoError: the stretch is not inside the video, or has too few frames.
    """
    if duration_s is None:
        duration_s = source.info.duration_s - start_s
    _check_inside(source, start_s, start_s + duration_s, f"{duration_s:.3f} s")
    every = np.flatnonzero(
        (source.times_s >= start_s - _TOLERANCE_S)
        & (source.times_s < start_s + duration_s - _TOLERANCE_S)
    )
    if len(every) >= num_frames:
        middles_s = start_s + (np.arange(num_frames) + 0.5) * duration_s / num_frames
        return _on_screen(source, middles_s), np.ones(num_frames, bool)
    if short == "error" or not len(every):
        raise VideoError(
            f"{source.info.path}: expected at least {num_frames} frames, got {len(every)}. "
            "Leave this video out, or ask for fewer frames."
        )
    place = np.arange(num_frames)
    return every[np.minimum(place, len(every) - 1)], place < len(every)


def _check_inside(source: FrameSource, first_s: float, last_s: float, wanted: str) -> None:
    end_s = source.info.duration_s
    if not (first_s >= -_TOLERANCE_S and last_s <= end_s + _TOLERANCE_S):
        raise VideoError(
            f"{source.info.path}: expected {wanted} from {first_s:.3f} s to {last_s:.3f} s, got a "
            f"video of {end_s:.3f} s. Leave this video out, or ask for a shorter clip."
        )


def _on_screen(source: FrameSource, times_s: Float[np.ndarray, " T"]) -> Int[np.ndarray, " T"]:
    found = np.searchsorted(source.times_s, times_s + _TOLERANCE_S, side="right") - 1
    return np.maximum(found, 0)
