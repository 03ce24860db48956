"""Which two peaks are the ends of one line: those whose segment looks like the line."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

#: Lines that are judged at a time; bounds the memory.
_CHUNK = 64


def choose_ends(
    points: Float[Tensor, "n K 2"],
    scores: Float[Tensor, "n K"],
    masks: Float[Tensor, "n h w"],
    sigma: float,
    least: float = 0.0,
) -> tuple[Float[Tensor, "n 2 2"], Float[Tensor, " n"]]:
    """The best pair of candidates for the ends of each line.

    A pair is worth the fourth root of the product of its two scores, times how well the segment
    between them, drawn as a Gaussian of the distance, overlaps the mask (the Dice coefficient of
    soft maps). So a second end is taken where the line stops, not where the next peak happens to
    be.

    Args:
        points: K candidates per line, (x, y) in cells of the mask.
        scores: of the candidates, 0..1.
        masks: of the lines, 0..1, drawn with `sigma`.
        sigma: in cells.
        least: lines whose peaks are too weak for any pair to be worth this are not compared with
            their masks, which is most of the work; their worth is 0.

    Returns:
        The two ends in cells, and the worth of the pair, 0..1.
    """
    first, second = torch.triu_indices(points.shape[1], points.shape[1], 1, device=points.device)
    pairs = torch.stack([points[:, first], points[:, second]], dim=2)  # (n, P, 2, 2)
    strength = (scores[:, first] * scores[:, second]).clamp(min=0) ** 0.25
    overlap = torch.zeros_like(strength)
    for some in (strength.amax(1) >= least).nonzero().squeeze(1).split(_CHUNK):
        overlap[some] = _overlap(pairs[some], masks[some], sigma).to(overlap.dtype)
    worth, best = (strength * overlap).max(1)
    return pairs[torch.arange(len(pairs), device=best.device), best], worth


def _overlap(
    pairs: Float[Tensor, "n P 2 2"], masks: Float[Tensor, "n h w"], sigma: float
) -> Float[Tensor, "n P"]:
    """Dice coefficient of each drawn segment and the mask of its line."""
    height, width = masks.shape[-2:]
    x = torch.arange(width, device=masks.device) + 0.5
    y = (torch.arange(height, device=masks.device) + 0.5)[:, None]
    start, along = pairs[:, :, 0], pairs[:, :, 1] - pairs[:, :, 0]
    (x0, y0), (dx, dy) = (v[..., None, None].unbind(2) for v in (start, along))
    length2 = (dx * dx + dy * dy).clamp(min=1e-6)
    px, py = x - x0, y - y0
    share = ((px * dx + py * dy) / length2).clamp(0, 1)
    drawn = torch.exp(((px - share * dx) ** 2 + (py - share * dy) ** 2) * (-0.5 / sigma**2))
    common = (drawn * masks[:, None]).sum((-2, -1))
    return 2 * common / (drawn.square().sum((-2, -1)) + masks.square().sum((-2, -1))[:, None])
