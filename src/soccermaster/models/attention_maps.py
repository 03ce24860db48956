"""Where the temporal blocks of an encoder look.

Attention runs without materialising its weights; here they are computed beside a forward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from soccermaster.models.encoder import VideoEncoder
from soccermaster.models.layers import TemporalAttention


@torch.no_grad()
def temporal_attention(
    encoder: VideoEncoder,
    images: Float[Tensor, "B T 3 H W"],
    frame_mask: Bool[Tensor, "B T"] | None = None,
) -> Float[Tensor, "L B N T T"]:
    """The attention weights of every temporal block, as the mean over its heads.

    Row t, column s: the share of frame s in what patch n of frame t receives; rows sum to 1. A
    block adds what is received behind its gate, so the weights say nothing where `tanh(gate)` is 0.

    Args:
        encoder: with L temporal blocks.
        images: RGB in [-1, 1].
        frame_mask: False for padding frames, which get no weight.

    Raises:
        ValueError: the encoder has no temporal blocks.
    """
    if not len(encoder.temporal):
        raise ValueError(
            "expected an encoder with temporal blocks, got one with temporal_depth=0, which sees "
            "every frame by itself."
        )
    weights: list[Tensor] = []

    def remember(block: TemporalAttention, args: tuple[Any, ...]) -> None:
        weights.append(_block_weights(block, *args))

    hooks = [block.register_forward_pre_hook(remember) for block in encoder.temporal]
    try:
        encoder(images, {"frames"}, frame_mask)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(weights)


def _block_weights(
    block: TemporalAttention,
    tokens: Float[Tensor, "B T N D"],
    frame_mask: Bool[Tensor, "B T"] | None = None,
) -> Float[Tensor, "B N T T"]:
    attention = block.attention
    qkv = attention.qkv(block.norm(rearrange(tokens, "B T N D -> B N T D")))
    parts = "B N T (three heads c) -> three B N heads T c"
    q, k, _ = rearrange(qkv, parts, three=3, heads=attention.num_heads)
    logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if frame_mask is not None:
        logits = logits.masked_fill(~frame_mask[:, None, None, None, :], float("-inf"))
    return logits.float().softmax(-1).mean(2)
