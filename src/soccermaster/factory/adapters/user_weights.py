"""Weights that a person brings: found or asked for in one line, read without running their code.

Files are safetensors, or PyTorch files that hold nothing but tensors and plain values.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from soccermaster.models.weights import CheckpointError, load_strictly, read_safetensors

#: Keys under which training programs put the state of the network.
_CONTAINERS = ("state_dict", "model_state_dict", "model")
#: What data-parallel training puts before every name.
_PARALLEL = "module."


class MissingWeightsError(ValueError):
    """A stage has no weights. The message is one line: what to download and where to put it."""

    @classmethod
    def of(cls, system: str, setting: str, path: Any, download: str) -> MissingWeightsError:
        """The message for a file or folder that is not there.

        Args:
            system: what cannot run.
            setting: the config key that names the weights.
            path: what it says now; None when it says nothing.
            download: what to get, and from where.
        """
        now = "is not set" if path is None else f"names {path}, which is not there"
        return cls(
            f"{system} has no weights: {setting} {now}. Download {download}, "
            f"then set {setting} to the place."
        )


def find_weights(path: Path | str | None, system: str, setting: str, download: str) -> Path:
    """An existing file or folder.

    Raises:
        MissingWeightsError: it is not there.
    """
    if path is None or not Path(path).exists():
        raise MissingWeightsError.of(system, setting, path, download)
    return Path(path)


def read_user_weights(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a weight file by name.

    A PyTorch file may hold them directly or under "state_dict", "model_state_dict" or "model".

    Args:
        path: `*.safetensors`, or a file that `torch.save` wrote.

    Raises:
        CheckpointError: it is damaged, holds other objects than tensors and plain values, or no
            tensors.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return _without_parallel(read_safetensors(path, lambda name: True))
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path} holds more than tensors and plain values, and reading that may run code of "
            f"whoever wrote it ({reason}). If you trust it, write its state_dict once with "
            "safetensors.torch.save_file and give that file."
        ) from error
    except (OSError, RuntimeError, EOFError) as error:
        raise CheckpointError(
            f"cannot read {path}: {error}. The file is damaged or incomplete; copy it again."
        ) from error
    tensors = _find_state(stored)
    if tensors is None:
        raise CheckpointError(
            f"expected tensors by name in {path}, or such a table under one of "
            f"{', '.join(_CONTAINERS)}, got {_describe(stored)}"
        )
    return _without_parallel(tensors)


def load_network(network: nn.Module, path: Path | str, system: str) -> None:
    """Fill a network from a weight file, every tensor of both sides.

    Raises:
        CheckpointError: it does not fit; missing, unexpected and resized tensors are listed.
    """
    load_strictly(network, read_user_weights(path), f"{system}, weights of {path}")


def _find_state(stored: Any) -> dict[str, Tensor] | None:
    if not isinstance(stored, Mapping):
        return None
    if stored and all(isinstance(value, Tensor) for value in stored.values()):
        return dict(stored)
    for key in _CONTAINERS:
        if (inner := stored.get(key)) is not None:
            return _find_state(inner)
    return None


def _without_parallel(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    if all(name.startswith(_PARALLEL) for name in tensors):
        return {name.removeprefix(_PARALLEL): tensor for name, tensor in tensors.items()}
    return tensors


def _describe(stored: Any) -> str:
    if isinstance(stored, Mapping):
        return f"a table with {sorted(map(str, stored))[:8]}"
    return f"a {type(stored).__name__}"
