"""SigLIP and SigLIP 2 from Hugging Face: a directory or a hub id, to our names.

The safetensors files are read directly (sharded ones as well), so nothing depends on the modules of
`transformers`. `logit_scale` and `logit_bias` are dropped: the alignment head has its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from soccermaster.models.renaming import to_ours
from soccermaster.models.siglip_names import (
    find_dialect,
    text_arguments,
    text_rules,
    vision_rules,
    vision_shape,
)
from soccermaster.models.tokenizer import TOKENIZER_FILES
from soccermaster.models.weights import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    CheckpointError,
    listing,
    read_safetensors,
)

INDEX_NAME = f"{WEIGHTS_NAME}.index.json"

#: `model_type` of the fixed-resolution SigLIP and SigLIP 2 models, as their config.json writes it.
MODEL_TYPES = ("siglip", "siglip_vision_model", "siglip_text_model")

#: What transformers takes where config.json is silent.
_DEFAULT_HEADS = 12
_DEFAULT_EPS = 1e-6
_DEFAULT_ACTIVATION = "gelu_pytorch_tanh"


@dataclass(frozen=True)
class Tower:
    """A tower in our names: the arguments that build it, and its tensors."""

    arguments: dict[str, Any]
    tensors: dict[str, Tensor]


def find_directory(source: Path | str, also: Sequence[str] = (), **download: Any) -> Path:
    """The local directory of a Hugging Face model; one of the hub is downloaded (and cached).

    Args:
        source: a directory, or a hub id such as "google/siglip2-large-patch16-512".
        also: names of files (with wildcards) to download besides configuration, weights and
            tokenizer.
        **download: options of `huggingface_hub.snapshot_download`.

    Raises:
        CheckpointError: it is neither, or cannot be downloaded.
    """
    if Path(source).is_dir():
        return Path(source)
    if not looks_like_hub_id(source):
        raise CheckpointError(
            f"expected a directory or a hub id (owner/name), got {source}, which does not exist"
        )
    from huggingface_hub import snapshot_download

    tokenizers = [f"tokenizers/*/{name}" for name in TOKENIZER_FILES]  # of our checkpoints
    wanted = [CONFIG_NAME, "*.safetensors", INDEX_NAME, *TOKENIZER_FILES, *tokenizers, *also]
    try:
        return Path(snapshot_download(str(source), allow_patterns=wanted, **download))
    except Exception as error:  # network, permissions, names: a dozen unrelated types
        raise CheckpointError(
            f"{source} is no directory here, and downloading it from the Hugging Face hub failed: "
            f"{error}. Check the spelling and the network, or download it elsewhere and give the "
            "directory."
        ) from error


def looks_like_hub_id(source: Path | str) -> bool:
    """Whether a name that is not here may be of the hub: owner/name, and no folder `owner` here."""
    name = str(source)
    return bool(re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name)) and not Path(name).parent.exists()


def is_model_directory(directory: Path | str) -> bool:
    """Whether a directory has the config.json of a transformers model."""
    try:
        config = json.loads((Path(directory) / CONFIG_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "model_type" in config and "encoder" not in config


def read_vision_tower(directory: Path, temporal_depth: int | None, num_frames: int) -> Tower:
    """The vision tower as a `VideoEncoder`, without the temporal tensors, which it does not have.

    Args:
        directory: of the model.
        temporal_depth: blocks that shall attend over time; a third of them, as in the paper, when
            None.
        num_frames: frames that the frame embedding shall be stored for.

    Raises:
        CheckpointError: it is no SigLIP vision tower, or one that our encoder does not compute.
    """
    config = _section(directory, "vision_config")
    if not config.get("vision_use_head", True):
        raise CheckpointError(
            f"expected a vision tower with its pooling head, got vision_use_head=false in "
            f"{directory}: frame vectors cannot be computed without it"
        )
    tensors = _read(directory, lambda name: not _is_text(name) and not _is_logit(name))
    where = str(directory)
    dialect = find_dialect(tensors, where)
    shape = vision_shape(tensors, dialect, where)
    arguments = {
        "image_size": list(shape.square_size),
        "patch_size": shape.patch_size,
        "embed_dim": shape.embed_dim,
        "depth": shape.depth,
        "temporal_depth": shape.depth // 3 if temporal_depth is None else temporal_depth,
        "num_heads": config.get("num_attention_heads", _DEFAULT_HEADS),
        "mlp_dim": shape.mlp_dim,
        "num_frames": num_frames,
    }
    return Tower(arguments, to_ours(tensors, vision_rules(dialect, shape.depth, 0), where))


def read_text_tower(directory: Path) -> Tower:
    """The text tower as a `TextEncoder`, with the tokenizer of the same directory.

    Raises:
        CheckpointError: it has none, or one that our tower does not compute.
    """
    config = _section(directory, "text_config")
    tensors = _read(directory, lambda name: not _is_vision(name) and not _is_logit(name))
    where = f"text tower of {directory}"
    prefix = "text_model." if any(_is_text(name) for name in tensors) else ""
    arguments = text_arguments(tensors, prefix, where)
    arguments["num_heads"] = config.get("num_attention_heads", _DEFAULT_HEADS)
    arguments["tokenizer"] = str(directory)
    return Tower(arguments, to_ours(tensors, text_rules(prefix, arguments["depth"]), where))


def _section(directory: Path, name: str) -> dict[str, Any]:
    """One tower's part of config.json, after a look at whether we compute the same."""
    path = directory / CONFIG_NAME
    if not path.is_file():
        raise CheckpointError(
            f"expected a Hugging Face SigLIP directory with {CONFIG_NAME} at {directory}, which "
            f"has {listing(directory)}"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"expected a JSON object in {path}, got: {error}") from error
    kind = config.get("model_type")
    if kind == "siglip2" or str(kind).startswith("siglip2_"):
        raise CheckpointError(
            f"{directory} is the NaFlex variant of SigLIP 2 (model_type '{kind}'), whose patches "
            "come with variable grids and another embedding; it is not supported. Take a "
            "fixed-resolution one, for example google/siglip2-large-patch16-512."
        )
    if kind not in MODEL_TYPES:
        raise CheckpointError(
            f"expected a SigLIP or SigLIP 2 model (model_type {', '.join(MODEL_TYPES)}) in "
            f"{directory}, got model_type {kind!r}"
        )
    section = config if kind != "siglip" else config.get(name, {})
    activation = section.get("hidden_act", _DEFAULT_ACTIVATION)
    eps = section.get("layer_norm_eps", _DEFAULT_EPS)
    if activation != _DEFAULT_ACTIVATION or eps != _DEFAULT_EPS:
        raise CheckpointError(
            f"expected hidden_act {_DEFAULT_ACTIVATION} and layer_norm_eps {_DEFAULT_EPS} in "
            f"{path}, got {activation} and {eps}, which this library does not compute"
        )
    return section


def _read(directory: Path, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
    """The wanted tensors of one file, or of the shards that the index lists."""
    if (directory / WEIGHTS_NAME).is_file():
        return read_safetensors(directory / WEIGHTS_NAME, wanted)
    index = directory / INDEX_NAME
    if not index.is_file():
        raise CheckpointError(
            f"expected {WEIGHTS_NAME} or {INDEX_NAME} in {directory}, which has "
            f"{listing(directory)}. Files of other kinds (pytorch_model.bin) are not read."
        )
    try:
        shard_of = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"expected a weight_map in {index}, got: {error!r}") from error
    tensors: dict[str, Tensor] = {}
    for shard in sorted({shard for name, shard in shard_of.items() if wanted(name)}):
        tensors |= read_safetensors(directory / shard, wanted)
    missing = sorted(name for name in shard_of if wanted(name) and name not in tensors)
    if missing:
        raise CheckpointError(f"the shards beside {index} lack {', '.join(missing[:8])}")
    return tensors


def _is_text(name: str) -> bool:
    return name.startswith("text_model.")


def _is_vision(name: str) -> bool:
    return name.startswith("vision_model.")


def _is_logit(name: str) -> bool:
    return name in ("logit_scale", "logit_bias")
