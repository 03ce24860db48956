"""A new head on a pretrained encoder: frozen, partly frozen, adapted, probed on kept features."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import soccermaster as sm
from soccermaster.model import SoccerModel
from soccermaster.training.run import model_config, train
from tests.configs import compose_train
from tests.pretrained import pretrained


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint to start from, of weights that `untrained` does not have."""
    torch.manual_seed(5)
    model = SoccerModel.from_config(model_config(compose_train("debug=smoke")))
    return model.save(tmp_path_factory.mktemp("first") / "checkpoint")


def run(output: Path, first: Path, *overrides: str) -> dict[str, float]:
    return train(
        compose_train("debug=smoke", f"init_from={first}", f"paths.output={output}", *overrides)
    )


def changed(before: Path, after: Path) -> set[str]:
    """Names of the encoder's tensors that are not the same."""
    a, b = sm.load_encoder(before).state_dict(), sm.load_encoder(after).state_dict()
    assert a.keys() == b.keys()
    return {name for name in a if not torch.equal(a[name], b[name])}


def test_a_probe_leaves_the_encoder_and_both_columns(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = f"cache_features={tmp_path / 'features'}"
    scores = run(tmp_path / "run", first, "experiment=probe", folder)
    shown = capsys.readouterr().out
    assert shown.count("computed, since there are none yet") == 4  # two encoders, two splits
    assert "untrained" in shown
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    for task in ("ball_position", "ball_position_linear"):
        for column in ("val", "untrained"):
            assert f"{column}/{task}/median_error_m" in metrics
    assert scores.keys() <= metrics.keys()
    assert not changed(first, tmp_path / "run")
    assert list((tmp_path / "run" / "pictures").glob("*.png"))

    again = run(tmp_path / "again", first, "experiment=probe", folder)
    assert "computed" not in capsys.readouterr().out
    assert again == pytest.approx(scores, nan_ok=True)


def test_frozen_layerwise_and_lora_change_what_they_say(first: Path, tmp_path: Path):
    pytest.importorskip("peft", reason="tune=lora needs the extra 'lora'")
    experiment = ("experiment=finetune_new_head", "compare_untrained=false")
    touched = {}
    for tune in ("frozen", "layerwise", "lora"):
        run(tmp_path / tune, first, *experiment, f"tune={tune}")
        touched[tune] = changed(first, tmp_path / tune)
        assert list(sm.load_model(tmp_path / tune).tasks) == ["ball_position"]
    assert not touched["frozen"]
    assert touched["layerwise"] and not any(
        name.startswith(("patch_embedding", "position_embedding")) for name in touched["layerwise"]
    )
    assert touched["lora"] and all(
        name.startswith("blocks.") and name.endswith("weight") for name in touched["lora"]
    )


def test_kept_features_want_a_frozen_encoder_and_plain_clips(first: Path, tmp_path: Path):
    kept = ("experiment=finetune_new_head", "cache_features=true")
    with pytest.raises(ValueError, match="tune=frozen"):
        run(tmp_path, first, *kept, "tune=layerwise")
    with pytest.raises(ValueError, match="augment=none"):
        run(tmp_path, first, *kept, "datasets.synthetic_spatial.augment=true")


def test_a_comparison_wants_a_start(tmp_path: Path):
    with pytest.raises(ValueError, match="init_from=CHECKPOINT"):
        train(compose_train("debug=smoke", "compare_untrained=true", f"paths.output={tmp_path}"))


@pytest.mark.slow
def test_probes_of_the_pretrained_encoder_beat_those_of_an_untrained_one(tmp_path: Path):
    overrides = ("experiment=probe", f"init_from={pretrained()}", f"paths.output={tmp_path}")
    train(compose_train(*overrides, "logger=[csv]", "callbacks=none", "num_workers=0"))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    for task in ("ball_position", "ball_position_linear"):
        error = {c: metrics[f"{c}/{task}/median_error_m"] for c in ("val", "untrained")}
        assert error["val"] < 0.85 * error["untrained"], task
