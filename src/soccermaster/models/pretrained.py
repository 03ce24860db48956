"""Where a model named by a person lies: a folder here, in the package, or on the Hugging Face hub.

    find_model("outputs/my_run")       # the checkpoint of a run
    find_model("soccermaster-tiny")    # shipped with the library
    find_model("user/repo")            # downloaded once, from the cache after that

A folder here comes before a shipped model of the same name.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from soccermaster.models.huggingface import find_directory, looks_like_hub_id
from soccermaster.models.weights import CONFIG_NAME, CheckpointError, find_checkpoint, some

#: The folder of the package with one checkpoint folder per shipped model.
SHIPPED = Path(str(resources.files("soccermaster"))) / "pretrained"

#: Where the classes are that a downloaded model may be built of.
_OWN = "soccermaster."


def shipped_models() -> tuple[str, ...]:
    """Names of the models that come with the library."""
    return tuple(sorted(p.parent.name for p in SHIPPED.glob(f"*/{CONFIG_NAME}")))


def find_model(source: Path | str, **download: Any) -> Path:
    """The checkpoint folder of a model of ours.

    Args:
        source: a checkpoint folder (or the run folder around it), the name of a shipped model, or
            a hub id.
        **download: see `find_source`.

    Raises:
        CheckpointError: there is none.
    """
    return find_checkpoint(find_source(source, **download))


def find_source(source: Path | str, **download: Any) -> Path:
    """The folder that a name stands for; what it holds is not looked at.

    Args:
        source: a folder, the name of a shipped model, or a hub id.
        **download: options of `huggingface_hub.snapshot_download`, for a hub id: revision,
            cache_dir, token, local_files_only, force_download.

    Raises:
        CheckpointError: there is no such thing, it cannot be downloaded, or it is built of classes
            that are not ours.
    """
    path = Path(source)
    if path.exists():
        return path
    if str(source) in shipped_models():
        return SHIPPED / str(source)
    if not looks_like_hub_id(source):
        raise CheckpointError(
            f"expected a checkpoint folder, a hub id (owner/name) or a shipped model "
            f"({some(shipped_models())}), but {source} does not exist. Train one with "
            "scripts/train.py, or give the folder that paths.output named."
        )
    directory = find_directory(source, **download)
    _refuse_foreign_classes(directory, str(source))
    return directory


def _refuse_foreign_classes(directory: Path, source: str) -> None:
    """Importing what a stranger's file names would run code that nobody looked at."""
    try:
        config = json.loads((directory / CONFIG_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # the reader of the checkpoint says what is wrong with it
    foreign = sorted({target for target in _targets(config) if not _is_own_class(target)})
    if foreign:
        raise CheckpointError(
            f"expected {source} to be built of classes of this library, got {some(foreign)}. If "
            f"you trust its author, install the package they are in and load {directory}."
        )


def _is_own_class(target: str) -> bool:
    """Whether a dotted name is a class of this library, and not of one that it imports."""
    module_name, _, name = target.rpartition(".")
    if not module_name.startswith(_OWN):
        return False
    try:
        found = getattr(importlib.import_module(module_name), name, None)
    except ModuleNotFoundError:
        return False
    return isinstance(found, type) and found.__module__.startswith(_OWN)


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield str(node["_target_"])
        for value in node.values():
            yield from _targets(value)
