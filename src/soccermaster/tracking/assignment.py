"""Which detection belongs to which track: costs, gates and one-to-one assignment."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from soccermaster.ops.boxes import box_iou


def appearance_distances(
    tracks: Float[np.ndarray, "N D"], detections: Float[np.ndarray, "n D"]
) -> Float[np.ndarray, "N n"]:
    """Half the Euclidean distance of unit vectors, in 0..1; NaN where one is unknown."""
    return np.sqrt(np.clip(2 - 2 * tracks @ detections.T, 0, None)) / 2


def iou_distances(
    tracks_xyxy: Float[np.ndarray, "N 4"], detections_xyxy: Float[np.ndarray, "n 4"]
) -> Float[np.ndarray, "N n"]:
    """1 - IoU of every pair, in 0..1."""
    tracks, detections = (
        torch.as_tensor(x, dtype=torch.float64) for x in (tracks_xyxy, detections_xyxy)
    )
    return 1 - box_iou(tracks, detections).numpy()


def assign(
    cost: Float[np.ndarray, "N n"], allowed: Bool[np.ndarray, "N n"]
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """As many allowed pairs as possible, at the least total cost (Hungarian algorithm).

    Args:
        cost: of every pair; its values do not matter where it is not allowed.
        allowed: pairs that may be.

    Returns:
        Rows and columns of the pairs.
    """
    if not allowed.any():
        return np.zeros(0, int), np.zeros(0, int)
    table = np.where(allowed, cost, 0.0)
    forbidden = 1.0 + 2 * np.abs(table).max() * (min(table.shape) + 1)
    rows, columns = linear_sum_assignment(np.where(allowed, table, forbidden))
    good = allowed[rows, columns]
    return rows[good], columns[good]


def unit_rows(vectors: Float[np.ndarray, "n D"]) -> Float[np.ndarray, "n D"]:
    """Rows of length 1; NaN where unknown or 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
