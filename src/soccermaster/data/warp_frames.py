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
_SAMPLE_STEP = 2.0
# A frame is not reduced below this many pixels per pixel of the result: it loses less than
# interpolation does.
_PIXELS_KEPT = 0.85
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
        rows = np.linalg.norm(self._input_per_output(), axis=1)  # of input x and y
        return tuple(
            min(n, max(1, int(np.ceil(n * _PIXELS_KEPT / max(per_output, 1.0)))))
            for n, per_output in zip(self.input_size, rows[::-1], strict=True)
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
        for frame, target in zip(frames, warped, strict=True):
            if is_resize:
                target[:] = resize_image(frame, self.output_size)
            else:
                self._sample(frame, target)
        return warped

    def _sample(self, frame: np.ndarray, target: np.ndarray) -> None:
        height, width = frame.shape[:2]
        factor = reduction((height, width), self.at_least)
        frame = resize_image(frame, (height // factor, width // factor))
        frame_from_input = resize_homography(self.input_size, frame.shape[:2])
        frame_per_output = frame_from_input[:2, :2] @ self._input_per_output()
        steps = np.linalg.norm(frame_per_output, axis=0)  # along x and y of the result
        many_x, many_y = np.clip(np.ceil(steps / _SAMPLE_STEP), 1, _MOST_SAMPLES).astype(int)
        samples_from_frame = (
            np.diag([many_x, many_y, 1.0])
            @ self.output_from_input
            @ np.linalg.inv(frame_from_input)
        )
        # OpenCV counts from the centre of the first pixel, we count from its corner.
        matrix = translation((-0.5, -0.5)) @ samples_from_frame @ translation((0.5, 0.5))
        out_height, out_width = self.output_size
        samples = cv2.warpPerspective(
            frame,
            matrix,
            (out_width * int(many_x), out_height * int(many_y)),
            dst=target if many_x == many_y == 1 else None,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
        )
        if samples is not target:
            cv2.resize(samples, (out_width, out_height), dst=target, interpolation=cv2.INTER_AREA)

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


def resize_homography(
    input_size: tuple[int, int], output_size: tuple[int, int]
) -> Float[np.ndarray, "3 3"]:
    """From the pixels of an image to those of its resized version; sizes are (H, W)."""
    return np.diag([output_size[1] / input_size[1], output_size[0] / input_size[0], 1.0])


def translation(offset: tuple[float, float] | np.ndarray) -> Float[np.ndarray, "3 3"]:
    """The homography that adds (x, y)."""
    return np.array([[1.0, 0.0, offset[0]], [0.0, 1.0, offset[1]], [0.0, 0.0, 1.0]])
