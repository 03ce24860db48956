"""The documented commands on a few seconds of a real broadcast, with the model of the package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from soccermaster.data.datasets import SoccerFactory
from soccermaster.data.frame_source import open_source
from soccermaster.data.video import VideoWriter

FRAMES = 50

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def broadcast(shared, tmp_path_factory) -> Path:
    """Two seconds of the sample."""
    source = open_source(shared / "samples/video/bundesliga_08fd33.mp4")
    path = tmp_path_factory.mktemp("broadcast") / "bundesliga.mp4"
    size = (source.info.height, source.info.width)
    with VideoWriter(path, source.info.fps, size) as writer:
        for frame in source.stream(range(FRAMES)):
            writer.write(frame)
    return path


def run(root: Path, *command: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(root / "src")}
    done = subprocess.run(
        [sys.executable, *command], cwd=root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_factory_without_any_download(broadcast, tmp_path, root):
    output = tmp_path / "out"
    given = (f"input={broadcast}", f"output={output}", "executor.workers=1", "executor.device=cpu")
    said = run(root, "scripts/build_dataset.py", "factory=own", *given)
    assert "1 videos and 1 clips done, 0 videos and 0 clips failed" in said
    (clip,) = json.loads((output / "report.json").read_text())["clips"]
    summary = clip["summary"]
    assert summary["frames_with_camera"] > FRAMES / 2  # the whole sample is of the main camera
    assert summary["detections"] > FRAMES and summary["tracks"] > 1
    assert summary["tracks_with_number"] == 0  # nobody reads them
    read = SoccerFactory(output, "train", num_frames=FRAMES)[0]
    assert read.frames.shape[0] == FRAMES and len(read.annotations.athletes) > FRAMES
    for name in ("SNGS-10001.json", "train.json", "data.yaml", "Labels-GameState.json"):
        assert list(output.rglob(name)), name


def test_the_whole_answer(broadcast, tmp_path, root):
    output = tmp_path / "out"
    given = (f"input={broadcast}", f"output={output}", "checkpoint=soccermaster-tiny", "device=cpu")
    run(root, "scripts/predict.py", "downstream=all", *given)
    lines = [json.loads(line) for line in (output / "predictions.jsonl").read_text().splitlines()]
    frames = [line for line in lines if "frame" in line]
    assert [line["frame"] for line in frames] == list(range(1, FRAMES + 1))
    assert sum(line["camera"] is not None for line in frames) > FRAMES / 2
    assert all({"athletes", "keypoints", "lines", "camera"} <= line.keys() for line in frames)
    assert any(person["id"] for line in frames for person in line["athletes"])
    assert any("event" in line for line in lines)
    for name in ("bundesliga.json", "mot.txt", "tracks.parquet", "game_state.mp4", "report.json"):
        assert (output / name).stat().st_size > 0, name
