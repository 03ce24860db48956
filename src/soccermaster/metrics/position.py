"""How far is a place on the pitch from where it is said to be?"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from soccermaster.metrics.samples import SampleMetric, first_of_each, frame_keys, ratio
from soccermaster.structures import Batch

#: Radii of the shares in metres.
RADII_M: tuple[int, ...] = (5, 10)


class PositionMetrics(SampleMetric):
    """Distances in metres between predicted and true places, one place per frame at most."""

    def __init__(self, **kwargs: Any) -> None:
        """No distances yet; `kwargs` are those of torchmetrics.Metric."""
        super().__init__(**kwargs)
        self.add_table("keys")
        self.add_table("errors_m", dtype=torch.float32)

    def update_distances(
        self,
        predicted_m: Float[Tensor, "frames 2"],
        true_m: Float[Tensor, "frames 2"],
        batch: Batch,
    ) -> None:
        """Add the frames of a batch (clip * T + frame); those without a true place (NaN) are not.

        Raises:
            ValueError: not one prediction per frame.
        """
        if predicted_m.shape != true_m.shape:
            raise ValueError(
                f"expected a predicted place for each of {len(true_m)} frames, got "
                f"{tuple(predicted_m.shape)}"
            )
        known = true_m.isfinite().all(-1).cpu()
        distances = (predicted_m.float().cpu() - true_m.float().cpu()).norm(dim=-1)
        self.append("keys", torch.tensor(frame_keys(batch), dtype=torch.int64)[known])
        self.append("errors_m", distances[known])

    def compute(self) -> dict[str, float]:
        """`median_error_m`, `mean_error_m` and the shares `within_5m` and `within_10m`."""
        errors_m = self.table("errors_m")[first_of_each(self.table("keys"))].double()
        scores = {
            "median_error_m": float(errors_m.quantile(0.5)) if len(errors_m) else float("nan"),
            "mean_error_m": ratio(errors_m.sum(), len(errors_m)),
        }
        for radius_m in RADII_M:
            scores[f"within_{radius_m}m"] = ratio((errors_m < radius_m).sum(), len(errors_m))
        return scores
