from __future__ import annotations

import itertools

import pytest
import torch
from torch.utils.data import DataLoader

from soccermaster.training.sampling import EndlessBatches, EveryNth, TakingTurns


def first(sampler: EndlessBatches, count: int) -> list[list[tuple[int, int]]]:
    return list(itertools.islice(iter(sampler), count))


def test_each_pass_visits_every_clip_once_in_a_new_order():
    batches = first(EndlessBatches(6, 2, seed=0), 6)
    passes = [[i for batch in batches[a : a + 3] for i, _ in batch] for a in (0, 3)]
    assert sorted(passes[0]) == sorted(passes[1]) == list(range(6))
    assert passes[0] != passes[1]
    assert [draw for batch in batches for _, draw in batch] == [0] * 6 + [1] * 6


def test_a_later_start_gives_the_later_batches():
    whole = first(EndlessBatches(6, 2, seed=3), 8)
    late = EndlessBatches(6, 2, seed=3)
    late.start = 5
    assert first(late, 3) == whole[5:]


def test_processes_share_a_pass():
    seen = [first(EndlessBatches(8, 2, seed=1, rank=r, world_size=2), 2) for r in (0, 1)]
    clips = [i for batches in seen for batch in batches for i, _ in batch]
    assert sorted(clips) == list(range(8))


def test_too_few_clips_are_refused():
    with pytest.raises(ValueError, match="at least 8 clips"):
        EndlessBatches(7, 4, seed=0, world_size=2)


def test_every_clip_is_evaluated_once_by_all_processes_together():
    parts = [list(EveryNth(7, rank, 3)) for rank in range(3)]
    assert sorted(i for part in parts for i in part) == list(range(7))


class Numbers(torch.utils.data.Dataset):
    def __init__(self, name: str) -> None:
        self.name = name

    def __getitem__(self, key: tuple[int, int]) -> str:
        return f"{self.name}{key[0]}"


def turns() -> TakingTurns:
    return TakingTurns(
        {
            name: DataLoader(
                Numbers(name),
                batch_sampler=EndlessBatches(clips, 1, seed=0),
                collate_fn=lambda items: items[0],
            )
            for name, clips in (("a", 4), ("b", 2))
        }
    )


def test_datasets_take_turns_for_one_pass_over_the_longest():
    served = list(turns())
    assert len(served) == 8
    assert [item[0] for item in served] == ["a", "b"] * 4
    assert sorted(served[::2]) == ["a0", "a1", "a2", "a3"]


def test_a_resumed_loader_goes_on_where_the_other_stopped():
    one = turns()
    whole = [*one, *one]  # two epochs
    again = turns()
    iterator = iter(again)
    start = [next(iterator) for _ in range(5)]
    resumed = turns()
    resumed.load_state_dict(again.state_dict())
    assert start + list(resumed) + list(resumed) == whole
