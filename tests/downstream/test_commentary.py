"""Commentary of a video: when each sentence is, in the files and in the picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from soccermaster.data.frame_source import open_source
from soccermaster.data.video import VideoWriter
from soccermaster.downstream.commentary import TimedSentence, show, to_srt, write_commentary
from soccermaster.model import SoccerModel
from soccermaster.predict import Predictor
from soccermaster.training.run import model_config
from tests.configs import compose_train
from tests.test_scripts import call

FPS = 10.0


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "match.mp4"
    rng = np.random.default_rng(0)
    with VideoWriter(path, fps=FPS, size=(90, 160)) as writer:
        for _ in range(25):
            writer.write(rng.integers(0, 255, (90, 160, 3), np.uint8))
    return path


def model(*tasks: str) -> SoccerModel:
    """Untrained, of the size of the smoke test."""
    cfg = compose_train("debug=smoke", f"task=[{','.join(tasks)}]")
    return SoccerModel.from_config(model_config(cfg))


def test_subtitles_have_the_times_of_their_sentences():
    sentences = [
        TimedSentence(0, 29.96, "[PLAYER] scores"),
        TimedSentence(3661.5, 3690, "A corner\n\nfor [TEAM]"),
    ]
    assert to_srt(sentences) == (
        "1\n00:00:00,000 --> 00:00:29,960\n[PLAYER] scores\n\n"
        "2\n01:01:01,500 --> 01:01:30,000\nA corner for [TEAM]\n"
    )
    assert to_srt([]) == ""


def test_sentences_cover_the_video(video: Path, tmp_path: Path):
    predictor = Predictor(model("commentary", "events"), clip_seconds=1, clip_fps=2)
    files = write_commentary(predictor, video, tmp_path / "out")
    records = json.loads(files.json.read_text())
    assert [(r["start_s"], r["end_s"]) for r in records] == [(0, 1), (1, 2), (2, 2.5)]
    assert [TimedSentence(**r) for r in records] == list(files.sentences)
    assert all(r["event"] for r in records)
    assert files.srt.read_text() == to_srt(files.sentences)
    assert files.video is None
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "commentary.json", "commentary.srt",
    ]  # fmt: skip


def test_sentences_are_in_the_frames_that_they_are_about(tmp_path: Path):
    path = tmp_path / "grey.mp4"
    with VideoWriter(path, fps=FPS, size=(90, 160)) as writer:
        for _ in range(30):
            writer.write(np.full((90, 160, 3), 90, np.uint8))
    shown = tmp_path / "shown.mp4"
    show(open_source(path), [TimedSentence(1.0, 2.0, "A goal")], shown)
    frames = open_source(shown).read(range(30)).astype(float)
    changed = np.abs(frames - 90).mean(axis=(1, 2, 3)) > 5
    assert changed.tolist() == [10 <= i < 20 for i in range(30)]


def test_a_model_without_the_head_is_refused(video: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="commentary head"):
        write_commentary(Predictor(model("events")), video, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_script_writes_all_of_it(video: Path, tmp_path: Path):
    checkpoint = model("commentary").save(tmp_path / "checkpoint")
    out = tmp_path / "out"
    done = call(
        "predict", "downstream=commentary", f"checkpoint={checkpoint}", f"input={video}",
        f"output={out}", "clip_seconds=2", "burn_in=true",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 sentences" in done.stdout
    assert sorted(p.suffix for p in out.iterdir()) == [".json", ".mp4", ".srt"]
    assert len(open_source(out / "commentary.mp4")) == 25
