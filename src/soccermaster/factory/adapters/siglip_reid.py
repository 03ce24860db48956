"""Appearance features from the encoder: a SigLIP directory, or a checkpoint of this library.

Weights: google/siglip2-base-patch16-224 and its siblings, Apache-2.0. They know clothes and poses,
not people: vectors of two players in one kit are close. `PartReid` is trained to tell them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float

from soccermaster.factory.adapters.loading import (
    LazyModel,
    choose_dtype,
    crops_to_tensor,
    in_batches,
)
from soccermaster.factory.adapters.user_weights import find_pretrained
from soccermaster.factory.models import Picture
from soccermaster.model import load_encoder

#: As the encoder was trained: value / 127.5 - 1.
_MEAN = _STD = (0.5, 0.5, 0.5)
_SYSTEM = "SigLIP ReID"
_DOWNLOAD = "google/siglip2-base-patch16-224 (Apache-2.0) from the Hugging Face hub"


class SiglipReid(LazyModel):
    """The pooled vector of the encoder, each crop seen as a clip of one frame.

    Args:
        weights: a folder or a hub id of a fixed-resolution SigLIP model, or a checkpoint folder of
            this library.
        batch_size: crops per pass.
        dtype: "auto", "float32", "bfloat16" or "float16".
    """

    name = "siglip"

    def __init__(
        self,
        weights: Path | str | None = "google/siglip2-base-patch16-224",
        batch_size: int = 64,
        dtype: str = "auto",
    ) -> None:
        self.weights = weights
        self.batch_size = batch_size
        self.dtype = dtype

    def _load(self, device: torch.device) -> None:
        folder = find_pretrained(self.weights, _SYSTEM, "weights", _DOWNLOAD)
        dtype = choose_dtype(self.dtype, device)
        self.encoder = load_encoder(folder).eval().to(device, dtype)

    @torch.no_grad()
    def embed(self, crops: Sequence[Picture]) -> Float[np.ndarray, "n D"]:
        """One L2-normalised vector per crop (float32)."""
        device = self._check_loaded()
        parameter = next(self.encoder.parameters())
        found = [np.zeros((0, self.encoder.embed_dim), np.float32)]
        for some in in_batches(crops, self.batch_size):
            images = crops_to_tensor(some, self.encoder.image_size, _MEAN, _STD)
            features = self.encoder(images[:, None].to(device, parameter.dtype), {"frames"})
            found.append(F.normalize(features.frames[:, 0].float(), dim=-1).cpu().numpy())
        return np.concatenate(found)
