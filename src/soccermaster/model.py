"""The whole model: one encoder, the heads on top, and how it is built, saved and loaded.

    model = load_model("outputs/my_run/checkpoint")
    outputs = model(images, text=["[PLAYER] takes a corner"], tasks=["events", "alignment"])

Needs neither Hydra nor the training code.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from soccermaster.models.encoder import VideoEncoder, normalize_images
from soccermaster.models.weights import (
    CheckpointError,
    find_checkpoint,
    load_strictly,
    read_config,
    read_tensors,
    write_checkpoint,
)
from soccermaster.structures import Batch, Features

if TYPE_CHECKING:
    from soccermaster.tasks.base import Task


class SoccerModel(nn.Module):
    """An encoder and tasks by name.

    Args:
        encoder: of the clips.
        tasks: heads by name.
        config: what `from_config` built it from; needed to save it.
    """

    def __init__(
        self,
        encoder: VideoEncoder,
        tasks: Mapping[str, Task],
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.tasks = nn.ModuleDict(tasks)
        self.config = copy.deepcopy(dict(config)) if config is not None else None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SoccerModel:
        """Build from plain values.

        Args:
            config: `{"encoder": {"_target_": ..., ...}, "tasks": {name: {"_target_": ..., ...}}}`;
                other keys are kept and saved with the model.

        Raises:
            ValueError: a `_target_` is no network, or does not take a given key.
        """
        from soccermaster.tasks.base import Task  # brings torchmetrics, which an encoder needs not

        encoder = build(config["encoder"], "encoder")
        tasks = {}
        for name, node in config.get("tasks", {}).items():
            task = build(node, f"tasks.{name}")
            if not isinstance(task, Task):
                raise ValueError(
                    f"expected tasks.{name} to be a soccermaster Task, got {type(task).__name__}. "
                    "Derive it from soccermaster.tasks.base.Task."
                )
            tasks[name] = task
        return cls(encoder, tasks, config)

    def forward(
        self,
        images: Tensor,
        text: Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        frame_mask: Bool[Tensor, "B T"] | None = None,
    ) -> dict[str, Any]:
        """Run some heads on some clips.

        Args:
            images: (B, T, 3, H, W), float in [-1, 1] or uint8.
            text: any number of sentences for the heads that read text.
            tasks: names of the heads; all when None.
            frame_mask: (B, T), False for padding frames.

        Returns:
            The output dataclass of each task by its name.

        Raises:
            ValueError: a task is unknown; the known ones are listed.
        """
        if frame_mask is None:
            frame_mask = torch.ones(images.shape[:2], dtype=torch.bool, device=images.device)
        texts = (text,) if isinstance(text, str) else tuple(text or ())
        batch = Batch(images=images, frame_mask=frame_mask, texts=texts)
        return self.run(batch, tasks)

    def run(self, batch: Batch, tasks: Sequence[str] | None = None) -> dict[str, Any]:
        """`forward` on a batch; only the encoder outputs that these tasks read are computed."""
        names = self.check_names(tasks)
        features = self.encode(batch, names)
        return {name: self.tasks[name](features, batch) for name in names}

    def encode(self, batch: Batch, tasks: Sequence[str]) -> Features:
        """The features that `tasks` read."""
        reads: set[str] = set().union(*(self.tasks[name].reads for name in tasks))
        mask = None if bool(batch.frame_mask.all()) else batch.frame_mask
        return self.encoder(normalize_images(batch.images), reads, mask)

    def check_names(self, tasks: Sequence[str] | None) -> list[str]:
        """The given task names, or all of them.

        Raises:
            ValueError: a name is unknown.
        """
        if tasks is None:
            return list(self.tasks)
        unknown = [name for name in tasks if name not in self.tasks]
        if unknown:
            raise ValueError(
                f"expected tasks among {sorted(self.tasks)}, got {unknown}. Ask for one of those, "
                "or train a model that has the others."
            )
        return list(tasks)

    def save(self, directory: Path | str, **notes: Any) -> Path:
        """Write `config.json` and `model.safetensors`, atomically.

        Args:
            directory: of the checkpoint.
            **notes: further JSON values to keep in `config.json`.

        Raises:
            ValueError: the model was not built by `from_config`.
        """
        if self.config is None:
            raise ValueError(
                "expected a model that knows its configuration, got one that was put together by "
                "hand. Build it with SoccerModel.from_config(...)."
            )
        return write_checkpoint(directory, {**self.config, **notes}, self.state_dict())


def load_model(path: Path | str) -> SoccerModel:
    """The model of a checkpoint folder (or of the run folder around it), in evaluation mode.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or it does not fit.
    """
    directory = find_checkpoint(path)
    config = read_config(directory)
    try:
        model = SoccerModel.from_config(config)
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"cannot build the model of {directory}: {error}") from error
    load_strictly(model, read_tensors(directory), f"weights of {directory}")
    return model.eval()


def load_encoder(path: Path | str) -> VideoEncoder:
    """The encoder of a checkpoint folder, in evaluation mode.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or it does not fit.
    """
    directory = find_checkpoint(path)
    try:
        encoder = build(read_config(directory)["encoder"], "encoder")
    except ValueError as error:
        raise CheckpointError(f"cannot build the encoder of {directory}: {error}") from error
    load_strictly(encoder, read_tensors(directory, "encoder."), f"encoder of {directory}")
    return encoder.eval()


@dataclasses.dataclass(frozen=True)
class Initialised:
    """What a model took from a checkpoint."""

    loaded: tuple[str, ...]  # "encoder" and names of tasks
    fresh: tuple[str, ...]  # tasks that the checkpoint does not have
    unused: tuple[str, ...]  # tasks of the checkpoint that the model does not have


def initialise_from(model: SoccerModel, path: Path | str) -> Initialised:
    """Take the encoder and the tasks of the same name from a checkpoint.

    Raises:
        CheckpointError: a part that both have does not fit.
    """
    directory = find_checkpoint(path)
    stored = set(read_config(directory).get("tasks", {}))
    load_strictly(
        model.encoder, read_tensors(directory, "encoder."), f"encoder of init_from={directory}"
    )
    shared = [name for name in model.tasks if name in stored]
    for name in shared:
        where = f"task '{name}' of init_from={directory}"
        load_strictly(model.tasks[name], read_tensors(directory, f"tasks.{name}."), where)
    return Initialised(
        loaded=("encoder", *shared),
        fresh=tuple(name for name in model.tasks if name not in stored),
        unused=tuple(sorted(stored - set(model.tasks))),
    )


def build(node: Mapping[str, Any], where: str) -> nn.Module:
    """A network from its `_target_` (dotted name of an nn.Module class) and arguments.

    Arguments that have a `_target_` themselves are built first.

    Raises:
        ValueError: no such class, not a network, or an argument that it does not take.
    """
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    for key, value in arguments.items():
        if isinstance(value, Mapping) and "_target_" in value:
            arguments[key] = build(value, f"{where}.{key}")
    target = node.get("_target_")
    if not isinstance(target, str) or "." not in target:
        raise ValueError(f"expected {where}._target_ to be a dotted class name, got {target!r}")
    module_name, _, class_name = target.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"cannot find {where}._target_ = {target} ({error}). Is its package installed, or its "
            "folder on PYTHONPATH?"
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise ValueError(f"expected {where}._target_ to be an nn.Module class, got {target}")
    try:
        return cls(**arguments)
    except TypeError as error:
        raise ValueError(
            f"{where} ({target}) does not accept these arguments: {error}. "
            f"It got {sorted(arguments)}."
        ) from error
