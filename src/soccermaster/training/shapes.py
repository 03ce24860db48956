"""How large a model is: parameters, FLOPs and expected memory of its parts, on a CPU.

Nothing is computed and no weights are held: the parts run on tensors without values (torch's fake
tensors), so that the large model takes seconds.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from soccermaster.model import SoccerModel
from soccermaster.models.encoder import VideoEncoder
from soccermaster.models.text import TextEncoder
from soccermaster.structures import Features

_GIB = 2**30
#: Bytes of a trained parameter: weight, gradient and AdamW's two moments, in float32.
_TRAINED, _FROZEN = 16, 4


@dataclass(frozen=True)
class PartSize:
    """One part of a model, for one clip.

    Attributes:
        name: such as "encoder, up to the tap".
        parameters: of the part.
        trained: those of them that are trained.
        flops: of a forward pass; a multiply-add is two.
        activations: bytes kept for the backward pass.
        checkpointed: the same with activation checkpointing of the blocks, the recomputed block
            included.
    """

    name: str
    parameters: int
    trained: int
    flops: int
    activations: int
    checkpointed: int

    @property
    def states(self) -> int:
        """Bytes of weights, gradients and optimizer."""
        return _TRAINED * self.trained + _FROZEN * (self.parameters - self.trained)


def part_sizes(
    config: Mapping[str, Any],
    frames: int | None = None,
    freeze: Sequence[str] = (),
    half: bool = False,
) -> list[PartSize]:
    """The parts of a model: encoder up to the tap and after it, heads, text towers.

    Args:
        config: as for `SoccerModel.from_config`.
        frames: T of the clip; as many as the encoder has frame embeddings when None.
        freeze: modules that are not trained, by dotted name.
        half: activations have 16 bits.
    """
    with FakeTensorMode(allow_non_fake_inputs=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
        model = SoccerModel.from_config(config)
        for name in freeze:
            model.get_submodule(name).requires_grad_(False)
        if half:
            model.half()  # bfloat16 takes another path on a CPU
        encoder = model.encoder
        encoder.activation_checkpointing = False
        clip = torch.empty(1, frames or encoder.num_frames, 3, *encoder.image_size)
        clip = clip.to(encoder.position_embedding.dtype)
        sizes, features = _encoder_sizes(encoder, clip)
        for name, task in model.tasks.items():
            sizes += _task_sizes(name, task, features)
    return sizes


def shapes_table(config: Mapping[str, Any], precision: str, freeze: Sequence[str] = ()) -> Table:
    """`part_sizes` for a person, for a clip of the encoder's length."""
    half = "16" in precision
    sizes = part_sizes(config, freeze=freeze, half=half)
    frames = config["encoder"].get("num_frames", 30)
    height, width = config["encoder"]["image_size"]
    table = Table(
        title=f"One clip of {frames} frames of {height}x{width}, {precision}",
        caption="FLOPs of a forward pass (training: three times as many, four times with "
        "activation checkpointing). States: weights, gradients and AdamW in float32. Activations: "
        "kept for the backward pass, and with checkpointing of the blocks; losses, workspaces and "
        "what the allocator keeps come on top.",
    )
    for column in (
        "part",
        "parameters",
        "trained",
        "GFLOP/clip",
        "GFLOP/frame",
        "states, GiB",
        "activations, GiB",
        "checkpointed, GiB",
    ):
        table.add_column(column, justify="left" if column == "part" else "right")
    for size in sizes:
        table.add_row(*_row(size, frames))
    table.add_section()
    names = [f.name for f in PartSize.__dataclass_fields__.values()][1:]
    table.add_row(
        *_row(PartSize("all", *(sum(getattr(s, n) for s in sizes) for n in names)), frames)
    )
    return table


def _row(size: PartSize, frames: int) -> list[str]:
    return [
        size.name,
        f"{size.parameters:,}",
        f"{size.trained:,}",
        f"{size.flops / 1e9:,.1f}",
        f"{size.flops / 1e9 / frames:,.1f}",
        f"{size.states / _GIB:.2f}",
        f"{size.activations / _GIB:.2f}",
        f"{size.checkpointed / _GIB:.2f}",
    ]


