"""The official checkpoint there and back, through the script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import soccermaster as sm
from tests.test_official import assert_same_files


def run(root: Path, *arguments: str) -> str:
    script = root / "scripts" / "convert_checkpoint.py"
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_way_back_is_bit_identical(root: Path, parity: Path, tmp_path: Path):
    ours, back = tmp_path / "ours", tmp_path / "back"
    printed = run(root, f"source={parity / 'official'}", f"output={ours}")
    assert "athletes, pitch_keypoints, pitch_lines, events, alignment" in printed
    assert "text=DIRECTORY" in printed
    run(root, f"source={ours}", f"output={back}", "direction=to_official")
    assert_same_files(parity / "official", back)


def test_the_converted_folder_stands_alone(converted: Path, tmp_path: Path):
    moved = tmp_path / "moved"
    sm.load_model(converted).save(moved)
    names = {p.relative_to(moved).as_posix() for p in moved.rglob("*") if p.is_file()}
    folder = "tokenizers/tasks.alignment.text"
    assert {f"{folder}/tokenizer.model", f"{folder}/tokenizer_config.json"} < names
    again = sm.load_model(moved).tasks["alignment"].text
    assert again.tokenizer_directory == moved / folder
