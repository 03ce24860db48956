"""Translating a network's state between two ways to name and pack its tensors, both ways.

A `Rule` says which of their tensors make which of ours. Translation is strict: every tensor of
either side is used once, and what is missing or left over is named in the error. No value changes,
so that there and back is the identity, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from soccermaster.models.weights import CheckpointError, some

_Pack = Callable[[list[Tensor]], list[Tensor]]


@dataclass(frozen=True)
class Rule:
    """Some tensors of theirs are some of ours."""

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    to_ours: _Pack
    to_theirs: _Pack


def same(ours: str, theirs: str) -> Rule:
    """One tensor with two names."""
    return Rule((ours,), (theirs,), list, list)


def joined(ours: str, theirs: Sequence[str], dim: int = 0) -> Rule:
    """Several equally large tensors of theirs are the parts of one of ours, in order."""

    def join(parts: list[Tensor]) -> list[Tensor]:
        if len({(part.dtype, part.shape) for part in parts}) > 1:
            raise CheckpointError(
                f"expected the same type and shape in {', '.join(theirs)}, got "
                + ", ".join(f"{part.dtype} {tuple(part.shape)}" for part in parts)
            )
        return [torch.cat(parts, dim=dim)]

    def part(whole: list[Tensor]) -> list[Tensor]:
        return [chunk.clone() for chunk in whole[0].chunk(len(theirs), dim=dim)]

    return Rule((ours,), tuple(theirs), join, part)


def parted(ours: Sequence[str], theirs: str, shares: Sequence[int], dim: int = 0) -> Rule:
    """One tensor of theirs holds several of ours, whose lengths along `dim` are as `shares`."""

    def part(whole: list[Tensor]) -> list[Tensor]:
        length = whole[0].shape[dim] if whole[0].ndim > dim else 0
        unit, rest = divmod(length, sum(shares))
        if rest or not unit:
            raise CheckpointError(
                f"expected {theirs} to fall into {sum(shares)} equal parts along axis {dim}, got "
                f"{tuple(whole[0].shape)}"
            )
        sizes = [unit * share for share in shares]
        return [chunk.clone() for chunk in whole[0].split(sizes, dim=dim)]

    return Rule(tuple(ours), (theirs,), part, lambda parts: [torch.cat(parts, dim=dim)])


def with_leading_axis(ours: str, theirs: str) -> Rule:
    """Theirs has one more axis, of length 1, in front."""

    def drop(tensors: list[Tensor]) -> list[Tensor]:
        if tensors[0].ndim < 2 or len(tensors[0]) != 1:
            raise CheckpointError(
                f"expected {theirs} with a first axis of length 1, got {tuple(tensors[0].shape)}"
            )
        return [tensors[0][0]]

    return Rule((ours,), (theirs,), drop, lambda tensors: [tensors[0][None]])


def repeated(ours: str, theirs: Sequence[str]) -> Rule:
    """Theirs lists one tensor of ours under several names."""

    def once(copies: list[Tensor]) -> list[Tensor]:
        if not all(torch.equal(copies[0], copy) for copy in copies[1:]):
            raise CheckpointError(f"expected the same values in {', '.join(theirs)}; they differ")
        return copies[:1]

    return Rule((ours,), tuple(theirs), once, lambda tensors: tensors * len(theirs))


def linear(ours: str, theirs: str) -> list[Rule]:
    """Weight and bias of one layer."""
    return [same(f"{ours}.{part}", f"{theirs}.{part}") for part in ("weight", "bias")]


def to_ours(tensors: Mapping[str, Tensor], rules: Sequence[Rule], where: str) -> dict[str, Tensor]:
    """Our tensors from theirs.

    Args:
        tensors: theirs by name, all of them.
        rules: for every tensor.
        where: the tensors come from, for errors.

    Raises:
        CheckpointError: a tensor is missing, left over, or not packed as expected.
    """
    return _translate(tensors, [(rule.theirs, rule.ours, rule.to_ours) for rule in rules], where)


def to_theirs(
    tensors: Mapping[str, Tensor], rules: Sequence[Rule], where: str
) -> dict[str, Tensor]:
    """Their tensors from ours; the inverse of `to_ours`, with the same errors."""
    return _translate(tensors, [(rule.ours, rule.theirs, rule.to_theirs) for rule in rules], where)


def _translate(
    tensors: Mapping[str, Tensor],
    rules: Sequence[tuple[tuple[str, ...], tuple[str, ...], _Pack]],
    where: str,
) -> dict[str, Tensor]:
    expected = set(chain.from_iterable(source for source, _, _ in rules))
    missing, unexpected = sorted(expected - set(tensors)), sorted(set(tensors) - expected)
    if missing or unexpected:
        raise CheckpointError(
            f"the tensors do not fit: {where}\n"
            f"  missing: {some(missing)}\n"
            f"  unexpected, used by nothing: {some(unexpected, 1000)}"
        )
    made: dict[str, Tensor] = {}
    for source, target, pack in rules:
        made.update(zip(target, pack([tensors[name] for name in source]), strict=True))
    return made
