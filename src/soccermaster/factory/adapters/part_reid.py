"""Part-based appearance features in the manner of PRTReID: one vector per person, and a role.

HRNet reads a crop of 256 x 128 pixels; a pixel classifier says which body part is where; features
are averaged over the whole crop, the foreground and every part, and reduced to 256 numbers each.
Tracking compares the vector of the whole crop. No weights come with the library.

Source: Somers et al., "Body Part-Based Representation Learning for Occluded Person
Re-Identification" (WACV 2023) for the network; Mansourian et al., "Multi-Task Learning for Joint
Re-Identification, Team Affiliation, and Role Classification" (CVPRW 2023) for the role head.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from soccermaster.factory.adapters.loading import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    LazyModel,
    crops_to_tensor,
    in_batches,
)
from soccermaster.factory.adapters.user_weights import find_weights, read_user_weights
from soccermaster.factory.models import Picture, RoleReading
from soccermaster.models.hrnet import Bottleneck, HRNet, concatenate
from soccermaster.models.weights import load_strictly, some
from soccermaster.vocabulary import ROLES

#: (H, W) of the crops.
CROP_SIZE = (256, 128)

_SYSTEM = "The part-based ReID network"
_DOWNLOAD = (
    "prtreid-soccernet-baseline.pth.tar (PRTReID, SoccerNet baseline; mind its licence), or leave "
    "this model for SiglipReid"
)
_INCREASED_PLANES = (32, 64, 128, 256)
#: Classifiers over the people and teams of the training set; nothing at inference reads them.
_TRAINING_ONLY = re.compile(r"^\w+_(identity|team)_classifier\.")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PartFeatures:
    """What the network says about some crops; K body parts, D = 256."""

    whole: Float[Tensor, "n D"]
    foreground: Float[Tensor, "n D"]
    parts: Float[Tensor, "n K D"]
    masks: Float[Tensor, "n K+1 h w"]  # background first; sum to 1 over the classes
    visibility: Float[Tensor, "n K"]  # 0..1: the largest probability of the part anywhere
    role_logits: Float[Tensor, "n R"]


class PartReidNetwork(nn.Module):
    """HRNet, a pixel classifier, masked averages, and a role classifier.

    Args:
        width: of HRNet; 32 in PRTReID.
        modules: of HRNet.
        blocks: of HRNet.
        num_parts: K, body parts.
        embed_dim: D.
        num_roles: R; in the order of `vocabulary.ROLES`.
    """

    def __init__(
        self,
        width: int = 32,
        modules: tuple[int, int, int] = (1, 4, 3),
        blocks: int = 4,
        num_parts: int = 5,
        embed_dim: int = 256,
        num_roles: int = len(ROLES),
    ) -> None:
        super().__init__()
        self.backbone_appearance_feature_extractor = _Backbone(width, modules, blocks)
        channels = self.backbone_appearance_feature_extractor.out_channels
        self.pixel_classifier = _PixelClassifier(channels, num_parts + 1)
        self.global_after_pooling_dim_reduce = _Reduce(channels, embed_dim)
        self.foreground_after_pooling_dim_reduce = _Reduce(channels, embed_dim)
        self.background_after_pooling_dim_reduce = _Reduce(channels, embed_dim)
        self.parts_after_pooling_dim_reduce = _Reduce(channels, embed_dim)
        self.global_role_classifier = _Classifier(embed_dim, num_roles)

    def forward(self, crops: Float[Tensor, "n 3 256 128"]) -> PartFeatures:
        """Features of crops that are normalised as for ImageNet."""
        maps = self.backbone_appearance_feature_extractor(crops)  # (n, C, 64, 32)
        masks = self.pixel_classifier(maps).softmax(dim=1)
        foreground = masks[:, 1:].amax(dim=1, keepdim=True)
        whole = self.global_after_pooling_dim_reduce(maps.mean(dim=(2, 3)))
        return PartFeatures(
            whole=whole,
            foreground=self.foreground_after_pooling_dim_reduce(_average(maps, foreground)[:, 0]),
            parts=self.parts_after_pooling_dim_reduce(_average(maps, masks[:, 1:])),
            masks=masks,
            visibility=masks[:, 1:].amax(dim=(2, 3)),
            role_logits=self.global_role_classifier(whole),
        )


class PartReid(LazyModel):
    """An embedder, and a reader of roles, with weights that a person brings.

    The file is read strictly: every tensor of the network must be in it, and every tensor of the
    file must be one of the network or of a classifier over training identities and teams; those
    are named in `unused`.

    Args:
        weights: `*.pth.tar`, `*.pth` (tensors and plain values alone) or `*.safetensors`.
        rename: beginnings of tensor names of the file, and what the network calls them; for files
            whose names differ.
        batch_size: crops per pass.
        network: arguments of `PartReidNetwork`, where the file is of another size.
    """

    name = "prtreid"

    def __init__(
        self,
        weights: Path | str | None = None,
        rename: Mapping[str, str] | None = None,
        batch_size: int = 64,
        network: Mapping[str, object] | None = None,
    ) -> None:
        self.weights = weights
        self.rename = dict(rename or {})
        self.batch_size = batch_size
        self.arguments = dict(network or {})
        self.unused: tuple[str, ...] = ()

    def _load(self, device: torch.device) -> None:
        path = find_weights(self.weights, _SYSTEM, "weights", _DOWNLOAD)
        network = PartReidNetwork(**self.arguments)
        tensors = {self._renamed(name): t for name, t in read_user_weights(path).items()}
        self.unused = tuple(sorted(name for name in tensors if _TRAINING_ONLY.match(name)))
        wanted = {name: t for name, t in tensors.items() if name not in self.unused}
        load_strictly(network, wanted, f"{_SYSTEM}, weights of {path}")
        if self.unused:
            _log.info("%s: not used at inference: %s", path, some(self.unused))
        self.network = network.eval().to(device)

    def embed(self, crops: Sequence[Picture]) -> Float[np.ndarray, "n 256"]:
        """One L2-normalised vector per crop (float32)."""
        dim = self.arguments.get("embed_dim", 256)
        found = [F.normalize(f.whole, dim=-1).cpu().numpy() for f in self._features(crops)]
        return np.concatenate([np.zeros((0, dim), np.float32), *found])

    def read_roles(
        self, crops: Sequence[Picture], scenes: Sequence[Picture] | None = None
    ) -> list[RoleReading]:
        """The most likely role of each crop with its probability; `scenes` are not looked at."""
        readings = []
        for features in self._features(crops):
            scores, roles = features.role_logits.softmax(dim=-1).max(dim=-1)
            pairs = zip(roles.tolist(), scores.tolist(), strict=True)
            readings += [RoleReading(role, score, ROLES[role]) for role, score in pairs]
        return readings

    @torch.no_grad()
    def _features(self, crops: Sequence[Picture]) -> list[PartFeatures]:
        device = self._check_loaded()
        return [
            self.network(crops_to_tensor(some, CROP_SIZE, IMAGENET_MEAN, IMAGENET_STD).to(device))
            for some in in_batches(crops, self.batch_size)
        ]

    def _renamed(self, name: str) -> str:
        for theirs, ours in self.rename.items():
            if name.startswith(theirs):
                return ours + name.removeprefix(theirs)
        return name


class _Backbone(HRNet):
    """HRNet whose branches are widened and joined at 1/4 of the crop."""

    def __init__(self, width: int, modules: tuple[int, int, int], blocks: int) -> None:
        super().__init__(width, modules, blocks, interpolation="nearest")
        self.incre_modules = nn.ModuleList(
            nn.Sequential(Bottleneck(inputs, planes))
            for inputs, planes in zip(self.channels, _INCREASED_PLANES, strict=True)
        )
        self.out_channels = Bottleneck.expansion * sum(_INCREASED_PLANES)

    def forward(self, images: Float[Tensor, "n 3 H W"]) -> Float[Tensor, "n C h w"]:
        _, maps = super().forward(images)
        return concatenate([widen(x) for widen, x in zip(self.incre_modules, maps, strict=True)])


class _PixelClassifier(nn.Module):
    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, maps: Float[Tensor, "n C h w"]) -> Float[Tensor, "n K h w"]:
        return self.classifier(self.bn(maps))


class _Reduce(nn.Module):
    def __init__(self, channels: int, embed_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(channels, embed_dim), nn.BatchNorm1d(embed_dim), nn.ReLU()
        )

    def forward(self, vectors: Float[Tensor, "*n C"]) -> Float[Tensor, "*n D"]:
        rows = self.layers(vectors.flatten(0, -2))
        return rows.unflatten(0, vectors.shape[:-1])


class _Classifier(nn.Module):
    def __init__(self, embed_dim: int, num_classes: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(embed_dim)
        self.classifier = nn.Linear(embed_dim, num_classes, bias=False)

    def forward(self, vectors: Float[Tensor, "n D"]) -> Float[Tensor, "n R"]:
        return self.classifier(self.bn(vectors))


def _average(
    maps: Float[Tensor, "n C h w"], masks: Float[Tensor, "n K h w"]
) -> Float[Tensor, "n K C"]:
    """Averages of the maps, weighted by each mask."""
    weights = masks / masks.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)
    return torch.einsum("nchw,nkhw->nkc", maps, weights)
