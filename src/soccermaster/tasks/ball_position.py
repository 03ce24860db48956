"""Where the ball is on the pitch, from one frame: a task that the pretraining does not have.

Patches -> probe -> (x, y) in metres. It shows what a new task takes: this file and
configs/task/ball_position.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from soccermaster.geometry.pitch import LENGTH_M, WIDTH_M
from soccermaster.metrics.position import PositionMetrics
from soccermaster.models.probes import AttentiveProbe, LinearProbe
from soccermaster.ops.distributed import mean_count
from soccermaster.structures import Batch, Features
from soccermaster.tasks.base import Recipe, Task
from soccermaster.vocabulary import ROLES

_BALL = ROLES.index("ball")


@dataclass(frozen=True)
class BallOutput:
    """The place of the ball in every frame."""

    position_m: Float[Tensor, "B T 2"]  # centred pitch frame


@dataclass(frozen=True)
class BallPrediction:
    """The place of the ball in one frame."""

    position_m: Float[Tensor, " 2"]  # centred pitch frame: x right, y toward the main camera

    def to_json(self) -> dict[str, list[float]]:
        """Plain values, to the centimetre."""
        return {"position_m": [round(float(value), 2) for value in self.position_m]}


class BallPosition(Task):
    """Where the ball is on the pitch.

    Args:
        embed_dim: D of the encoder.
        probe: "attentive": queries attend to the patches; "linear": one linear layer on means over
            a coarse grid.
        term_weights: of the loss terms (`huber`).
        lr: learning rate of the head.
        recipe: "corrected" and "official" are the same here.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"roles", "positions"})
    reads: ClassVar[frozenset[str]] = frozenset({"patches"})

    def __init__(
        self,
        embed_dim: int,
        probe: Literal["linear", "attentive"] = "attentive",
        term_weights: Mapping[str, float] | None = None,
        lr: float | None = None,
        recipe: Recipe = "corrected",
    ) -> None:
        super().__init__(term_weights, lr, recipe)
        kinds = {"linear": LinearProbe, "attentive": AttentiveProbe}
        if probe not in kinds:
            raise ValueError(f"expected a probe among {sorted(kinds)}, got '{probe}'")
        self.probe = kinds[probe](embed_dim, out_dim=2)
        half_m = torch.tensor([LENGTH_M / 2, WIDTH_M / 2])
        self.register_buffer("half_m", half_m, persistent=False)

    def forward(self, features: Features, batch: Batch | None = None) -> BallOutput:
        """Find the ball in every frame by itself."""
        if features.patches is None:
            raise ValueError("expected features with 'patches'; ask the encoder for them")
        frames = rearrange(features.patches, "B T N D -> (B T) N D")
        place = self.probe(frames, features.grid).float() * self.half_m
        return BallOutput(rearrange(place, "(B T) xy -> B T xy", B=len(features.patches)))

    def loss(self, output: BallOutput, batch: Batch) -> dict[str, Tensor]:
        """`huber`: of x and y in halves of the pitch, mean over the frames that show a ball."""
        targets_m = ball_positions(batch).to(output.position_m.device)
        known = targets_m.isfinite().all(-1) & batch.frame_mask.to(targets_m.device)
        off = (output.position_m - targets_m.nan_to_num()) / self.half_m
        huber = F.huber_loss(off, torch.zeros_like(off), delta=0.1, reduction="none").sum(-1)
        return {"huber": (huber * known).sum() / mean_count(known.sum())}

    @torch.no_grad()
    def decode(self, output: BallOutput, batch: Batch | None = None) -> list[BallPrediction]:
        """One place per frame, clip by clip."""
        return [BallPrediction(place) for place in output.position_m.flatten(0, 1)]

    def make_metrics(self) -> BallMetrics:
        """Errors in metres."""
        return BallMetrics()


class BallMetrics(PositionMetrics):
    """Errors in metres over the frames that show a ball."""

    def update(self, predictions: list[BallPrediction], batch: Batch) -> None:
        """Add the frames of a batch."""
        true_m = ball_positions(batch).masked_fill(~batch.frame_mask[..., None], torch.nan)
        predicted_m = torch.stack([prediction.position_m for prediction in predictions])
        self.update_distances(predicted_m, true_m.flatten(0, 1), batch)


def ball_positions(batch: Batch) -> Float[Tensor, "B T 2"]:
    """Where the ball is in the frames that show exactly one; NaN in the others.

    Raises:
        ValueError: the batch has no athletes.
    """
    if batch.athletes is None:
        raise ValueError(
            f"expected a batch with roles and positions, but '{batch.source}' provides neither"
        )
    clips, num_frames = batch.frame_mask.shape
    balls = batch.athletes.select(batch.athletes.roles == _BALL)
    count = torch.bincount(balls.frame, minlength=clips * num_frames)
    places_m = balls.positions_m.new_full((clips * num_frames, 2), torch.nan)
    single = count[balls.frame] == 1
    places_m[balls.frame[single]] = balls.positions_m[single]
    return rearrange(places_m, "(B T) xy -> B T xy", B=clips)
