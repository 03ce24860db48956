"""A run that is killed goes on as if nothing had happened, bit for bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import open_dict

import soccermaster as sm
from soccermaster.training.callbacks import (
    LAST_NAME,
    PREVIOUS_NAME,
    random_states,
    set_random_states,
)
from soccermaster.training.run import train
from tests.configs import compose_train

CALLBACKS = "tests.training.callbacks"
#: An epoch has four steps of two micro-batches, so that the run ends in the second one.
COMMON = (
    "debug=smoke",
    "task=[events,pitch_keypoints]",
    "trainer.max_steps=6",
    "augment=paper",
    "logger=[]",
)
#: After every epoch, which is to change nothing in the training.
VALIDATE = ("trainer.check_val_every_n_epoch=1", "trainer.val_check_interval=1.0")


def overrides(output: Path, *more: str) -> list[str]:
    return [*COMMON, f"paths.output={output}", *more]


def run(output: Path, *more: str, **callbacks: dict) -> None:
    cfg = compose_train(*overrides(output, *more))
    with open_dict(cfg):
        cfg.callbacks = {"trace": {"_target_": f"{CALLBACKS}.Trace", "path": str(output / "trace")}}
        cfg.callbacks.update(callbacks)
    train(cfg)


def trace(output: Path) -> dict[int, str]:
    """What was written for each micro-batch; the last word counts."""
    lines = (output / "trace").read_text().splitlines()
    return {int(number): rest for number, rest in (line.split(" ", 1) for line in lines)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("whole")
    run(output)
    assert sorted(trace(output)) == list(range(12))
    return output


def same_run(a: Path, b: Path) -> None:
    assert trace(a) == trace(b)
    left, right = sm.load_model(a).state_dict(), sm.load_model(b).state_dict()
    assert all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize(
    ("every", "crash", "validate"), [(1, 7, ()), (3, 11, ()), (100, 8, VALIDATE), (100, 3, ())]
)
def test_a_run_that_crashes_goes_on_bit_for_bit(
    every: int, crash: int, validate: tuple[str, ...], whole: Path, tmp_path: Path
):
    more = (f"checkpoint_every_n_steps={every}", *validate)
    with pytest.raises(RuntimeError, match="pulled the plug"):
        run(tmp_path, *more, crash={"_target_": f"{CALLBACKS}.CrashAt", "micro_batch": crash})
    assert (tmp_path / LAST_NAME).exists() == (crash >= 2 * min(every, 4))
    run(tmp_path, *more, "resume=auto")
    same_run(whole, tmp_path)


def test_a_run_that_is_killed_goes_on_bit_for_bit(whole: Path, tmp_path: Path, root: Path):
    more = ["checkpoint_every_n_steps=1", f"+callbacks.trace._target_={CALLBACKS}.Trace"]
    more += [f"+callbacks.trace.path={tmp_path / 'trace'}"]
    more += [f"+callbacks.kill._target_={CALLBACKS}.KillAt", "+callbacks.kill.micro_batch=5"]
    command = [sys.executable, "scripts/train.py", *overrides(tmp_path, *more)]
    environment = os.environ | {
        "PYTHONPATH": f"{root}:{root / 'src'}",
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]
    assert not (tmp_path / "checkpoint").exists()
    run(tmp_path, "resume=auto")
    same_run(whole, tmp_path)


def test_a_damaged_checkpoint_leaves_the_one_before_it(whole: Path, tmp_path: Path):
    with pytest.raises(RuntimeError, match="pulled the plug"):
        run(
            tmp_path,
            "checkpoint_every_n_steps=1",
            crash={"_target_": f"{CALLBACKS}.CrashAt", "micro_batch": 6},
        )
    kept = {path.name for path in tmp_path.glob("*.ckpt")}
    assert kept == {LAST_NAME, PREVIOUS_NAME}  # older ones are gone
    (tmp_path / LAST_NAME).write_bytes(b"half a file")
    run(tmp_path, "resume=auto")
    same_run(whole, tmp_path)


def test_the_random_states_of_all_generators_come_back():
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    states = random_states()
    first = draw()
    assert draw() != first
    set_random_states(states)
    assert draw() == first
