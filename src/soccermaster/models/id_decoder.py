"""Association as classification: which of the known identities does each object continue?

A token is what an object looks like and, beside it, the embedding of its identity: a slot of a
dictionary for objects of the past, "newborn" for those of the present. The present attends to the
past; what it gathers in the identity half of its tokens is compared with the dictionary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from soccermaster.models.layers import MLP

# Frames over which the velocity of an object is taken.
_VELOCITY_FRAMES = 6


@dataclass(frozen=True)
class ObjectTokens:
    """Objects of some frames of B clips, padded to n; lengths are in frame heights."""

    objects: Float[Tensor, "B n C"]
    boxes_cxcywh: Float[Tensor, "B n 4"]
    time: Float[Tensor, "B n"]  # in frames
    slots: Int[Tensor, "B n"]  # of the past; the number of slots where there is none
    valid: Bool[Tensor, "B n"]  # False: padding


class IdentityDecoder(nn.Module):
    """Scores of every identity slot, and of "newborn", for each object.

    Args:
        object_dim: C of the objects; tokens are 2 C wide.
        num_slots: K of the dictionary. Slots mean nothing by themselves: a clip assigns them.
        depth: layers; the first has no attention among objects of the same frame.
        head_dim: of the attention.

    Source: Gao et al., Multiple Object Tracking as ID Prediction (MOTIP), CVPR 2025. Ours: beside
        the relative time, attention sees where an object is relative to where the past one would
        have moved to; values start as a copy, so that identities are passed on from the start;
        and attention may go to nobody.
    """

    def __init__(
        self, object_dim: int = 256, num_slots: int = 50, depth: int = 6, head_dim: int = 32
    ) -> None:
        super().__init__()
        width = 2 * object_dim
        if width % head_dim:
            raise ValueError(
                f"expected 2 * object_dim divisible by head_dim, got {width} and {head_dim}"
            )
        self.num_slots = num_slots
        heads = width // head_dim
        self.dictionary = nn.Parameter(torch.empty(num_slots + 1, object_dim))
        nn.init.orthogonal_(self.dictionary, gain=math.sqrt(object_dim))
        self.norm_in = nn.LayerNorm(object_dim)
        self.geometry = Geometry(depth, heads)
        self.layers = nn.ModuleList(IdentityLayer(width, heads, i > 0) for i in range(depth))
        self.norm_out = nn.LayerNorm(width)
        self.classify = nn.Linear(width, object_dim)
        nn.init.zeros_(self.classify.bias)
        with torch.no_grad():  # at the start: compare the identity half with the dictionary
            self.classify.weight.mul_(0.1)
            self.classify.weight[:, object_dim:] += torch.eye(object_dim)
        self.newborn_bias = nn.Parameter(torch.zeros(()))

    @property
    def newborn(self) -> int:
        """The class of an object that nobody has seen before."""
        return self.num_slots

    def forward(self, present: ObjectTokens, past: ObjectTokens) -> Float[Tensor, "B n K+1"]:
        """Logits of each present object: K slots, then newborn.

        An object attends to those past ones that are earlier than itself, so both may be the same
        tokens.
        """
        objects = self.norm_in(present.objects)
        newborn = self.dictionary[self.num_slots].expand_as(objects)
        x = torch.cat([objects, newborn], dim=-1)
        memory = torch.cat([self.norm_in(past.objects), self.dictionary[past.slots]], dim=-1)
        earlier = past.time[:, None] < present.time[:, :, None]
        visible = earlier & past.valid[:, None] & (past.slots < self.num_slots)[:, None]
        together = (present.time[:, None] == present.time[:, :, None]) & present.valid[:, None]
        biases = self.geometry(present, past)
        for layer, bias in zip(self.layers, biases, strict=True):
            x = layer(x, memory, bias, visible, together)
        logits = self.classify(self.norm_out(x)) @ self.dictionary.T
        logits = logits / math.sqrt(self.dictionary.shape[1])
        bias = F.one_hot(torch.tensor(self.num_slots), self.num_slots + 1).to(logits)
        return logits + self.newborn_bias * bias


class Geometry(nn.Module):
    """How well the place of a present object suits a past one: a bias for every layer and head.

    It starts as a distance from where the past object would be by now, and learns the rest.
    """

    def __init__(self, depth: int, num_heads: int) -> None:
        super().__init__()
        self.depth = depth
        self.learned = nn.Sequential(nn.Linear(7, 32), nn.GELU(), nn.Linear(32, depth * num_heads))
        nn.init.zeros_(self.learned[-1].weight)
        nn.init.zeros_(self.learned[-1].bias)
        self.sharpness = nn.Parameter(torch.full((depth * num_heads,), 8.0))
        self.spread = nn.Parameter(torch.full((depth * num_heads,), 0.15))
        self.recency = nn.Parameter(torch.full((depth * num_heads,), 1.0))

    def forward(
        self, present: ObjectTokens, past: ObjectTokens
    ) -> list[Float[Tensor, "B heads n m"]]:
        """One bias per layer."""
        frames = (present.time[:, :, None] - past.time[:, None]).clamp(min=1)
        size = past.boxes_cxcywh[:, None, :, 3:].clamp(min=1e-3)
        moved = present.boxes_cxcywh[:, :, None, :2] - past.boxes_cxcywh[:, None, :, :2]
        expected = velocities(past)[:, None] * frames[..., None]
        moved, missed = moved / size, (moved - expected) / size
        present_size = present.boxes_cxcywh[:, :, None, 2:].clamp(min=1e-3)
        growth = (present_size / past.boxes_cxcywh[:, None, :, 2:].clamp(min=1e-3)).log()
        age = frames.log()[..., None]
        features = torch.cat([(2 * missed).asinh(), (2 * moved).asinh(), growth, age / 3], dim=-1)
        distance = missed.square().sum(-1, keepdim=True).add(1e-6).sqrt()
        reach = 1 + F.softplus(self.spread) * (frames[..., None] - 1)
        prior = -F.softplus(self.sharpness) * distance / reach - self.recency * age
        biases = prior + self.learned(features)
        return list(rearrange(biases, "B n m (depth heads) -> depth B heads n m", depth=self.depth))


class IdentityLayer(nn.Module):
    """Attention among the present (of one frame), from the present to the past, and an MLP."""

    def __init__(self, width: int, num_heads: int, among: bool) -> None:
        super().__init__()
        self.among = BiasedAttention(width, num_heads, copies=False) if among else None
        self.past = BiasedAttention(width, num_heads, copies=True)
        self.norm = nn.LayerNorm(width)
        self.mlp = MLP(width, 2 * width)
        nn.init.normal_(self.mlp.fc2.weight, std=0.01)

    def forward(
        self,
        x: Float[Tensor, "B n W"],
        memory: Float[Tensor, "B m W"],
        bias: Float[Tensor, "B heads n m"],
        visible: Bool[Tensor, "B n m"],
        together: Bool[Tensor, "B n n"],
    ) -> Float[Tensor, "B n W"]:
        """The present after this layer."""
        if self.among is not None:
            x = x + self.among(x, x, None, together)
        x = x + self.past(x, memory, bias, visible)
        return x + self.mlp(self.norm(x))


class BiasedAttention(nn.Module):
    """Multi-head attention with an additive bias, and nobody as one more thing to attend to."""

    def __init__(self, width: int, num_heads: int, copies: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_x, self.norm_memory = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.nobody = nn.Parameter(torch.full((num_heads,), -4.0))
        nn.init.xavier_uniform_(self.query.weight, gain=0.5)
        with torch.no_grad():
            self.key.weight.copy_(self.query.weight)  # like attends to like
            if copies:
                self.value.weight.copy_(torch.eye(width))
                self.out.weight.copy_(torch.eye(width))
            else:
                self.out.weight.mul_(0.1)
        for linear in (self.query, self.key, self.value, self.out):
            nn.init.zeros_(linear.bias)

    def forward(
        self,
        x: Float[Tensor, "B n W"],
        memory: Float[Tensor, "B m W"],
        bias: Float[Tensor, "B heads n m"] | None,
        mask: Bool[Tensor, "B n m"],
    ) -> Float[Tensor, "B n W"]:
        """What each of `x` gathers from those of `memory` where `mask` is True."""
        split = "B n (heads c) -> B heads n c"
        q = rearrange(self.query(self.norm_x(x)), split, heads=self.num_heads)
        k = rearrange(self.key(self.norm_memory(memory)), split, heads=self.num_heads)
        v = rearrange(self.value(memory), split, heads=self.num_heads)
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        if bias is not None:
            scores = scores + bias
        scores = scores.masked_fill(~mask[:, None], float("-inf"))
        nobody = self.nobody.view(1, -1, 1, 1).expand(*scores.shape[:3], 1)
        weights = torch.cat([scores, nobody], dim=-1).softmax(-1)[..., :-1]
        return self.out(rearrange(weights @ v, "B heads n c -> B n (heads c)"))


def velocities(tokens: ObjectTokens) -> Float[Tensor, "B n 2"]:
    """How each object has moved per frame, since it was last seen some frames before; 0 if new."""
    frames = tokens.time[:, :, None] - tokens.time[:, None]
    same = (tokens.slots[:, :, None] == tokens.slots[:, None]) & tokens.valid[:, None]
    recent = same & (frames > 0) & (frames <= _VELOCITY_FRAMES)
    age, oldest = torch.where(recent, frames, torch.zeros_like(frames)).max(dim=-1)
    centre = tokens.boxes_cxcywh[..., :2]
    before = centre.gather(1, oldest[..., None].expand(-1, -1, 2))
    return torch.where(age[..., None] > 0, (centre - before) / age[..., None].clamp(min=1), 0.0)