def _encoder_sizes(encoder: VideoEncoder, clip: Tensor) -> tuple[list[PartSize], Features]:
    reads = {"patches", "frames"} | ({"pyramid"} if encoder.neck is not None else set())
    tap, tap_flops, tap_bytes = _measure(encoder, lambda: encoder(clip, reads - {"frames"}))
    features, flops, every_byte = _measure(encoder, lambda: encoder(clip, reads))
    late = {n for n, _ in encoder.named_parameters() if _is_late(n, encoder)}
    spatial = len(encoder.blocks) - len(encoder.temporal)
    tokens = tap.patches[0].numel() * tap.patches.element_size()
    block_bytes = 0
    if len(encoder.blocks):
        state = torch.empty_like(tap.patches[0])
        _, _, block_bytes = _measure(encoder, lambda: encoder.blocks[0](state.requires_grad_()))
    rest = {  # of the embedding, the pooling and the neck, which are not checkpointed
        "early": max(0, tap_bytes - spatial * block_bytes),
        "late": max(0, every_byte - tap_bytes - len(encoder.temporal) * 2 * block_bytes),
    }
    sizes = []
    for name, is_late, part_flops, part_bytes, blocks in (
        ("encoder, up to the tap", False, tap_flops, tap_bytes, spatial),
        (
            "encoder, after it",
            True,
            flops - tap_flops,
            every_byte - tap_bytes,
            2 * len(encoder.temporal),
        ),
    ):
        own = [p for n, p in encoder.named_parameters() if (n in late) == is_late]
        kept = blocks * tokens + (block_bytes if not is_late else 0)
        sizes.append(
            PartSize(
                name,
                sum(p.numel() for p in own),
                sum(p.numel() for p in own if p.requires_grad),
                part_flops,
                part_bytes,
                min(part_bytes, kept + rest["late" if is_late else "early"]),
            )
        )
    return sizes, features


def _is_late(name: str, encoder: VideoEncoder) -> bool:
    first, _, rest = name.partition(".")
    if first == "blocks":
        return int(rest.partition(".")[0]) >= len(encoder.blocks) - len(encoder.temporal)
    return first in ("temporal", "frame_embedding", "norm", "pool", "clip_pool")


def _task_sizes(name: str, task: nn.Module, features: Features) -> list[PartSize]:
    towers = {n: m for n, m in task.named_modules() if isinstance(m, TextEncoder)}
    inside = {id(p) for tower in towers.values() for p in tower.parameters()}
    own = [p for p in task.parameters() if id(p) not in inside]
    _, flops, kept = _measure(task, lambda: task(features))
    sizes = [_sized(name, own, flops, kept)]
    for tower_name, tower in towers.items():
        _, flops, kept = _measure(tower, lambda tower=tower: _one_text(tower))
        sizes.append(
            _sized(f"{name}.{tower_name}, per text", list(tower.parameters()), flops, kept)
        )
    return sizes


def _sized(name: str, parameters: list[Tensor], flops: int, kept: int) -> PartSize:
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    kept = kept if trained else 0
    return PartSize(name, sum(p.numel() for p in parameters), trained, flops, kept, kept)


def _one_text(tower: TextEncoder) -> Tensor:
    tokens = tower.position_embedding[None]
    for block in tower.blocks:
        tokens = block(tokens)
    return tower.project(tower.norm(tokens)[:, -1])


def _measure(module: nn.Module, run: Callable[[], Any]) -> tuple[Any, int, int]:
    """What `run` gives, its FLOPs, and the bytes it keeps for the backward pass beside weights."""
    weights = {p.untyped_storage()._cdata for p in module.parameters()}
    kept: dict[int, int] = {}
    alive = []

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage.nbytes()
            alive.append(tensor)
        return tensor

    counter = FlopCounterMode(
        display=False,
        custom_mapping={torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention},
    )
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), counter:
        result = run()
    return result, counter.get_total_flops(), sum(kept.values())


def _attention(q: Any, k: Any, v: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    return sdpa_flop_count(q, k, v)
