"""Weights that a person brings: found or asked for in one line, read without running their code.

Files are safetensors, or PyTorch files that hold nothing but tensors and plain values.
"""

from __future__ import annotations

import functools
import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from soccermaster.factory.models import ModelUnavailableError
from soccermaster.models.huggingface import looks_like_hub_id
from soccermaster.models.pretrained import SHIPPED, shipped_models
from soccermaster.models.weights import CheckpointError, load_strictly, read_safetensors

#: Keys under which training programs put the state of the network.
_CONTAINERS = ("state_dict", "model_state_dict", "model")
#: Files of a hub model that are read; pickled weights are not among them.
_HUB_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
#: Of the files of a model, in a folder that may hold others.
_MODEL_SUFFIXES = (".json", ".safetensors", ".pt", ".pth", ".tar", ".bin", ".txt", ".model")
#: What data-parallel training puts before every name.
_PARALLEL = "module."


def find_weights(path: Path | str | None, system: str, setting: str, download: str) -> Path:
    """An existing file or folder.

    Args:
        path: what the config says.
        system: what cannot run without it.
        setting: the argument of the adapter that names it.
        download: what to get, and from where.

    Raises:
        ModelUnavailableError: it is not there; what to download and where to put it.
    """
    if path is None or not Path(path).exists():
        now = "is not set" if path is None else f"names {path}, which is not there"
        raise ModelUnavailableError(
            f"{system} has no weights: '{setting}' {now}. Download {download} and set '{setting}' "
            "to the place."
        )
    return Path(path)


def find_pretrained(name: Path | str | None, system: str, setting: str, download: str) -> Path:
    """The folder of a Hugging Face model: a local one, or one of the hub (downloaded and cached).

    Args:
        name: a folder, or a hub id (owner/name).
        system: what cannot run without it.
        setting: the argument of the adapter that names it.
        download: what to get, and from where.

    Raises:
        ModelUnavailableError: it is neither, or cannot be downloaded; what to do about it.
    """
    if name is None or Path(name).is_dir() or not looks_like_hub_id(name):
        return find_weights(name, system, setting, download)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(name), allow_patterns=_HUB_FILES))
    except Exception as error:  # network, permissions, names: a dozen unrelated types
        raise ModelUnavailableError(
            f"{system} has no weights: {name} is not in the local cache and the hub cannot be "
            f"reached ({type(error).__name__}). Download {download} and set '{setting}' to its "
            "folder."
        ) from error


def weights_fingerprint(source: Path | str | None) -> str:
    """Changes when the weights that a name stands for do; empty where there are none yet.

    Args:
        source: a file, a folder, a checkpoint or the run folder around it, the name of a model that
            comes with the library, or a hub id: then the revision in the cache counts.
    """
    if source is None:
        return ""
    path = Path(source)
    if not path.exists() and str(source) in shipped_models():
        path = SHIPPED / str(source)
    if not path.exists():
        return _cached_revision(str(source)) if looks_like_hub_id(source) else ""
    if (path / "checkpoint").is_dir():
        path = path / "checkpoint"
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    digest = hashlib.sha256()
    for file in files:
        if file == path or file.suffix in _MODEL_SUFFIXES:
            stat = file.stat()
            content = _digest(file, stat.st_size, stat.st_mtime_ns)
            digest.update(f"{file.relative_to(path)}:{content}\n".encode())
    return digest.hexdigest()[:12]


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


def load_network(
    network: nn.Module, path: Path | str, system: str, renamed: Mapping[str, str]
) -> None:
    """Fill a network from a weight file, every tensor of both sides.

    Args:
        network: to be filled.
        path: of the file.
        system: what it is, for the error.
        renamed: beginnings of names of the network, and what the file has in their place.

    Raises:
        CheckpointError: it does not fit; missing, unexpected and resized tensors are listed.
    """
    stored = read_user_weights(path)
    tensors: dict[str, Tensor] = {}
    for name in network.state_dict():
        prefix = next((p for p in renamed if name.startswith(p)), "")
        theirs = renamed.get(prefix, "") + name.removeprefix(prefix)
        if theirs in stored:
            tensors[name] = stored.pop(theirs)
    load_strictly(network, tensors | stored, f"{system}, weights of {path}")


@functools.lru_cache(maxsize=1000)
def _digest(file: Path, size: int, changed_ns: int) -> str:
    """Of the content, which is read again when size or time change."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _cached_revision(hub_id: str) -> str:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub_id, "config.json")
    return Path(found).parent.name if isinstance(found, str) else ""


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
