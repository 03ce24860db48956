"""Two processes learn, and are scored, as one would be on their joined batch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from soccermaster.metrics.retrieval import RetrievalMetrics
from soccermaster.model import SoccerModel
from soccermaster.models.encoder import normalize_images
from soccermaster.structures import AlignmentPrediction, Batch
from tests.batches import full_batch
from tests.configs import compose_train, names

#: Tasks of one model, and what is changed in the configuration.
CASES = {
    "synthetic": [
        "athletes",
        "pitch_keypoints",
        "pitch_lines",
        "events",
        "events_middle_frame",
        "alignment",
        "association",
    ],
    "paper": ["athletes", "pitch_keypoints", "pitch_lines", "events", "alignment"],
}
PAPER = [
    "heads.heatmap.loss=mse",
    "heads.heatmap.channels=[8,8]",
    "heads.heatmap.pyramid_channels=null",
    "heads.heatmap.mask_channels=null",
    "heads.clip.depth=1",
    "heads.alignment={project: false, loss: siglip, words: false, initial_bias: -10.0}",
]
#: One process has fewer texts than the other, or none.
TEXTS = {
    "synthetic": (None, None, "a goal", "a corner"),
    "paper": (None, "a corner", "a goal", "A  goal"),
}
PROCESSES = 2


def build(case: str) -> SoccerModel:
    torch.manual_seed(0)
    overrides = [
        "debug=smoke",
        f"task=[{','.join(CASES[case])}]",
        *(PAPER if case == "paper" else []),
    ]
    cfg = compose_train(*overrides)
    model = SoccerModel.from_config({"encoder": cfg.encoder, "tasks": cfg.tasks})
    with torch.no_grad():
        for parameter in model.parameters():  # no gate is closed, no branch is switched off
            parameter.add_(0.02 * torch.randn_like(parameter))
    model.double().train()  # so that what differs is not rounding
    if "association" in model.tasks:
        model.tasks["association"].eval()  # it draws noise and slots while training
    return model


def clips(first: int, last: int, case: str) -> Batch:
    """Some of four clips; the processes have different numbers of texts, events and people."""
    batch = full_batch(clips=4, frames=2)
    batch.lines.known[0, :, 3] = False
    batch.keypoints.known[3, 1] = False
    batch.athletes.roles[1] = -1
    rows = (batch.athletes.frame >= 2 * first) & (batch.athletes.frame < 2 * last)
    rows &= batch.athletes.frame != 7
    athletes = batch.athletes.select(rows)
    picked = slice(first, last)
    return dataclasses.replace(
        batch,
        images=normalize_images(batch.images[picked]).double(),
        frame_mask=batch.frame_mask[picked],
        clip_ids=batch.clip_ids[picked],
        athletes=dataclasses.replace(athletes, frame=athletes.frame - 2 * first),
        keypoints=dataclasses.replace(
            batch.keypoints,
            points_px=batch.keypoints.points_px[picked],
            known=batch.keypoints.known[picked],
        ),
        lines=dataclasses.replace(
            batch.lines,
            segments_px=batch.lines.segments_px[picked],
            known=batch.lines.known[picked],
        ),
        cameras=None,
        events=("corner", None, "goal", "goal")[picked],
        texts=TEXTS[case][picked],
    )


class LossOf(nn.Module):
    """The loss of one task, as data-parallel training calls it."""

    def __init__(self, model: SoccerModel, task: str) -> None:
        super().__init__()
        self.model, self.task = model, task

    def forward(self, batch: Batch) -> Tensor:
        task = self.model.tasks[self.task]
        output = self.model.run(batch, [self.task])[self.task]
        return task.weigh(task.loss(output, batch))


def gradients(model: SoccerModel) -> dict[str, Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def retrieval(rank: int, processes: int) -> dict[str, float]:
    """Scores of 60 clips, of which this process has its share."""
    generator = torch.Generator().manual_seed(0)
    video = torch.randn(60, 8, generator=generator)
    text = video + torch.randn(60, 8, generator=generator)
    own = range(rank, 60, processes)
    metric = RetrievalMetrics()
    for i in own:
        clip = Batch(
            images=torch.zeros(1, 1, 3, 2, 2, dtype=torch.uint8),
            frame_mask=torch.ones(1, 1, dtype=torch.bool),
            source="test",
            clip_ids=(f"clip {i}",),
            texts=(f"comment {i}",),
            events=(("goal", "corner")[i % 2],),
        )
        metric.update([AlignmentPrediction(video[i], text[i])], clip)
    return metric.compute()


def learn(rank: int, folder: str) -> None:
    """One process: the averaged gradients of every task and its scores, to files."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES
    )
    found = {}
    for case, tasks in CASES.items():
        model, batch = build(case), clips(2 * rank, 2 * rank + 2, case)
        for task in tasks:
            model.zero_grad()
            parallel = DistributedDataParallel(LossOf(model, task), find_unused_parameters=True)
            parallel(batch).backward()
            found[f"{case}/{task}"] = gradients(model)
    torch.save(found, f"{folder}/gradients_{rank}.pt")
    torch.save(retrieval(rank, PROCESSES), f"{folder}/scores_{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ddp")
    torch.multiprocessing.spawn(learn, (str(folder),), nprocs=PROCESSES)
    return folder


def test_every_task_is_among_them():
    assert set().union(*CASES.values()) == set(names("task"))


@pytest.mark.parametrize("case", CASES)
def test_two_processes_have_the_gradients_of_the_joined_batch(case: str, processes: Path):
    averaged = [
        torch.load(processes / f"gradients_{rank}.pt", weights_only=True)
        for rank in range(PROCESSES)
    ]
    model, batch = build(case), clips(0, 4, case)
    for task in CASES[case]:
        model.zero_grad()
        LossOf(model, task)(batch).backward()
        wanted = gradients(model)
        largest = max(float(g.abs().max()) for g in wanted.values())
        assert largest > 0
        for rank in range(PROCESSES):
            found = averaged[rank][f"{case}/{task}"]
            for name, gradient in wanted.items():
                worst = float((found[name] - gradient).abs().max())
                assert worst <= 1e-6 * max(1.0, largest), f"{task}: {name} is off by {worst}"


def test_retrieval_pools_do_not_depend_on_the_number_of_processes(processes: Path):
    wanted = retrieval(0, 1)
    assert wanted["pool_size"] == 48 and 0 < wanted["recall_at_1"] < 1
    for rank in range(PROCESSES):
        assert torch.load(processes / f"scores_{rank}.pt", weights_only=True) == wanted
