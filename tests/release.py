"""A small network with the parameter names of the official release, written from torch's modules.

It shares no code with the library, so that what the library computes from its weights can be
compared with it.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, MLP, PATCH, GRID, FRAMES = 64, 96, 16, 3, 3


class Attention(nn.Module):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self, name, nn.Linear(WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
        return self.out_proj((weights @ v).transpose(1, 2).flatten(2))


class MLP_(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(WIDTH, MLP), nn.Linear(MLP, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Spatial(nn.Module):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(WIDTH, eps=1e-6)
        self.self_attn = Attention(heads)
        self.layer_norm2 = nn.LayerNorm(WIDTH, eps=1e-6)
        self.mlp = MLP_()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Block(nn.Module):
    def __init__(self, heads: int, temporal: bool) -> None:
        super().__init__()
        self.encoder = Spatial(heads)
        if temporal:
            self.temporal_norm1 = nn.LayerNorm(WIDTH)
            self.temporal_attn = nn.MultiheadAttention(WIDTH, heads, batch_first=True)
            self.temporal_fc = nn.Linear(WIDTH, WIDTH)
            self.temporal_alpha_attn = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor, clips: int) -> Tensor:
        if hasattr(self, "temporal_fc"):
            series = x.unflatten(0, (clips, -1)).transpose(1, 2).flatten(0, 1)  # (B N) T D
            n = self.temporal_norm1(series)
            mixed = self.temporal_fc(self.temporal_attn(n, n, n)[0])
            series = series + torch.tanh(self.temporal_alpha_attn) * mixed
            x = series.unflatten(0, (clips, -1)).transpose(1, 2).flatten(0, 1)
        return self.encoder(x)


class Head(nn.Module):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self.probe = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.attention = nn.MultiheadAttention(WIDTH, heads, batch_first=True)
        self.layernorm = nn.LayerNorm(WIDTH, eps=1e-6)
        self.mlp = MLP_()

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.attention(self.probe.expand(len(x), -1, -1), x, x)[0]
        return (pooled + self.mlp(self.layernorm(pooled)))[:, 0]


class Embedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch_embedding = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.position_embedding = nn.Embedding(GRID * GRID, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.patch_embedding(x).flatten(2).mT + self.position_embedding.weight


class ReleaseBackbone(nn.Module):
    """(B, T, 3, 48, 48) -> local features after the spatial block, and global features."""

    def __init__(self, heads: int, depth: int = 3, spatial: int = 1) -> None:
        super().__init__()
        self.spatial = spatial
        self.temporal_embedding = nn.Parameter(torch.randn(1, FRAMES, WIDTH))
        self.vision_model_embedding = Embedding()
        self.encoder_blocks = nn.ModuleList(Block(heads, i >= spatial) for i in range(depth))
        self.post_norm = nn.LayerNorm(WIDTH, eps=1e-6)
        self.head = Head(heads)
        for parameter in self.parameters():
            if parameter.ndim:
                nn.init.normal_(parameter, std=0.2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        clips, frames = images.shape[:2]
        x = self.vision_model_embedding(images.flatten(0, 1))
        for block in self.encoder_blocks[: self.spatial]:
            x = block(x, clips)
        local_features = x.unflatten(0, (clips, frames))
        x = (local_features + self.temporal_embedding[:, :, None]).flatten(0, 1)
        for block in self.encoder_blocks[self.spatial :]:
            x = block(x, clips)
        return local_features, self.head(self.post_norm(x)).unflatten(0, (clips, frames))


def event_head(classes: int = 23) -> OrderedDict[str, Tensor]:
    """The tensors of CaptionClassification.pt."""
    layer = nn.TransformerEncoderLayer(WIDTH, 1, 4 * WIDTH, batch_first=True)
    parts = {
        "transformer_encoder": nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
        "classifier": nn.Linear(WIDTH, classes),
        "classifier_ln1": nn.LayerNorm(WIDTH),
        "classifier_ln2": nn.LayerNorm(WIDTH),
    }
    return nn.ModuleDict(parts).state_dict()


def write_release(directory: Path, heads: int = 1) -> ReleaseBackbone:
    """A directory with backbone, event and alignment head."""
    directory.mkdir(parents=True, exist_ok=True)
    backbone = ReleaseBackbone(heads).eval()
    torch.save(backbone.state_dict(), directory / "backbone.pt")
    torch.save(event_head(), directory / "CaptionClassification.pt")
    alignment = {"logit_scale": torch.tensor(2.0), "logits_bias": torch.tensor(-9.0)}
    torch.save(alignment, directory / "VideoCaption.pt")
    return backbone
