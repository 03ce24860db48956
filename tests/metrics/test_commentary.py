"""Scores of comments: values that can be worked out by hand, and what the metric counts."""

from __future__ import annotations

import math
import shutil

import pytest

from soccermaster.metrics import commentary
from soccermaster.metrics.commentary import (
    CommentaryMetrics,
    caption_scores,
    cider,
    exchanged,
    meteor_1_5,
    words,
)
from soccermaster.structures import CommentaryPrediction
from tests.metrics.batches import batch

TEXTS = [
    "[PLAYER] takes the corner from the near side",
    "The goalkeeper of [TEAM] saves a long shot",
    "[REFEREE] shows a yellow card after the foul",
    "Throw-in for [TEAM] close to the halfway line",
]


def test_bleu_clips_counts_and_takes_geometric_means():
    scores = caption_scores(["the cat sat on the mat"], ["the cat is on the mat"])
    assert scores["bleu_1"] == pytest.approx(5 / 6)
    quadruples = caption_scores(["a b c d e"], ["a b c d f"])["bleu_4"]
    assert quadruples == pytest.approx((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    assert caption_scores(["the the the the"], ["the cat"])["bleu_1"] == pytest.approx(1 / 4)
    short = caption_scores(["a b"], ["a b c d"])["bleu_1"]
    assert short == pytest.approx(math.exp(1 - 4 / 2))  # the brevity penalty


def test_rouge_l_is_the_longest_common_subsequence():
    scores = caption_scores(["police killed the gunman"], ["police kill the gunman"])
    assert scores["rouge_l"] == pytest.approx(3 / 4)
    precision, recall, beta2 = 2 / 2, 2 / 4, 1.2**2
    expected = (1 + beta2) * precision * recall / (recall + beta2 * precision)
    assert caption_scores(["a c"], ["a b c d"])["rouge_l"] == pytest.approx(expected)


def test_meteor_knows_stems_and_fragments():
    stems = caption_scores(["player scores goal"], ["players scored goals"])["meteor"]
    assert stems == pytest.approx(1 - 0.5 * (1 / 3) ** 3)  # three matches in one chunk
    turned = caption_scores(["on the mat sat the cat"], ["the cat sat on the mat"])["meteor"]
    assert turned == pytest.approx(0.5)  # six matches in six chunks


def test_cider_weighs_words_by_how_rare_they_are():
    assert cider(TEXTS, TEXTS) == pytest.approx(10)
    # "a" is in both references and weighs nothing; there are no 3- and 4-grams
    assert cider(["a goal", "a corner"], ["a goal", "a corner"]) == pytest.approx(10 * 2 / 4)
    assert cider(["a corner", "a goal"], ["a goal", "a corner"]) == pytest.approx(0)
    # of one pair, n = 1 alone: cosine of (goal, scored) with (goal): log 2 / (sqrt 2 log 2)
    one = cider(["goal scored", "x"], ["goal", "corner"])
    penalty = math.exp(-(1**2) / (2 * 6**2))  # one bigram more than the reference
    assert one == pytest.approx(10 / 4 / 2 / math.sqrt(2) * penalty)
    assert math.isnan(cider(["a goal"], ["a goal"]))


def test_words_have_no_case_and_no_punctuation():
    assert words("Throw-in for [TEAM] ([PLAYER])!") == ["throw-in", "for", "[team]", "[player]"]
    different = caption_scores(["GOAL! [PLAYER] scores."], ["goal, [player] scores"])
    assert different["bleu_1"] == pytest.approx(1)


@pytest.mark.parametrize("n", [2, 3, 24])
def test_exchanged_videos_are_all_wrong(n: int):
    numbers = [str(i) for i in range(n)]
    moved = exchanged(numbers, seed=0)
    assert sorted(moved) == sorted(numbers)
    assert all(a != b for a, b in zip(numbers, moved, strict=True))


def said(*texts: str) -> list[CommentaryPrediction]:
    return [CommentaryPrediction(text) for text in texts]


def test_the_metric_counts_a_clip_once_and_in_any_order():
    forwards, backwards = CommentaryMetrics(), CommentaryMetrics()
    spoken = [TEXTS[0], "", TEXTS[2], "Ørsted über [TEAM]"]
    forwards.update(said(*spoken[:2]), batch(2, ids="ab", texts=tuple(TEXTS[:2])))
    forwards.update(said(*spoken[2:]), batch(2, ids="cd", texts=tuple(TEXTS[2:])))
    forwards.update(said("again"), batch(1, ids="a", texts=(TEXTS[0],)))
    backwards.update(said(*spoken[::-1]), batch(4, ids="dcba", texts=tuple(TEXTS[::-1])))
    scores = forwards.compute()
    assert scores == backwards.compute()
    assert scores["cider"] == pytest.approx(caption_scores(spoken, TEXTS)["cider"])


def test_the_right_video_is_compared_with_wrong_ones():
    metric = CommentaryMetrics()
    texts = ("a b c d", "e f g d", "h i j d", "k l m d")
    metric.update(said(*texts), batch(4, ids="abcd", texts=texts))
    scores = metric.compute()
    assert scores["cider"] > scores["cider_shuffled"]
    metric = CommentaryMetrics()
    metric.update(said(*["a b c d"] * 4), batch(4, ids="abcd", texts=texts))
    assert metric.compute()["cider_ratio"] == pytest.approx(1)


def test_clips_without_a_comment_are_left_out():
    metric = CommentaryMetrics()
    metric.update(said(*TEXTS), batch(4, ids="abcd", texts=(*TEXTS[:3], None)))
    assert metric.compute()["cider"] == pytest.approx(10)
    assert math.isnan(CommentaryMetrics().compute()["bleu_4"])


def test_one_reference_each():
    with pytest.raises(ValueError, match="2 comments"):
        caption_scores(["a", "b"], ["a"])


def test_a_missing_package_is_named():
    with pytest.raises(ValueError, match=r"no_such_package.*soccermaster\[commentary\]"):
        commentary._package("no_such_package.part")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="METEOR 1.5 is a Java program")
def test_the_meteor_of_papers():
    assert meteor_1_5(TEXTS, TEXTS) == pytest.approx(1)
    turned = meteor_1_5(["on the mat sat the cat"], ["the cat sat on the mat"])
    assert turned == pytest.approx(0.47767, abs=1e-5)


def test_the_meteor_of_papers_needs_java(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="java"):
        meteor_1_5(["a"], ["a"])
