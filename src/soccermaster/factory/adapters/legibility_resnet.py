"""Legibility of shirt numbers by a ResNet-34 with one output; one brings its weights.

The layout is that of the public jersey-number pipeline (weights for research alone); a
vision-language model answers the same question without them.

Source: Koshkina and Elder, "A General Framework for Jersey Number Recognition in Sports Video"
(CVPRW 2024), section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import timm
import torch
from jaxtyping import Float
from torch import Tensor, nn

from soccermaster.factory.adapters.loading import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    LazyModel,
    crops_to_tensor,
    in_batches,
)
from soccermaster.factory.adapters.user_weights import find_weights, load_network
from soccermaster.factory.models import Picture

#: (H, W) of the crops.
CROP_SIZE = (256, 256)

_SYSTEM = "The legibility classifier"
_DOWNLOAD = (
    "legibility_resnet34_soccer_20240215.pth of the jersey-number pipeline (mind its licence), or "
    "leave this model for a vision-language model"
)


class LegibilityNetwork(nn.Module):
    """ResNet-34 and one logit."""

    def __init__(self) -> None:
        super().__init__()
        self.model_ft = timm.create_model("resnet34", pretrained=False, num_classes=1)

    def forward(self, crops: Float[Tensor, "n 3 256 256"]) -> Float[Tensor, " n"]:
        """Logits of crops that are normalised as for ImageNet."""
        return self.model_ft(crops)[:, 0]


class LegibilityResnet(LazyModel):
    """How well the number of a person can be read.

    Args:
        weights: `*.pth` (tensors alone) or `*.safetensors`; every tensor is used.
        batch_size: crops per pass.
    """

    name = "legibility_resnet34"

    def __init__(self, weights: Path | str | None = None, batch_size: int = 16) -> None:
        self.weights = weights
        self.batch_size = batch_size

    def _load(self, device: torch.device) -> None:
        path = find_weights(self.weights, _SYSTEM, "weights", _DOWNLOAD)
        network = LegibilityNetwork()
        load_network(network, path, _SYSTEM, {})
        self.network = network.eval().to(device)

    @torch.no_grad()
    def legibility(self, crops: Sequence[Picture]) -> Float[np.ndarray, " n"]:
        """0..1 for each crop."""
        device = self._check_loaded()
        found = [np.zeros(0, np.float32)]
        for some in in_batches(crops, self.batch_size):
            images = crops_to_tensor(some, CROP_SIZE, IMAGENET_MEAN, IMAGENET_STD).to(device)
            found.append(self.network(images).sigmoid().cpu().numpy())
        return np.concatenate(found)
