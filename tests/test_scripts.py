"""The scripts as a person calls them: prediction end to end, and what bad input says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hydra.errors import ConfigCompositionException

from soccermaster.cli import quoted, refuse_unknown_choices, unread_keys
from soccermaster.data.video import VideoWriter, probe
from soccermaster.model import SoccerModel
from soccermaster.training.routing import RoutingError
from soccermaster.training.run import model_config, train
from soccermaster.vocabulary import EVENTS, LINES
from tests.configs import CONFIGS, compose_train

ROOT = Path(__file__).resolve().parent.parent


def call(script: str, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), *arguments]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of all five tasks."""
    model = SoccerModel.from_config(model_config(compose_train("debug=smoke")))
    return model.save(tmp_path_factory.mktemp("model") / "checkpoint")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "noise.mp4"
    rng = np.random.default_rng(0)
    with VideoWriter(path, fps=10.0, size=(90, 160)) as writer:
        for _ in range(25):
            writer.write(rng.integers(0, 255, (90, 160, 3), np.uint8))
    return path


def predict(checkpoint: Path, source: Path, output: Path, *more: str) -> list[dict]:
    done = call("predict", f"checkpoint={checkpoint}", f"input={source}", f"output={output}", *more)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in output.iterdir() if p.name.startswith(".")) == []
    return [json.loads(line) for line in (output / "predictions.jsonl").read_text().splitlines()]


def test_video_becomes_records_a_video_and_a_map(checkpoint, video, tmp_path):
    records = predict(
        checkpoint, video, tmp_path, "athlete_threshold=0", "pitch_threshold=0", "clip_seconds=2"
    )
    frames = [r for r in records if "frame" in r]
    clips = [r for r in records if "clip" in r]
    assert [r["frame"] for r in frames] == list(range(1, 26))
    assert frames[10]["time_s"] == pytest.approx(1.0)
    assert [r["clip"] for r in clips] == [[1, 20], [21, 25]]
    assert records.index(clips[0]) == 20  # after its frames

    person = frames[0]["athletes"][0]
    assert set(person) == {"box_xyxy_px", "score", "role", "role_score", "number", "number_score"}
    boxes = np.array([p["box_xyxy_px"] for r in frames for p in r["athletes"]])
    assert (boxes >= 0).all()
    assert (boxes <= [160, 90, 160, 90]).all()
    assert set(frames[0]["keypoints"]) <= {str(k) for k in range(1, 58)}
    assert set(frames[0]["lines"]) <= set(LINES)
    x, y, score = next(iter(frames[0]["keypoints"].values()))
    assert 0 <= x <= 160
    assert 0 <= y <= 90
    assert 0 <= score <= 1
    assert set(clips[0]["event_scores"]) == set(EVENTS)
    assert sum(clips[0]["event_scores"].values()) == pytest.approx(1, abs=0.01)
    assert len(clips[0]["retrieval"]) == 3

    drawn = probe(tmp_path / "annotated.mp4")
    assert (drawn.width, drawn.height, drawn.num_frames) == (160, 90, 25)
    assert cv2.imread(str(tmp_path / "birds_eye.png")) is not None


def test_one_picture_and_a_list_of_texts(checkpoint, tmp_path):
    cv2.imwrite(str(tmp_path / "frame.png"), np.full((72, 128, 3), 90, np.uint8))
    (tmp_path / "texts.txt").write_text("[PLAYER] scores\nA corner for [TEAM]\n")
    records = predict(
        checkpoint, tmp_path / "frame.png", tmp_path / "out", f"texts={tmp_path / 'texts.txt'}"
    )
    assert [("frame" in r, "clip" in r) for r in records] == [(True, False), (False, True)]
    assert {r["text"] for r in records[1]["retrieval"]} == {
        "[PLAYER] scores",
        "A corner for [TEAM]",
    }
    assert (tmp_path / "out" / "annotated.png").is_file()


