"""`recipe: official` gives the official losses and matches."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from soccermaster.ops.matching import match
from soccermaster.structures import Batch
from soccermaster.tasks.athletes import AthleteTargets, matching_cost

RTOL = 1e-5


@pytest.fixture(scope="module")
def losses(parity) -> dict[str, float]:
    return json.loads((parity / "losses.json").read_text())["eval"]


@pytest.fixture(scope="module")
def targets(parity) -> dict[str, Any]:
    return torch.load(parity / "targets.pt", weights_only=True)


def frames_of(targets: dict[str, Any]) -> list[dict[str, torch.Tensor]]:
    return [frame for clip in targets["gsr"] for frame in clip]


@pytest.fixture(scope="module")
def people(targets) -> AthleteTargets:
    frames = frames_of(targets)
    together = {key: torch.cat([f[key] for f in frames]) for key in ("boxes", "roles", "jersey")}
    return AthleteTargets(
        frame=torch.arange(len(frames)).repeat_interleave(
            torch.tensor([len(f["boxes"]) for f in frames])
        ),
        boxes_cxcywh=together["boxes"],
        roles=together["roles"],
        numbers=together["jersey"],
        tens=torch.cat([f["digit_head"] for f in frames]),
        units=torch.cat([f["digit_tail"] for f in frames]),
    )


def test_matches(outputs, people, parity):
    output = outputs["athletes"]
    cost = matching_cost(output.logits.flatten(0, 1), output.boxes_cxcywh.flatten(0, 1), people)
    rows, queries = match(cost, people.frame)
    wanted = np.load(parity / "matcher_eval.npz")
    ours = {(int(people.frame[r]), int(r) % 25, int(q)) for r, q in zip(rows, queries, strict=True)}
    theirs = {
        (frame, int(t), int(q))
        for frame in range(len(wanted["src"]))
        for q, t in zip(wanted["src"][frame], wanted["tgt"][frame], strict=True)
    }
    assert ours == theirs


def test_detection(model, outputs, people, losses):
    task = model.tasks["athletes"]
    mask = torch.ones(outputs["athletes"].logits.shape[:2], dtype=torch.bool)
    terms = task.loss_of(outputs["athletes"], people, mask)
    for ours, theirs in (
        ("object", "ce"),
        ("box", "bbox"),
        ("giou", "giou"),
        ("role", "role"),
        ("number", "jn_holistic"),
        ("tens", "digit_head"),
        ("units", "digit_tail"),
    ):
        wanted = losses[f"detection/loss_{theirs}"]
        assert float(terms[ours]) == pytest.approx(wanted, rel=RTOL), ours
    total = losses["detection/weighted_total"]
    assert float(task.weigh(terms)) == pytest.approx(total, rel=RTOL)


def test_lines_and_keypoints(model, outputs, targets, losses):
    frames = frames_of(targets)
    for name, valid in (
        ("lines", torch.ones(len(frames), 24, dtype=torch.bool)),
        ("keypoints", torch.stack([f["keypoints_mask"].bool() for f in frames])),
    ):
        wanted = torch.stack([f[f"{name}_target"] for f in frames])
        assert all(f[f"valid_{name}"] for f in frames)
        predicted = outputs[f"pitch_{name}"].heatmaps.flatten(0, 1)
        loss = model.tasks[f"pitch_{name}"].criterion(predicted, wanted, valid)
        assert float(loss) == pytest.approx(losses[f"{name}/loss_{name}"], rel=RTOL)


def caption_batch(targets: dict[str, Any], inputs: Any) -> Batch:
    images = torch.from_numpy(inputs["images"])
    return Batch(
        images=images,
        frame_mask=torch.ones(images.shape[:2], dtype=torch.bool),
        clip_ids=("a", "b"),
        texts=tuple(clip["text"] for clip in targets["caption"]),
        events=tuple(clip["caption"] for clip in targets["caption"]),
    )


def test_alignment(model, outputs, inputs, targets, losses):
    task = model.tasks["alignment"]
    terms = task.loss(outputs["alignment"], caption_batch(targets, inputs))
    assert float(terms["siglip"]) == pytest.approx(losses["caption/siglip_loss"], rel=RTOL)
    weighted = losses["caption/weighted_total"]
    assert 4 * float(terms["siglip"]) == pytest.approx(weighted, rel=RTOL)


def test_events(model, outputs, inputs, targets, losses):
    task, batch = model.tasks["events"], caption_batch(targets, inputs)
    assert task.targets(batch).tolist() == [int(c["caption_index"]) for c in targets["caption"]]
    terms = task.loss(outputs["events"], batch)
    wanted = losses["classification/classification_loss"]
    assert float(terms["cross_entropy"]) == pytest.approx(wanted, rel=RTOL)
