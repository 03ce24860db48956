from __future__ import annotations

import math

import pytest
import torch

from soccermaster.metrics.retrieval import (
    RetrievalMetrics,
    class_by_class,
    recall_hits,
    seeded_order,
    split_pools,
)
from soccermaster.structures import AlignmentPrediction, Batch

from .batches import batch

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def clip_batch(ids: str, texts=None, events=None) -> Batch:
    texts = texts or [f"comment {letter}" for letter in ids]
    return batch(len(ids), ids=ids, texts=tuple(texts), events=tuple(events or ()))


def vectors(ids: str, shift: int = 0) -> list[AlignmentPrediction]:
    """Video i points along axis i, the text of clip i along axis i + shift."""
    axes = torch.eye(26)
    rows = [LETTERS.index(letter) for letter in ids]
    return [AlignmentPrediction(axes[i], axes[(i + shift) % 26]) for i in rows]


def noisy(ids: str) -> list[AlignmentPrediction]:
    generator = torch.Generator().manual_seed(0)
    video = torch.nn.functional.normalize(torch.randn(26, 8, generator=generator), dim=1)
    text = video + 0.5 * torch.randn(26, 8, generator=generator)
    text = torch.nn.functional.normalize(text, dim=1)
    return [AlignmentPrediction(video[i], text[i]) for i in map(LETTERS.index, ids)]


def scores_of(predictions, clips: Batch, **options):
    metric = RetrievalMetrics(**options)
    metric.update(predictions, clips)
    return metric.compute()


def test_perfect_predictions_score_one():
    scores = scores_of(vectors(LETTERS), clip_batch(LETTERS, events=["goal", "corner"] * 13))
    assert scores == {
        "recall_at_1": 1,
        "recall_at_5": 1,
        "recall_at_1_text_to_video": 1,
        "recall_within_class": 1,
        "pool_size": 26,
    }


def test_wrong_texts_score_zero():
    scores = scores_of(vectors(LETTERS, shift=1), clip_batch(LETTERS))
    assert (
        scores["recall_at_1"] == scores["recall_at_5"] == scores["recall_at_1_text_to_video"] == 0
    )


def test_the_two_directions_differ():
    axes = torch.eye(3)
    # All three videos look like text 0; text 1 and 2 are nearest to their own video.
    video = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.4, 0.0], [0.9, 0.0, 0.4]])
    predictions = [AlignmentPrediction(v, t) for v, t in zip(video, axes, strict=True)]
    scores = scores_of(predictions, clip_batch("abc"))
    assert scores["recall_at_1"] == pytest.approx(1 / 3)
    assert scores["recall_at_1_text_to_video"] == 1


def test_a_collapsed_space_earns_nothing():
    same = torch.ones(4) / 2
    scores = scores_of([AlignmentPrediction(same, same)] * 26, clip_batch(LETTERS))
    assert scores["recall_at_1"] == scores["recall_at_5"] == 0


def test_identical_texts_are_right_for_each_other():
    predictions = vectors("ab", shift=1) + vectors("cd")
    predictions[1] = AlignmentPrediction(predictions[1].video, torch.eye(26)[0])
    # Video a finds text b, which reads the same as its own.
    texts = ["Half time.", "half   TIME.", "a corner", "a goal"]
    scores = scores_of(predictions, clip_batch("abcd", texts=texts))
    assert scores["recall_at_1"] == 1


def test_small_pools_are_undefined():
    one = scores_of(vectors("a"), clip_batch("a"))
    assert math.isnan(one["recall_at_1"])
    five = scores_of(vectors("abcde"), clip_batch("abcde"))
    assert five["recall_at_1"] == 1
    assert math.isnan(five["recall_at_5"])
    assert scores_of(vectors("abcdef"), clip_batch("abcdef"))["recall_at_5"] == 1


def test_no_texts_are_undefined():
    predictions = [AlignmentPrediction(torch.ones(4))] * 3
    clips = clip_batch("abc", texts=["x", None, None])
    assert all(math.isnan(score) for score in scores_of(predictions, clips).values())