def test_cameras_of_a_video_without_a_pitch_are_refused_and_named(checkpoint, video, tmp_path):
    done = call(
        "predict", "downstream=calibration", f"checkpoint={checkpoint}", f"input={video}",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "0 cameras for 25 frames" in done.stdout
    assert "25 frames have no camera" in done.stdout
    (folder,) = (tmp_path / "outputs" / "predictions").iterdir()
    lines = [json.loads(line) for line in (folder / "cameras.jsonl").read_text().splitlines()]
    assert len(lines) == 25
    assert all(line["camera"] is None and line["reason"] for line in lines)
    assert probe(folder / "overlay.mp4").num_frames == probe(folder / "pitch_map.mp4").num_frames


@pytest.mark.parametrize("downstream", ["game_state", "all"])
def test_a_video_without_a_pitch_ends_with_a_report(checkpoint, video, tmp_path, downstream):
    done = call(
        "predict", f"downstream={downstream}", f"checkpoint={checkpoint}", f"input={video}",
        f"output={tmp_path / 'out'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no pitch was recognised" in done.stdout
    names = ["game_state.mp4", "mot.txt", "noise.json", "report.json", "tracks.parquet"]
    names += ["predictions.jsonl"] * (downstream == "all")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["frames"], report["frames_with_camera"], report["tracks_with_number"]) == (
        25, 0, 0,
    )  # fmt: skip
    assert json.loads((tmp_path / "out" / "noise.json").read_text()) == {"predictions": []}
    assert probe(tmp_path / "out" / "game_state.mp4").num_frames == 25


def test_a_misspelt_key_of_prediction_is_named(tmp_path):
    for more in ([], ["downstream=calibration"], ["downstream=all"]):
        done = call("predict", "checkpoint=x", "input=x", "+windw=3", *more, cwd=tmp_path)
        assert done.returncode == 1
        assert "windw" in done.stderr


def test_corrupt_video_leaves_no_half_files(checkpoint, video, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(video.read_bytes()[:2000])
    done = call(
        "predict", f"checkpoint={checkpoint}", f"input={broken}", f"output={tmp_path / 'o'}"
    )
    assert done.returncode == 1
    assert "broken.mp4" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "o").glob("*")) == [] if (tmp_path / "o").exists() else True


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["input=nowhere.mp4", "output=OUT"], "nowhere.mp4"),
        (["input=EMPTY", "output=OUT"], "EMPTY"),
    ],
    ids=["missing video", "empty folder"],
)
def test_missing_input_is_named(checkpoint, tmp_path, arguments, message):
    (tmp_path / "EMPTY").mkdir()
    done = call("predict", f"checkpoint={checkpoint}", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_checkpoint_says_what_to_do(tmp_path):
    done = call("evaluate", "checkpoint=nowhere", f"paths.output={tmp_path}")
    assert done.returncode == 1
    assert "nowhere does not exist" in done.stderr
    assert "scripts/train.py" in done.stderr


@pytest.mark.parametrize(
    "arguments,message",
    [
        ([], "Add checkpoint=..."),
        (["report=x.json"], "report: read with a downstream task"),
        (["downstream=calibration", "predictions=x"], "Add ground_truth=..."),
        (["downstream=calibration", "predictions=x", "ground_truth=x"], "x: expected a folder"),
    ],
)
def test_evaluation_asks_for_what_it_needs(tmp_path, arguments, message):
    done = call("evaluate", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.json"))


def test_a_key_that_nothing_reads_is_one_readable_error(tmp_path):
    done = call("train", "debug=smoke", f"paths.output={tmp_path}", "+lerning_rate=1")
    assert done.returncode == 1
    assert "lerning_rate" in done.stderr
    assert "loss_weights" in done.stderr  # the keys that there are
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize(
    "argument,messages",
    [
        ("task=[events,dribbling]", ["dribbling", "athletes", "events"]),
        ("dataset=[worldcup]", ["worldcup", "soccernet_gsr", "match_clips"]),
        ("encoder=huge", ["huge", "tiny"]),
    ],
)
def test_unknown_options_are_named_with_the_known_ones(argument, messages):
    with pytest.raises(SystemExit) as caught:
        refuse_unknown_choices(ROOT / "configs", ["seed=1", argument])
    for message in messages:
        assert message in str(caught.value.code)


def test_known_options_and_those_of_a_search_path_pass(tmp_path):
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "mine.yaml").touch()
    refuse_unknown_choices(
        ROOT / "configs",
        ["task=[mine,events]", f"hydra.searchpath=[file://{tmp_path}]", "debug=null", "seed=2"],
    )


@pytest.mark.parametrize(
    "override,messages",
    [
        ("+optim.momentum=1", ["momentum"]),
        ("+trainer.max_stepz=1", ["max_stepz"]),
        ("+tasks.events.dropout=1", ["tasks.events", "dropout"]),
        ("+datasets.synthetic_spatial.dataset.colour=1", ["colour"]),
    ],
)
def test_nested_keys_that_nothing_reads_are_named(override, messages, tmp_path):
    with pytest.raises(Exception) as caught:
        train(compose_train("debug=smoke", f"paths.output={tmp_path}", override))
    for message in messages:
        assert message in str(caught.value)
    assert not (tmp_path / "checkpoint").exists()


def test_keys_of_interpolated_groups_are_read_by_some_config():
    assert unread_keys(compose_train("debug=smoke"), [CONFIGS]) == []
    cfg = compose_train("+heads.detector.colour=1", "+paths.cache=x")
    assert unread_keys(cfg, [CONFIGS]) == ["heads.detector.colour", "paths.cache"]


def test_a_misspelt_key_is_refused_by_the_schema():
    with pytest.raises(ConfigCompositionException, match="lerning_rate"):
        compose_train("lerning_rate=1")


def test_a_task_that_nothing_teaches_is_refused(tmp_path):
    cfg = compose_train("debug=smoke", f"paths.output={tmp_path}", "dataset=[smoke_spatial]")
    with pytest.raises(RoutingError, match=r"task 'events' learns from \{event\}"):
        train(cfg)


def test_a_task_without_a_weight_is_refused(tmp_path):
    cfg = compose_train("debug=smoke", f"paths.output={tmp_path}", "~loss_weights.events")
    with pytest.raises(ValueError, match=r"loss_weights\.events"):
        train(cfg)


def test_paths_with_blanks_and_accents_need_no_quotes():
    assert quoted("root=/data/Saison 2015 – Málaga") == "root='/data/Saison 2015 – Málaga'"
    assert quoted("root=/d'or é") == "root='/d\\'or é'"
    for plain in ("root=/data", "task=[events, athletes]", "root='a b'", "--help", "a=", "-cn=x y"):
        assert quoted(plain) == plain
