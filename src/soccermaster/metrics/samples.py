"""The base of every metric: rows that belong to samples, gathered once and counted once.

A distributed sampler fills the last batches with repeated clips, so that every process has the same
number of steps. Each row therefore carries the key of its sample (a hash of the clip id), and a
sample that arrives twice counts once. An undefined score is NaN, never 0 or 1.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from soccermaster.structures import Batch

#: Key of a sample without an id: never a repetition of another one.
NO_KEY: int = -1

UNDEFINED: float = float("nan")


class SampleMetric(Metric):
    """A torchmetric whose states are tables; row i of a table belongs to sample i (or to its rows).

    `update(predictions, batch)` adds rows, `compute()` returns floats by name.
    """

    full_state_update = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._empty: dict[str, Tensor] = {}

    def add_table(self, name: str, *columns: int, dtype: torch.dtype = torch.int64) -> None:
        """Add a state of shape (rows, *columns), concatenated across processes.

        An empty block stands in it from the start: a process that saw no sample then takes part in
        the gathering with the right number of dimensions and the right type.
        """
        self.add_state(name, default=[], dist_reduce_fx="cat")
        self._empty[name] = torch.empty(0, *columns, dtype=dtype)
        self._place_empty_block(name)

    def append(self, name: str, rows: Tensor | list) -> None:
        """Add rows to a table, on the device and in the type of the table."""
        empty = self._empty[name]
        rows = torch.as_tensor(rows, dtype=empty.dtype, device=self.device)
        getattr(self, name).append(rows.detach().reshape(-1, *empty.shape[1:]))

    def table(self, name: str) -> Tensor:
        """All rows of a table, of this process or, inside `compute`, of all processes."""
        return dim_zero_cat(getattr(self, name))

    def reset(self) -> None:
        """Forget all samples."""
        super().reset()
        for name in self._empty:
            self._place_empty_block(name)

    def _place_empty_block(self, name: str) -> None:
        setattr(self, name, [self._empty[name].to(self.device)])


def hash64(text: str) -> int:
    """A 64-bit hash of a string, as a signed integer; the same in every process and every run."""
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def hash_text(text: str) -> int:
    """Hash of a comment, the same for texts that differ in case or spacing only."""
    return hash64(" ".join(unicodedata.normalize("NFKC", text).casefold().split()))


def clip_keys(batch: Batch) -> list[int]:
    """One key per clip, from the data set and the clip id; `NO_KEY` where the batch has no ids."""
    if not batch.clip_ids:
        return [NO_KEY] * len(batch.images)
    return [hash64(f"{batch.source}/{clip_id}") for clip_id in batch.clip_ids]


def frame_keys(batch: Batch) -> list[int]:
    """One key per frame of the batch, clip by clip."""
    if not batch.clip_ids:
        return [NO_KEY] * (len(batch.images) * batch.num_frames)
    return [
        hash64(f"{batch.source}/{clip_id}/{frame}")
        for clip_id in batch.clip_ids
        for frame in range(batch.num_frames)
    ]


def first_of_each(keys: Int[Tensor, " n"]) -> Int[Tensor, " u"]:
    """Rows of the first appearance of every key, ascending; all rows with `NO_KEY` count."""
    order = torch.sort(keys, stable=True).indices
    ordered = keys[order]
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = (ordered[1:] != ordered[:-1]) | (ordered[1:] == NO_KEY)
    return order[first].sort().values


def check_batch(
    metric: Metric, predictions: list, batch: Batch, fields: Iterable[str], expected: int
) -> None:
    """Refuse a batch without the annotations to compare with, or with too few predictions.

    Args:
        metric: who asks, for the message.
        predictions: one per frame or one per clip.
        batch: with annotations.
        fields: fields of the batch that are needed.
        expected: how many predictions there must be.

    Raises:
        ValueError: if a field is missing or the number of predictions differs.
    """
    name = type(metric).__name__
    for field in fields:
        if getattr(batch, field) is None or getattr(batch, field) == ():
            raise ValueError(
                f"{name} compares with batch.{field}, but the batch of {batch.source or 'no name'} "
                f"has none. Evaluate this task on a dataset that provides {field}."
            )
    if len(predictions) != expected:
        raise ValueError(
            f"{name} expected {expected} predictions for a batch of {len(batch.images)} clips of "
            f"{batch.num_frames} frames, got {len(predictions)}. "
            "Give one prediction per frame (clip * T + frame), or one per clip for clip tasks."
        )


def ratio(part: Tensor | float, whole: Tensor | float) -> float:
    """The quotient, undefined where there is nothing to divide by."""
    return float(part) / float(whole) if whole else UNDEFINED
