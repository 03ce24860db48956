"""Callbacks that tests add to a run."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class DumpParameters(Callback):
    """Writes the parameters of every process at the end of training."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        parameters = {k: v.detach().clone() for k, v in pl_module.named_parameters()}
        torch.save(parameters, self.folder / f"parameters_{trainer.global_rank}.pt")


class InterruptAt(Callback):
    """Presses Ctrl-C in the middle of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: torch.Tensor
    ) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGINT)
            self.step = -1


class RecordLosses(Callback):
    """Keeps the loss of every micro-batch."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *args: Any
    ) -> None:
        self.losses.append(outputs["loss"].item())


class Trace(Callback):
    """Writes what every micro-batch was, its loss and a number of every random generator."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        number = trainer.train_dataloader.served - 1
        loss = outputs["loss"].item().hex()
        rates = [group["lr"] for group in trainer.optimizers[0].param_groups]
        pixels = int(batch.images.long().sum())
        drawn = random.random(), float(np.random.rand()), float(torch.rand(()))
        with self.path.open("a") as file:
            print(number, batch.source, *batch.clip_ids, pixels, loss, rates, drawn, file=file)


class CrashAt(Callback):
    """Raises in the middle of a micro-batch."""

    def __init__(self, micro_batch: int) -> None:
        self.micro_batch = micro_batch

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: torch.Tensor
    ) -> None:
        if trainer.train_dataloader.served - 1 == self.micro_batch:
            raise RuntimeError("somebody pulled the plug")


class KillAt(CrashAt):
    """Kills the process in the middle of a micro-batch."""

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: torch.Tensor
    ) -> None:
        if trainer.train_dataloader.served - 1 == self.micro_batch:
            os.kill(os.getpid(), signal.SIGKILL)
