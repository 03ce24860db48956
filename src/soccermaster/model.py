"""The whole model: one encoder, the heads on top, and how it is built, saved and loaded.

    model = load_model("outputs/my_run/checkpoint")  # or "soccermaster-tiny", or "user/repo"
    outputs = model(images, text=["[PLAYER] takes a corner"], tasks=["events", "alignment"])
    encoder = load_encoder("google/siglip2-large-patch16-512")

Needs neither Hydra nor the training code.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from huggingface_hub import ModelCard, ModelHubMixin
from jaxtyping import Bool
from torch import Tensor, nn

from soccermaster.model_card import Scores, model_card
from soccermaster.models.encoder import VideoEncoder, normalize_images, resize_positions
from soccermaster.models.huggingface import (
    find_directory,
    is_model_directory,
    read_text_tower,
    read_vision_tower,
)
from soccermaster.models.pretrained import find_model, find_source
from soccermaster.models.text import TextEncoder
from soccermaster.models.tokenizer import TOKENIZER_FILES
from soccermaster.models.weights import (
    CheckpointError,
    fill_checkpoint,
    find_checkpoint,
    load_strictly,
    read_config,
    read_tensors,
    write_checkpoint,
)
from soccermaster.structures import Batch, Features

if TYPE_CHECKING:
    from soccermaster.tasks.base import Task


class SoccerModel(nn.Module, ModelHubMixin, library_name="soccermaster"):
    """An encoder and tasks by name.

    `save_pretrained`, `from_pretrained` and `push_to_hub` are those of `huggingface_hub`; the files
    are those of `save`, and a model card.

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
        images: Tensor | np.ndarray,
        text: Sequence[str] | Tensor | np.ndarray | None = None,
        tasks: Sequence[str] | None = None,
        frame_mask: Bool[Tensor, "B T"] | None = None,
        input_ids: Tensor | np.ndarray | None = None,
    ) -> dict[str, Any]:
        """Run some heads on some clips.

        Args:
            images: RGB (B, T, 3, H, W): uint8 in 0..255, or float in [-1, 1], which is
                uint8 / 127.5 - 1.
            text: any number of sentences for the heads that read text, or their token ids (N, L).
            tasks: names of the heads; all that the model can run when None.
            frame_mask: (B, T), False for padding frames.
            input_ids: token ids (N, L) in place of `text`.

        Returns:
            The output dataclass of each task by its name.

        Raises:
            ValueError: a task is unknown (the known ones are listed) or lacks something to be run,
                or both `text` and `input_ids` are given.
        """
        images = torch.as_tensor(images)
        if frame_mask is None:
            frame_mask = torch.ones(images.shape[:2], dtype=torch.bool, device=images.device)
        if text is not None and input_ids is not None:
            raise ValueError("expected text or input_ids, got both")
        if isinstance(text, Tensor | np.ndarray):
            text, input_ids = None, text
        if tasks is None and (text is not None or input_ids is not None):
            tasks = list(self.tasks)  # a text that cannot be read is an error, not left out
        texts = (text,) if isinstance(text, str) else tuple(text or ())
        ids = None if input_ids is None else torch.as_tensor(input_ids).to(images.device)
        batch = Batch(images=images, frame_mask=frame_mask, texts=texts, text_ids=ids)
        return self.run(batch, tasks)

    def run(self, batch: Batch, tasks: Sequence[str] | None = None) -> dict[str, Any]:
        """`forward` on a batch; only the encoder outputs that these tasks read are computed."""
        names = self.check_names(tasks)
        features = self.encode(batch, names)
        return {name: self.tasks[name](features, batch) for name in names}

    def encode(self, batch: Batch, tasks: Sequence[str]) -> Features:
        """The features that `tasks` read: kept ones where the batch has them."""
        if batch.features is not None:
            return batch.features
        reads: set[str] = set().union(*(self.tasks[name].reads for name in tasks))
        mask = None if bool(batch.frame_mask.all()) else batch.frame_mask
        return self.encoder(normalize_images(batch.images), reads, mask)

    def check_names(self, tasks: Sequence[str] | None) -> list[str]:
        """The given task names, or those of all tasks that can be run.

        Raises:
            ValueError: a name is unknown, or its task lacks something.
        """
        if tasks is None:
            return [name for name, task in self.tasks.items() if task.lacks() is None]
        unknown = [name for name in tasks if name not in self.tasks]
        if unknown:
            raise ValueError(
                f"expected tasks among {sorted(self.tasks)}, got {unknown}. Ask for one of those, "
                "or train a model that has the others."
            )
        for name in tasks:
            if (lack := self.tasks[name].lacks()) is not None:
                raise ValueError(f"task '{name}' cannot be run: {lack}")
        return list(tasks)

    def save(self, directory: Path | str, **notes: Any) -> Path:
        """Write `config.json` and `model.safetensors`, atomically.

        The tokenizer of a text tower goes with them, unless it is the built-in one.

        Args:
            directory: of the checkpoint.
            **notes: further JSON values to keep in `config.json`.

        Raises:
            ValueError: the model was not built by `from_config`.
        """
        config, files = pack_tokenizers(self._known_config())
        return write_checkpoint(directory, {**config, **notes}, self.state_dict(), files)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: Path | str,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: Path | str | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
    ) -> SoccerModel:
        """`load_model` with the options of `huggingface_hub` for what is on the hub."""
        return load_model(
            pretrained_model_name_or_path,
            force_download=force_download,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            revision=revision,
        )

    def generate_model_card(
        self, name: str | None = None, metrics: Scores | None = None, recipe: str | None = None
    ) -> ModelCard:
        """What `save_pretrained(..., model_card_kwargs={...})` writes as README.md.

        Args:
            name: of the model; that of its run when None.
            metrics: scores as in `metrics.json`.
            recipe: the command that trained it.
        """
        config = self._known_config()
        return ModelCard(model_card(config, self.num_parameters(), name, metrics, recipe))

    def num_parameters(self) -> dict[str, int]:
        """Parameters of the encoder and of each task."""
        parts = {"encoder": self.encoder, **self.tasks}
        return {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}

    def _save_pretrained(self, save_directory: Path) -> None:
        config, files = pack_tokenizers(portable(self._known_config()))
        fill_checkpoint(save_directory, config, self.state_dict(), files)

    def _known_config(self) -> dict[str, Any]:
        if self.config is None:
            raise ValueError(
                "expected a model that knows its configuration, got one that was put together by "
                "hand. Build it with SoccerModel.from_config(...)."
            )
        return self.config


