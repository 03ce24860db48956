"""Models by name: folders, shipped ones, and those of the Hugging Face hub (without a network)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import huggingface_hub
import pytest
import torch

import soccermaster as sm
from soccermaster.model import SoccerModel, initialise_from
from soccermaster.model_card import model_card
from soccermaster.models import pretrained
from soccermaster.models.weights import CheckpointError, to_float16
from soccermaster.shipping import ship_model
from tests.test_model import CONFIG, EVENTS

ROOT = Path(__file__).resolve().parents[2]
TEXT = {
    "_target_": "soccermaster.models.text.TextEncoder",
    "embed_dim": 16,
    "depth": 0,
    "num_heads": 2,
    "output_dim": 16,
    "max_length": 12,
}
ALIGNMENT = {"_target_": "soccermaster.tasks.alignment.Alignment", "embed_dim": 16, "text": TEXT}
WITH_TEXT = {
    **CONFIG,
    "tasks": {**CONFIG["tasks"], "alignment": ALIGNMENT},
    "run": {"data": "/somewhere/private", "datasets": {}},
}
IMAGES = torch.linspace(-1, 1, 2 * 3 * 32 * 48).reshape(1, 2, 3, 32, 48)
SENTENCES = ["[PLAYER] scores", "a corner"]


@pytest.fixture
def model() -> SoccerModel:
    return SoccerModel.from_config(WITH_TEXT).eval()


def put_into_cache(cache: Path, repo: str, folder: Path) -> None:
    """What a download leaves in the cache of the hub."""
    place = cache / f"models--{repo.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder, place / "snapshots" / ("0" * 40))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def shipped(model: SoccerModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A random model in place of those in the package."""
    monkeypatch.setattr(pretrained, "SHIPPED", tmp_path / "pretrained")
    model.save(tmp_path / "run" / "checkpoint")
    scores(tmp_path / "run")
    small = tmp_path / "pretrained" / "small"
    return ship_model(tmp_path / "run", small, recipe="train it").directory


def scores(folder: Path) -> Path:
    """A `metrics.json` as a run leaves it."""
    path = folder / "metrics.json"
    path.write_text(json.dumps({"val/events/top1": 0.75, "untrained/events/top1": None}))
    return path


def assert_same(a: SoccerModel, b: SoccerModel, tolerance: float = 0.0) -> None:
    first, second = a(IMAGES, text=SENTENCES), b(IMAGES, text=SENTENCES)
    torch.testing.assert_close(
        first["events"].logits, second["events"].logits, atol=tolerance, rtol=0
    )
    torch.testing.assert_close(
        first["alignment"].text, second["alignment"].text, atol=tolerance, rtol=0
    )


def test_saved_with_the_mixin_and_loaded_again(model, tmp_path):
    model.save_pretrained(tmp_path / "saved", model_card_kwargs={"name": "mine"})
    assert {p.name for p in (tmp_path / "saved").iterdir()} == {
        "config.json",
        "model.safetensors",
        "README.md",
    }
    assert "/somewhere/private" not in (tmp_path / "saved" / "config.json").read_text()
    card = huggingface_hub.ModelCard.load(tmp_path / "saved" / "README.md")
    assert card.data.library_name == "soccermaster"
    assert "# mine" in card.text
    assert_same(model, SoccerModel.from_pretrained(tmp_path / "saved"))
    assert_same(model, sm.load_model(tmp_path / "saved"))


def test_saving_again_keeps_the_other_files_of_the_folder(model, tmp_path):
    model.save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text("written by a person")
    model.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "written by a person"


