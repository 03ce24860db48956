"""Does a clip find its comment, and a comment its clip? Recall at k within pools of fixed size.

Pools hold the classes in equal parts: with 24 classes of ten clips each, a pool of 48 holds two of
every class. Within a class the order is a seeded one over the sorted hashes of the clip ids, so
pools do not depend on the batch size, the order of the clips or the number of processes. Every clip
asks once; a last pool that would be short is filled with clips of other pools as distractors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from soccermaster.metrics.samples import (
    UNDEFINED,
    SampleMetric,
    check_batch,
    clip_keys,
    first_of_each,
    hash64,
    hash_text,
)
from soccermaster.structures import AlignmentPrediction, Batch

#: Event key of a clip whose event is not known.
_NO_EVENT: int = -1


class RetrievalMetrics(SampleMetric):
    """Recall over the clips that have a text.

    Comments that differ in case and spacing only are the same, each is right for all their clips. A
    query with fewer than k wrong candidates cannot fail and is left out of recall at k; a recall
    without any query is NaN.
    """

    def __init__(self, pool: int | None = 48, seed: int = 0, **kwargs: Any) -> None:
        """No clips yet.

        Args:
            pool: clips in a pool; None: all clips are one pool.
            seed: of the order in which clips form pools.
            **kwargs: of torchmetrics.Metric.
        """
        super().__init__(**kwargs)
        self.pool = pool
        self.seed = seed
        self.add_table("keys")
        self.add_table("text_keys")
        self.add_table("event_keys")
        # Flat, because the width of the vectors is not known before the first clip.
        self.add_table("video", dtype=torch.float32)
        self.add_table("text", dtype=torch.float32)

    def update(self, predictions: list[AlignmentPrediction], batch: Batch) -> None:
        """Add the clips of one batch.

        Args:
            predictions: one per clip; those without a text vector are skipped.
            batch: with clip ids and texts.
        """
        check_batch(self, predictions, batch, ("clip_ids", "texts"), len(batch.images))
        keys = clip_keys(batch)
        events = batch.events or (None,) * len(batch.images)
        for i, prediction in enumerate(predictions):
            if prediction.text is None or batch.texts[i] is None:
                continue
            self.append("keys", [keys[i]])
            self.append("text_keys", [hash_text(batch.texts[i])])
            self.append("event_keys", [_NO_EVENT if events[i] is None else hash64(events[i])])
            self.append("video", prediction.video)
            self.append("text", prediction.text)

    def compute(self) -> dict[str, float]:
        """Recalls by name, and the mean number of candidates of a query as `pool_size`.

        `recall_within_class` is recall at 1 where all candidates have the event of the query.
        """
        keys = self.table("keys")
        rows = first_of_each(keys)
        rows = rows[seeded_order(keys[rows], self.seed)]
        width = self.table("video").numel() // max(len(keys), 1)
        clips = {
            "video": self.table("video").reshape(len(keys), width)[rows],
            "text": self.table("text").reshape(len(keys), width)[rows],
            "text_keys": self.table("text_keys")[rows],
        }
        events = self.table("event_keys")[rows]
        everything = class_by_class(events)
        classes = [
            (events == event).nonzero().squeeze(1)
            for event in events.unique()
            if event != _NO_EVENT
        ]
        hits = self._hits([everything], clips)
        within = self._hits(classes, clips)
        return {
            "recall_at_1": _defined_mean(hits["video_1"]),
            "recall_at_5": _defined_mean(hits["video_5"]),
            "recall_at_1_text_to_video": _defined_mean(hits["text_1"]),
            "recall_within_class": _defined_mean(within["video_1"]),
            "pool_size": _defined_mean(hits["pool_size"]),
        }

    def _hits(
        self, groups: list[Int[Tensor, " n"]], clips: dict[str, Tensor]
    ) -> dict[str, Float[Tensor, " q"]]:
        """Hits of all queries; pools are formed within each group of clips."""
        hits = {name: [torch.empty(0)] for name in ("video_1", "video_5", "text_1", "pool_size")}
        for group in groups:
            for members, num_queries in split_pools(group, self.pool):
                similarity = clips["video"][members] @ clips["text"][members].T
                same = clips["text_keys"][members]
                positives = same.unsqueeze(1) == same.unsqueeze(0)
                video_to_text = (similarity[:num_queries], positives[:num_queries])
                text_to_video = (similarity.T[:num_queries], positives[:num_queries])
                hits["video_1"].append(recall_hits(*video_to_text, k=1).cpu())
                hits["video_5"].append(recall_hits(*video_to_text, k=5).cpu())
                hits["text_1"].append(recall_hits(*text_to_video, k=1).cpu())
                hits["pool_size"].append(torch.full((num_queries,), float(len(members))))
        return {name: torch.cat(values) for name, values in hits.items()}


def recall_hits(
    similarity: Float[Tensor, "q n"], positives: Bool[Tensor, "q n"], k: int
) -> Float[Tensor, " q"]:
    """Whether a right candidate is among the k best of each query: 1, 0 or NaN.

    NaN: the query has no right candidate, or fewer than k wrong ones, so that it cannot fail. Ties
    and NaN similarities count as wrong candidates that are ahead.
    """
    best = similarity.masked_fill(~positives, -torch.inf).amax(1, keepdim=True)
    ahead = (~(best > similarity) & ~positives).sum(1)
    hits = (ahead < k).float()
    can_fail = (~positives).sum(1) >= k
    return hits.masked_fill(~(can_fail & positives.any(1)), UNDEFINED)


def seeded_order(keys: Int[Tensor, " n"], seed: int) -> Int[Tensor, " n"]:
    """A shuffled order that depends on the set of keys and the seed only."""
    shuffle = np.random.default_rng(seed).permutation(len(keys))
    return torch.sort(keys).indices[torch.from_numpy(shuffle).to(keys.device)]


def class_by_class(classes: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Rows with the classes taking turns: the first row of every class, the second of every, ..."""
    same = classes.unsqueeze(1) == classes.unsqueeze(0)
    turn = same.tril(-1).sum(1)  # rows of the same class that come before
    by_class = torch.sort(classes, stable=True).indices
    return by_class[torch.sort(turn[by_class], stable=True).indices]


def split_pools(
    rows: Int[Tensor, " n"], pool: int | None
) -> Iterator[tuple[Int[Tensor, " p"], int]]:
    """Cut rows into pools of one size; with fewer rows than that they are one smaller pool.

    Yields:
        The rows of a pool and how many of them, the first ones, ask in it. The rest are distractors
        from the beginning of `rows`.
    """
    n = len(rows)
    pool = n if pool is None else min(pool, n)
    for start in range(0, n, max(pool, 1)):
        queries = rows[start : start + pool]
        yield torch.cat([queries, rows[: pool - len(queries)]]), len(queries)


def _defined_mean(values: Float[Tensor, " n"]) -> float:
    return values.nanmean().item()
