from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import multiprocessing

from soccermaster.metrics.classification import EventMetrics
from soccermaster.metrics.samples import (
    NO_KEY,
    clip_keys,
    first_of_each,
    frame_keys,
    hash64,
    hash_text,
    ratio,
)
from soccermaster.structures import EventPrediction

from .batches import batch

CLASSES = ("corner", "goal", "foul", "penalty", "injury", "var")


def test_keys_tell_clips_frames_and_sources_apart():
    clips = batch(2, 3, ids="ab")
    keys = [*clip_keys(clips), *frame_keys(clips), hash64("other/a")]
    assert len(set(keys)) == 2 + 6 + 1


def test_keys_do_not_change_between_runs():
    assert hash64("soccer") == -1041297622269122604


def test_without_ids_no_sample_repeats_another():
    assert clip_keys(batch(2)) == [NO_KEY, NO_KEY]
    assert frame_keys(batch(1, 2)) == [NO_KEY, NO_KEY]


def test_texts_are_equal_up_to_case_and_spacing():
    assert hash_text("Goal for\n[TEAM]!") == hash_text(" goal  for [team]! ")
    assert hash_text("Goal for [TEAM]!") != hash_text("Goal for [TEAM]")


def test_first_of_each_keeps_order_and_samples_without_key():
    keys = torch.tensor([7, NO_KEY, 3, 7, NO_KEY, 3, 9])
    assert first_of_each(keys).tolist() == [0, 1, 2, 4, 6]
    assert first_of_each(torch.tensor([], dtype=torch.int64)).tolist() == []


def test_ratio_of_nothing_is_undefined():
    assert math.isnan(ratio(0, 0))
    assert ratio(1, 4) == 0.25


def update(metric: EventMetrics, ids: str, right: str) -> None:
    """Add clips that are corners; those in `right` are recognised."""
    scores = {True: torch.eye(6)[0], False: torch.eye(6)[1]}
    metric.update(
        [EventPrediction(CLASSES, scores[letter in right]) for letter in ids],
        batch(len(ids), ids=ids, events=("corner",) * len(ids)),
    )


def test_reset_forgets_all_samples():
    metric = EventMetrics(CLASSES)
    update(metric, "abc", right="a")
    metric.reset()
    update(metric, "d", right="d")
    assert metric.compute()["top1"] == 1


def test_forward_gives_the_score_of_the_batch_and_keeps_all():
    metric = EventMetrics(CLASSES)
    update(metric, "ab", right="")
    prediction = EventPrediction(CLASSES, torch.eye(6)[0])
    assert metric([prediction], batch(ids="c", events=("corner",)))["top1"] == 1
    assert metric.compute()["top1"] == pytest.approx(1 / 3)


def _score_in_process(rank: int, clips: list[str], rendezvous: str, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=len(clips)
    )
    metric = EventMetrics(CLASSES)
    if clips[rank]:
        update(metric, clips[rank], right="ab")
    torch.save(metric.compute(), Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("clips", [["abc", "da"], ["abcd", ""]])
def test_processes_with_unequal_and_repeated_clips_agree(tmp_path, clips):
    multiprocessing.spawn(
        _score_in_process, (clips, str(tmp_path / "rendezvous"), str(tmp_path)), nprocs=2
    )
    scores = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    assert scores[0] == scores[1]
    assert scores[0]["top1"] == 0.5
