"""How SigLIP towers are named in the files of other people, and what these files say of their size.

Source: the files of Hugging Face transformers 4 and 5, of the SoccerMaster release and of its
ancestors; the layers below the block are named alike in all of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from soccermaster.models.renaming import (
    Rule,
    joined,
    linear,
    parted,
    same,
    with_leading_axis,
)
from soccermaster.models.weights import CheckpointError, some


@dataclass(frozen=True)
class Dialect:
    """Names of a vision tower; `{i}` is the number of a block."""

    name: str
    prefix: str  # of every tensor
    embeddings: str
    block: str
    norm: str
    temporal: str | None = None  # in front of the temporal parts of a block; None: it has none
    frames: str | None = None  # the frame embedding


DIALECTS: tuple[Dialect, ...] = (
    Dialect(
        "release",
        "",
        "vision_model_embedding",
        "encoder_blocks.{i}.encoder",
        "post_norm",
        "encoder_blocks.{i}.temporal",
        "temporal_embedding",
    ),
    Dialect(
        "legacy",
        "",
        "vision_model_embedding",
        "timesformer.resblocks.{i}.encoder",
        "post_norm",
        "timesformer.resblocks.{i}.temporal",
        "temporal_embedding",
    ),
    Dialect(
        "unisoccer",
        "module.siglip_model.",
        "vision_model_embedding",
        "timesformer.resblocks.{i}.encoder",
        "post_layernorm",
        "timesformer.resblocks.{i}.temporal",
        "temporal_positional_embedding",
    ),
    Dialect(
        "transformers 4", "vision_model.", "embeddings", "encoder.layers.{i}", "post_layernorm"
    ),
    Dialect("transformers 5", "", "embeddings", "encoder.layers.{i}", "post_layernorm"),
)


@dataclass(frozen=True)
class TowerShape:
    """What the tensors of a vision tower tell about its size."""

    embed_dim: int
    depth: int
    temporal_depth: int
    mlp_dim: int
    patch_size: int
    num_patches: int
    num_frames: int | None  # None: no frame embedding

    @property
    def square_size(self) -> tuple[int, int]:
        """(H, W) of the square image whose patches have the stored positions.

        Raises:
            CheckpointError: the number of positions is no square.
        """
        side = math.isqrt(self.num_patches)
        if side * side != self.num_patches:
            raise CheckpointError(
                f"expected positions of a square grid, got {self.num_patches} of them"
            )
        return side * self.patch_size, side * self.patch_size


def find_dialect(names: Iterable[str], where: str) -> Dialect:
    """The dialect of a vision tower, from the names of its patch convolution and first block.

    Raises:
        CheckpointError: it is none of those that are known.
    """
    names = set(names)
    for dialect in DIALECTS:
        stub = f"{dialect.prefix}{dialect.block.format(i=0)}.layer_norm1.weight"
        if (
            stub in names
            and f"{dialect.prefix}{dialect.embeddings}.patch_embedding.weight" in names
        ):
            return dialect
    raise CheckpointError(
        f"expected a SigLIP vision tower named as in {', '.join(d.name for d in DIALECTS)}, but "
        f"{where} has {some(sorted(names), 8)}"
    )


def vision_shape(tensors: Mapping[str, Tensor], dialect: Dialect, where: str) -> TowerShape:
    """The size of a vision tower.

    Raises:
        CheckpointError: blocks or their temporal parts are missing in between, a tensor has the
            wrong number of axes, or the patch embedding is no convolution.
    """
    block = re.escape(dialect.prefix + dialect.block).replace(r"\{i\}", r"(\d+)")
    blocks = _numbers(tensors, rf"{block}\.")
    temporal: list[int] = []
    if dialect.temporal is not None:
        part = re.escape(dialect.prefix + dialect.temporal).replace(r"\{i\}", r"(\d+)")
        temporal = _numbers(tensors, rf"{part}_")
    depth, first = len(blocks), len(blocks) - len(temporal)
    if blocks != list(range(depth)) or temporal != list(range(first, depth)):
        raise CheckpointError(
            f"expected blocks 0, 1, ... of which the last ones are temporal in {where}, got blocks "
            f"{blocks} and temporal parts in {temporal}"
        )
    p = dialect.prefix
    patch = _tensor(tensors, f"{p}{dialect.embeddings}.patch_embedding.weight", 4, where)
    positions = _tensor(tensors, f"{p}{dialect.embeddings}.position_embedding.weight", 2, where)
    fc1 = _tensor(tensors, f"{p}{dialect.block.format(i=0)}.mlp.fc1.weight", 2, where)
    frames = None
    if dialect.frames is not None:
        frames = _tensor(tensors, p + dialect.frames, 3, where).shape[1]
    return TowerShape(
        embed_dim=patch.shape[0],
        depth=depth,
        temporal_depth=len(temporal),
        mlp_dim=fc1.shape[0],
        patch_size=patch.shape[-1],
        num_patches=positions.shape[0],
        num_frames=frames,
    )


def vision_rules(dialect: Dialect, depth: int, temporal_depth: int) -> list[Rule]:
    """Their vision tower is our `VideoEncoder`; without temporal parts where they have none."""
    p = dialect.prefix
    rules = linear("patch_embedding", f"{p}{dialect.embeddings}.patch_embedding")
    positions = f"{p}{dialect.embeddings}.position_embedding.weight"
    rules.append(same("position_embedding", positions))
    if dialect.frames is not None:
        rules.append(with_leading_axis("frame_embedding", p + dialect.frames))
    for i in range(depth):
        rules += _block_rules(f"blocks.{i}", p + dialect.block.format(i=i))
    for j, i in enumerate(range(depth - temporal_depth, depth)):
        assert dialect.temporal is not None  # a dialect without has temporal_depth 0
        ours, theirs = f"temporal.{j}", p + dialect.temporal.format(i=i)
        rules += linear(f"{ours}.norm", f"{theirs}_norm1")
        rules += attention_rules(f"{ours}.attention", f"{theirs}_attn")
        rules += linear(f"{ours}.fc", f"{theirs}_fc")
        rules.append(same(f"{ours}.gate", f"{theirs}_alpha_attn"))
    rules += linear("norm", p + dialect.norm)
    head = f"{p}head"
    rules.append(same("pool.probe", f"{head}.probe"))
    for part in ("weight", "bias"):
        ours_parts = (f"pool.query.{part}", f"pool.key_value.{part}")
        rules.append(parted(ours_parts, f"{head}.attention.in_proj_{part}", (1, 2)))
    rules += linear("pool.out", f"{head}.attention.out_proj")
    rules += linear("pool.norm", f"{head}.layernorm")
    rules += linear("pool.mlp.fc1", f"{head}.mlp.fc1") + linear("pool.mlp.fc2", f"{head}.mlp.fc2")
    return rules


def text_rules(prefix: str, depth: int) -> list[Rule]:
    """A transformers text tower is our `TextEncoder`.

    Args:
        prefix: of every tensor of theirs, "text_model." or none.
        depth: number of blocks.
    """
    p = prefix
    rules = [
        same("token_embedding.weight", f"{p}embeddings.token_embedding.weight"),
        same("position_embedding", f"{p}embeddings.position_embedding.weight"),
    ]
    for i in range(depth):
        rules += _block_rules(f"blocks.{i}", f"{p}encoder.layers.{i}")
    return rules + linear("norm", f"{p}final_layer_norm") + linear("project", f"{p}head")


def text_arguments(tensors: Mapping[str, Tensor], prefix: str, where: str) -> dict[str, Any]:
    """What the tensors tell about the arguments of the `TextEncoder`; all but `num_heads`."""
    token = _tensor(tensors, f"{prefix}embeddings.token_embedding.weight", 2, where)
    position = _tensor(tensors, f"{prefix}embeddings.position_embedding.weight", 2, where)
    fc1 = _tensor(tensors, f"{prefix}encoder.layers.0.mlp.fc1.weight", 2, where)
    head = _tensor(tensors, f"{prefix}head.weight", 2, where)
    return {
        "embed_dim": token.shape[1],
        "depth": len(_numbers(tensors, re.escape(prefix) + r"encoder\.layers\.(\d+)\.")),
        "output_dim": head.shape[0],
        "max_length": position.shape[0],
        "mlp_dim": fc1.shape[0],
        "vocab_size": token.shape[0],
    }


def attention_rules(ours: str, theirs: str) -> list[Rule]:
    """Torch's MultiheadAttention, whose input projection is fused as ours is."""
    return [
        same(f"{ours}.qkv.weight", f"{theirs}.in_proj_weight"),
        same(f"{ours}.qkv.bias", f"{theirs}.in_proj_bias"),
        *linear(f"{ours}.out", f"{theirs}.out_proj"),
    ]


