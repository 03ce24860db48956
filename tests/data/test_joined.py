from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from soccermaster.data.datasets import ClipDataset, DatasetError, JoinedClips
from soccermaster.structures import Annotations, Clip


class Some(ClipDataset):
    def __init__(self, split: str, name: str, clips: int, provides: set[str], files: int = 0):
        self.name, self.clips, self.provides = name, clips, frozenset(provides)
        self.groups = np.arange(clips) % files if files else None

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: int) -> Clip:
        frames = np.zeros((1, 2, 2, 3), np.uint8)
        return Clip(frames, np.zeros(1), Annotations(), f"{self.name}{index}", self.name)


PARTS = {
    "a": partial(Some, name="a", clips=3, provides={"boxes", "lines", "teams"}),
    "b": partial(Some, name="b", clips=2, provides={"boxes", "lines", "cameras"}, files=2),
}


def test_clips_follow_each_other_and_provide_what_all_do():
    joined = JoinedClips("train", PARTS)
    assert [joined[i].clip_id for i in range(len(joined))] == ["a0", "a1", "a2", "b0", "b1"]
    assert joined.undecoded(4).source == "b"
    assert joined.provides == {"boxes", "lines"}
    assert joined.groups.tolist() == [0, 0, 0, 1, 2]
    with pytest.raises(IndexError, match="0 to 4"):
        joined[5]


def test_a_part_without_the_split_is_left_out():
    valid = JoinedClips("valid", PARTS, {"b": ["train"]})
    assert len(valid) == 3 and valid.groups is None
    with pytest.raises(DatasetError, match="split 'test'"):
        JoinedClips("test", PARTS, {"a": ["train"], "b": ["train"]})
    with pytest.raises(DatasetError, match="'c'"):
        JoinedClips("test", PARTS, {"c": ["train"]})
