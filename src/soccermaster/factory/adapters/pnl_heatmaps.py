"""Pitch markings from two heatmap networks in the manner of PnLCalib; one brings their weights.

Each network is an HRNet-W48 that reads 960 x 540 pixels and writes heatmaps of half that size: 57
keypoints and the background (softmax), or 23 lines and one further channel (sigmoid); a line has a
blob at each end. No weights come with the library; those of PnLCalib are published with code under
GPL-2.0.

Source: Gutierrez-Perez and Agudo, "PnLCalib: Sports Field Registration via Points and Lines
Optimization" (2024).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from soccermaster.factory.adapters.loading import LazyModel, crops_to_tensor, in_batches
from soccermaster.factory.adapters.soccer_model import pitch_markings
from soccermaster.factory.adapters.user_weights import find_weights, load_network
from soccermaster.factory.models import PitchMarkings
from soccermaster.models.hrnet import HRNet, concatenate, resize
from soccermaster.ops.peaks import find_peaks
from soccermaster.structures import KeypointsPrediction, LinesPrediction
from soccermaster.vocabulary import LINES, NUM_KEYPOINTS

#: (H, W) that the networks read.
INPUT_SIZE = (540, 960)

_SYSTEM = "The PnL heatmap networks"
_DOWNLOAD = (
    "SV_kp and SV_lines of PnLCalib (mind their licence), or leave this model for SoccerPitch"
)
_EARLY_CHANNELS = 64


class HeatmapNetwork(nn.Module):
    """HRNet with all branches joined at half the image, and two 1x1 convolutions.

    Args:
        num_channels: heatmaps.
        width: of HRNet; 48 in PnLCalib.
        modules: of HRNet.
        blocks: of HRNet.
    """

    def __init__(
        self,
        num_channels: int,
        width: int = 48,
        modules: tuple[int, int, int] = (1, 4, 3),
        blocks: int = 4,
    ) -> None:
        super().__init__()
        self.backbone = HRNet(width, modules, blocks, interpolation="bilinear")
        channels = sum(self.backbone.channels) + _EARLY_CHANNELS
        layers = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, num_channels, 1),
        )
        self.head = nn.Sequential(layers)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """Logits at half the image, of images in 0..1."""
        early, maps = self.backbone(images)
        joined = resize(concatenate(maps), early.shape[-2:], "nearest")
        return self.head(torch.cat([joined, early], dim=1))


class PnlHeatmaps(LazyModel):
    """Keypoints and lines of two networks.

    The files are read strictly: HRNet's published tensor names, and `head.0.{0,1,3}.*`.

    Args:
        keypoint_weights: `*.safetensors`, or a PyTorch file of tensors.
        line_weights: likewise.
        keypoint_threshold: score above which a keypoint is there; 0.3434 in PnLCalib.
        line_threshold: score above which both ends of a line are there; 0.7867 in PnLCalib.
        batch_size: frames per pass.
        network: arguments of `HeatmapNetwork`, where the files are of another size.
    """

    name = "pnl_heatmaps"

    def __init__(
        self,
        keypoint_weights: Path | str | None = None,
        line_weights: Path | str | None = None,
        keypoint_threshold: float = 0.3434,
        line_threshold: float = 0.7867,
        batch_size: int = 4,
        network: Mapping[str, object] | None = None,
    ) -> None:
        self.keypoint_weights = keypoint_weights
        self.line_weights = line_weights
        self.keypoint_threshold = keypoint_threshold
        self.line_threshold = line_threshold
        self.batch_size = batch_size
        self.arguments = dict(network or {})

    def _load(self, device: torch.device) -> None:
        given = {"keypoint_weights": self.keypoint_weights, "line_weights": self.line_weights}
        paths = {name: find_weights(p, _SYSTEM, name, _DOWNLOAD) for name, p in given.items()}
        self.keypoints = self._network(NUM_KEYPOINTS + 1, paths["keypoint_weights"], device)
        self.lines = self._network(len(LINES) + 1, paths["line_weights"], device)

    def _network(self, num_channels: int, path: Path, device: torch.device) -> HeatmapNetwork:
        network = HeatmapNetwork(num_channels, **self.arguments)
        load_network(network, path, _SYSTEM, {"backbone.": ""})
        return network.eval().to(device)

    @torch.no_grad()
    def markings(self, frames: UInt8[np.ndarray, "n H W 3"]) -> list[PitchMarkings]:
        """Keypoints and lines in each frame."""
        device = self._check_loaded()
        found: list[PitchMarkings] = []
        for some in in_batches(frames, self.batch_size):
            zeros, ones = (0.0,) * 3, (1.0,) * 3
            images = crops_to_tensor(some, INPUT_SIZE, zeros, ones, cv2.INTER_AREA).to(device)
            keypoints = self.keypoints(images).softmax(dim=1)
            lines = self.lines(images).sigmoid()
            found += self.decode(keypoints, lines, [frame.shape[:2] for frame in some])
        return found

    def decode(
        self,
        keypoints: Float[Tensor, "n 58 h w"],
        lines: Float[Tensor, "n 24 h w"],
        image_sizes: list[tuple[int, int]],
    ) -> list[PitchMarkings]:
        """The peaks of heatmaps, at sub-pixel precision, in pixels of frames of these (H, W)."""
        height, width = keypoints.shape[-2:]
        size = torch.tensor([width, height])
        points, point_scores = find_peaks(keypoints[:, :-1].cpu(), num_peaks=1, min_distance=1)
        ends, end_scores = find_peaks(lines[:, :-1].cpu(), num_peaks=2, min_distance=1)
        return [
            pitch_markings(
                image_size,
                KeypointsPrediction(points[i, :, 0] / size, point_scores[i, :, 0]),
                LinesPrediction(ends[i] / size, end_scores[i].amin(-1)),
                self.keypoint_threshold,
                self.line_threshold,
            )
            for i, image_size in enumerate(image_sizes)
        ]
