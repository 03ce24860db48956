"""The Q-Former: a few learned queries read the frames of a clip and become the prefix of a text."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from soccermaster.models.encoder import frame_positions
from soccermaster.models.layers import MLP, Attention, attend


class QFormer(nn.Module):
    """Frame vectors (B, T, D) -> query vectors (B, Q, C).

    Frames are normalised and get a learned position in time; the queries attend to each other and
    to the frames in every layer.

    Args:
        embed_dim: D of the frames.
        dim: C, width of the queries.
        num_queries: Q.
        depth: number of layers.
        num_heads: of both attentions.
        max_frames: positions in time; longer clips resample them (linear).
        clip_token: the encoder's own clip vector is one more thing to look at, beside the frames.

    Source: Rao et al., MatchTime (MatchVoice), EMNLP 2024; Li et al., BLIP-2, ICML 2023. Ours: pre-
        norm layers that keep their MLP, and the token of the clip.
    """

    def __init__(
        self,
        embed_dim: int,
        dim: int = 768,
        num_queries: int = 32,
        depth: int = 2,
        num_heads: int = 12,
        max_frames: int = 128,
        clip_token: bool = False,
    ) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(embed_dim)
        self.time_embedding = nn.Parameter(torch.randn(max_frames, embed_dim) * 0.02)
        self.clip_embedding = nn.Parameter(torch.zeros(embed_dim)) if clip_token else None
        self.queries = nn.Parameter(torch.randn(num_queries, dim) * 0.02)
        self.layers = nn.ModuleList(QueryLayer(dim, embed_dim, num_heads) for _ in range(depth))
        self.norm_out = nn.LayerNorm(dim)

    def forward(
        self,
        frames: Float[Tensor, "B T D"],
        frame_mask: Bool[Tensor, "B T"] | None = None,
        clip: Float[Tensor, "B D"] | None = None,
    ) -> Float[Tensor, "B Q C"]:
        """Read some clips.

        Args:
            frames: of the encoder.
            frame_mask: False for padding, which is not looked at.
            clip: the encoder's clip vector, for `clip_token`.

        Raises:
            ValueError: `clip_token` without a clip vector.
        """
        tokens = self.norm_in(frames) + frame_positions(self.time_embedding, frames.shape[1])
        if self.clip_embedding is not None:
            if clip is None:
                raise ValueError(
                    "expected the clip vector of the encoder, which pools no time itself. Build "
                    "the encoder with clip_segments=..., or the Q-Former with clip_token=False."
                )
            whole = (self.norm_in(clip) + self.clip_embedding).unsqueeze(1)
            tokens = torch.cat([tokens, whole], dim=1)
            if frame_mask is not None:
                frame_mask = torch.cat([frame_mask, frame_mask.new_ones(len(clip), 1)], dim=1)
        queries = self.queries.expand(len(frames), -1, -1)
        for layer in self.layers:
            queries = layer(queries, tokens, frame_mask)
        return self.norm_out(queries)


class QueryLayer(nn.Module):
    """Queries attend to themselves, then to the tokens, then an MLP; each with a residual."""

    def __init__(self, dim: int, token_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_self = nn.LayerNorm(dim)
        self.attention = Attention(dim, num_heads)
        self.norm_cross = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(token_dim, 2 * dim)
        self.out = nn.Linear(dim, dim)
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp = MLP(dim, 4 * dim)

    def forward(
        self,
        queries: Float[Tensor, "B Q C"],
        tokens: Float[Tensor, "B T D"],
        mask: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B Q C"]:
        """Update the queries; tokens with a False `mask` are not looked at."""
        queries = queries + self.attention(self.norm_self(queries))
        q = rearrange(
            self.query(self.norm_cross(queries)),
            "B Q (heads c) -> B heads Q c",
            heads=self.num_heads,
        )
        k, v = rearrange(
            self.key_value(tokens),
            "B T (two heads c) -> two B heads T c",
            two=2,
            heads=self.num_heads,
        )
        read = attend(q, k, v, None if mask is None else mask[:, None, None, :])
        queries = queries + self.out(rearrange(read, "B heads Q c -> B Q (heads c)"))
        return queries + self.mlp(self.norm_mlp(queries))
