"""AdamW with a learning rate per part of the model, linear warm-up and cosine decay.

Layer-wise learning rates: Bao et al., BEiT, ICLR 2022, appendix; Clark et al., ELECTRA, ICLR 2020.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from soccermaster.model import SoccerModel


@dataclass(frozen=True)
class AdamWCosine:
    """The optimizer, its schedule, and how gradients reach it.

    Attributes:
        lr: of the heads; a task's own `lr` wins.
        encoder_lr: of the encoder.
        temporal_lr: of its temporal attention and frame embedding.
        lr_by_name: learning rates by a regular expression that the whole name of a parameter
            matches ("tasks.pitch_lines.*"); the first one that does wins over all of the above.
        layer_decay: the learning rates of the encoder shrink by this factor with every block away
            from the last one, so that what is general changes less than what is special; 1 is the
            same everywhere. Rates of `lr_by_name` stay as they are.
        weight_decay: of what `decay` names.
        decay: "matrices": the weights of linear and convolutional layers alone; norms, biases,
            gates, embeddings, queries and scalars are not decayed. "all": everything, as in the
            release.
        no_decay: regular expressions of names that are never decayed.
        warmup_steps: optimizer steps of linear warm-up.
        warmup_epochs: the same in epochs, in its place.
        min_lr_ratio: where the cosine ends, relative to the peak.
        min_lr: the same as a learning rate, in its place.
        decay_by: "step" lowers the learning rate at every optimizer step, "epoch" at every epoch.
        betas: of AdamW.
        clip: what the norm of the gradients is taken over where `trainer.gradient_clip_val` limits
            it: "all" parameters together, or every "component" (encoder and tasks) by itself.
        dataset_losses: "mean" over the datasets of a step, or their "sum", as in the release.
    """

    lr: float
    encoder_lr: float
    temporal_lr: float
    lr_by_name: Mapping[str, float] = field(default_factory=dict)
    layer_decay: float = 1.0
    weight_decay: float = 0.05
    decay: Literal["matrices", "all"] = "matrices"
    no_decay: Sequence[str] = ()
    warmup_steps: int = 0
    warmup_epochs: float | None = None
    min_lr_ratio: float = 0.0
    min_lr: float | None = None
    decay_by: Literal["step", "epoch"] = "step"
    betas: tuple[float, float] = (0.9, 0.999)
    clip: Literal["all", "component"] = "all"
    dataset_losses: Literal["mean", "sum"] = "mean"

    def __post_init__(self) -> None:
        """Refuse what is no choice."""
        for name, known in (
            ("decay", ("matrices", "all")),
            ("decay_by", ("step", "epoch")),
            ("clip", ("all", "component")),
            ("dataset_losses", ("mean", "sum")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"expected optim.{name} to be one of {known}, got '{getattr(self, name)}'"
                )
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"expected 0 < optim.layer_decay <= 1, got {self.layer_decay}")

    def build(
        self, model: SoccerModel, total_steps: int, steps_per_epoch: int | None = None
    ) -> tuple[Optimizer, LambdaLR]:
        """The optimizer over the trainable parameters, and its per-step schedule.

        Args:
            model: to be trained.
            total_steps: optimizer steps of the run.
            steps_per_epoch: of them; `total_steps` when None.

        Raises:
            ValueError: nothing is trainable, or a pattern fits no parameter of the model.
        """
        groups = self.groups(model)
        if not groups:
            raise ValueError("expected something to train, but every part of the model is frozen")
        optimizer = torch.optim.AdamW(groups, betas=tuple(self.betas), fused=True)
        per_epoch = max(1, steps_per_epoch or total_steps)
        schedules = [self.schedule(group["lr"], total_steps, per_epoch) for group in groups]
        return optimizer, LambdaLR(optimizer, schedules)

    def schedule(self, lr: float, total_steps: int, per_epoch: int) -> Callable[[int], float]:
        """Learning rate relative to the peak `lr`, by optimizer step."""
        warmup = self.warmup_steps
        if self.warmup_epochs is not None:
            warmup = round(self.warmup_epochs * per_epoch)
        lowest = self.min_lr_ratio if self.min_lr is None else self.min_lr / lr

        def relative_lr(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            past, left = step - warmup, max(1, total_steps - warmup)
            if self.decay_by == "epoch":
                past, left = past // per_epoch, max(1, round(left / per_epoch))
            cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, past / left)))
            return lowest + (1 - lowest) * cosine

        return relative_lr

    def groups(self, model: SoccerModel) -> list[dict]:
        """Parameter groups by part of the model, learning rate and weight decay."""
        groups: dict[tuple[str, float, float, bool], list[nn.Parameter]] = {}
        unused = {*self.lr_by_name, *self.no_decay}
        for name, parameter in model.named_parameters():
            part, lr = self._part(model, name)
            for pattern in self.lr_by_name:
                if re.fullmatch(pattern, name):
                    part, lr = pattern, float(self.lr_by_name[pattern])
                    unused.discard(pattern)
                    break
            spared = [pattern for pattern in self.no_decay if re.fullmatch(pattern, name)]
            unused -= set(spared)
            decayed = not spared and (self.decay == "all" or _is_matrix(name, parameter))
            decay = self.weight_decay if decayed else 0.0
            if parameter.requires_grad:
                spread = isinstance(parameter, DTensor)  # one kernel cannot take both kinds
                groups.setdefault((part, lr, decay, spread), []).append(parameter)
        if unused := self._meant_for(model, unused):
            raise ValueError(
                f"optim.lr_by_name and optim.no_decay have {', '.join(unused)}, which fits no "
                f"parameter. Names are such as {next(iter(model.named_parameters()))[0]}."
            )
        return [
            {
                "params": parameters,
                "lr": lr,
                "weight_decay": decay,
                "name": f"{part}/{'decay' if decay else 'no_decay'}",
            }
            for (part, lr, decay, _), parameters in groups.items()
        ]

    def _meant_for(self, model: SoccerModel, patterns: set[str]) -> list[str]:
        """Those of the patterns that are not of a task which is not selected."""
        tasks = [re.match(r"tasks\\?\.(\w+)", pattern) for pattern in sorted(patterns)]
        return [
            pattern
            for pattern, task in zip(sorted(patterns), tasks, strict=True)
            if task is None or task[1] in model.tasks
        ]

    def _part(self, model: SoccerModel, name: str) -> tuple[str, float]:
        top, _, rest = name.partition(".")
        if top == "tasks":
            task = rest.partition(".")[0]
            own = model.tasks[task].lr
            return task, self.lr if own is None else own
        is_temporal = rest.startswith(("temporal.", "frame_embedding"))
        part = "encoder_temporal" if is_temporal else "encoder"
        lr = self.temporal_lr if is_temporal else self.encoder_lr
        if self.layer_decay == 1:
            return part, lr
        layer = model.encoder.layer_of(rest)
        below = len(model.encoder.blocks) - layer
        return f"{part}_layer_{layer}", lr * self.layer_decay**below


def clip_gradients(
    model: SoccerModel, max_norm: float, by: Literal["all", "component"]
) -> dict[str, Tensor]:
    """Scale gradients down to a norm; returns the norms before, by component or of "all"."""
    components: dict[str, nn.Module] = {"all": model}
    if by == "component":
        components = {"encoder": model.encoder, **dict(model.tasks.items())}
    return {name: _clip(module, max_norm) for name, module in components.items()}


def _clip(module: nn.Module, max_norm: float) -> Tensor:
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    spread = [g for g in gradients if isinstance(g, DTensor)]
    local = [g for g in gradients if not isinstance(g, DTensor)]
    norms = [torch.nn.utils.get_total_norm(local)] if local else []
    norms += [torch.nn.utils.get_total_norm(spread).full_tensor()] if spread else []
    if not norms:
        return torch.zeros(())
    norm = torch.linalg.vector_norm(torch.stack(norms))
    scale = (max_norm / (norm + 1e-6)).clamp(max=1)
    for gradient in gradients:
        own = gradient.to_local() if isinstance(gradient, DTensor) else gradient
        own.mul_(scale)
    return norm


def _is_matrix(name: str, parameter: Tensor) -> bool:
    return parameter.ndim >= 2 and name.endswith("weight") and "token_embedding" not in name