def test_clips_without_text_are_skipped():
    predictions = [*vectors("ab"), AlignmentPrediction(torch.eye(26)[2])]
    scores = scores_of(predictions, clip_batch("abc", texts=["x", "y", None]))
    assert scores["pool_size"] == 2


def test_recall_within_class_compares_clips_of_one_event():
    # Videos a and c are mistaken for each other's text, but they differ in event.
    axes = torch.eye(26)
    predictions = vectors("abcd")
    predictions[0] = AlignmentPrediction(axes[2] + 0.9 * axes[0], axes[0])
    predictions[2] = AlignmentPrediction(axes[0] + 0.9 * axes[2], axes[2])
    events = ["goal", "goal", "corner", "corner"]
    scores = scores_of(predictions, clip_batch("abcd", events=events))
    assert scores["recall_at_1"] == 0.5
    assert scores["recall_within_class"] == 1


def test_without_events_recall_within_class_is_undefined():
    assert math.isnan(scores_of(vectors("abcd"), clip_batch("abcd"))["recall_within_class"])


def test_scores_do_not_depend_on_batches_or_their_order():
    expected = scores_of(noisy(LETTERS), clip_batch(LETTERS), pool=8)
    assert 0 < expected["recall_at_1"] < 1
    metric = RetrievalMetrics(pool=8)
    for ids in ("zyx", "wvutsrqponm", "l", "kjihgfedcba"):
        metric.update(noisy(ids), clip_batch(ids))
    assert metric.compute() == pytest.approx(expected, nan_ok=True)


def test_a_clip_that_comes_twice_counts_once():
    expected = scores_of(noisy(LETTERS), clip_batch(LETTERS), pool=8)
    metric = RetrievalMetrics(pool=8)
    for ids in (LETTERS, "abc", "zz"):
        metric.update(noisy(ids), clip_batch(ids))
    assert metric.compute() == pytest.approx(expected, nan_ok=True)


def test_another_seed_forms_other_pools():
    scores = {
        scores_of(noisy(LETTERS), clip_batch(LETTERS), pool=4, seed=seed)["recall_at_1"]
        for seed in range(5)
    }
    assert len(scores) > 1


def test_every_pool_is_full_and_every_clip_asks_once():
    pools = list(split_pools(torch.arange(10), 4))
    assert [(rows.tolist(), n) for rows, n in pools] == [
        ([0, 1, 2, 3], 4),
        ([4, 5, 6, 7], 4),
        ([8, 9, 0, 1], 2),
    ]
    assert [len(rows) for rows, _ in split_pools(torch.arange(3), 4)] == [3]
    assert [len(rows) for rows, _ in split_pools(torch.arange(99), None)] == [99]
    assert list(split_pools(torch.arange(0), 4)) == []


def test_the_order_depends_on_the_set_of_keys_only():
    keys = torch.tensor([5, -3, 12, 7, 0])
    other = keys[[3, 1, 0, 4, 2]]
    assert torch.equal(keys[seeded_order(keys, 0)], other[seeded_order(other, 0)])


def test_recall_hits_of_a_known_table():
    similarity = torch.tensor([[0.9, 0.8, 0.1], [0.9, 0.8, 0.1], [0.9, 0.9, 0.9], [0.1, 0.2, 0.3]])
    positives = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]).bool()
    at_1 = recall_hits(similarity, positives, k=1).tolist()
    assert at_1[:3] == [1, 0, 0]  # ties are lost
    assert math.isnan(at_1[3])
    assert recall_hits(similarity, positives, k=2)[:3].tolist() == [1, 1, 0]


def test_a_batch_without_clip_ids_is_refused():
    with pytest.raises(ValueError, match=r"batch\.clip_ids"):
        RetrievalMetrics().update(vectors("a"), batch(texts=("x",)))


def test_a_pool_holds_the_classes_in_equal_parts():
    classes = torch.tensor([5, 5, 5, 5, 7, 7, 7, 7, 9, 9, 9, 9])
    shuffled = classes[torch.randperm(12, generator=torch.Generator().manual_seed(0))]
    ordered = shuffled[class_by_class(shuffled)]
    for members, _ in split_pools(torch.arange(12), pool=6):
        assert sorted(ordered[members].tolist()) == [5, 5, 7, 7, 9, 9]
