"""What compares clips with each other learns from those of all processes, however many."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import Tensor

from soccermaster.ops.distributed import gather_rows, mean_count, num_processes, process_rank
from soccermaster.ops.losses import pairwise_sigmoid_loss

#: Rows of each process; one has none.
COUNTS = (2, 0, 3)


def parameters() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    return weight.requires_grad_(), torch.tensor(0.3, dtype=torch.float64, requires_grad=True)


def inputs() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(sum(COUNTS), 6, generator=generator, dtype=torch.float64)


def contrast(rows: Tensor, scale: Tensor) -> Tensor:
    """A contrastive loss of rows that hold two vectors each."""
    video, text = rows.chunk(2, dim=1)
    return pairwise_sigmoid_loss(
        video @ text.T * scale.exp(), torch.eye(len(rows), dtype=torch.bool)
    )


def learn(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=len(COUNTS)
    )
    assert (num_processes(), process_rank()) == (len(COUNTS), rank)
    with torch.no_grad():
        assert (num_processes(), process_rank()) == (1, 0)  # evaluation is local
        assert gather_rows(inputs()).shape == inputs().shape
    weight, scale = parameters()
    own = inputs().split(COUNTS)[rank]
    loss = contrast(gather_rows(own @ weight), scale)
    loss.backward()
    gradients = [weight.grad, scale.grad]
    for gradient in gradients:  # as data-parallel training does
        dist.all_reduce(gradient)
        gradient /= len(COUNTS)
    counts = mean_count(COUNTS[rank]), mean_count(0)
    torch.save((loss.detach(), gradients, counts), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> list[tuple]:
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(learn, (str(folder),), nprocs=len(COUNTS))
    return [
        torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(len(COUNTS))
    ]


def test_three_processes_contrast_all_rows_with_the_whole_gradient(processes):
    weight, scale = parameters()
    wanted = contrast(inputs() @ weight, scale)
    wanted.backward()
    for loss, gradients, _ in processes:
        assert torch.allclose(loss, wanted.detach(), rtol=1e-12)
        assert torch.allclose(gradients[0], weight.grad, rtol=1e-10)
        assert torch.allclose(gradients[1], scale.grad, rtol=1e-10)


def test_sums_are_divided_by_the_mean_count_of_the_processes(processes):
    for _, _, (count, none) in processes:
        assert float(count) == pytest.approx(sum(COUNTS) / 3)
        assert float(none) == pytest.approx(1 / 3)  # one in all processes, at least


def test_one_process_is_by_itself():
    rows = inputs()
    assert gather_rows(rows) is rows
    assert (float(mean_count(0)), float(mean_count(torch.tensor(4)))) == (1, 4)
