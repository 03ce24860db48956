"""Whole runs, two steps long: every experiment, evaluation, resuming, two processes."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf, open_dict

import soccermaster as sm
from soccermaster.data.synthetic.writers import write_match_clips
from soccermaster.training.run import evaluate, train
from tests.configs import compose_train, names

CALLBACKS = "tests.training.callbacks"


def smoke(output: Path, *overrides: str) -> list[str]:
    return ["debug=smoke", f"paths.output={output}", *overrides]


def step_losses(output: Path) -> list[dict[str, str]]:
    (log,) = (output / "logs" / "csv").glob("*/metrics.csv")
    with log.open() as file:
        return [
            {k: v for k, v in row.items() if "train/" in k and v} for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of all five tasks."""
    output = tmp_path_factory.mktemp("run")
    train(compose_train(*smoke(output, "experiment=pretrain_multitask")))
    return output


@pytest.mark.parametrize("name", names("experiment"))
def test_every_experiment_trains_two_steps(name: str, run: Path, tmp_path: Path):
    cfg = compose_train(*smoke(tmp_path, f"experiment={name}"))
    if OmegaConf.is_missing(cfg, "init_from"):
        cfg.init_from = str(run)
    scores = train(cfg)
    assert any(key.startswith("val/") for key in scores)
    assert (tmp_path / "checkpoint" / "config.json").is_file()


@pytest.mark.parametrize("name", [n for n in names("encoder") if n != "tiny"])
def test_large_sizes_build(name: str):
    from soccermaster.model import SoccerModel

    plain = OmegaConf.to_container(compose_train(f"encoder={name}"), resolve=True)
    with torch.device("meta"):
        model = SoccerModel.from_config({"encoder": plain["encoder"], "tasks": plain["tasks"]})
    assert sum(p.numel() for p in model.encoder.parameters()) > 80_000_000


def test_a_run_leaves_what_it_promises(run: Path):
    metrics = json.loads((run / "metrics.json").read_text())
    for key in (
        "val/events/top1",
        "val/alignment/recall_at_1",
        "val/pitch_keypoints/f1_5px",
        "val/pitch_lines/f1_5px",
        "val/athletes/ap50",
    ):
        assert key in metrics
    assert metrics["val/alignment/recall_at_5"] is None  # undefined in a pool of 4
    assert list((run / "pictures").glob("*.png"))
    logged = {key for row in step_losses(run) for key in row}
    assert {"train/loss", "train/athletes/giou", "train/events/cross_entropy"} <= logged
    model = sm.load_model(run)
    assert set(model.tasks) == {
        "athletes",
        "pitch_keypoints",
        "pitch_lines",
        "events",
        "events_middle_frame",
        "alignment",
    }


def test_evaluation_gives_the_same_scores_again(run: Path, tmp_path: Path):
    evaluate(
        compose_train(
            f"checkpoint={run}",
            f"paths.output={tmp_path}",
            "num_workers=0",
            "trainer.accelerator=cpu",
            root="evaluate",
        )
    )
    again = json.loads((tmp_path / "metrics.json").read_text())
    assert again == json.loads((run / "metrics.json").read_text())


def test_the_same_seed_gives_the_same_losses(run: Path, tmp_path: Path):
    train(compose_train(*smoke(tmp_path, "experiment=pretrain_multitask")))
    assert step_losses(tmp_path) == step_losses(run)
    other = tmp_path / "other"
    train(compose_train(*smoke(other, "experiment=pretrain_multitask", "seed=7")))
    assert step_losses(other) != step_losses(run)


