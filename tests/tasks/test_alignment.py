from __future__ import annotations

import dataclasses

import pytest
import torch

from soccermaster.models.text import TextEncoder
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
