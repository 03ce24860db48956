from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from soccermaster.models.text import TextEncoder
from soccermaster.models.words import WordPrediction
from soccermaster.structures import Features
from soccermaster.tasks.alignment import Alignment
from tests.batches import full_batch


@pytest.fixture
def task() -> Alignment:
    return Alignment(8, TextEncoder(16, 1, 2, output_dim=8, max_length=8))


def features(clips: int) -> Features:
    return Features(grid=(1, 1), frames=torch.randn(clips, 2, 8))


def test_equal_and_interchangeable_comments_are_positives(task):
    batch = full_batch(clips=4)
    batch = dataclasses.replace(
        batch,
        texts=("[PLAYER] scores", "[PLAYER]  SCORES", "on comes [PLAYER]", "a change"),
        events=("goal", "goal", "substitution", "substitution"),
    )
    output = task(features(4), batch)
    assert task._positives(output, batch).tolist() == [
        [True, True, False, False],
        [True, True, False, False],
        [False, False, True, True],
        [False, False, True, True],
    ]


def test_clips_without_a_comment_are_left_out(task):
    batch = dataclasses.replace(full_batch(clips=3), texts=(None, "a", None))
    output = task(features(3), batch)
    assert output.text_of == (1,)
    assert output.logits.shape == (3, 1)
    assert task.loss(output, batch)["siglip"].isfinite()
    assert [p.text is None for p in task.decode(output, batch)] == [True, False, True]
    silent = dataclasses.replace(batch, texts=(None, None, None))
    loss = task.loss(task(features(3), silent), silent)["siglip"]
    assert loss == 0


def test_without_a_text_tower_only_text_is_refused():
    task = Alignment(8)
    assert task(features(2)).video.shape == (2, 8)
    with pytest.raises(ValueError, match="no text tower"):
        task.encode_text(["a goal"])


def test_vectors_have_unit_length(task):
    output = task(features(2), full_batch(clips=2))
    assert torch.allclose(output.video.norm(dim=-1), torch.ones(2))
    assert torch.allclose(output.text.norm(dim=-1), torch.ones(2))


def test_rare_words_weigh_more():
    words = WordPrediction(4, vocab_size=6, pad_id=0)
    ids = torch.tensor([[1, 2, 0], [1, 3, 3]])  # word 1 is in every text
    logits = torch.zeros(2, 6, requires_grad=True)
    loss = words.loss(logits, ids)
    assert loss.item() == pytest.approx(math.log(6))
    loss.backward()
    assert logits.grad[0, 2] < 0 and logits.grad[1, 3] < 0
    assert (logits.grad[:, 1] > 0).all()
    assert words.texts_with_word.tolist() == [0, 2, 1, 1, 0, 0]
    words.eval().loss(logits, ids)
    assert int(words.num_texts) == 2


def test_the_words_of_the_comment_can_be_learnt():
    torch.manual_seed(0)
    task = Alignment(8, TextEncoder(16, 0, 2, output_dim=8, max_length=8), words=True)
    assert Alignment(8).words is None
    batch = dataclasses.replace(full_batch(clips=3), texts=("a corner", None, "a throw in"))
    given = features(3)
    optimizer = torch.optim.Adam(task.parameters(), lr=0.05)
    losses = []
    for _ in range(30):
        terms = task.loss(task(given, batch), batch)
        assert set(terms) == {"siglip", "words"}
        losses.append(terms["words"].item())
        optimizer.zero_grad()
        task.weigh(terms).backward()
        optimizer.step()
    assert losses[-1] < 0.3 * losses[0]
    silent = dataclasses.replace(batch, texts=(None, None, None))
    assert task.loss(task(given, silent), silent)["words"] == 0


def test_without_a_text_tower_words_are_refused():
    with pytest.raises(ValueError, match="no text tower"):
        Alignment(8, words=True)