def test_ctrl_c_leaves_a_checkpoint_that_resumes_as_if_nothing_happened(tmp_path: Path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(compose_train(*smoke(whole, "trainer.max_steps=4")))

    interrupted = compose_train(*smoke(broken, "trainer.max_steps=4"))
    with open_dict(interrupted):
        interrupted.callbacks = {"stop": {"_target_": f"{CALLBACKS}.InterruptAt", "step": 1}}
    with pytest.raises(InterruptedError, match="resume=auto"):
        train(interrupted)
    assert not (broken / "metrics.json").exists()
    sm.load_model(broken)  # what is there can be used

    train(compose_train(*smoke(broken, "trainer.max_steps=4", "resume=auto")))
    a, b = sm.load_model(whole).state_dict(), sm.load_model(broken).state_dict()
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_resuming_from_what_is_no_checkpoint_says_so(run: Path, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        train(compose_train(*smoke(tmp_path, "resume=nowhere.ckpt")))
    (tmp_path / "last.ckpt").write_bytes(b"nonsense" * 100)
    with pytest.raises(ValueError, match="damaged"):
        train(compose_train(*smoke(tmp_path, "resume=auto")))
    with pytest.raises(ValueError, match=r"unexpected in the checkpoint: tasks\.alignment"):
        train(compose_train(*smoke(tmp_path, f"resume={run / 'last.ckpt'}", "task=[events]")))


def test_two_processes_end_a_step_with_equal_parameters(tmp_path: Path, root: Path):
    command = [sys.executable, "scripts/train.py", *smoke(tmp_path, "trainer=ddp_cpu")]
    command += [
        f"+callbacks.dump._target_={CALLBACKS}.DumpParameters",
        f"+callbacks.dump.folder={tmp_path}",
    ]
    environment = os.environ | {"PYTHONPATH": f"{root}:{root / 'src'}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (
        torch.load(tmp_path / f"parameters_{rank}.pt", weights_only=True) for rank in (0, 1)
    )
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert json.loads((tmp_path / "metrics.json").read_text())["val/events/top1"] is not None


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["ddp_cpu", "fsdp"])
def test_two_processes_resume_as_if_nothing_had_happened(trainer: str, tmp_path: Path, root: Path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"

    def command(output: Path, steps: int, *more: str) -> list[str]:
        two = [f"trainer={trainer}", "trainer.devices=2", f"trainer.max_steps={steps}", *more]
        return [sys.executable, "scripts/train.py", *smoke(output, *two)]

    environment = os.environ | {"PYTHONPATH": f"{root}:{root / 'src'}", "OMP_NUM_THREADS": "1"}
    stop = (f"+callbacks.stop._target_={CALLBACKS}.InterruptAt", "+callbacks.stop.step=0")
    for line, finishes in (
        (command(whole, 2), True),
        (command(broken, 2, *stop), False),
        (command(broken, 2, "resume=auto"), True),
    ):
        done = subprocess.run(
            line,
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert (done.returncode == 0) == finishes, done.stderr[-3000:]
    a, b = sm.load_model(whole).state_dict(), sm.load_model(broken).state_dict()
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert json.loads((whole / "metrics.json").read_text())


def test_all_loggers_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    overrides = smoke(tmp_path, "task=[events]", "dataset=[smoke_semantic]")
    train(compose_train(*overrides, f"logger=[{','.join(names('logger'))}]"))
    assert list((tmp_path / "logs" / "csv").glob("*/metrics.csv"))
    assert list((tmp_path / "logs" / "tensorboard").glob("*/events.out*"))
    assert list((tmp_path / "wandb").glob("offline-run-*"))


@pytest.fixture(scope="module")
def clips_with_a_broken_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five training clips of which one video was cut short, and two for validation."""
    folder = tmp_path_factory.mktemp("clips")
    for split, number in (("train", 5), ("valid", 2)):
        write_match_clips(
            folder, "MatchTime", split, number, image_size=(48, 64), duration_s=2.0, fps=5.0
        )
    broken = sorted((folder / "video_clip/MatchTime/train").rglob("*.mp4"))[0]
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    return folder


def match_clips(folder: Path, output: Path, *overrides: str) -> list[str]:
    return smoke(
        output,
        "dataset=[match_clips]",
        f"paths.data={folder}",
        "task=[events]",
        "datasets.match_clips.dataset.num_frames=2",
        "trainer.max_steps=6",
        *overrides,
    )


def test_a_broken_video_is_left_out_and_reported(
    clips_with_a_broken_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    train(compose_train(*match_clips(clips_with_a_broken_video, tmp_path)))
    shown = capsys.readouterr().err
    assert "training, epoch" in shown and "clips could not be read and were left out" in shown
    entries = [json.loads(line) for line in (tmp_path / "unreadable_clips.jsonl").open()]
    assert {entry["dataset"] for entry in entries} == {"match_clips"}
    assert len({entry["clip"] for entry in entries}) == 1
    assert all(entry["stage"] == "training" and ".mp4" in entry["reason"] for entry in entries)


def test_a_broken_video_ends_a_strict_run(clips_with_a_broken_video: Path, tmp_path: Path):
    with pytest.raises(ValueError, match=r"\.mp4: expected .*Fetch"):
        train(compose_train(*match_clips(clips_with_a_broken_video, tmp_path, "strict=true")))
