"""AdamW with a learning rate per part of the model, linear warm-up and cosine decay."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from soccermaster.model import SoccerModel


@dataclass(frozen=True)
class AdamWCosine:
    """The optimizer and its schedule.

    Attributes:
        lr: of the heads; a task's own `lr` wins.
        encoder_lr: of the encoder.
        temporal_lr: of its temporal attention and frame embedding.
        weight_decay: on the weights of linear and convolutional layers alone; norms, biases,
            gates, embeddings, queries and scalars are not decayed.
        warmup_steps: optimizer steps of linear warm-up.
        min_lr_ratio: where the cosine ends, relative to the peak.
        betas: of AdamW.
    """

    lr: float
    encoder_lr: float
    temporal_lr: float
    weight_decay: float = 0.05
    warmup_steps: int = 0
    min_lr_ratio: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, model: SoccerModel, total_steps: int) -> tuple[Optimizer, LambdaLR]:
        """The optimizer over the trainable parameters, and its per-step schedule.

        Raises:
            ValueError: nothing is trainable.
        """
        groups = self._groups(model)
        if not groups:
            raise ValueError("expected something to train, but every part of the model is frozen")
        optimizer = torch.optim.AdamW(groups, betas=tuple(self.betas))

        def relative_lr(step: int) -> float:
            if step < self.warmup_steps:
                return (step + 1) / self.warmup_steps
            left = max(1, total_steps - self.warmup_steps)
            done = min(1.0, (step - self.warmup_steps) / left)
            cosine = 0.5 * (1 + math.cos(math.pi * done))
            return self.min_lr_ratio + (1 - self.min_lr_ratio) * cosine

        return optimizer, LambdaLR(optimizer, relative_lr)

    def _groups(self, model: SoccerModel) -> list[dict]:
        parts: dict[tuple[str, float], tuple[list[nn.Parameter], list[nn.Parameter]]] = {}
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            part, lr = self._part(model, name)
            decayed, plain = parts.setdefault((part, lr), ([], []))
            is_matrix = parameter.ndim >= 2 and name.endswith("weight")
            is_matrix = is_matrix and "token_embedding" not in name
            (decayed if is_matrix else plain).append(parameter)
        groups = []
        for (part, lr), (decayed, plain) in parts.items():
            for suffix, parameters, decay in (
                ("decay", decayed, self.weight_decay),
                ("no_decay", plain, 0.0),
            ):
                if parameters:
                    name = f"{part}/{suffix}"
                    groups.append(
                        {"params": parameters, "lr": lr, "weight_decay": decay, "name": name}
                    )
        return groups

    def _part(self, model: SoccerModel, name: str) -> tuple[str, float]:
        top, _, rest = name.partition(".")
        if top == "tasks":
            task = rest.partition(".")[0]
            own = model.tasks[task].lr
            return task, self.lr if own is None else own
        if rest.startswith(("temporal.", "frame_embedding")):
            return "encoder_temporal", self.temporal_lr
        return "encoder", self.encoder_lr
