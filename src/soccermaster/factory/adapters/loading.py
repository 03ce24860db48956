"""What all adapters share: load once per device, and work through a list in batches."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import TypeVar

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from soccermaster.factory.adapters.user_weights import weights_fingerprint
from soccermaster.factory.models import ModelUnavailableError, Picture
from soccermaster.ops.precision import bfloat16_is_fast

_T = TypeVar("_T")
_DTYPES = ("auto", "float32", "bfloat16", "float16")

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class LazyModel(ABC):
    """A model that is empty until `load`, so that it can be sent to other processes."""

    name: str
    device: torch.device | None = None

    def load(self, device: str) -> None:
        """Load the weights to a device; again on the same device does nothing.

        Raises:
            ModelUnavailableError: the extra or the weights are missing.
            CheckpointError: the weights are of another network.
        """
        wanted = torch.device(device)
        if self.device != wanted:
            self._load(wanted)
            self.device = wanted

    def fingerprint(self) -> str:
        """See `HasWeights`: of all arguments that name weights."""
        named = {k: v for k, v in vars(self).items() if k == "weights" or k.endswith("_weights")}
        return " ".join(f"{key}:{weights_fingerprint(named[key])}" for key in sorted(named))

    @abstractmethod
    def _load(self, device: torch.device) -> None:
        """Build the network on a device."""

    def _check_loaded(self) -> torch.device:
        if self.device is None:
            raise RuntimeError(f"expected {self.name} to be loaded. Call load('cpu') before.")
        return self.device


def import_extra(module: str, extra: str, system: str) -> ModuleType:
    """A package that only an extra installs.

    Raises:
        ModelUnavailableError: it is not installed; the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ModelUnavailableError(
            f"{system} needs the package '{module}' ({error}). "
            f"Install it with: pip install 'soccermaster[{extra}]'"
        ) from error


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The type to compute in; "auto" is bfloat16 where the device is fast in it.

    Raises:
        ValueError: no such type.
    """
    if dtype not in _DTYPES:
        raise ValueError(f"expected a dtype of {', '.join(_DTYPES)}, got {dtype!r}")
    if dtype == "auto":
        return torch.bfloat16 if bfloat16_is_fast(device) else torch.float32
    return getattr(torch, dtype)


def in_batches(items: Sequence[_T], batch_size: int) -> Iterator[Sequence[_T]]:
    """Runs of at most `batch_size` items, in order."""
    for start in range(0, len(items), batch_size):
        yield items[start : start + batch_size]


def crops_to_tensor(
    crops: Sequence[Picture],
    size: tuple[int, int],
    mean: Sequence[float],
    std: Sequence[float],
    interpolation: int = cv2.INTER_LINEAR,
) -> Float[Tensor, "n 3 H W"]:
    """Crops stretched to one size (H, W), in (value / 255 - mean) / std."""
    resized = np.stack(
        [cv2.resize(crop, (size[1], size[0]), interpolation=interpolation) for crop in crops]
    )
    images = torch.from_numpy(rearrange(resized, "n H W C -> n C H W").astype(np.float32) / 255)
    shape = (1, 3, 1, 1)
    return (images - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
