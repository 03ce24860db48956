"""How frames are seen through a homography: sampled once, and averaged where they shrink.

A homography maps continuous pixels: (0, 0) is the corner of the first pixel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from soccermaster.data.images import reduction, resize_image
from soccermaster.geometry import apply_homography

# Bilinear samples lie at most so many source pixels apart; nearer ones are averaged.
_SAMPLE_STEP = 1.9
# A frame is reduced as long as it keeps so many pixels per pixel of the result: halved, or further.
# A halved one loses little of what is coarser than two pixels, a further reduced one more.
_KEPT_IN_HALVES = 0.65
_KEPT_BELOW = 1.3
_MOST_SAMPLES = 8  # per axis and pixel of the result


@dataclass(frozen=True)
class FrameWarp:
    """A homography for frames of one size, with all that can be known before they are decoded.

    Attributes:
        output_from_input: in continuous pixels; it may mirror.
        input_size: (H, W) of the pixels that it starts from; the frames may be of another size, as
            long as they show the same view.
        output_size: (H, W) of the result.
    """

    output_from_input: Float[np.ndarray, "3 3"]
    input_size: tuple[int, int]
    output_size: tuple[int, int]

    @property
    def at_least(self) -> tuple[int, int]:
        """(h, w) of the whole frame below which the result would lose detail."""
        shrinks = np.linalg.norm(self._input_per_output(), axis=1)[::-1]  # along input y and x
        kept = _KEPT_BELOW if shrinks.min() >= 2 * _KEPT_BELOW else _KEPT_IN_HALVES
        return tuple(
            min(n, max(1, int(np.ceil(n * kept / max(shrink, 1.0)))))
            for n, shrink in zip(self.input_size, shrinks, strict=True)
        )

    def __call__(
        self, frames: Iterable[UInt8[np.ndarray, "H W 3"]], num_frames: int
    ) -> UInt8[np.ndarray, "T h w 3"]:
        """The warped frames; what was outside of the input is black.

        Args:
            frames: of one size.
            num_frames: T, how many there are.
        """
        warped = np.empty((num_frames, *self.output_size, 3), np.uint8)
        is_resize = np.allclose(
            self.output_from_input, resize_homography(self.input_size, self.output_size), atol=1e-9
        )
        at_least = self.at_least
        sampler: _Sampler | None = None
        for frame, target in zip(frames, warped, strict=True):
            if is_resize:
                target[:] = resize_image(frame, self.output_size)
                continue
            factor = reduction(frame.shape[:2], at_least)
            frame = resize_image(frame, (frame.shape[0] // factor, frame.shape[1] // factor))
            if sampler is None:
                sampler = self._sampler(frame.shape[:2])
            sampler(frame, target)
        return warped

    def _sampler(self, frame_size: tuple[int, int]) -> _Sampler:
        frame_from_input = resize_homography(self.input_size, frame_size)
        frame_per_output = frame_from_input[:2, :2] @ self._input_per_output()
        steps = np.linalg.norm(frame_per_output, axis=0)  # along x and y of the result
        many_x, many_y = np.clip(np.ceil(steps / _SAMPLE_STEP), 1, _MOST_SAMPLES).astype(int)
        frame_from_samples = (
            frame_from_input
            @ np.linalg.inv(self.output_from_input)
            @ np.diag([1 / many_x, 1 / many_y, 1.0])
        )
        height, width = self.output_size
        return _Sampler(frame_from_samples, (height * int(many_y), width * int(many_x)))

    def _input_per_output(self) -> Float[np.ndarray, "2 2"]:
        """How far input x and y (rows) move per pixel of output x and y (columns), on the whole."""
        height, width = self.output_size
        grid = np.stack(
            np.meshgrid((np.arange(8) + 0.5) / 8 * width, (np.arange(8) + 0.5) / 8 * height),
            axis=-1,
        ).reshape(-1, 2)
        input_from_output = np.linalg.inv(self.output_from_input)
        columns = []
        for half in ((0.5, 0.0), (0.0, 0.5)):
            ends = [apply_homography(input_from_output, grid + s * np.array(half)) for s in (1, -1)]
            columns.append(np.median(np.abs(ends[0] - ends[1]), axis=0))
        return np.stack(columns, axis=1)


class _Sampler:
    """Samples many frames at the same places, which are worked out once.

    Args:
        frame_from_samples: from the pixels of the samples to those of the frames.
        size: (H, W) of the samples; a multiple of the size of the result.
    """

    def __init__(self, frame_from_samples: Float[np.ndarray, "3 3"], size: tuple[int, int]) -> None:
        x = (np.arange(size[1], dtype=np.float32) + 0.5)[None, :]
        y = (np.arange(size[0], dtype=np.float32) + 0.5)[:, None]
        u, v, w = (
            np.float32(row[0]) * x + (np.float32(row[1]) * y + np.float32(row[2]))
            for row in frame_from_samples / frame_from_samples[2, 2]
        )
        np.maximum(w, 1e-6, out=w)  # beyond the horizon is far outside
        # OpenCV counts from the centre of the first pixel, we count from its corner.
        u, v = (np.clip(p / w - np.float32(0.5), -9999, 19999) for p in (u, v))
        self._places = cv2.convertMaps(u, v, cv2.CV_16SC2)
        self._samples: np.ndarray | None = None

    def __call__(self, frame: np.ndarray, target: np.ndarray) -> None:
        """Write the samples, averaged down to its size, into `target`."""
        is_direct = self._places[0].shape[:2] == target.shape[:2]
        self._samples = cv2.remap(
            frame,
            *self._places,
            cv2.INTER_LINEAR,
            dst=target if is_direct else self._samples,
            borderMode=cv2.BORDER_CONSTANT,
        )
        if not is_direct:
            height, width = target.shape[:2]
            cv2.resize(self._samples, (width, height), dst=target, interpolation=cv2.INTER_AREA)


def resize_homography(
    input_size: tuple[int, int], output_size: tuple[int, int]
) -> Float[np.ndarray, "3 3"]:
    """From the pixels of an image to those of its resized version; sizes are (H, W)."""
    return np.diag([output_size[1] / input_size[1], output_size[0] / input_size[0], 1.0])


def translation(offset: tuple[float, float] | np.ndarray) -> Float[np.ndarray, "3 3"]:
    """The homography that adds (x, y)."""
    return np.array([[1.0, 0.0, offset[0]], [0.0, 1.0, offset[1]], [0.0, 0.0, 1.0]])
