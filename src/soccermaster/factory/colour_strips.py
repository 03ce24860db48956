"""Appearance without a network: the colours of a person from head to foot."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float

from soccermaster.factory.models import Picture


class ColourStrips:
    """An embedder of the mean colours of horizontal strips of a crop, without its sides.

    It tells teams apart, and players of one team hardly; it needs no weights.

    Args:
        strips: from head to foot.
    """

    name = "colour_strips"

    def __init__(self, strips: int = 6) -> None:
        self.strips = strips

    def load(self, device: str) -> None:
        """There is nothing to load."""

    def embed(self, crops: Sequence[Picture]) -> Float[np.ndarray, "n D"]:
        """See `models.Embedder`; D is three times the number of strips."""
        vectors = np.empty((len(crops), 3 * self.strips), np.float32)
        for vector, crop in zip(vectors, crops, strict=True):
            width = crop.shape[1]
            middle = crop[:, width // 5 : max(width - width // 5, width // 5 + 1)]
            means = cv2.resize(middle, (1, self.strips), interpolation=cv2.INTER_AREA)
            vector[:] = means.ravel().astype(np.float32) + 1.0
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
