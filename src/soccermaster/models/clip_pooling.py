"""From the frames of a clip to one vector that remembers when things happened."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn


class SegmentPooling(nn.Module):
    """Frame vectors (B, T, D) -> clip vectors (B, D).

    Convolutions over time, the mean of each of a few equal segments of the clip, and one linear
    layer over all segments. A mean over the whole clip has to learn what order is; this starts out
    knowing it.

    Args:
        embed_dim: D.
        segments: that a clip is cut into.
        depth: convolutions over time, each with a residual.
        kernel_size: of the convolutions, in frames.
    """

    def __init__(self, embed_dim: int, segments: int, depth: int = 2, kernel_size: int = 5) -> None:
        super().__init__()
        self.segments = segments
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dim) for _ in range(depth))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(embed_dim, embed_dim, kernel_size, padding=kernel_size // 2)
            for _ in range(depth)
        )
        self.out = nn.Linear(segments * embed_dim, embed_dim)

    def forward(
        self, frames: Float[Tensor, "B T D"], frame_mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B D"]:
        """Pool the real frames of each clip; `frame_mask` is False for padding at its end."""
        real = frames.new_ones(frames.shape[:2]) if frame_mask is None else frame_mask
        shown = real.to(frames.dtype).unsqueeze(-1)
        x = frames * shown
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            mixed = convolution(rearrange(norm(x) * shown, "B T D -> B D T"))
            x = (x + F.gelu(rearrange(mixed, "B D T -> B T D"))) * shown
        means = segment_weights(real.sum(1).long(), frames.shape[1], self.segments).to(x.dtype) @ x
        return self.out(means.flatten(1))


def segment_weights(
    lengths: Tensor, num_frames: int, segments: int
) -> Float[Tensor, "B segments T"]:
    """Rows that average over the segments of clips with `lengths` (B,) real frames.

    Segment i covers the frames floor(i n / segments) to ceil((i + 1) n / segments), so none is
    empty and neighbours may share a frame.
    """
    i = torch.arange(segments, device=lengths.device)
    n = lengths.clamp(min=1)[:, None]
    start = (i * n) // segments
    end = ((i + 1) * n + segments - 1) // segments
    t = torch.arange(num_frames, device=lengths.device)
    inside = (t >= start[..., None]) & (t < end[..., None])
    return inside / inside.sum(-1, keepdim=True)