def load_model(source: Path | str, **download: Any) -> SoccerModel:
    """A model in evaluation mode.

    Args:
        source: a checkpoint folder (or the run folder around it), the name of a model that comes
            with the library, such as "soccermaster-tiny", or a hub id such as "user/repo".
        **download: for a hub id, options of `huggingface_hub.snapshot_download`, such as revision.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or it does not fit.
    """
    directory = find_model(source, **download)
    config = unpack_tokenizers(read_config(directory), directory)
    try:
        model = SoccerModel.from_config(config)
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"cannot build the model of {directory}: {error}") from error
    load_strictly(model, read_tensors(directory), f"weights of {directory}")
    return model.eval()


def load_encoder(
    source: Path | str,
    image_size: int | Sequence[int] | None = None,
    temporal_depth: int | None = None,
    num_frames: int | None = None,
) -> VideoEncoder:
    """An encoder from a checkpoint of ours or from SigLIP, in evaluation mode.

    From SigLIP the temporal gates are closed and the frame embedding is 0, so that the encoder
    computes what the image tower computes, frame by frame.

    Args:
        source: what `load_model` takes, or a directory of a Hugging Face SigLIP or SigLIP 2 model,
            or its hub id, for example "google/siglip2-large-patch16-512".
        image_size: side, or (H, W), that the position embedding is resampled for; as stored when
            None. The encoder takes images of any other size as well.
        temporal_depth: of a SigLIP encoder: how many blocks, the last ones, shall attend over time;
            a third of them, as in the paper, when None.
        num_frames: of a SigLIP encoder: how many frames the frame embedding is for; 30 when None.

    Raises:
        CheckpointError: there is no such thing, it is damaged, or it does not fit.
        ValueError: a size that is no multiple of the patch size, or an argument that only a SigLIP
            encoder takes.
    """
    directory = find_source(source)
    if is_model_directory(directory):
        tower = read_vision_tower(directory, temporal_depth, num_frames or 30)
        encoder = VideoEncoder(**tower.arguments)
        tensors = _with_fresh_temporal(encoder, tower.tensors)
    else:
        if temporal_depth is not None or num_frames is not None:
            raise ValueError(
                f"temporal_depth and num_frames are settled in the checkpoint {source}; they are "
                "chosen for a SigLIP directory or hub id alone"
            )
        directory = find_checkpoint(directory)
        try:
            encoder = build(read_config(directory)["encoder"], "encoder")
        except ValueError as error:
            raise CheckpointError(f"cannot build the encoder of {directory}: {error}") from error
        tensors = read_tensors(directory, "encoder.")
    load_strictly(encoder, tensors, f"encoder of {directory}")
    if image_size is not None:
        encoder.set_image_size(image_size)
    return encoder.eval()


