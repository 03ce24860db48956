"""The small parts that the networks are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from soccermaster.models.norm import BatchNorm2d


def attend(
    q: Float[Tensor, "b heads n c"],
    k: Float[Tensor, "b heads m c"],
    v: Float[Tensor, "b heads m c"],
    mask: Bool[Tensor, "b 1 1 m"] | None = None,
) -> Float[Tensor, "b heads n c"]:
    """Scaled dot-product attention, without materialising the weights.

    On a CPU the bfloat16 kernel is several times slower backwards than the float32 one, so training
    there attends in float32.
    """
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and torch.is_grad_enabled():
        with torch.autocast("cpu", enabled=False):
            mixed = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask)
        return mixed.to(q.dtype)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class Attention(nn.Module):
    """Multi-head self-attention with one fused q, k, v projection.

    Tokens (b, n, D) -> (b, n, D). Where `mask` (b, n) is False a token is not attended to.
    """

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(
                f"expected embed_dim divisible by num_heads, got {embed_dim} and {num_heads}"
            )
        self.num_heads = num_heads
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.out = nn.Linear(embed_dim, embed_dim)

    def forward(
        self,
        tokens: Float[Tensor, "b n D"],
        mask: Bool[Tensor, "b n"] | None = None,
        positions: Float[Tensor, "b n D"] | None = None,
    ) -> Float[Tensor, "b n D"]:
        """Attend; `positions` are added to what makes queries and keys, not values."""
        if positions is None:
            qkv = self.qkv(tokens)
        else:
            width = 2 * tokens.shape[-1]
            weight, bias = self.qkv.weight, self.qkv.bias
            queries_keys = F.linear(tokens + positions, weight[:width], bias[:width])
            qkv = torch.cat([queries_keys, F.linear(tokens, weight[width:], bias[width:])], dim=-1)
        q, k, v = rearrange(
            qkv, "b n (three heads c) -> three b heads n c", three=3, heads=self.num_heads
        )
        attn_mask = None if mask is None else mask[:, None, None, :]
        mixed = attend(q, k, v, attn_mask)
        return self.out(rearrange(mixed, "b heads n c -> b n (heads c)"))


class MLP(nn.Module):
    """Linear, tanh-approximated GELU, linear."""

    def __init__(self, embed_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, embed_dim)

    def forward(self, x: Float[Tensor, "*b D"]) -> Float[Tensor, "*b D"]:
        """Apply to the last axis."""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Block(nn.Module):
    """A pre-norm transformer block, as SigLIP has it: attention and MLP, each with a residual."""

    def __init__(self, embed_dim: int, num_heads: int, mlp_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.attention = Attention(embed_dim, num_heads)
        self.norm2 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.mlp = MLP(embed_dim, mlp_dim)

    def start_as_identity(self) -> None:
        """Set the last layer of both residual branches to zero."""
        for linear in (self.attention.out, self.mlp.fc2):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, tokens: Float[Tensor, "b n D"]) -> Float[Tensor, "b n D"]:
        """Transform the tokens; every token attends to all others of its sequence."""
        tokens = tokens + self.attention(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class TemporalAttention(nn.Module):
    """Every patch attends to itself over time, behind a gate that starts closed.

    x + tanh(gate) * FC(attention(norm(x))). With the gate at 0 the sub-block is the identity, so a
    pretrained image encoder is unchanged at the start.
    Source: SoccerMaster, after Bertasius et al., TimeSformer, ICML 2021 (divided attention).
    """

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(embed_dim, eps=1e-5)
        self.attention = Attention(embed_dim, num_heads)
        self.fc = nn.Linear(embed_dim, embed_dim)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(
        self, tokens: Float[Tensor, "B T N D"], frame_mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B T N D"]:
        """Mix over T; frames whose mask is False are not attended to."""
        clips, _, patches, _ = tokens.shape
        series = rearrange(tokens, "B T N D -> (B N) T D")
        mask = None if frame_mask is None else frame_mask.repeat_interleave(patches, dim=0)
        mixed = self.fc(self.attention(self.norm(series), mask))
        mixed = rearrange(mixed, "(B N) T D -> B T N D", B=clips)
        return tokens + torch.tanh(self.gate) * mixed


class AttentionPooling(nn.Module):
    """A learned probe attends to all tokens (the MAP head of SigLIP): (b, n, D) -> (b, D)."""

    def __init__(self, embed_dim: int, num_heads: int, mlp_dim: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.probe = nn.Parameter(torch.randn(1, 1, embed_dim) * 0.02)
        self.query = nn.Linear(embed_dim, embed_dim)
        self.key_value = nn.Linear(embed_dim, 2 * embed_dim)
        self.out = nn.Linear(embed_dim, embed_dim)
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.mlp = MLP(embed_dim, mlp_dim)

    def forward(
        self, tokens: Float[Tensor, "b n D"], grid: tuple[int, int] | None = None
    ) -> Float[Tensor, "b D"]:
        """Pool; the residual of the MLP is the attention output, not the probe.

        `grid` is what other poolings need to know and this one does not.
        """
        query = self.query(self.probe).expand(tokens.shape[0], -1, -1)
        q = rearrange(query, "b n (heads c) -> b heads n c", heads=self.num_heads)
        k, v = rearrange(
            self.key_value(tokens),
            "b n (two heads c) -> two b heads n c",
            two=2,
            heads=self.num_heads,
        )
        pooled = attend(q, k, v)
        pooled = self.out(rearrange(pooled, "b heads 1 c -> b (heads c)"))
        return pooled + self.mlp(self.norm(pooled))


class ConvStem(nn.Module):
    """3x3 convolutions of stride 2 down to one token per patch: (b, 3, H, W) -> (b, D, h, w).

    Widths double from stage to stage and end at D; a 1x1 convolution follows.
    """

    def __init__(self, embed_dim: int, patch_size: int) -> None:
        super().__init__()
        stages = patch_size.bit_length() - 1
        if patch_size != 2**stages or stages == 0:
            raise ValueError(f"expected a patch size that is a power of two, got {patch_size}")
        self.stages = nn.ModuleList()
        self.channels: list[int] = []
        width = 3
        for stage in range(stages):
            out = max(16, embed_dim >> (stages - 1 - stage))
            self.stages.append(
                nn.Sequential(
                    nn.Conv2d(width, out, 3, stride=2, padding=1, bias=False),
                    BatchNorm2d(out),
                    nn.ReLU(inplace=True),
                )
            )
            self.channels.append(out)
            width = out
        self.project = nn.Conv2d(width, embed_dim, 1)

    def forward(
        self, images: Float[Tensor, "b 3 H W"]
    ) -> tuple[Float[Tensor, "b D h w"], tuple[Float[Tensor, "b C rows columns"], ...]]:
        """Tokens on their grid, and the maps of the stages before the last, coarse to fine."""
        x = images.contiguous(memory_format=torch.channels_last)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return self.project(x), tuple(reversed(maps[:-1]))


class LayoutPooling(nn.Module):
    """Mean of the tokens within each cell of a coarse grid, then one linear layer.

    Unlike attention pooling it starts out knowing where things are, which a network without
    pretraining learns slowly otherwise. Tokens (b, h * w, D) -> (b, D).
    """

    def __init__(self, embed_dim: int, cells: tuple[int, int]) -> None:
        super().__init__()
        self.cells = (int(cells[0]), int(cells[1]))
        self.out = nn.Linear(self.cells[0] * self.cells[1] * embed_dim, embed_dim)

    def forward(
        self, tokens: Float[Tensor, "b n D"], grid: tuple[int, int]
    ) -> Float[Tensor, "b D"]:
        """Pool tokens that lie row by row on `grid` (h, w)."""
        maps = rearrange(tokens, "b (h w) D -> b D h w", h=grid[0], w=grid[1])
        return self.out(F.adaptive_avg_pool2d(maps, self.cells).flatten(1))
