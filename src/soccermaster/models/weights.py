"""Checkpoints on disk: a folder with `config.json` and `model.safetensors`, read strictly."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
FORMAT_VERSION = 1


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, or does not fit the model."""


def write_checkpoint(
    directory: Path | str,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a checkpoint folder; a reader never sees half of one.

    The folder is written beside its place and renamed; an older checkpoint is removed after that.

    Args:
        directory: of the checkpoint; replaced when it is a checkpoint already.
        config: what is needed to build the model again, JSON values alone.
        tensors: its state.
        files: further files by their path in the folder.

    Raises:
        CheckpointError: `directory` exists and is something else.
    """
    with replaced_folder(directory, _is_checkpoint, f"a folder without our {CONFIG_NAME}") as fresh:
        fill_checkpoint(fresh, config, tensors, files)
    return Path(directory)


def fill_checkpoint(
    directory: Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Write the files of `write_checkpoint` into a folder that is there; other files stay."""
    text = json.dumps({"format_version": FORMAT_VERSION, **config}, indent=2, allow_nan=False)
    on_cpu = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    save_file(on_cpu, directory / WEIGHTS_NAME, metadata={"format": "pt"})
    for name, content in (files or {}).items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    (directory / CONFIG_NAME).write_text(text + "\n", encoding="utf-8")
    # safetensors gives its files to their owner alone
    (directory / WEIGHTS_NAME).chmod((directory / CONFIG_NAME).stat().st_mode)


def to_float16(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with floating-point ones in float16; `load_strictly` widens them again.

    Raises:
        CheckpointError: a value is too large for float16 (65504), or is not finite.
    """
    halves = {n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}
    lost = sorted(n for n, t in halves.items() if t.is_floating_point() and not t.isfinite().all())
    if lost:
        raise CheckpointError(
            f"expected values that float16 can hold, up to 65504, got larger or "
            f"none in {some(lost)}. Keep this checkpoint in float32."
        )
    return halves


@contextmanager
def replaced_folder(
    directory: Path | str, replaceable: Callable[[Path], bool], otherwise: str
) -> Iterator[Path]:
    """A fresh folder to write into, which takes the place of `directory` when all went well.

    Args:
        directory: a new folder, an empty one, or one to replace.
        replaceable: whether a folder that is there is of the same kind.
        otherwise: what the folder is if it is not, for the error.

    Raises:
        CheckpointError: `directory` exists and is something else.
    """
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise CheckpointError(f"expected a folder at {directory}, got a file. Nothing was written.")
    if directory.exists() and any(directory.iterdir()) and not replaceable(directory):
        raise CheckpointError(
            f"expected a new folder or an older checkpoint at {directory}, got {otherwise}. "
            "Choose another place; nothing was written."
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    fresh = directory.with_name(f".{directory.name}.writing-{os.getpid()}")
    old = directory.with_name(f".{directory.name}.old-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        yield fresh
        if directory.exists():
            directory.rename(old)
        try:
            fresh.rename(directory)
        except OSError:
            if old.exists():
                old.rename(directory)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def find_checkpoint(path: Path | str) -> Path:
    """The checkpoint folder at `path`, which may also be the run folder around it.

    Raises:
        CheckpointError: there is none.
    """
    path = Path(path)
    for candidate in (path, path / "checkpoint"):
        if (candidate / CONFIG_NAME).is_file() and (candidate / WEIGHTS_NAME).is_file():
            return candidate
    found = f"has {listing(path)}" if path.is_dir() else "does not exist"
    raise CheckpointError(
        f"expected a checkpoint folder with {CONFIG_NAME} and {WEIGHTS_NAME} (or a run folder that "
        f"holds one as 'checkpoint'), but {path} {found}. Train one with scripts/train.py, or give "
        "the folder that paths.output named."
    )


def read_config(directory: Path) -> dict[str, Any]:
    """The configuration of a checkpoint folder.

    Raises:
        CheckpointError: it is no JSON object, or of a newer format.
    """
    path = directory / CONFIG_NAME
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"expected a JSON object in {path}, got: {error}") from error
    if not isinstance(config, dict) or "encoder" not in config:
        raise CheckpointError(
            f"expected a JSON object with the key 'encoder' in {path}: this is no checkpoint of "
            "this library"
        )
    if config.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"expected format_version {FORMAT_VERSION} in {path}, got "
            f"{config.get('format_version')!r}. Update soccermaster to read it."
        )
    return config


def read_tensors(directory: Path, prefix: str = "") -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, with the prefix removed.

    Raises:
        CheckpointError: the file is damaged.
    """
    tensors = read_safetensors(directory / WEIGHTS_NAME, lambda name: name.startswith(prefix))
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def read_safetensors(path: Path, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
    """The tensors of one file whose name is wanted.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if wanted(name)]  # noqa: SIM118
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"cannot read {path}: {error}. The file is damaged or incomplete; copy it again."
        ) from error


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load a state into a module, all of it or nothing.

    The module keeps its types: a float16 file gives a float32 model.

    Args:
        module: to be filled.
        tensors: its whole state by name.
        where: what the tensors are and where they come from, for the error.

    Raises:
        CheckpointError: names are missing or unexpected, or shapes differ; all of them are listed.
    """
    check_fit(module, tensors, where)
    module.load_state_dict(dict(tensors), strict=True)


def check_fit(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Whether tensors are the whole state of a module; see `load_strictly`.

    Raises:
        CheckpointError: names are missing or unexpected, or shapes differ; all of them are listed.
    """
    own = module.state_dict()
    missing = sorted(set(own) - set(tensors))
    unexpected = sorted(set(tensors) - set(own))
    resized = [
        f"{name}: model {tuple(own[name].shape)}, checkpoint {tuple(tensors[name].shape)}"
        for name in sorted(set(own) & set(tensors))
        if own[name].shape != tensors[name].shape
    ]
    if missing or unexpected or resized:
        raise CheckpointError(
            f"the checkpoint does not fit: {where}\n"
            f"  missing from the checkpoint: {some(missing)}\n"
            f"  unexpected in the checkpoint: {some(unexpected)}\n"
            f"  resized: {some(resized)}\n"
            "Build the model with the configuration of the checkpoint (load_model does), or choose "
            "a checkpoint of this architecture."
        )


def _is_checkpoint(directory: Path) -> bool:
    try:
        config = json.loads((directory / CONFIG_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "format_version" in config


def some(names: Sequence[str], limit: int = 20) -> str:
    """Names for a message: all of them, or the first and their number."""
    if not names:
        return "none"
    more = f", ... ({len(names)} in all)" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def listing(path: Path) -> str:
    """What lies in a folder, for a message."""
    names = sorted(p.name for p in path.iterdir())
    return some(names, 8) if names else "nothing in it"