@dataclasses.dataclass(frozen=True)
class Initialised:
    """What a model took from a checkpoint."""

    loaded: tuple[str, ...]  # "encoder", names of tasks, text towers
    fresh: tuple[str, ...]  # tasks that the checkpoint does not have
    unused: tuple[str, ...]  # tasks of the checkpoint that the model does not have


def initialise_from(model: SoccerModel, source: Path | str) -> Initialised:
    """Take the encoder and the tasks of the same name from a checkpoint, or the towers of SigLIP.

    From a Hugging Face directory or hub id the encoder takes the vision tower, resampled to its
    image size, and text towers that have a tokenizer directory take the text tower; one with the
    built-in tokenizer stays as it is.

    Raises:
        CheckpointError: a part that both have does not fit.
    """
    directory = find_source(source)
    if is_model_directory(directory):
        return _initialise_from_siglip(model, directory)
    directory = find_checkpoint(directory)
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


def _initialise_from_siglip(model: SoccerModel, directory: Path) -> Initialised:
    encoder = model.encoder
    tower = read_vision_tower(directory, len(encoder.temporal), encoder.num_frames)
    heads = encoder.blocks[0].attention.num_heads if len(encoder.blocks) else 0
    if heads != tower.arguments["num_heads"]:
        raise CheckpointError(
            f"expected encoder.num_heads={tower.arguments['num_heads']}, that of {directory}, got "
            f"{heads}"
        )
    tensors = _with_fresh_temporal(encoder, tower.tensors)
    stored, patch = tower.arguments["image_size"], tower.arguments["patch_size"]
    grid = (stored[0] // patch, stored[1] // patch)
    if grid != encoder.grid:
        resampled = resize_positions(tensors["position_embedding"], grid, encoder.grid)
        tensors["position_embedding"] = resampled
    load_strictly(encoder, tensors, f"encoder of init_from={directory}")
    loaded = ["encoder"]
    for name, module in model.named_modules():
        if isinstance(module, TextEncoder) and module.tokenizer_directory is not None:
            text = read_text_tower(directory)
            load_strictly(module, text.tensors, f"text tower '{name}' of init_from={directory}")
            loaded.append(name.removeprefix("tasks."))
    return Initialised(loaded=tuple(loaded), fresh=tuple(model.tasks), unused=())


def _with_fresh_temporal(encoder: VideoEncoder, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of an image tower, and the encoder's own of what the tower does not have."""
    own = encoder.state_dict()
    fresh = {k: v for k, v in own.items() if k == "frame_embedding" or k.startswith("temporal.")}
    return fresh | dict(tensors)


def portable(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without the place where this machine keeps its data."""
    run = config.get("run")
    return {**config, "run": {**run, "data": "data"}} if run else dict(config)


def pack_tokenizers(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A configuration whose tokenizers lie in the checkpoint folder, and the files to put there.

    Raises:
        CheckpointError: the directory of a tokenizer is gone.
    """
    files: dict[str, bytes] = {}

    def pack(node: Any, where: str) -> Any:
        if not isinstance(node, Mapping):
            return node
        packed = {key: pack(value, f"{where}.{key}".strip(".")) for key, value in node.items()}
        if "_target_" in node and isinstance(node.get("tokenizer"), str):
            folder = f"tokenizers/{where}"
            directory = find_directory(node["tokenizer"])
            for name in TOKENIZER_FILES:
                if (directory / name).is_file():
                    files[f"{folder}/{name}"] = (directory / name).read_bytes()
            packed["tokenizer"] = folder
        return packed

    return pack(config, ""), files


def unpack_tokenizers(config: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """The configuration of a checkpoint folder with the places of its tokenizers resolved."""

    def unpack(node: Any) -> Any:
        if not isinstance(node, Mapping):
            return node
        unpacked = {key: unpack(value) for key, value in node.items()}
        if "_target_" in node and isinstance(node.get("tokenizer"), str):
            unpacked["tokenizer"] = str(directory / node["tokenizer"])
        return unpacked

    return unpack(config)


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
