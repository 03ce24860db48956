"""Many pictures at a glance: contact sheets, heatmaps over frames, patch features as colours."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from soccermaster.viz.canvas import canvas, text_size, wrap_text, write_text

_GAP_PX = 4
_BACKGROUND = 32


def contact_sheet(
    images: Sequence[UInt8[np.ndarray, "H W 3"]],
    columns: int = 4,
    captions: Sequence[str] | None = None,
    cell_size: tuple[int, int] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """Pictures in rows, each with a caption below.

    Args:
        images: RGB; every image is fitted into the cell and keeps its aspect.
        columns: pictures in a row.
        captions: one per image; long ones are wrapped.
        cell_size: (H, W) of a picture in pixels; that of the first image if None.

    Raises:
        ValueError: if there are no images, or the captions are not one per image.
    """
    if not images:
        raise ValueError("expected at least one image for a contact sheet, got none.")
    if captions is not None and len(captions) != len(images):
        raise ValueError(
            f"expected one caption per image ({len(images)}), got {len(captions)}. "
            "Give an empty string where there is nothing to say."
        )
    height, width = cell_size or images[0].shape[:2]
    text_px = max(10, width // 24)
    wrapped = [wrap_text(caption, text_px, width - text_px) for caption in captions or ()]
    step_px = text_size("", text_px)[1]
    caption_height = step_px * max((len(lines) for lines in wrapped), default=0)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    row_height, column_width = height + caption_height + _GAP_PX, width + _GAP_PX
    sheet_size = (rows * row_height + _GAP_PX, columns * column_width + _GAP_PX, 3)
    sheet = np.full(sheet_size, _BACKGROUND, np.uint8)
    for index, image in enumerate(images):
        top = _GAP_PX + index // columns * row_height
        left = _GAP_PX + index % columns * column_width
        sheet[top : top + height, left : left + width] = _fit(canvas(image), height, width)
        for row, line in enumerate(wrapped[index] if wrapped else ()):
            place_px = (left + text_px // 2, top + height + row * step_px)
            write_text(sheet, line, place_px, text_px, backing=0)
    return sheet


def heatmap_overlay(
    frame: UInt8[np.ndarray, "H W 3"],
    heatmap: Float[np.ndarray, "*k h w"] | Float[Tensor, "*k h w"],
    maximum: float | None = None,
    opacity: float = 0.75,
) -> UInt8[np.ndarray, "H W 3"]:
    """A heatmap over a frame: nothing is painted at 0, the colour is full at the maximum.

    Args:
        frame: RGB.
        heatmap: not negative; of several maps the largest value is shown.
        maximum: value of the full colour; the largest of the heatmap if None.
        opacity: of the full colour.
    """
    image = canvas(frame)
    heat = _numpy(heatmap)
    heat = heat.reshape(-1, *heat.shape[-2:]).max(0)
    maximum = float(heat.max()) if maximum is None else maximum
    level = np.clip(heat / maximum, 0, 1) if maximum > 0 else np.zeros_like(heat)
    level = cv2.resize(level, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap(np.rint(level * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    weight = opacity * np.sqrt(level)[..., None]
    return np.rint(image * (1 - weight) + colours[..., ::-1] * weight).astype(np.uint8)


def patch_pca(
    patches: Float[np.ndarray, "T N D"] | Float[Tensor, "T N D"], grid: tuple[int, int]
) -> UInt8[np.ndarray, "T h w 3"]:
    """Patch features as colours: their first three principal components as red, green and blue.

    The components are those of all frames together, so a colour means the same in every frame. Each
    is stretched from its 1st to its 99th percentile; its sign is such that the largest loading is
    positive. What does not vary is grey.

    Args:
        patches: of T frames.
        grid: (h, w) of the patches, h * w = N.

    Raises:
        ValueError: if the grid does not have N patches.

    Source: the pictures of patch features in Oquab et al., DINOv2, 2023.
    """
    features = _numpy(patches)
    frames, tokens, width = features.shape
    if grid[0] * grid[1] != tokens:
        raise ValueError(
            f"expected {grid[0]} * {grid[1]} = {grid[0] * grid[1]} patches per frame for the grid "
            f"{grid}, got {tokens}. Pass the grid of the same Features."
        )
    features = features.reshape(-1, width)
    features = features - features.mean(0)
    values, vectors = np.linalg.eigh(features.T @ features / len(features))
    vectors = vectors[:, ::-1][:, :3]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(vectors.shape[1])])
    components = np.full((len(features), 3), 0.5)
    varying = values[::-1][:3] > 1e-9 * max(values[-1], 1e-9)
    for channel in np.flatnonzero(varying):
        projected = features @ vectors[:, channel]
        low, high = np.percentile(projected, [1, 99])
        components[:, channel] = np.clip((projected - low) / max(high - low, 1e-12), 0, 1)
    return np.rint(components * 255).astype(np.uint8).reshape(frames, *grid, 3)


def _fit(image: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> np.ndarray:
    """Scale an image into a cell, centred; small ones (patch maps) keep hard edges."""
    scale = min(height / image.shape[0], width / image.shape[1])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    method = cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA
    fitted = image if scale == 1 else cv2.resize(image, size, interpolation=method)
    cell = np.full((height, width, 3), _BACKGROUND, np.uint8)
    top, left = (height - fitted.shape[0]) // 2, (width - fitted.shape[1]) // 2
    cell[top : top + fitted.shape[0], left : left + fitted.shape[1]] = fitted
    return cell


def _numpy(values: np.ndarray | Tensor) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu().float().numpy()
    return np.asarray(values, np.float64)
