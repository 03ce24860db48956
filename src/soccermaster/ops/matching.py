"""One-to-one assignment of predictions to targets, frame by frame."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def pad_rows(
    frame: Int[Tensor, " M"], num_frames: int
) -> tuple[Int[Tensor, "F S"], Bool[Tensor, "F S"]]:
    """Row numbers of a flat table laid out per frame.

    Args:
        frame: the frame of each row, ascending.
        num_frames: F.

    Returns:
        `rows`: for each frame its row numbers, padded with 0 to the fullest frame (S >= 1);
        `valid`: which of them are real.
    """
    counts = torch.bincount(frame, minlength=num_frames)
    slots = max(1, int(counts.max())) if num_frames else 1
    first = counts.cumsum(0) - counts
    index = torch.arange(slots, device=frame.device)
    valid = index < counts[:, None]
    return torch.where(valid, first[:, None] + index, 0), valid


@torch.no_grad()
def match(
    cost: Float[Tensor, "F Q S"], valid: Bool[Tensor, "F S"]
) -> tuple[Int[Tensor, " P"], Int[Tensor, " P"], Int[Tensor, " P"]]:
    """The assignment of least total cost in each frame (Hungarian algorithm).

    The cost goes to the CPU once for all frames. Padded slots take no part; when a frame has more
    targets than queries the dearest targets stay unmatched.

    Returns:
        Frame, query and slot of each matched pair.

    Raises:
        ValueError: a cost is NaN or infinite, which means that the predictions are.
    """
    if not bool(torch.isfinite(cost).all()):
        raise ValueError(
            "expected finite matching costs, got NaN or infinity: the predictions (or the "
            "annotated boxes) are not finite. Lower the learning rate or check the boxes."
        )
    counts = valid.sum(1).tolist()
    on_cpu = cost.float().cpu().numpy()
    frames, queries, slots = [], [], []
    for f, count in enumerate(counts):
        if count == 0:
            continue
        q, s = linear_sum_assignment(on_cpu[f, :, :count])
        frames.append(torch.full((len(q),), f))
        queries.append(torch.from_numpy(q))
        slots.append(torch.from_numpy(s))
    if not frames:
        empty = torch.zeros(0, dtype=torch.long, device=cost.device)
        return empty, empty, empty
    return tuple(torch.cat(part).to(cost.device) for part in (frames, queries, slots))  # type: ignore[return-value]