def _block_rules(ours: str, theirs: str) -> list[Rule]:
    rules = linear(f"{ours}.norm1", f"{theirs}.layer_norm1")
    for part in ("weight", "bias"):
        parts = [f"{theirs}.self_attn.{name}_proj.{part}" for name in "qkv"]
        rules.append(joined(f"{ours}.attention.qkv.{part}", parts))
    rules += linear(f"{ours}.attention.out", f"{theirs}.self_attn.out_proj")
    rules += linear(f"{ours}.norm2", f"{theirs}.layer_norm2")
    rules += linear(f"{ours}.mlp.fc1", f"{theirs}.mlp.fc1")
    return rules + linear(f"{ours}.mlp.fc2", f"{theirs}.mlp.fc2")


def _numbers(tensors: Mapping[str, Tensor], pattern: str) -> list[int]:
    found = (re.match(pattern, name) for name in tensors)
    return sorted({int(match.group(1)) for match in found if match})


def _tensor(tensors: Mapping[str, Tensor], name: str, axes: int, where: str) -> Tensor:
    if name not in tensors:
        raise CheckpointError(f"expected the tensor {name} in {where}, but it is missing")
    if tensors[name].ndim != axes:
        raise CheckpointError(
            f"expected {name} with {axes} axes in {where}, got {tuple(tensors[name].shape)}"
        )
    return tensors[name]
