"""A Deformable-DETR-style decoder: learned queries look at feature maps and become objects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from soccermaster.models.layers import Attention
from soccermaster.ops.deformable_attention import deformable_attention


class DetrDecoder(nn.Module):
    """Feature map (b, D, h, w) -> one embedding and one box per query and layer.

    With several layers the boxes are refined: each layer predicts an offset to the (detached) box
    centre of the layer before.

    Args:
        embed_dim: D of the feature map.
        hidden_dim: C, width of the queries.
        num_queries: Q.
        num_layers, num_heads, num_points, ffn_dim: of the decoder; the paper has 1, 1, 4, 1024.
        query_init: "learned" has `num_queries` embeddings and derives the reference points from
            them (the paper); "tokens" makes one query of every cell of the feature map, at its
            place and with its content, which finds many small people much sooner.
        initial_size: (w, h) of the boxes before training, in fractions of the frame.
        feature_levels: resolution of each value map relative to the feature map: 1 first (the paper
            has it alone), then any powers of two. Finer ones are made by transposed convolutions,
            coarser ones by strided convolutions; queries sample from all of them.

    Source: Zhu et al., Deformable DETR, ICLR 2021, without its encoder.
    """

    def __init__(
        self,
        embed_dim: int,
        hidden_dim: int = 256,
        num_queries: int = 300,
        num_layers: int = 1,
        num_heads: int = 1,
        num_points: int = 4,
        ffn_dim: int = 1024,
        query_init: Literal["learned", "tokens"] = "learned",
        initial_size: tuple[float, float] = (0.1192, 0.1192),
        feature_levels: Sequence[float] = (1.0,),
    ) -> None:
        super().__init__()
        if not feature_levels or feature_levels[0] != 1:
            raise ValueError(f"expected feature_levels that begin with 1, got {feature_levels}")
        self.project = nn.Sequential(
            nn.Conv2d(embed_dim, hidden_dim, 1), nn.GroupNorm(min(32, hidden_dim // 4), hidden_dim)
        )
        self.resample = nn.ModuleList(
            _resampler(embed_dim, hidden_dim, level) for level in feature_levels[1:]
        )
        self.layers = nn.ModuleList(
            DecoderLayer(hidden_dim, num_heads, num_points, ffn_dim, len(feature_levels))
            for _ in range(num_layers)
        )
        self.box = BoxHead(hidden_dim, initial_size)
        nn.init.xavier_uniform_(self.project[0].weight)
        nn.init.zeros_(self.project[0].bias)
        self.query_init = query_init
        if query_init == "learned":
            self.query_position = nn.Parameter(torch.randn(num_queries, hidden_dim))
            self.query_content = nn.Parameter(torch.randn(num_queries, hidden_dim))
            self.reference = nn.Linear(hidden_dim, 2)
            nn.init.xavier_uniform_(self.reference.weight)
            nn.init.zeros_(self.reference.bias)
        elif query_init != "tokens":
            raise ValueError(f"expected query_init 'learned' or 'tokens', got '{query_init}'")

    def forward(
        self, feature_map: Float[Tensor, "b D h w"]
    ) -> tuple[Float[Tensor, "layers b Q C"], Float[Tensor, "layers b Q 4"]]:
        """Query embeddings and boxes (cxcywh in [0, 1]) after each layer."""
        maps = [self.project(feature_map), *(level(feature_map) for level in self.resample)]
        grids = [(values.shape[-2], values.shape[-1]) for values in maps]
        levels = [rearrange(values, "b C h w -> b (h w) C") for values in maps]
        position, queries, reference = self._queries(levels[0], grids[0])
        memory = torch.cat(levels, dim=1) if len(levels) > 1 else levels[0]
        embeddings, boxes = [], []
        for layer in self.layers:
            queries = layer(queries, position, reference, memory, grids)
            box = self.box(queries, reference)
            embeddings.append(queries)
            boxes.append(box)
            reference = box[..., :2].detach()
        return torch.stack(embeddings), torch.stack(boxes)

    def _queries(
        self, memory: Float[Tensor, "b n C"], grid: tuple[int, int]
    ) -> tuple[Float[Tensor, "b Q C"], Float[Tensor, "b Q C"], Float[Tensor, "b Q 2"]]:
        """Position, content and reference point of every query."""
        batch = len(memory)
        if self.query_init == "tokens":
            cells = cell_centres(grid, memory)
            position = sine_embedding(cells, memory.shape[-1])
            return (
                repeat(position, "Q C -> b Q C", b=batch),
                memory,
                repeat(cells, "Q xy -> b Q xy", b=batch),
            )
        position = repeat(self.query_position, "Q C -> b Q C", b=batch)
        content = repeat(self.query_content, "Q C -> b Q C", b=batch)
        return position, content, self.reference(position).sigmoid()


class DecoderLayer(nn.Module):
    """Self-attention among queries, deformable attention to the map, MLP; post-norm."""

    def __init__(
        self, hidden_dim: int, num_heads: int, num_points: int, ffn_dim: int, num_levels: int = 1
    ) -> None:
        super().__init__()
        self.self_attention = Attention(hidden_dim, num_heads)
        self.norm_self = nn.LayerNorm(hidden_dim)
        self.cross_attention = DeformableAttention(hidden_dim, num_heads, num_points, num_levels)
        self.norm_cross = nn.LayerNorm(hidden_dim)
        self.linear1 = nn.Linear(hidden_dim, ffn_dim)
        self.linear2 = nn.Linear(ffn_dim, hidden_dim)
        self.norm_ffn = nn.LayerNorm(hidden_dim)

    def forward(
        self,
        queries: Float[Tensor, "b Q C"],
        position: Float[Tensor, "b Q C"],
        reference: Float[Tensor, "b Q 2"],
        memory: Float[Tensor, "b n C"],
        grids: Sequence[tuple[int, int]],
    ) -> Float[Tensor, "b Q C"]:
        """One round; `reference` is (x, y) in fractions of the map."""
        attended = self.self_attention(queries, positions=position)
        queries = self.norm_self(queries + attended)
        looked_up = self.cross_attention(queries + position, reference, memory, grids)
        queries = self.norm_cross(queries + looked_up)
        return self.norm_ffn(queries + self.linear2(F.relu(self.linear1(queries))))


class DeformableAttention(nn.Module):
    """Each query samples a few points around its reference point from each level."""

    def __init__(
        self, hidden_dim: int, num_heads: int, num_points: int, num_levels: int = 1
    ) -> None:
        super().__init__()
        self.num_heads, self.num_points, self.num_levels = num_heads, num_points, num_levels
        samples = num_heads * num_levels * num_points
        self.offsets = nn.Linear(hidden_dim, 2 * samples)
        self.weights = nn.Linear(hidden_dim, samples)
        self.values = nn.Linear(hidden_dim, hidden_dim)
        self.out = nn.Linear(hidden_dim, hidden_dim)
        self._initialise()

    def _initialise(self) -> None:
        # heads look into different directions, points at growing distances
        angles = torch.arange(self.num_heads) * (2 * math.pi / self.num_heads)
        direction = torch.stack([angles.cos(), angles.sin()], dim=-1)
        direction = direction / direction.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, self.num_points + 1)
        bias = direction[:, None, None] * steps[None, None, :, None]
        bias = bias.expand(-1, self.num_levels, -1, -1)
        with torch.no_grad():
            nn.init.zeros_(self.offsets.weight)
            self.offsets.bias.copy_(bias.flatten())
            nn.init.zeros_(self.weights.weight)
            nn.init.zeros_(self.weights.bias)
            for linear in (self.values, self.out):
                nn.init.xavier_uniform_(linear.weight)
                nn.init.zeros_(linear.bias)

    def forward(
        self,
        queries: Float[Tensor, "b Q C"],
        reference: Float[Tensor, "b Q 2"],
        memory: Float[Tensor, "b n C"],
        grids: Sequence[tuple[int, int]],
    ) -> Float[Tensor, "b Q C"]:
        """Sample and mix; offsets are in cells of each level."""
        shape = {"heads": self.num_heads, "levels": self.num_levels, "points": self.num_points}
        pattern = "b Q (heads levels points xy) -> b Q heads levels points xy"
        offsets = rearrange(self.offsets(queries), pattern, xy=2, **shape)
        sizes = queries.new_tensor([[w, h] for h, w in grids])[:, None]  # (levels, 1, xy)
        locations = reference[:, :, None, None, None] + offsets / sizes
        pattern = "b Q (heads samples) -> b Q heads samples"
        weights = rearrange(self.weights(queries), pattern, heads=self.num_heads).softmax(-1)
        weights = rearrange(
            weights, "b Q heads (levels points) -> b Q heads levels points", levels=self.num_levels
        )
        values = rearrange(
            self.values(memory), "b n (heads c) -> b n heads c", heads=self.num_heads
        )
        return self.out(deformable_attention(values, grids, locations, weights))


class BoxHead(nn.Module):
    """Three-layer MLP whose centre output is an offset to the reference point."""

    def __init__(self, hidden_dim: int, initial_size: tuple[float, float]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Linear(hidden_dim, out) for out in (hidden_dim, hidden_dim, 4)
        )
        nn.init.zeros_(self.layers[-1].weight)
        with torch.no_grad():
            self.layers[-1].bias.copy_(inverse_sigmoid(torch.tensor([0.5, 0.5, *initial_size])))

    def forward(
        self, queries: Float[Tensor, "b Q C"], reference: Float[Tensor, "b Q 2"]
    ) -> Float[Tensor, "b Q 4"]:
        """Boxes (cxcywh) in [0, 1]."""
        x = F.relu(self.layers[1](F.relu(self.layers[0](queries))))
        raw = self.layers[2](x)
        centre = raw[..., :2] + inverse_sigmoid(reference)
        return torch.cat([centre, raw[..., 2:]], dim=-1).sigmoid()


def _resampler(embed_dim: int, hidden_dim: int, level: float) -> nn.Sequential:
    """(b, D, h, w) -> (b, C, level * h, level * w), for a level of 2, 4, ..., 1/2, 1/4, ..."""
    octaves = round(math.log2(level)) if level > 0 else 0
    if not octaves or 2.0**octaves != level:
        raise ValueError(f"expected further feature_levels of 2, 0.5, 4, 0.25, ..., got {level}")
    layers: list[nn.Module] = [nn.Conv2d(embed_dim, hidden_dim, 1)]
    for _ in range(abs(octaves)):
        layers += [
            nn.ConvTranspose2d(hidden_dim, hidden_dim, 2, stride=2)
            if octaves > 0
            else nn.Conv2d(hidden_dim, hidden_dim, 3, stride=2, padding=1)
        ]
    return nn.Sequential(*layers, nn.GroupNorm(min(32, hidden_dim // 4), hidden_dim))


def inverse_sigmoid(x: Tensor, eps: float = 1e-5) -> Tensor:
    """logit(x), with both x and 1 - x kept above eps."""
    x = x.clamp(0, 1)
    return torch.log(x.clamp(min=eps) / (1 - x).clamp(min=eps))


def sine_embedding(points: Float[Tensor, "Q 2"], dim: int) -> Float[Tensor, "Q dim"]:
    """Sine and cosine of (x, y) in [0, 1] at `dim / 4` frequencies each."""
    octaves = torch.linspace(0, 6, dim // 4, device=points.device)
    phase = points[..., None] * (2 * math.pi * 2.0**octaves)  # (Q, xy, dim/4)
    waves = torch.cat([phase.sin(), phase.cos()], dim=-1)
    return rearrange(waves, "Q xy c -> Q (xy c)")


def cell_centres(grid: tuple[int, int], like: Tensor) -> Float[Tensor, "n 2"]:
    """(x, y) of the cells of a grid in fractions of the map, row by row."""
    h, w = grid
    y, x = torch.meshgrid(
        (torch.arange(h, device=like.device, dtype=torch.float32) + 0.5) / h,
        (torch.arange(w, device=like.device, dtype=torch.float32) + 0.5) / w,
        indexing="ij",
    )
    return torch.stack([x, y], dim=-1).reshape(-1, 2)