def test_a_tokenizer_of_ones_own_goes_to_the_hub_and_back(tmp_path, cache):
    from soccermaster.models.tokenizer import train_tokenizer

    (tmp_path / "words").mkdir()
    train_tokenizer(["a corner for us"], 270).save(str(tmp_path / "words" / "tokenizer.json"))
    text = {**TEXT, "tokenizer": str(tmp_path / "words")}
    config = {**WITH_TEXT, "tasks": {"events": EVENTS, "alignment": {**ALIGNMENT, "text": text}}}
    model = SoccerModel.from_config(config).eval()
    model.save_pretrained(tmp_path / "saved")
    put_into_cache(cache, "user/repo", tmp_path / "saved")
    shutil.rmtree(tmp_path / "words")
    assert_same(model, sm.load_model("user/repo"))


def test_a_model_of_the_hub_by_its_id(model, tmp_path, cache):
    model.save_pretrained(tmp_path / "saved")
    put_into_cache(cache, "user/repo", tmp_path / "saved")
    assert_same(model, sm.load_model("user/repo"))
    assert_same(model, SoccerModel.from_pretrained("user/repo", local_files_only=True))
    encoder = sm.load_encoder("user/repo")
    assert torch.equal(encoder(IMAGES).frames, model.encoder(IMAGES).frames)
    fresh = SoccerModel.from_config(CONFIG)
    assert initialise_from(fresh, "user/repo").loaded == ("encoder", "events", "pitch_lines")


def test_an_id_that_is_not_in_the_cache_says_so(cache):
    with pytest.raises(CheckpointError, match="user/other is no directory here"):
        sm.load_model("user/other")


def test_only_safetensors_are_read(model, tmp_path, cache):
    model.save_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "saved" / "pytorch_model.bin")
    put_into_cache(cache, "user/repo", tmp_path / "saved")
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        sm.load_model("user/repo")


@pytest.mark.parametrize(
    "target", ["crowding.Crowding", "torch.nn.Linear", "soccermaster.cli.shutil.rmtree"]
)
def test_a_downloaded_model_names_classes_of_the_library_alone(model, tmp_path, cache, target):
    model.save_pretrained(tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    config["run"]["datasets"] = {"their": {"_target_": target}}
    (tmp_path / "saved" / "config.json").write_text(json.dumps(config))
    put_into_cache(cache, "user/repo", tmp_path / "saved")
    with pytest.raises(CheckpointError, match=rf"classes of this library, got {target}"):
        sm.load_model("user/repo")


def test_pushing_uploads_what_load_model_reads(model, tmp_path, monkeypatch):
    uploaded = {}

    def upload(self, *, folder_path, repo_id, **more):
        shutil.copytree(folder_path, tmp_path / "remote")
        uploaded["repo"] = repo_id

    monkeypatch.setattr(
        huggingface_hub.HfApi,
        "create_repo",
        lambda self, repo_id, **more: huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}"),
    )
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload)
    model.push_to_hub("user/repo")
    assert uploaded == {"repo": "user/repo"}
    assert (tmp_path / "remote" / "README.md").is_file()
    assert_same(model, sm.load_model(tmp_path / "remote"))


def test_a_shipped_model_is_loaded_by_its_name(model, shipped):
    assert pretrained.shipped_models() == ("small",)
    loaded = sm.load_model("small")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert_same(model, loaded, tolerance=1e-2)
    assert loaded.tasks["alignment"].text.tokenizer_directory is not None  # not the package's
    encoder = sm.load_encoder("small")
    torch.testing.assert_close(
        encoder(IMAGES).frames, model.encoder(IMAGES).frames, atol=1e-2, rtol=0
    )


def test_a_shipped_model_takes_half_the_space_and_has_a_card(shipped):
    from safetensors.torch import load_file

    tensors = load_file(shipped / "model.safetensors")
    assert {t.dtype for t in tensors.values() if t.is_floating_point()} == {torch.float16}
    card = (shipped / "README.md").read_text()
    assert 'sm.load_model("small")' in card
    assert "| `events/top1` | 0.750 | - |" in card
    assert "```bash\ntrain it\n```" in card
    assert "/somewhere/private" not in (shipped / "config.json").read_text()


