from __future__ import annotations

import itertools
from collections.abc import Iterable
from functools import partial

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from soccermaster.data.datasets.base import DatasetError
from soccermaster.data.images import VideoError
from soccermaster.structures import Annotations, Batch, Clip
from soccermaster.training.sampling import AugmentedClips, EndlessBatches, EveryNth, TakingTurns
from soccermaster.training.unreadable import ReadableBatches, UnreadableClips, collate_readable


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


class Still(torch.utils.data.Dataset):
    """Clips of one frame; those of `broken` cannot be read."""

    def __init__(self, name: str, clips: int, broken: tuple[int, ...] = ()) -> None:
        self.name, self.clips, self.broken = name, clips, broken

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: int) -> Clip:
        if index in self.broken:
            raise VideoError(f"{self.name}{index}.mp4: cut short")
        frames = np.zeros((1, 2, 2, 3), np.uint8)
        return Clip(frames, np.zeros(1), Annotations(), f"{self.name}{index}", self.name)


def turns(broken: tuple[int, ...] = (), strict: bool = False) -> TakingTurns:
    sets = [Still("a", 4, broken), Still("b", 2)]
    return TakingTurns(
        {
            clips.name: DataLoader(
                AugmentedClips(clips, lambda clip, rng: clip, seed=0, strict=strict),
                batch_sampler=EndlessBatches(len(clips), 1, seed=0),
                collate_fn=partial(collate_readable, provides=(), source=clips.name),
            )
            for clips in sets
        }
    )


def ids(batches: Iterable[Batch]) -> list[str]:
    return [clip_id for batch in batches for clip_id in batch.clip_ids]


def test_datasets_take_turns_for_one_pass_over_the_longest():
    served = ids(turns())
    assert len(served) == 8
    assert [item[0] for item in served] == ["a", "b"] * 4
    assert sorted(served[::2]) == ["a0", "a1", "a2", "a3"]


@pytest.mark.parametrize("broken", [(), (1,), (0, 3)])
def test_a_resumed_loader_goes_on_where_the_other_stopped(broken: tuple[int, ...]):
    one = turns(broken)
    whole = [*ids(one), *ids(one)]  # two epochs
    assert len(whole) == 16
    for stop in range(16):
        again = turns(broken)
        batches = itertools.chain(again, again)
        start = ids(itertools.islice(batches, stop))
        resumed = turns(broken)
        resumed.load_state_dict(again.state_dict())
        rest = ids(resumed) + (ids(resumed) if stop < 8 else [])
        assert start + rest == whole


def test_unreadable_clips_are_left_out_counted_and_reported():
    loader = turns(broken=(1, 2))
    served = ids(loader)
    assert sorted(set(served[::2])) == ["a0", "a3"] and len(served) == 8
    found = loader.unreadable
    assert {clip.clip for clip in found.clips} == {1, 2}
    assert found.attempts["a"] == 4 + len(found.clips) and found.attempts["b"] == 4
    report = found.report()
    assert f"a: {len(found.clips)} of {found.attempts['a']} clips could not be read" in report
    assert "clip 1: a1.mp4: cut short" in report and "b:" not in report
    assert len(found.gather().clips) >= 2 and found.clips == [] and found.report() == ""


def test_strict_loading_ends_with_the_error():
    with pytest.raises(VideoError, match=r"a1\.mp4: cut short"):
        list(turns(broken=(1,), strict=True))


def test_a_dataset_without_a_readable_clip_is_an_error():
    with pytest.raises(DatasetError, match=r"(?s)'a'.*in a whole pass.*a0\.mp4"):
        list(turns(broken=(0, 1, 2, 3)))


def test_evaluation_leaves_out_what_cannot_be_read():
    clips = AugmentedClips(Still("a", 5, broken=(1, 4)), lambda c, rng: c, seed=0, strict=False)
    collate = partial(collate_readable, provides=(), source="a")
    loader = DataLoader(clips, batch_size=2, collate_fn=collate)
    found = UnreadableClips()
    assert ids(ReadableBatches(loader, "a", found)) == ["a0", "a2", "a3"]
    assert [clip.clip for clip in found.clips] == [1, 4] and found.attempts["a"] == 5
