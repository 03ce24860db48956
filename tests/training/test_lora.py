"""Low-rank adapters: they start as nothing, they alone learn, and they leave no trace."""

from __future__ import annotations

import sys

import pytest
import torch

from soccermaster.models.encoder import VideoEncoder
from soccermaster.training.lora import LoraSettings, add_lora, merge_lora

pytest.importorskip("peft", reason="low-rank adapters need the extra 'lora'")

IMAGES = torch.rand(1, 2, 3, 32, 48) * 2 - 1


def encoder() -> VideoEncoder:
    torch.manual_seed(0)
    return VideoEncoder((32, 48), 16, 16, depth=3, temporal_depth=1, num_heads=2).eval()


def settings(*layers: str) -> LoraSettings:
    return LoraSettings(2, 4.0, 0.0, layers or ("attention.qkv", "mlp.fc1"))


def test_adapters_learn_alone_and_are_merged():
    adapted, before = encoder(), encoder()
    add_lora(adapted, settings())
    assert torch.equal(adapted(IMAGES).frames, before(IMAGES).frames)
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert trained and all("lora_" in name for name in trained)

    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=1.0)
    for _ in range(3):
        optimizer.zero_grad()
        adapted(IMAGES).frames.square().mean().backward()
        optimizer.step()
    learnt = adapted(IMAGES).frames
    assert not torch.allclose(learnt, before(IMAGES).frames, atol=1e-4)

    merge_lora(adapted)
    assert adapted.state_dict().keys() == before.state_dict().keys()
    assert torch.allclose(adapted(IMAGES).frames, learnt, atol=1e-5)
    changed = {
        name
        for (name, a), b in zip(
            adapted.state_dict().items(), before.state_dict().values(), strict=True
        )
        if not torch.equal(a, b)
    }
    assert changed and all(name.endswith(("qkv.weight", "fc1.weight")) for name in changed)


def test_a_layer_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"attention\.keys.*blocks\.0\.attention\.qkv"):
        add_lora(encoder(), settings("attention.keys"))


def test_without_peft_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ValueError, match=r"pip install -e '\.\[lora\]'"):
        add_lora(encoder(), settings())
