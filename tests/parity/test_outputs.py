"""A converted checkpoint gives the official outputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

ATOL = 1e-4
FIELDS = {
    "detection/pred_logits": ("athletes", "logits"),
    "detection/pred_boxes": ("athletes", "boxes_cxcywh"),
    "detection/pred_roles": ("athletes", "role_logits"),
    "detection/pred_jn_holistic": ("athletes", "number_logits"),
    "detection/pred_digit_head": ("athletes", "tens_logits"),
    "detection/pred_digit_tail": ("athletes", "units_logits"),
    "detection/outputs": ("athletes", "embeddings"),
    "lines/pred_lines_heatmap": ("pitch_lines", "heatmaps"),
    "keypoints/pred_keypoints_heatmap": ("pitch_keypoints", "heatmaps"),
    "classification/logits": ("events", "logits"),
    "caption/vision_features": ("alignment", "video"),
    "caption/text_features": ("alignment", "text"),
    "caption/processed_similarity_matrix": ("alignment", "logits"),
}


@pytest.mark.parametrize("name", FIELDS)
def test_outputs_are_the_official_ones(name, outputs, official):
    task, field = FIELDS[name]
    torch.testing.assert_close(getattr(outputs[task], field), official[name], atol=ATOL, rtol=0)


def test_features_are_the_official_ones(model, inputs, official):
    with torch.no_grad():
        features = model.encoder(torch.from_numpy(inputs["images"]))
    for ours, theirs in (
        (features.patches, "local_features"),
        (features.frames, "global_features"),
    ):
        torch.testing.assert_close(ours, official[f"backbone/{theirs}"], atol=ATOL, rtol=0)


def test_every_block_gives_the_official_state(model, inputs, official):
    states = {}
    hooks = [
        block.register_forward_hook(
            lambda _, args, output, i=i: states.update({f"layers/block_{i:02d}": output})
        )
        for i, block in enumerate(model.encoder.blocks)
    ]
    hooks.append(
        model.encoder.blocks[0].register_forward_pre_hook(
            lambda _, args: states.update({"layers/embedding": args[0]})
        )
    )
    with torch.no_grad():
        model.encoder(torch.from_numpy(inputs["images"]))
    for hook in hooks:
        hook.remove()
    assert set(states) == {name for name in official if name.startswith("layers/")}
    for name, state in states.items():
        torch.testing.assert_close(state, official[name], atol=ATOL, rtol=0)


def test_text_tower_and_tokenizer_are_the_official_ones(model, inputs, official):
    tower = model.tasks["alignment"].text
    texts = [str(text) for text in inputs["texts"]]
    assert np.array_equal(tower.tokenize(texts), inputs["input_ids"])
    with torch.no_grad():
        pooled = tower.encode(texts)
    torch.testing.assert_close(pooled, official["backbone/text_features"], atol=ATOL, rtol=0)


def test_token_ids_do_in_place_of_texts(model, inputs, outputs):
    images, ids = torch.from_numpy(inputs["images"]), inputs["input_ids"]
    for arguments in ({"text": torch.from_numpy(ids)}, {"input_ids": ids}):
        given = model(images, tasks=["alignment"], **arguments)["alignment"]
        assert torch.equal(given.logits, outputs["alignment"].logits)
    with pytest.raises(ValueError, match="got both"):
        model(images, text=["a goal"], input_ids=ids)


def test_cosine_similarities_are_the_official_ones(outputs, official):
    similarity = outputs["alignment"].video @ outputs["alignment"].text.T
    wanted = official["caption/base_similarity_matrix"]
    torch.testing.assert_close(similarity, wanted, atol=ATOL, rtol=0)
