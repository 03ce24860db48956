"""Sums and rows of all training processes, so that N processes learn as one on the joined batch.

Data-parallel training averages the gradients of the processes. That is the gradient of the joined
batch where each process divides by the mean count of all of them (`mean_count`), and where what
compares clips with each other sees all of them (`gather_rows`).

With one process, and without gradients (evaluation, where processes may have different numbers of
batches), everything here is local.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor


def num_processes() -> int:
    """Processes that train together; 1 where no gradients are computed."""
    if not (dist.is_available() and dist.is_initialized() and torch.is_grad_enabled()):
        return 1
    return dist.get_world_size()


def process_rank() -> int:
    """Which of them this is."""
    return dist.get_rank() if num_processes() > 1 else 0


def mean_count(count: Tensor | int, device: torch.device | None = None) -> Float[Tensor, ""]:
    """What to divide a sum over things by, so that the mean over the processes is their mean.

    Args:
        count: of the things in this process.
        device: of the result, where `count` is a plain number.

    Returns:
        The count of all processes, at least 1, divided by the number of processes.
    """
    total = torch.as_tensor(count, device=device).detach().float().clone()
    processes = num_processes()
    if processes > 1:
        dist.all_reduce(total)
    return total.clamp(min=1) / processes


def gather_rows(rows: Shaped[Tensor, "n *b"]) -> Shaped[Tensor, "m *b"]:
    """The rows of all processes, one process after the other, with their gradient.

    The numbers of rows may differ. Every process must call this, one without rows as well. Where
    each process computes the same loss from the rows of all, the averaged gradient of data-parallel
    training is that of this loss.
    """
    return _GatherRows.apply(rows) if num_processes() > 1 else rows


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows: Tensor) -> Tensor:
        size = torch.tensor([len(rows)], device=rows.device)
        sizes = [torch.empty_like(size) for _ in range(dist.get_world_size())]
        dist.all_gather(sizes, size)
        counts = [int(s) for s in sizes]
        padded = rows.new_zeros((max(counts), *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        first = sum(counts[: dist.get_rank()])
        ctx.own = slice(first, first + len(rows))
        return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        return gradient[ctx.own]
