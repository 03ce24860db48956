from __future__ import annotations

import torch

from soccermaster.models.text import TextEncoder
from soccermaster.models.text_cache import TextCache, fingerprint
from soccermaster.structures import Features
from soccermaster.tasks.alignment import Alignment


def tower(seed: int = 0) -> TextEncoder:
    torch.manual_seed(seed)
    return TextEncoder(16, 1, 2, output_dim=8, max_length=8)


def test_vectors_are_those_of_the_tower_and_computed_once(tmp_path):
    text, texts = tower(), ["a goal", "a corner", "a goal"]
    cache = TextCache(tmp_path)
    assert torch.allclose(cache(text, texts), text.encode(texts), atol=1e-6)
    assert cache.computed == 2
    cache(text, ["a corner"])
    assert cache.computed == 2
    assert cache(text, []).shape == (0, 8)


def test_another_process_reads_them_from_the_disk(tmp_path):
    first = TextCache(tmp_path)(tower(), ["a goal"])
    again = TextCache(tmp_path)
    assert torch.equal(again(tower(), ["a goal"]), first) and again.computed == 0


def test_another_tower_has_its_own(tmp_path):
    text = tower()
    cache = TextCache(tmp_path)
    cache(text, ["a goal"])
    with torch.no_grad():
        text.project.bias.add_(1)
    assert torch.allclose(cache(text, ["a goal"]), text.encode(["a goal"]), atol=1e-6)
    assert cache.computed == 2
    assert fingerprint(tower(1)) != fingerprint(tower(0))


def test_a_frozen_tower_is_not_run_again_and_a_trained_one_is(tmp_path):
    task = Alignment(8, tower())
    task.text_cache = TextCache(tmp_path)
    runs = []
    task.text.register_forward_hook(lambda *_: runs.append(1))
    for _ in range(3):
        task.encode_text(["a goal"])
    assert len(runs) == 3 and task.text_cache.computed == 0
    task.text.requires_grad_(False)
    for _ in range(3):
        vectors = task.encode_text(["a goal"])
    assert len(runs) == 4 and not vectors.requires_grad
    assert task(Features(grid=(1, 1), frames=torch.randn(1, 2, 8))).video.requires_grad is False
