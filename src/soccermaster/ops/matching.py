"""One-to-one assignment of predictions to targets, frame by frame."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor


@torch.no_grad()
def match(
    cost: Float[Tensor, "M Q"], frame: Int[Tensor, " M"]
) -> tuple[Int[Tensor, " P"], Int[Tensor, " P"]]:
    """The assignment of least total cost in each frame (Hungarian algorithm).

    The cost goes to the CPU once for all frames. When a frame has more targets than queries the
    dearest targets stay unmatched.

    Args:
        cost: of every target with every query of its own frame.
        frame: the frame of each target, ascending.

    Returns:
        Target row and query of each matched pair, by frame and target.

    Raises:
        ValueError: a cost is NaN or infinite, which means that the predictions are.
    """
    if not bool(torch.isfinite(cost).all()):
        raise ValueError(
            "expected finite matching costs, got NaN or infinity: the predictions (or the "
            "annotated boxes) are not finite. Lower the learning rate or check the boxes."
        )
    counts = torch.unique_consecutive(frame, return_counts=True)[1].tolist()
    on_cpu = cost.float().cpu().numpy()
    targets, queries, first = [], [], 0
    for count in counts:
        t, q = linear_sum_assignment(on_cpu[first : first + count])
        targets.append(torch.from_numpy(first + t))
        queries.append(torch.from_numpy(q))
        first += count
    if not targets:
        empty = torch.zeros(0, dtype=torch.long, device=cost.device)
        return empty, empty
    return torch.cat(targets).to(cost.device), torch.cat(queries).to(cost.device)
