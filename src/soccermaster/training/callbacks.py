"""What happens beside the steps: progress, resumable checkpoints and a polite Ctrl-C."""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from soccermaster.structures import Batch
from soccermaster.training.unreadable import UnreadableClips

LAST_NAME = "last.ckpt"
PREVIOUS_NAME = "previous.ckpt"


class StepProgress(Callback):
    """A bar over the optimizer steps of a run with its running loss, and one per evaluation."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task: Any = None
        self._loss: Tensor | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar."""
        self._open(trainer, "training", int(trainer.estimated_stepping_batches))

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Advance; the loss shown is a running mean over micro-batches."""
        if self._bar is None:
            return
        loss = outputs["loss"].detach() * trainer.accumulate_grad_batches
        self._loss = loss if self._loss is None else 0.95 * self._loss + 0.05 * loss
        self._bar.update(self._task, completed=trainer.global_step)
        if trainer.global_step % trainer.log_every_n_steps == 0:  # reading it waits for the device
            self._bar.update(self._task, note=f"loss {float(self._loss):.3f}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open a bar, unless training shows one."""
        if self._bar is None:
            self._open(trainer, "evaluating", int(sum(trainer.num_val_batches)))

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Advance."""
        if self._bar is not None and not trainer.training:
            self._bar.advance(self._task)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar, unless it is that of training."""
        if not trainer.training:
            self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave the terminal in order."""
        self._close()

    def _open(self, trainer: Trainer, name: str, total: int) -> None:
        if not trainer.is_global_zero:
            return
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._task = self._bar.add_task(name, total=total, note="")
        self._bar.start()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class LastCheckpoint(Callback):
    """Keeps `last.ckpt`, from which a run continues, and the one before it, in the run folder.

    It is written every so many optimizer steps, at the end of every epoch and of the run, and when
    the run is interrupted (SIGINT, SIGTERM): the first Ctrl-C finishes the step, writes the
    checkpoint and stops; a second one stops at once. The first process writes the file, under
    another name, and renames it when it is on the disk; the last one becomes `previous.ckpt`. So
    there is a whole one at any time, whenever the run is killed.

    Besides what Lightning stores it holds the random states and the place in the data of every
    process. A run that continues with as many processes goes on exactly as it would have.

    Args:
        directory: the run folder.
        every_n_steps: optimizer steps between two checkpoints.
        continued_from: the checkpoint that the run starts from, if any.
    """

    def __init__(
        self,
        directory: Path | str,
        every_n_steps: int = 200,
        continued_from: Path | str | None = None,
    ) -> None:
        self.path = Path(directory) / LAST_NAME
        self.every_n_steps = every_n_steps
        self.interrupted = False
        self._continues = continued_from is not None
        self._last_is_whole = continued_from is not None and Path(continued_from) == self.path
        self._saved_step = -1
        self._previous: dict[int, Any] = {}
        self._trainer: Trainer | None = None
        self._processes: list[dict[str, Any]] = []  # of the checkpoint, until they are restored
        self._random_states: dict[str, Any] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remember whose states are to be saved."""
        self._trainer = trainer

    def state_dict(self) -> dict[str, Any]:
        """Random states and places in the data, of every process; all of them must ask."""
        assert self._trainer is not None
        own = {"random": random_states(), "data": self._trainer.train_dataloader.state_dict()}
        processes = [own] * self._trainer.world_size
        if self._trainer.world_size > 1:
            torch.distributed.all_gather_object(processes, own)
        return {"processes": processes}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states for when training starts."""
        self._processes = list(state_dict["processes"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go to the own place in the data; listen for Ctrl-C and for a polite kill."""
        if self._processes:
            same = len(self._processes) == trainer.world_size
            if not same and trainer.is_global_zero:
                Console(stderr=True, soft_wrap=True).print(
                    f"[yellow]The checkpoint is of {len(self._processes)} processes, this run has "
                    f"{trainer.world_size}: it goes on, but not exactly as it would have."
                )
            state = self._processes[trainer.global_rank if same else 0]
            trainer.train_dataloader.load_state_dict(state["data"])
            self._random_states = state["random"] if same else None
            self._processes = []
        self._saved_step = trainer.global_step
        self._pid = os.getpid()  # loader processes inherit the handler
        if threading.current_thread() is threading.main_thread():  # no other can
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._on_interrupt)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Take up the random states, once everything that starts a run has used its own."""
        if self._random_states is not None:
            set_random_states(self._random_states)
            self._random_states = None

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Save when it is time, between two optimizer steps."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        # the processes hear of it at different times, and must stop after the same step
        self.interrupted = trainer.strategy.reduce_boolean_decision(self.interrupted, all=False)
        if self.interrupted:
            trainer.should_stop = True
        due = trainer.global_step - self._saved_step >= self.every_n_steps
        due = due or batch_idx + 1 == trainer.num_training_batches
        if due or self.interrupted:
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end and stop listening."""
        if self._saved_step != trainer.global_step:
            self._save(trainer)
        self._stop_listening()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Stop listening."""
        self._stop_listening()

    def _stop_listening(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _save(self, trainer: Trainer) -> None:
        fresh = self.path.with_name(f".{self.path.name}.writing")
        previous = self.path.with_name(PREVIOUS_NAME)
        trainer.save_checkpoint(fresh, weights_only=False)  # on all processes
        if trainer.is_global_zero:
            _to_disk(fresh)
            if self._last_is_whole and self.path.is_file():
                self.path.replace(previous)
            fresh.replace(self.path)
            _to_disk(self.path.parent)
            if not self._continues and not self._last_is_whole:
                previous.unlink(missing_ok=True)  # of an earlier run in the same folder
        self._last_is_whole = True
        self._saved_step = trainer.global_step

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
        if os.getpid() == self._pid and int(os.environ.get("LOCAL_RANK", 0)) == 0:
            Console(stderr=True, soft_wrap=True).print(
                "\nInterrupted: finishing this step and saving. Ctrl-C again stops at once."
            )


def random_states() -> dict[str, Any]:
    """The states of all global random generators of this process, in plain values and tensors."""
    name, keys, *rest = np.random.get_state()
    states: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def set_random_states(states: dict[str, Any]) -> None:
    """Set the generators to states of `random_states`."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"].cpu())


def _to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


class ReportUnreadable(Callback):
    """Says which clips could not be read, at the end of every epoch and of every evaluation.

    Args:
        unreadable: what the loaders counted.
        path: of a file that gets one JSON line per clip.
    """

    def __init__(self, unreadable: UnreadableClips, path: Path | str) -> None:
        self.unreadable = unreadable
        self.path = Path(path)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report; an epoch that `max_steps` or Ctrl-C cuts short ends as well."""
        self._report(trainer, "training")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report, unless training does it later."""
        if not trainer.training:
            self._report(trainer, "evaluation")

    def _report(self, trainer: Trainer, stage: str) -> None:
        everything = self.unreadable.gather()
        if everything.clips and trainer.is_global_zero:
            everything.append_to(
                self.path, stage=stage, epoch=trainer.current_epoch, step=trainer.global_step
            )
            console = Console(stderr=True, soft_wrap=True, highlight=False)
            console.print(f"[yellow]{stage}, epoch {trainer.current_epoch}:")
            console.print(everything.report(), markup=False)
            console.print(f"all of them: {self.path}", style="dim")
