"""The training and evaluation steps, for any tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MeanMetric, Metric

from soccermaster.model import SoccerModel
from soccermaster.structures import Batch
from soccermaster.training.baselines import Baselines
from soccermaster.training.optim import AdamWCosine, clip_gradients
from soccermaster.training.sharding import FullySharded, hold_whole, is_sharded, shard


class MultiTaskModule(LightningModule):
    """Every batch teaches the tasks that its dataset is routed to.

    The datasets take turns as micro-batches and one optimizer step sees each of them once
    (`accumulate_grad_batches` equals their number). Lightning divides each loss by that number,
    which `optim.dataset_losses: sum` undoes.

    Args:
        model: the network.
        routes: tasks that each dataset teaches, by dataset name.
        loss_weights: of the tasks, by name.
        optim: makes optimizer and schedule.
        freeze: modules and parameters of the model that are not trained, by dotted name
            ("encoder", "encoder.position_embedding").
    """

    def __init__(
        self,
        model: SoccerModel,
        routes: Mapping[str, Sequence[str]],
        loss_weights: Mapping[str, float],
        optim: AdamWCosine | None = None,
        freeze: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.model = model
        self.routes = dict(routes)
        self.loss_weights = check_loss_weights(model, loss_weights)
        self.optim = optim
        for name in freeze:
            _part(model, name).requires_grad_(False)
        self.scores: dict[str, float] = {}  # of the last validation, by logged name
        self.losses: dict[str, float] = {}
        self.baselines: Baselines | None = None  # to be scored along with the model
        self._metrics: dict[str, Metric] = {}
        self._mean_losses: dict[str, MeanMetric] = {}

    def configure_model(self) -> None:
        """Lightning's hook: spread the model, where the strategy asks for it."""
        if isinstance(self.trainer.strategy, FullySharded) and not is_sharded(self.model):
            shard(self.model, self.device_mesh["data_parallel"])

    def configure_optimizers(self) -> dict[str, Any]:
        """Lightning's hook: optimizer and per-step schedule."""
        if self.optim is None:
            raise ValueError("expected an optimizer for training, got optim=None")
        total = int(self.trainer.estimated_stepping_batches)
        self.trainer.fit_loop.setup_data()  # else the length of an epoch is not known yet
        batches = self.trainer.num_training_batches
        per_epoch = math.ceil(batches / self.trainer.accumulate_grad_batches)
        optimizer, schedule = self.optim.build(self.model, total, per_epoch)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_fit_start(self) -> None:
        """Lightning's hook: it takes the modes as they are."""
        self.train()

    def train(self, mode: bool = True) -> MultiTaskModule:
        """Training mode, except for frozen modules, which stay in evaluation mode."""
        super().train(mode)
        for module in self.model.modules():
            parameters = list(module.parameters())
            if parameters and not any(p.requires_grad for p in parameters):
                module.eval()
        return self

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The weighted loss of one micro-batch."""
        outputs = self.model.run(batch, self.routes[batch.source])
        total: Tensor | None = None
        for name, output in outputs.items():
            task = self.model.tasks[name]
            terms = task.loss(output, batch)
            loss = task.weigh(terms)
            values = _named_losses("train", name, terms, loss)
            self.log_dict(values, batch_size=len(batch.images))
            weighted = self.loss_weights[name] * loss
            total = weighted if total is None else total + weighted
        assert total is not None  # a route is never empty
        if not torch.isfinite(total):
            raise ValueError(
                f"the loss is {total.item()} at step {self.global_step} on clips "
                f"{', '.join(batch.clip_ids)} of '{batch.source}'. Lower the learning rate or "
                "check these clips."
            )
        self.log("train/loss", total.detach(), prog_bar=True, batch_size=len(batch.images))
        if self.trainer.world_size > 1 and not is_sharded(self.model):
            total = total + self._touch_everything()
        if self.optim is not None and self.optim.dataset_losses == "sum":
            total = total * self.trainer.accumulate_grad_batches
        return total

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Lightning's hook: clip the norm over everything, or of every component by itself."""
        if self.optim is None or not gradient_clip_val:
            return
        if gradient_clip_algorithm not in (None, "norm"):
            raise ValueError(
                f"expected trainer.gradient_clip_algorithm=norm, got '{gradient_clip_algorithm}'"
            )
        norms = clip_gradients(self.model, float(gradient_clip_val), self.optim.clip)
        self.log_dict({f"train/gradient_norm/{name}": norm for name, norm in norms.items()})

    def _touch_everything(self) -> Tensor:
        """0, attached to every trainable parameter.

        Without it the gradients that earlier micro-batches left on heads which the last
        micro-batch does not use would not be averaged over the processes.
        """
        return sum(  # type: ignore[return-value]
            (p.flatten()[0] * 0.0 for p in self.model.parameters() if p.requires_grad),
            start=torch.zeros((), device=self.device),
        )

    def on_validation_epoch_start(self) -> None:
        """Fresh metrics, and all weights."""
        hold_whole(self.model, True)
        names = dict.fromkeys(name for names in self.routes.values() for name in names)
        self._metrics = {
            name: self.model.tasks[name].make_metrics().to(self.device) for name in names
        }
        self._mean_losses = {}

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Losses and metrics of one batch."""
        outputs = self.model.run(batch, self.routes[batch.source])
        predictions = {}
        for name, output in outputs.items():
            task = self.model.tasks[name]
            terms = task.loss(output, batch)
            for key, value in _named_losses("val", name, terms, task.weigh(terms)).items():
                mean = self._mean_losses.setdefault(key, MeanMetric().to(self.device))
                mean.update(value, weight=len(batch.images))
            predictions[name] = task.decode(output, batch)
            self._metrics[name].update(predictions[name], batch)
        if self.baselines is not None:
            self.baselines.update(batch, predictions)

    def on_validation_epoch_end(self) -> None:
        """Scores of all tasks, by logged name; what is undefined is NaN."""
        hold_whole(self.model, False)
        self.scores = {
            f"val/{name}/{score}": float(value)
            for name, metric in self._metrics.items()
            for score, value in metric.compute().items()
        }
        self.losses = {key: float(mean.compute()) for key, mean in self._mean_losses.items()}
        # the metrics have gathered from all processes themselves
        self.log_dict(self.scores | self.losses, rank_zero_only=True)
        self._metrics, self._mean_losses = {}, {}


def check_loss_weights(model: SoccerModel, weights: Mapping[str, float]) -> dict[str, float]:
    """The weight of every task of the model.

    Raises:
        ValueError: a task has no weight.
    """
    missing = [name for name in model.tasks if name not in weights]
    if missing:
        raise ValueError(
            f"expected a loss weight for every task, but {missing} have none. Add "
            + " ".join(f"+loss_weights.{name}=1.0" for name in missing)
        )
    return {name: float(weights[name]) for name in model.tasks}


def _named_losses(
    stage: str, task: str, terms: Mapping[str, Tensor], loss: Tensor
) -> dict[str, Tensor]:
    named = {"loss": loss, **terms}
    return {f"{stage}/{task}/{name}": value.detach() for name, value in named.items()}


def _part(model: SoccerModel, name: str) -> nn.Module | nn.Parameter:
    for get in (model.get_submodule, model.get_parameter):
        try:
            return get(name)
        except AttributeError:
            continue
    known = ["encoder", *(f"tasks.{task}" for task in model.tasks)]
    raise ValueError(
        f"freeze names '{name}', which is no part of the model. Parts are {known} and modules and "
        "parameters inside them."
    )
