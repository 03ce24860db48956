"""The heads of the official release: their files, and how their tensors are named and packed.

The detection head has one decoder layer and one attention head, and its file lists the box MLP
twice; the event head has width / 64 attention heads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from soccermaster.models.renaming import Rule, linear, parted, repeated, same
from soccermaster.models.siglip_names import attention_rules
from soccermaster.models.weights import CheckpointError
from soccermaster.vocabulary import EVENTS, RELEASE_EVENTS

_Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class OfficialHead:
    """One file of the official format, and the task of ours that it is."""

    file: str
    task: str
    target: str
    arguments: Callable[[_Tensors, int], dict[str, Any]]  # of our task, from tensors and width
    rules: Callable[[Mapping[str, Any]], list[Rule]]  # from the arguments of our task


def _shape(tensors: _Tensors, name: str, axes: int) -> Sequence[int]:
    if name not in tensors or tensors[name].ndim != axes:
        found = tuple(tensors[name].shape) if name in tensors else "none"
        raise CheckpointError(f"expected the tensor {name} with {axes} axes, found {found}")
    return tensors[name].shape


def _athletes_arguments(tensors: _Tensors, width: int) -> dict[str, Any]:
    layer = "transformer.decoder.layers.0"
    queries, double = _shape(tensors, "query_embed.weight", 2)
    return {
        "hidden_dim": double // 2,
        "num_queries": queries,
        "num_layers": 1,
        "num_heads": 1,
        "num_points": _shape(tensors, f"{layer}.cross_attn.attention_weights.weight", 2)[0],
        "ffn_dim": _shape(tensors, f"{layer}.linear1.weight", 2)[0],
    }


def _athletes_rules(arguments: Mapping[str, Any]) -> list[Rule]:
    ours, theirs = "decoder.layers.0", "transformer.decoder.layers.0"
    rules = linear("decoder.project.0", "input_proj.0.0")
    rules += linear("decoder.project.1", "input_proj.0.1")
    parts = ("decoder.query_position", "decoder.query_content")
    rules.append(parted(parts, "query_embed.weight", (1, 1), dim=1))
    rules += linear("decoder.reference", "transformer.reference_points")
    rules += attention_rules(f"{ours}.self_attention", f"{theirs}.self_attn")
    for mine, other in (
        ("cross_attention.offsets", "cross_attn.sampling_offsets"),
        ("cross_attention.weights", "cross_attn.attention_weights"),
        ("cross_attention.values", "cross_attn.value_proj"),
        ("cross_attention.out", "cross_attn.output_proj"),
        ("norm_cross", "norm1"),
        ("norm_self", "norm2"),
        ("norm_ffn", "norm3"),
        ("linear1", "linear1"),
        ("linear2", "linear2"),
    ):
        rules += linear(f"{ours}.{mine}", f"{theirs}.{other}")
    for i in range(3):
        for part in ("weight", "bias"):
            name = f"bbox_embed.0.layers.{i}.{part}"
            copies = (name, f"transformer.decoder.{name}")
            rules.append(repeated(f"decoder.box.layers.{i}.{part}", copies))
    for mine, other in (
        ("object", "class_embed"),
        ("role", "role_embed"),
        ("number", "jn_holistic_embed"),
        ("tens", "digit_head_embed"),
        ("units", "digit_tail_embed"),
    ):
        rules += linear(mine, f"{other}.0")
    return rules


def _upsampler_arguments(prefix: str) -> Callable[[_Tensors, int], dict[str, Any]]:
    def arguments(tensors: _Tensors, width: int) -> dict[str, Any]:
        names = [f"{prefix}.stage{stage}.0.weight" for stage in (1, 2, 3)]
        return {"channels": [_shape(tensors, name, 4)[0] // 4 for name in names]}

    return arguments


def _upsampler_rules(prefix: str) -> Callable[[Mapping[str, Any]], list[Rule]]:
    def rules(arguments: Mapping[str, Any]) -> list[Rule]:
        made: list[Rule] = []
        for i in range(3):
            for layer in (0, 2, 4, 5):
                ours, theirs = f"upsample.stages.{i}.{layer}", f"{prefix}.stage{i + 1}.{layer}"
                made += linear(ours, theirs)
                if layer in (2, 5):
                    for part in ("running_mean", "running_var", "num_batches_tracked"):
                        made.append(same(f"{ours}.{part}", f"{theirs}.{part}"))
        return made + linear("upsample.logits", f"{prefix}.final_conv.0")

    return rules


def _events_arguments(tensors: _Tensors, width: int) -> dict[str, Any]:
    classes, _ = _shape(tensors, "classifier.weight", 2)
    lists = {len(names): list(names) for names in (RELEASE_EVENTS, EVENTS)}
    if classes not in lists:
        raise CheckpointError(
            f"expected an event classifier with {' or '.join(map(str, lists))} classes, got "
            f"{classes}: their names are not known"
        )
    pattern = r"transformer_encoder\.layers\.(\d+)\."
    layers = {m.group(1) for m in (re.match(pattern, name) for name in tensors) if m}
    return {
        "classes": lists[classes],
        "depth": len(layers),
        "num_heads": max(1, width // 64),
        "ffn_dim": _shape(tensors, "transformer_encoder.layers.0.linear1.weight", 2)[0],
    }


def _events_rules(arguments: Mapping[str, Any]) -> list[Rule]:
    rules: list[Rule] = []
    for i in range(arguments["depth"]):
        ours, theirs = f"layers.layers.{i}", f"transformer_encoder.layers.{i}"
        for part in ("weight", "bias"):
            name = f"self_attn.in_proj_{part}"
            rules.append(same(f"{ours}.{name}", f"{theirs}.{name}"))
        for name in ("self_attn.out_proj", "linear1", "linear2", "norm1", "norm2"):
            rules += linear(f"{ours}.{name}", f"{theirs}.{name}")
    rules += linear("classifier", "classifier")
    return rules + linear("norm_in", "classifier_ln1") + linear("norm_out", "classifier_ln2")


def _alignment_rules(arguments: Mapping[str, Any]) -> list[Rule]:
    return [same("logit_scale", "logit_scale"), same("logit_bias", "logits_bias")]


_TASKS = "soccermaster.tasks"
HEADS: tuple[OfficialHead, ...] = (
    OfficialHead(
        "SoccerNetGSR_Detection.pt",
        "athletes",
        f"{_TASKS}.athletes.AthleteDetection",
        _athletes_arguments,
        _athletes_rules,
    ),
    OfficialHead(
        "KeypointsDetection.pt",
        "pitch_keypoints",
        f"{_TASKS}.pitch_keypoints.PitchKeypoints",
        _upsampler_arguments("keypoints_head"),
        _upsampler_rules("keypoints_head"),
    ),
    OfficialHead(
        "LinesDetection.pt",
        "pitch_lines",
        f"{_TASKS}.pitch_lines.PitchLines",
        _upsampler_arguments("lines_head"),
        _upsampler_rules("lines_head"),
    ),
    OfficialHead(
        "CaptionClassification.pt",
        "events",
        f"{_TASKS}.events.EventClassification",
        _events_arguments,
        _events_rules,
    ),
    OfficialHead(
        "VideoCaption.pt",
        "alignment",
        f"{_TASKS}.alignment.Alignment",
        lambda tensors, width: {},
        _alignment_rules,
    ),
)