@pytest.mark.parametrize("accuracy", [0.0, 0.7, None])
def test_the_card_says_what_was_not_learnt(model, accuracy):
    metrics = {"val/athletes/number_accuracy": accuracy}
    card = model_card(
        WITH_TEXT, {"encoder": 1}, "mine", metrics, "train it", None, "two cores", "an hour"
    )
    assert "Trained on two cores in an hour." in card
    assert ("not learnt to read shirt numbers" in card) == (accuracy == 0.0)
    assert ("tells roles and shirt numbers, not names" in card) == (accuracy != 0.0)


def test_training_starts_from_a_shipped_model(model, shipped):
    fresh = SoccerModel.from_config(WITH_TEXT)
    taken = initialise_from(fresh, "small")
    assert taken.loaded == ("encoder", "events", "pitch_lines", "alignment")
    assert_same(fresh.eval(), sm.load_model("small"))


def test_a_folder_comes_before_a_shipped_model(shipped, tmp_path, monkeypatch):
    other = SoccerModel.from_config(WITH_TEXT).eval()
    other.save(tmp_path / "here" / "small")
    monkeypatch.chdir(tmp_path / "here")
    assert_same(other, sm.load_model("small"))


def test_an_unknown_name_lists_the_shipped_ones(shipped):
    with pytest.raises(CheckpointError, match=r"shipped model \(small\), but smal does not exist"):
        sm.load_model("smal")


def test_a_model_that_is_too_large_is_not_shipped(model, tmp_path):
    model.save(tmp_path / "checkpoint")
    with pytest.raises(CheckpointError, match=r"at most 0\.001 MB in float16, got"):
        ship_model(
            tmp_path / "checkpoint",
            tmp_path / "out",
            recipe="train it",
            metrics=scores(tmp_path),
            max_megabytes=0.001,
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("recipe", "message"), [("train it", "metrics=FILE"), (" ", "recipe=")])
def test_a_model_without_recipe_or_scores_is_not_shipped(model, tmp_path, recipe, message):
    model.save(tmp_path / "run" / "checkpoint")
    with pytest.raises((ValueError, OSError), match=message):
        ship_model(tmp_path / "run", tmp_path / "out", recipe=recipe)
    assert not (tmp_path / "out").exists()


def test_float16_refuses_what_it_cannot_hold():
    steps = torch.tensor([70000])
    assert to_float16({"steps": steps})["steps"] is steps
    with pytest.raises(CheckpointError, match="65504, got larger or none in scale"):
        to_float16({"scale": torch.tensor([70000.0])})


@pytest.mark.parametrize("name", pretrained.shipped_models())
def test_what_ships_keeps_its_promises(name):
    """The models in the package: small, float16, and everything inside."""
    folder = pretrained.SHIPPED / name
    assert (folder / "model.safetensors").stat().st_size <= 20e6
    model = sm.load_model(name)
    assert model.tasks["alignment"].text.tokenizer_directory.is_relative_to(folder)
    card = (folder / "README.md").read_text()
    for section in ("Data", "Recipe", "Scores", "Real frames", "Limits"):
        assert f"## {section}\n" in card
    fresh = SoccerModel.from_config(
        json.loads(json.dumps({**model.config, "tasks": dict(model.config["tasks"])}))
    )
    assert "encoder" in initialise_from(fresh, name).loaded


@pytest.mark.slow
def test_the_wheel_holds_the_shipped_model(model, tmp_path):
    """Built from a copy of the sources with a random model in the box; loaded without them."""
    source = tmp_path / "source"
    shutil.copytree(
        ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    model.save(tmp_path / "checkpoint")
    ship_model(
        tmp_path / "checkpoint",
        source / "src/soccermaster/pretrained/small",
        recipe="train it",
        metrics=scores(tmp_path),
    )
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", str(tmp_path), str(source)]
    done = subprocess.run(pip, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    code = "import soccermaster as sm; print(sm.__file__, list(sm.load_model('small').tasks))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "installed"), "PATH": "/usr/bin"},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "installed") in done.stdout
    assert "alignment" in done.stdout
