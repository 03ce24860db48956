"""Where one shot of a video ends and the next begins: cuts, from colours alone."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

#: Frames on both sides of a cut share less than this much of their local colours. Neighbours of one
#: shot at 25 frames per second share 0.9 and more, pictures of different matches 0.02 to 0.54.
LEAST_SHARED = 0.7
_CELLS = 4  # along each side of the picture
_CELL_PX = (16, 24)  # height, width
_LEVELS = 8  # of each of red, green and blue


class CutDetector:
    """Fed with the frames of a video in order, says which of them begin a shot.

    Each sixteenth of the picture has a histogram of colours; a cut is where neighbours have little
    of them in common. Pans and zooms move colours between cells slowly. Dissolves are not found.

    Args:
        least_shared: a cut has less than this fraction in common.
    """

    def __init__(self, least_shared: float = LEAST_SHARED) -> None:
        self.least_shared = least_shared
        self._last: np.ndarray | None = None

    def begins_shot(self, frame: UInt8[np.ndarray, "H W 3"]) -> bool:
        """Whether there is a cut before this frame; the first frame begins a shot too."""
        last, self._last = self._last, local_colours(frame)
        return last is None or shared_colours(last, self._last) < self.least_shared


def local_colours(frame: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "16 512"]:
    """The histogram of colours in each cell of a picture; each sums to 1."""
    height, width = _CELL_PX
    small = cv2.resize(frame, (_CELLS * width, _CELLS * height), interpolation=cv2.INTER_AREA)
    level = small.astype(np.int64) // (256 // _LEVELS)
    colour = (level[..., 0] * _LEVELS + level[..., 1]) * _LEVELS + level[..., 2]
    cells = colour.reshape(_CELLS, height, _CELLS, width).swapaxes(1, 2).reshape(_CELLS**2, -1)
    counts = [np.bincount(cell, minlength=_LEVELS**3) for cell in cells]
    return np.stack(counts) / (height * width)


def shared_colours(one: Float[np.ndarray, "n c"], other: Float[np.ndarray, "n c"]) -> float:
    """How much of their histograms two pictures have in common, 0..1.

    Source: Swain and Ballard, Color Indexing, 1991 (histogram intersection).
    """
    return float(np.minimum(one, other).sum(axis=1).mean())
