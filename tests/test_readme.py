"""What the README shows works as it is printed there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from soccermaster.cli import register_resolvers
from soccermaster.model import SoccerModel
from soccermaster.training.run import model_config, train
from tests.configs import CONFIGS, compose_train
from tests.training.callbacks import RecordLosses

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


def block(language: str, containing: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    (found,) = (b for b in blocks if containing in b)
    return found


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained checkpoint in place of a pretrained one."""
    model = SoccerModel.from_config(model_config(compose_train("debug=smoke")))
    return model.save(tmp_path_factory.mktemp("first") / "checkpoint")


def test_python_example_runs(capsys: pytest.CaptureFixture[str]):
    exec(compile(block("python", "sm.load_encoder"), "README.md", "exec"), {})
    assert "torch.Size([1, 2, 144, 128]) torch.Size([1, 2, 128])" in capsys.readouterr().out


def test_camera_example_runs(capsys: pytest.CaptureFixture[str]):
    exec(compile(block("python", "from_pan_tilt_roll"), "README.md", "exec"), {})
    shown = capsys.readouterr().out
    assert "True (1920, 1080)" in shown
    assert "keypoints from annotated lines and circles" in shown


def test_own_task_trains_on_a_frozen_encoder(
    first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "crowding.py").write_text(block("python", "class Crowding"))
    (tmp_path / "my_configs" / "task").mkdir(parents=True)
    (tmp_path / "my_configs" / "task" / "crowding.yaml").write_text(block("yaml", "crowding"))
    monkeypatch.syspath_prepend(tmp_path)
    register_resolvers()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cfg = compose(
            "train",
            [
                f"hydra.searchpath=[file://{tmp_path / 'my_configs'}]",
                "experiment=finetune",
                "debug=smoke",
                "task=[crowding]",
                "dataset=[smoke_spatial]",
                f"init_from={first}",
                f"paths.output={tmp_path / 'run'}",
                "trainer.max_steps=30",
                "optim.lr=0.02",
                "augment=none",
            ],
        )
    recorded = RecordLosses()
    monkeypatch.setattr("soccermaster.training.run.instantiate", _with_callback(recorded))
    scores = train(cfg)
    assert sum(recorded.losses[-4:]) < 0.7 * sum(recorded.losses[:4])
    assert scores["val/crowding/mean_count"] > 0

    import soccermaster as sm

    before, after = sm.load_encoder(first), sm.load_encoder(tmp_path / "run")
    for a, b in zip(before.state_dict().values(), after.state_dict().values(), strict=True):
        assert a.equal(b)  # frozen, running statistics too
    assert list(sm.load_model(tmp_path / "run").tasks) == ["crowding"]
    sys.modules.pop("crowding")


def _with_callback(callback: RecordLosses):
    from hydra.utils import instantiate

    def wrapped(node, **kwargs):
        if "callbacks" in kwargs:
            kwargs["callbacks"] = [*kwargs["callbacks"], callback]
        return instantiate(node, **kwargs)

    return wrapped
