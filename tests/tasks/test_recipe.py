"""What the official losses do otherwise than ours."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from soccermaster.model import SoccerModel
from soccermaster.models.text import TextEncoder
from soccermaster.structures import Batch, Features
from soccermaster.tasks.alignment import Alignment
from soccermaster.tasks.athletes import AthleteDetection
from soccermaster.tasks.pitch_keypoints import KeypointsOutput, PitchKeypoints
from soccermaster.tasks.pitch_lines import LinesOutput, PitchLines
from tests.batches import full_batch
from tests.configs import compose_train, names

SIZE = (32, 48)


def pitch_loss(task, batch: Batch) -> float:
    channels = 58 if isinstance(task, PitchKeypoints) else 24
    torch.manual_seed(1)
    heatmaps = torch.rand(*batch.frame_mask.shape, channels, *SIZE)
    output = (KeypointsOutput if channels == 58 else LinesOutput)(heatmaps)
    return float(task.loss(output, batch)["heatmap"])


def test_the_keypoint_loss_is_per_pixel_and_the_official_one_is_not():
    batch = full_batch()
    ours, official = (
        pitch_loss(PitchKeypoints(8, (8, 8), recipe=recipe), batch)
        for recipe in ("corrected", "official")
    )
    assert official == pytest.approx(ours * SIZE[0] * SIZE[1], rel=1e-5)
    # a mean over pixels is of the size of a squared error, whatever the resolution
    assert 0 < ours < 1


def test_the_line_losses_differ_in_undecidable_lines_alone():
    batch = full_batch()
    tasks = [PitchLines(8, (8, 8), recipe=recipe) for recipe in ("corrected", "official")]
    assert pitch_loss(tasks[0], batch) == pytest.approx(pitch_loss(tasks[1], batch), rel=1e-5)
    batch.lines.known[:, :, 3] = False
    assert pitch_loss(tasks[0], batch) != pytest.approx(pitch_loss(tasks[1], batch), rel=1e-5)


@pytest.mark.parametrize("loss", ["mse", "focal"])
@pytest.mark.parametrize("task", [PitchKeypoints, PitchLines])
def test_two_losses_before_one_backward_pass(task, loss):
    head = task(8, (8, 8), loss=loss).eval()
    features = [torch.randn(1, 1, 6, 8, requires_grad=True) for _ in range(2)]
    batches = [full_batch(clips=1, frames=1), full_batch(clips=2, frames=1)]
    batches[1] = dataclasses.replace(
        batches[1],
        images=batches[1].images[1:],
        frame_mask=batches[1].frame_mask[1:],
        keypoints=dataclasses.replace(
            batches[1].keypoints,
            points_px=batches[1].keypoints.points_px[1:],
            known=batches[1].keypoints.known[1:],
        ),
        lines=dataclasses.replace(
            batches[1].lines,
            segments_px=batches[1].lines.segments_px[1:],
            known=batches[1].lines.known[1:],
        ),
    )

    def terms():
        for patches, batch in zip(features, batches, strict=True):
            output = head(Features(grid=(2, 3), patches=patches), batch)
            yield head.loss(output, batch)["heatmap"]

    one_by_one = []
    for term, patches in zip(terms(), features, strict=True):
        term.backward()
        one_by_one.append(patches.grad.clone())
        patches.grad = None
    sum(list(terms())).backward()
    for patches, wanted in zip(features, one_by_one, strict=True):
        assert torch.allclose(patches.grad, wanted)


@pytest.mark.parametrize("recipe", ["corrected", "official"])
@pytest.mark.parametrize("task", [PitchKeypoints, PitchLines])
def test_frames_without_pitch_labels_do_not_teach(task, recipe):
    batch = full_batch(frames=2)
    batch.keypoints.known[:, 1] = False
    batch.keypoints.points_px[:, 1] = float("nan")
    batch.lines.known[:, 1] = False
    batch.lines.segments_px[:, 1] = float("nan")
    head = task(8, (8, 8), recipe=recipe)
    features = torch.randn(2, 2, 4, 8, requires_grad=True)
    output = head.eval()(Features(grid=(2, 2), patches=features), batch)
    head.loss(output, batch)["heatmap"].backward()
    assert features.grad[:, 0].abs().sum() > 0
    assert features.grad[:, 1].abs().sum() == 0


def test_background_queries_learn_attributes_in_the_official_recipe_alone():
    batch = full_batch(clips=1, frames=1)
    for recipe in ("corrected", "official"):
        task = AthleteDetection(embed_dim=16, hidden_dim=32, num_queries=40, recipe=recipe)
        output = task(Features(grid=(2, 2), patches=torch.randn(1, 1, 4, 16)))
        logits = output.role_logits.detach().requires_grad_()
        terms = task.loss(dataclasses.replace(output, role_logits=logits), batch)
        terms["role"].backward()
        taught = int((logits.grad.abs().sum(-1) > 0).sum())
        people = len(batch.athletes)
        assert taught == 40 if recipe == "official" else 0 < taught <= people < 40
        assert task.number_rule == ("official" if recipe == "official" else "paper")


def test_equal_comments_are_negatives_in_the_official_recipe():
    batch = dataclasses.replace(
        full_batch(clips=4),
        texts=("a goal", "a goal", "on comes [PLAYER]", "a change"),
        events=("goal", "goal", "substitution", "substitution"),
    )
    features = Features(grid=(1, 1), frames=torch.randn(4, 2, 8))
    for recipe in ("corrected", "official"):
        task = Alignment(8, TextEncoder(16, 1, 2, output_dim=8, max_length=8), recipe=recipe)
        positives = task._positives(task(features, batch), batch)
        assert bool(positives[0, 1]) == (recipe == "corrected")
        assert positives[2, 3]


@pytest.mark.parametrize("name", [name for name in names("task") if name != "association"])
def test_every_task_config_of_the_paper_takes_a_recipe(name):
    cfg = compose_train("debug=smoke", f"task=[{name}]", f"tasks.{name}.recipe=official")
    model = SoccerModel.from_config({"encoder": cfg.encoder, "tasks": cfg.tasks})
    (task,) = model.tasks.values()
    assert task.recipe == "official"
    batch = full_batch(clips=2, frames=1)
    task.weigh(task.loss(model.run(batch)[name], batch)).backward()


def test_unknown_recipes_are_refused():
    with pytest.raises(ValueError, match="corrected"):
        PitchLines(8, (8, 8), recipe="paper")


def test_a_wider_detection_head_needs_no_code():
    cfg = compose_train(
        "debug=smoke",
        "task=[athletes]",
        "tasks.athletes.num_layers=3",
        "tasks.athletes.num_heads=2",
        "tasks.athletes.num_queries=7",
        "tasks.athletes.query_init=learned",
        "tasks.athletes.feature_levels=[1,2,0.5]",
    )
    model = SoccerModel.from_config({"encoder": cfg.encoder, "tasks": cfg.tasks})
    batch, task = full_batch(clips=1, frames=2), model.tasks["athletes"]
    output = model.run(batch)["athletes"]
    assert output.logits.shape == (1, 2, 7, 1)
    assert len(output.earlier) == 2
    terms = task.loss(output, batch)
    task.auxiliary_losses = False
    last = task.loss(output, batch)
    assert terms["object"] > last["object"]
