"""The video encoder: a SigLIP-style ViT whose last blocks also attend over time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from soccermaster.models.clip_pooling import SegmentPooling
from soccermaster.models.layers import (
    AttentionPooling,
    Block,
    ConvStem,
    LayoutPooling,
    TemporalAttention,
)
from soccermaster.models.neck import TopDownNeck
from soccermaster.structures import Features

OUTPUTS = frozenset({"patches", "pyramid", "frames"})
DEFAULT_OUTPUTS = frozenset({"patches", "frames"})


class VideoEncoder(nn.Module):
    """images (B, T, 3, H, W) in [-1, 1] -> Features.

    The first `depth - temporal_depth` blocks see each frame by itself; their state is `patches`.
    A learned frame embedding is added, the last `temporal_depth` blocks attend over time and then
    over space, and attention pooling gives `frames`, one vector per frame.

    Any T from 1 up, any H and W divisible by the patch size: the position embedding is resampled
    (bicubic), the frame embedding is sliced or, beyond `num_frames`, resampled (linear).

    Args:
        image_size: (H, W) that the position embedding is stored for.
        patch_size: side of a square patch in pixels.
        embed_dim: D, width of the tokens.
        depth: number of blocks.
        temporal_depth: how many of them, the last ones, attend over time.
        num_heads: of spatial, temporal and pooling attention.
        mlp_dim: hidden width of the MLPs; 4 * embed_dim when None.
        num_frames: frames that the frame embedding is stored for.
        stem: how patches become tokens. "patch": one convolution per patch (SigLIP, the paper);
            "conv": a few small overlapping convolutions, which learn much faster from scratch.
        neck: widths of the stages of a `TopDownNeck`, each of twice the resolution, which give
            `pyramid` for heads that need exact places; none in the paper. Needs stem "conv".
        pool: how tokens become one vector per frame. "attention": a learned probe (SigLIP, the
            paper); "layout": means over a coarse grid and a linear layer, sooner from scratch.
        pool_cells: (rows, columns) of that grid.
        clip_segments: 0 leaves clips to the mean over their frames (the paper); else the encoder
            has a `SegmentPooling` over so many segments, and gives `clip`.
        zero_residuals: start with blocks that change nothing, so that what the stem sees reaches
            the heads at once; for training from scratch (Zhang et al., Fixup, ICLR 2019).
        activation_checkpointing: recompute the blocks in the backward pass to save memory.

    Source: SoccerMaster (CVPR 2026), section on the encoder; SigLIP 2 for the blocks; Xiao et al.,
    Early Convolutions Help Transformers See Better, NeurIPS 2021, for the stem.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        patch_size: int,
        embed_dim: int,
        depth: int,
        temporal_depth: int,
        num_heads: int,
        mlp_dim: int | None = None,
        num_frames: int = 30,
        stem: Literal["patch", "conv"] = "patch",
        neck: Sequence[int] = (),
        pool: Literal["attention", "layout"] = "attention",
        pool_cells: tuple[int, int] = (3, 5),
        clip_segments: int = 0,
        zero_residuals: bool = False,
        activation_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= temporal_depth <= depth:
            raise ValueError(
                f"expected 0 <= temporal_depth <= {depth} (depth), got {temporal_depth}"
            )
        mlp_dim = 4 * embed_dim if mlp_dim is None else mlp_dim
        self.patch_size = patch_size
        self.embed_dim = embed_dim
        self.num_frames = num_frames
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.activation_checkpointing = activation_checkpointing
        self.grid = self.grid_of(*self.image_size)

        stem_channels: Sequence[int] = ()
        if stem == "patch":
            self.patch_embedding: nn.Module = nn.Conv2d(3, embed_dim, patch_size, patch_size)
        elif stem == "conv":
            self.patch_embedding = ConvStem(embed_dim, patch_size)
            stem_channels = self.patch_embedding.channels[-2::-1]
        else:
            raise ValueError(f"expected stem 'patch' or 'conv', got '{stem}'")
        self.neck = TopDownNeck(embed_dim, neck, stem_channels) if neck else None
        self.position_embedding = nn.Parameter(
            torch.randn(self.grid[0] * self.grid[1], embed_dim) * 0.02
        )
        self.frame_embedding = nn.Parameter(torch.zeros(num_frames, embed_dim))
        self.blocks = nn.ModuleList(Block(embed_dim, num_heads, mlp_dim) for _ in range(depth))
        self.temporal = nn.ModuleList(
            TemporalAttention(embed_dim, num_heads) for _ in range(temporal_depth)
        )
        if zero_residuals:
            for block in self.blocks:
                block.start_as_identity()
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        if pool == "attention":
            self.pool: nn.Module = AttentionPooling(embed_dim, num_heads, mlp_dim)
        elif pool == "layout":
            self.pool = LayoutPooling(embed_dim, pool_cells)
        else:
            raise ValueError(f"expected pool 'attention' or 'layout', got '{pool}'")
        self.clip_pool = SegmentPooling(embed_dim, clip_segments) if clip_segments else None

    def grid_of(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) in patches of an image.

        Raises:
            ValueError: a side is not a multiple of the patch size.
        """
        if height % self.patch_size or width % self.patch_size or not height or not width:
            raise ValueError(
                f"expected image sides that are multiples of the patch size {self.patch_size}, "
                f"got {height}x{width} (height x width). Resize the images, for example to "
                f"{max(1, round(height / self.patch_size)) * self.patch_size}x"
                f"{max(1, round(width / self.patch_size)) * self.patch_size}."
            )
        return height // self.patch_size, width // self.patch_size

    @torch.no_grad()
    def set_image_size(self, image_size: int | Sequence[int]) -> None:
        """Store the position embedding for another size: a side, or (H, W).

        Raises:
            ValueError: a side is not a multiple of the patch size.
        """
        sides = (image_size, image_size) if isinstance(image_size, int) else image_size
        height, width = (int(side) for side in sides)
        grid = self.grid_of(height, width)
        if grid != self.grid:
            resized = resize_positions(self.position_embedding, self.grid, grid)
            self.position_embedding = nn.Parameter(resized)
        self.image_size, self.grid = (height, width), grid

    def layer_of(self, parameter: str) -> int:
        """How deep a parameter of the encoder lies: 0 is the embedding, `depth` the last block.

        Temporal attention lies where its block does, the frame embedding and the neck where the
        spatial blocks end, norm and pooling where the last block does.

        Args:
            parameter: its name, such as "blocks.3.mlp.fc1.weight".
        """
        depth, spatial = len(self.blocks), len(self.blocks) - len(self.temporal)
        part, _, rest = parameter.partition(".")
        if part == "blocks":
            return int(rest.partition(".")[0]) + 1
        if part == "temporal":
            return spatial + int(rest.partition(".")[0]) + 1
        if part in ("frame_embedding", "neck"):
            return spatial
        return 0 if part in ("patch_embedding", "position_embedding") else depth

    def compile_blocks(self) -> None:
        """Compile every block in place (`torch.compile`); names of weights stay as they are."""
        for module in (*self.blocks, *self.temporal):
            module.compile()

    def forward(
        self,
        images: Float[Tensor, "B T 3 H W"],
        outputs: Collection[str] = DEFAULT_OUTPUTS,
        frame_mask: Bool[Tensor, "B T"] | None = None,
    ) -> Features:
        """Encode clips.

        Args:
            images: RGB in [-1, 1].
            outputs: which of "patches", "frames" and "pyramid" to compute. Without "frames" the
                temporal blocks, the last norm and the pooling are not run.
            frame_mask: False for padding frames, which are not attended to over time.

        Raises:
            ValueError: wrong shape, size, type or output name, or a pyramid is asked of an encoder
                without a neck.
        """
        if images.ndim != 5 or images.shape[2] != 3 or 0 in images.shape:
            raise ValueError(
                f"expected images (B, T, 3, H, W), got {tuple(images.shape)}. A single frame is "
                "images[None, None]."
            )
        if not images.is_floating_point():
            raise ValueError(
                f"expected float images in [-1, 1], got {images.dtype}. "
                "Use soccermaster.models.encoder.normalize_images on uint8 images."
            )
        unknown = set(outputs) - OUTPUTS
        if unknown:
            raise ValueError(f"expected outputs among {sorted(OUTPUTS)}, got {sorted(unknown)}")

        if "pyramid" in outputs and self.neck is None:
            raise ValueError(
                "a head asks for 'pyramid', but the encoder has no neck. Build it with neck=[...], "
                "or the head with pyramid_channels=None."
            )

        clips, frames = images.shape[:2]
        grid = self.grid_of(*images.shape[-2:])
        spatial = len(self.blocks) - len(self.temporal)

        tokens, stem_maps = self._embed(images)
        for block in self.blocks[:spatial]:
            tokens = self._run(block, tokens)
        pyramid = None
        if "pyramid" in outputs:
            maps = self.neck(rearrange(tokens, "b (h w) D -> b D h w", h=grid[0]), stem_maps)
            pyramid = tuple(rearrange(m, "(B T) C h w -> B T C h w", B=clips) for m in maps)
        patches = (
            rearrange(tokens, "(B T) N D -> B T N D", B=clips) if "patches" in outputs else None
        )
        if "frames" not in outputs:
            return Features(grid=grid, patches=patches, pyramid=pyramid, frame_mask=frame_mask)

        tokens = rearrange(tokens, "(B T) N D -> B T N D", B=clips)
        tokens = tokens + frame_positions(self.frame_embedding, frames)[:, None]
        for temporal, block in zip(self.temporal, self.blocks[spatial:], strict=True):
            tokens = self._run(temporal, tokens, frame_mask)
            tokens = rearrange(tokens, "B T N D -> (B T) N D")
            tokens = self._run(block, tokens)
            tokens = rearrange(tokens, "(B T) N D -> B T N D", B=clips)
        tokens = rearrange(tokens, "B T N D -> (B T) N D")
        pooled = rearrange(self.pool(self.norm(tokens), grid), "(B T) D -> B T D", B=clips)
        clip = None if self.clip_pool is None else self.clip_pool(pooled, frame_mask)
        return Features(grid, patches, pooled, clip, pyramid, frame_mask)

    def _embed(
        self, images: Float[Tensor, "B T 3 H W"]
    ) -> tuple[Float[Tensor, "b N D"], tuple[Float[Tensor, "b C rows columns"], ...]]:
        """Tokens with their positions, and the maps of a convolutional stem."""
        embedded, stem_maps = self.patch_embedding(images.flatten(0, 1)), ()
        if isinstance(self.patch_embedding, ConvStem):
            embedded, stem_maps = embedded
        grid = (embedded.shape[-2], embedded.shape[-1])
        # tokens side by side from here on: the sums of the blocks would keep any other layout
        tokens = rearrange(embedded, "b D h w -> b (h w) D").contiguous()
        return tokens + self._positions(grid), stem_maps

    def _run(self, module: Callable[..., Tensor], *args: Any) -> Tensor:
        if self.activation_checkpointing and torch.is_grad_enabled():
            return checkpoint(module, *args, use_reentrant=False)
        return module(*args)

    def _positions(self, grid: tuple[int, int]) -> Float[Tensor, "N D"]:
        if grid == self.grid:
            return self.position_embedding
        return resize_positions(self.position_embedding, self.grid, grid)


def frame_positions(stored: Float[Tensor, "n D"], frames: int) -> Float[Tensor, "T D"]:
    """The first `frames` rows of a frame embedding, or, beyond its length, all of it resampled."""
    if frames <= len(stored):
        return stored[:frames]
    resized = F.interpolate(
        rearrange(stored, "T D -> 1 D T"), size=frames, mode="linear", align_corners=True
    )
    return rearrange(resized, "1 D T -> T D")


def resize_positions(
    positions: Float[Tensor, "n D"], stored_grid: tuple[int, int], grid: tuple[int, int]
) -> Float[Tensor, "m D"]:
    """Position embedding of one patch grid (h, w), row by row, resampled for another (bicubic)."""
    stored = rearrange(positions, "(h w) D -> 1 D h w", h=stored_grid[0])
    resized = F.interpolate(stored, size=grid, mode="bicubic", align_corners=False)
    return rearrange(resized, "1 D h w -> (h w) D")


def normalize_images(images: Tensor) -> Tensor:
    """uint8 RGB 0..255 -> float32 in [-1, 1]; float images are returned as they are."""
    return images if images.is_floating_point() else images.float() / 127.5 - 1.0
