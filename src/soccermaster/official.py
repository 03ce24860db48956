"""Checkpoints of the official release: to our format, and back.

An official directory holds `backbone.pt` and one file per head. Every tensor is used or named in
the error, no value changes (but for positions that are resampled on request), and converting
back gives the same files, keys and values. The official format has no text tower and does not say
how many attention heads there are.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from soccermaster.model import SoccerModel, pack_tokenizers
from soccermaster.models.encoder import resize_positions
from soccermaster.models.huggingface import find_directory, read_text_tower
from soccermaster.models.pretrained import find_model
from soccermaster.models.renaming import to_ours, to_theirs
from soccermaster.models.siglip_names import (
    DIALECTS,
    Dialect,
    TowerShape,
    find_dialect,
    vision_rules,
    vision_shape,
)
from soccermaster.models.weights import (
    CheckpointError,
    check_fit,
    listing,
    read_config,
    read_tensors,
    replaced_folder,
    write_checkpoint,
)
from soccermaster.official_heads import HEADS

BACKBONE_NAME = "backbone.pt"
_ENCODER = "soccermaster.models.encoder.VideoEncoder"
_TEXT = "soccermaster.models.text.TextEncoder"
_Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Conversion:
    """What was written, and what a person should know about it."""

    directory: Path
    parts: tuple[str, ...]  # encoder and tasks
    notes: tuple[str, ...] = ()


def from_official(
    source: Path | str,
    output: Path | str,
    text: Path | str | None = None,
    num_heads: int | None = None,
    image_size: int | Sequence[int] | None = None,
) -> Conversion:
    """Convert an official directory into a checkpoint folder of ours.

    Args:
        source: with `backbone.pt` and any of the head files.
        output: the checkpoint folder.
        text: directory or hub id of the SigLIP model whose text tower and tokenizer belong to it.
        num_heads: of spatial, temporal and pooling attention; width / 64 when None. The event head
            has width / 64 always.
        image_size: side or (H, W) that the position embedding shall be for; when it is not the
            stored one, the embedding is resampled. None: as stored, a square.

    Raises:
        CheckpointError: a tensor is missing, left over or misshapen, or a file cannot be read.
    """
    source = Path(source)
    files = _read_files(source)
    encoder, encoder_tensors, notes, origin = _convert_backbone(
        files.pop(BACKBONE_NAME), source / BACKBONE_NAME, num_heads, image_size
    )
    known = {BACKBONE_NAME, *(head.file for head in HEADS)}
    if aside := sorted(p.name for p in source.iterdir() if p.name not in known):
        notes.append(f"left aside, being no head that is known: {', '.join(aside)}")
    config: dict[str, Any] = {"name": "official", "encoder": encoder, "tasks": {}}
    config["official"] = origin
    tensors = {f"encoder.{name}": tensor for name, tensor in encoder_tensors.items()}
    for head in HEADS:
        if head.file not in files:
            continue
        where = str(source / head.file)
        stored = files[head.file]
        try:
            found = head.arguments(stored, encoder["embed_dim"])
        except CheckpointError as error:
            raise CheckpointError(f"cannot convert {where}: {error}") from None
        arguments = {"embed_dim": encoder["embed_dim"], **found, "recipe": "official"}
        config["tasks"][head.task] = {"_target_": head.target, **arguments}
        converted = to_ours(stored, head.rules(arguments), where)
        tensors |= {f"tasks.{head.task}.{name}": tensor for name, tensor in converted.items()}
    if text is not None:
        if "alignment" not in config["tasks"]:
            raise CheckpointError(
                f"expected VideoCaption.pt in {source} for the text tower of text={text}, found "
                "none: nothing would read it. Leave out text=..."
            )
        tower = read_text_tower(find_directory(text))
        config["tasks"]["alignment"]["text"] = {"_target_": _TEXT, **tower.arguments}
        prefix = "tasks.alignment.text."
        tensors |= {f"{prefix}{name}": tensor for name, tensor in tower.tensors.items()}
    elif "alignment" in config["tasks"]:
        notes.append("no text tower: the task 'alignment' needs text=DIRECTORY_OF_A_SIGLIP_MODEL")
    _check_builds(config, tensors, source)
    packed, assets = pack_tokenizers(config)
    directory = write_checkpoint(output, packed, tensors, assets)
    return Conversion(directory, ("encoder", *config["tasks"]), tuple(notes))


def to_official(source: Path | str, output: Path | str, dialect: str | None = None) -> Conversion:
    """Write a checkpoint folder of ours in the official format.

    Args:
        source: the checkpoint folder, or the run folder around it.
        output: the directory for `backbone.pt` and the head files.
        dialect: names of `backbone.pt`, see `siglip_names.DIALECTS`; when None those of the files
            that the checkpoint was converted from, else those of the release.

    Raises:
        CheckpointError: the model has a part that the official format has no place for.
    """
    directory = find_model(source)
    config = read_config(directory)
    origin = config.get("official", {})
    names = _dialect(dialect or origin.get("dialect", "release"))
    files = {BACKBONE_NAME: _backbone_back(config["encoder"], directory, names, origin)}
    notes = []
    heads = {head.target: head for head in HEADS}
    for task, node in config.get("tasks", {}).items():
        head = heads.get(node["_target_"])
        if head is None or head.file in files:
            raise CheckpointError(
                f"the official format has no place for task '{task}' ({node['_target_']}) of "
                f"{directory}. It holds one each of {', '.join(h.task for h in HEADS)}."
            )
        stored = read_tensors(directory, f"tasks.{task}.")
        if head.task == "alignment":
            own = {name: tensor for name, tensor in stored.items() if not name.startswith("text.")}
            if len(own) < len(stored):
                notes.append("the text tower is left out: the official format has no place for it")
            stored = own
        if head.task == "athletes" and node.get("num_heads", 1) != 1:
            raise CheckpointError(
                f"the official detection head has one attention head, that of {directory} has "
                f"{node['num_heads']}"
            )
        files[head.file] = to_theirs(stored, head.rules(node), f"task '{task}' of {directory}")
    known = {BACKBONE_NAME, *(head.file for head in HEADS)}
    otherwise = f"a folder with files other than {', '.join(sorted(known))}"
    with replaced_folder(
        output, lambda folder: {p.name for p in folder.iterdir()} <= known, otherwise
    ) as fresh:
        for name, tensors in files.items():
            state: Any = OrderedDict(tensors)
            if name == BACKBONE_NAME and names.name == "unisoccer":
                state = {"state_dict": state}
            torch.save(state, fresh / name)
    return Conversion(Path(output), ("encoder", *config.get("tasks", {})), tuple(notes))


def _convert_backbone(
    tensors: _Tensors, path: Path, num_heads: int | None, image_size: int | Sequence[int] | None
) -> tuple[dict[str, Any], dict[str, Tensor], list[str], dict[str, Any]]:
    """Arguments and tensors of our encoder, notes, and what the way back needs to know."""
    where = str(path)
    dialect = find_dialect(tensors, where)
    shape = vision_shape(tensors, dialect, where)
    if num_heads is None:
        if shape.embed_dim % 64:
            raise CheckpointError(
                f"expected a width that is a multiple of 64 in {where}, got {shape.embed_dim}. Say "
                "how many attention heads it has: encoder.num_heads=N"
            )
        num_heads = shape.embed_dim // 64
    converted = to_ours(tensors, vision_rules(dialect, shape.depth, shape.temporal_depth), where)
    notes: list[str] = []
    if shape.num_frames is None:
        converted["frame_embedding"] = torch.zeros(30, shape.embed_dim)
        notes.append(f"{path.name} has no temporal parts: the encoder sees each frame by itself")
    arguments = {
        "_target_": _ENCODER,
        "image_size": list(_image_size(shape, image_size, where)),
        "patch_size": shape.patch_size,
        "embed_dim": shape.embed_dim,
        "depth": shape.depth,
        "temporal_depth": shape.temporal_depth,
        "num_heads": num_heads,
        "mlp_dim": shape.mlp_dim,
        "num_frames": len(converted["frame_embedding"]),
    }
    grid = tuple(side // shape.patch_size for side in arguments["image_size"])
    side = math.isqrt(shape.num_patches)
    if side * side == shape.num_patches and grid != (side, side):
        positions = converted["position_embedding"]
        converted["position_embedding"] = resize_positions(positions, (side, side), grid)
        notes.append(
            f"the position embedding was resampled from {side}x{side} to {grid[0]}x{grid[1]}: the "
            "way back will not give the same values"
        )
    origin = {"dialect": dialect.name, "grid": list(grid)}
    return arguments, converted, notes, origin


def _image_size(
    shape: TowerShape, image_size: int | Sequence[int] | None, where: str
) -> tuple[int, int]:
    """(H, W) of the encoder.

    Positions of a square grid can be resampled; those of another are as they are, and only a size
    with as many patches says what they mean.
    """
    if image_size is None:
        return shape.square_size
    sides = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    patch = shape.patch_size
    if len(sides) != 2 or any(side <= 0 or side % patch for side in sides):
        raise CheckpointError(
            f"expected encoder.image_size to be a side or [H,W] in multiples of the patch size "
            f"{patch}, got {image_size}"
        )
    stored = shape.num_patches
    if math.isqrt(stored) ** 2 != stored and sides[0] * sides[1] // patch**2 != stored:
        raise CheckpointError(
            f"{where} has positions for {stored} patches, which is no square grid; expected "
            f"encoder.image_size=[H,W] with as many patches of {patch} px, got {image_size}"
        )
    return int(sides[0]), int(sides[1])


def _backbone_back(
    node: Mapping[str, Any], directory: Path, dialect: Dialect, origin: Mapping[str, Any]
) -> dict[str, Tensor]:
    if node.get("stem", "patch") != "patch":
        raise CheckpointError(
            f"the official format has no place for the '{node['stem']}' stem of {directory}"
        )
    grid = [side // node["patch_size"] for side in node["image_size"]]
    if grid[0] != grid[1] and math.isqrt(grid[0] * grid[1]) ** 2 == grid[0] * grid[1]:
        raise CheckpointError(
            f"official code would take the {grid[0]}x{grid[1]} positions of {directory} for a "
            "square grid. Train or convert at a square image size."
        )
    tensors = read_tensors(directory, "encoder.")
    if dialect.temporal is None:
        frames = tensors.pop("frame_embedding")
        if node["temporal_depth"] or frames.any():
            raise CheckpointError(
                f"the dialect '{dialect.name}' has no place for the temporal parts of {directory}"
            )
    rules = vision_rules(dialect, node["depth"], node["temporal_depth"])
    return to_theirs(tensors, rules, f"encoder of {directory}")


def _read_files(source: Path) -> dict[str, dict[str, Tensor]]:
    """The tensors of every official file of a directory, by file name."""
    if not (source / BACKBONE_NAME).is_file():
        found = f"has {listing(source)}" if source.is_dir() else "does not exist"
        raise CheckpointError(f"expected {BACKBONE_NAME} in the directory {source}, which {found}")
    names = [BACKBONE_NAME, *(h.file for h in HEADS if (source / h.file).is_file())]
    return {name: _read_file(source / name) for name in names}


def _read_file(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises whatever its bytes happen to mean
        raise CheckpointError(
            f"cannot read {path} as plain tensors: {error}. The file is damaged, or holds objects, "
            "which are not loaded because they could run code."
        ) from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        beside = sorted(str(key) for key in state if key != "state_dict")
        if beside:
            raise CheckpointError(f"expected 'state_dict' alone in {path}, got {beside} beside it")
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(f"expected tensors by name in {path}, got {type(state).__name__}")
    others = sorted(str(key) for key, value in state.items() if not isinstance(value, Tensor))
    if others:
        raise CheckpointError(f"expected tensors alone in {path}, got something else in {others}")
    return dict(state)


def _check_builds(config: Mapping[str, Any], tensors: _Tensors, source: Path) -> None:
    """Whether the model can be built and the tensors are all of its state."""
    try:
        with torch.device("meta"):
            model = SoccerModel.from_config(config)
    except (ValueError, AssertionError) as error:
        raise CheckpointError(f"cannot build the model of {source}: {error}") from error
    check_fit(model, tensors, f"tensors of {source}")


def _dialect(name: str) -> Dialect:
    for dialect in DIALECTS:
        if dialect.name == name:
            return dialect
    raise CheckpointError(
        f"expected a dialect among {', '.join(d.name for d in DIALECTS)}, got '{name}'"
    )
