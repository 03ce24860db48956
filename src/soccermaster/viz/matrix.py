"""A table of numbers as colours: attention between frames, similarities, confusions."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from soccermaster.viz.canvas import font_px, text_size, write_text

_BACKGROUND = 32
_GAP_PX = 4


def draw_matrix(
    values: Float[np.ndarray, "n m"] | Float[Tensor, "n m"],
    labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    value_range: tuple[float, float] | None = None,
    size_px: int = 480,
) -> UInt8[np.ndarray, "H W 3"]:
    """A matrix as coloured cells, dark for the lowest value and bright for the highest.

    Labels that would touch the one before are left out.

    Args:
        values: row 0 on top.
        labels: of the rows, or none.
        column_labels: of the columns, or none.
        value_range: darkest and brightest value; lowest and highest of the matrix if None.
        size_px: of the longer side of the cells, about.

    Raises:
        ValueError: a value is not finite, or there is not one label per row or column.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu().double().numpy()
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"expected a matrix of finite numbers, got shape {values.shape}")
    for name, given, count in zip(("row", "column"), (labels, column_labels), values.shape,
                                  strict=True):  # fmt: skip
        if given and len(given) != count:
            raise ValueError(f"expected one label per {name} ({count}), got {len(given)}")
    low, high = value_range or (values.min(), values.max())
    level = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    colours = cv2.applyColorMap(np.rint(level * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    cell_px = max(1, size_px // max(values.shape))
    cells = np.kron(colours[..., ::-1], np.ones((cell_px, cell_px, 1), np.uint8))
    text_px = font_px(cells, 1 / 30)
    step_px = text_size("", text_px)[1]
    left = max((text_size(label, text_px)[0] for label in labels), default=-_GAP_PX) + 2 * _GAP_PX
    top = (step_px if column_labels else -_GAP_PX) + 2 * _GAP_PX
    height, width = cells.shape[0] + top + _GAP_PX, cells.shape[1] + left + _GAP_PX
    image = np.full((height, width, 3), _BACKGROUND, np.uint8)
    image[top : top + cells.shape[0], left : left + cells.shape[1]] = cells
    free_px = 0.0
    for row, label in enumerate(labels):
        middle_px = top + (row + 0.5) * cell_px
        if middle_px - step_px / 2 >= free_px:
            place_px = (left - _GAP_PX, middle_px)
            write_text(image, label, place_px, text_px, anchor=(1.0, 0.5), backing=0)
            free_px = middle_px + step_px / 2
    free_px = 0.0
    for column, label in enumerate(column_labels):
        middle_px = left + (column + 0.5) * cell_px
        half_px = text_size(label, text_px)[0] / 2
        if middle_px - half_px >= free_px:
            place_px = (middle_px, top - _GAP_PX)
            write_text(image, label, place_px, text_px, anchor=(0.5, 1.0), backing=0)
            free_px = middle_px + half_px + _GAP_PX
    return image
