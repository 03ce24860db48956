"""Two runs side by side: where their configurations part, and what that changed in every clip."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soccermaster.factory.inputs import InputError
from soccermaster.factory.runner import REPORT_FILE
from soccermaster.factory.work import RECORDS_FOLDER


@dataclass(frozen=True)
class ClipDifference:
    """A clip that both runs worked on.

    Attributes:
        clip: its id.
        stage: the first stage of the second run whose records differ; None: all are the same.
        kinds: kinds of records of that stage that differ, with the number of rows in both runs.
        summary: values of the report's summary that differ, (first, second).
    """

    clip: str
    stage: str | None
    kinds: dict[str, tuple[int | None, int | None]]
    summary: dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Comparison:
    """What `compare_runs` finds.

    Attributes:
        stages: labels of stages that only one run has, or whose configuration or version differs.
        only_first: clips of the first run alone.
        only_second: clips of the second run alone.
        clips: those of both.
    """

    stages: list[str]
    only_first: list[str]
    only_second: list[str]
    clips: list[ClipDifference]

    def to_text(self) -> str:
        """A few lines for the terminal."""
        same = sum(clip.stage is None and not clip.summary for clip in self.clips)
        lines = [
            f"stages that differ: {', '.join(self.stages) or 'none'}",
            f"{len(self.clips)} clips in both, {same} of them the same; "
            f"{len(self.only_first)} in the first alone, {len(self.only_second)} in the second",
        ]
        for clip in self.clips:
            if clip.stage is not None:
                kinds = ", ".join(f"{kind} {a} -> {b}" for kind, (a, b) in clip.kinds.items())
                lines.append(f"  {clip.clip}: from {clip.stage} on (rows of {kinds})")
            lines += [f"    {name}: {a} -> {b}" for name, (a, b) in clip.summary.items()]
        return "\n".join(lines)


def compare_runs(first: Path | str, second: Path | str) -> Comparison:
    """Compare two runs of `runner.build_dataset`.

    Args:
        first: folder of an output, or a copy of its `report.json` in that folder: two
            configurations may have run in one folder, which keeps the records of both.
        second: the same.

    Raises:
        InputError: there is no report.
    """
    reports = [_read(path) for path in (first, second)]
    folders = [_report_file(path).parent / RECORDS_FOLDER for path in (first, second)]
    hashes = [
        {stage["stage"]: (stage["version"], stage["config_hash"]) for stage in report["stages"]}
        for report in reports
    ]
    labels = list(dict.fromkeys([*hashes[1], *hashes[0]]))
    clips = [{clip["clip"]: clip for clip in report["clips"]} for report in reports]
    return Comparison(
        stages=[label for label in labels if hashes[0].get(label) != hashes[1].get(label)],
        only_first=[clip for clip in clips[0] if clip not in clips[1]],
        only_second=[clip for clip in clips[1] if clip not in clips[0]],
        clips=[
            _compare_clip((clips[0][clip], clips[1][clip]), folders)
            for clip in clips[1]
            if clip in clips[0]
        ],
    )


def _compare_clip(clips: tuple[dict[str, Any], ...], folders: list[Path]) -> ClipDifference:
    stage, kinds = None, {}
    for label in clips[1]["records"]:
        kinds = _different_kinds(clips, folders, label)
        if kinds:
            stage = label
            break
    summaries = [clip.get("summary", {}) for clip in clips]
    names = dict.fromkeys([*summaries[0], *summaries[1]])
    summary = {
        name: (summaries[0].get(name), summaries[1].get(name))
        for name in names
        if summaries[0].get(name) != summaries[1].get(name)
    }
    if clips[0]["status"] != clips[1]["status"]:
        summary = {"status": (clips[0]["status"], clips[1]["status"])} | summary
    return ClipDifference(clips[1]["clip"], stage, kinds, summary)


def _different_kinds(
    clips: tuple[dict[str, Any], ...], folders: list[Path], label: str
) -> dict[str, tuple[int | None, int | None]]:
    rows = [clip["rows"].get(label, {}) for clip in clips]
    different = {}
    for kind in dict.fromkeys([*rows[0], *rows[1]]):
        files = [
            folder / clip["clip"] / clip["records"].get(label, "") / f"{kind}.parquet"
            for folder, clip in zip(folders, clips, strict=True)
        ]
        if not all(file.is_file() for file in files) or (
            files[0] != files[1] and files[0].read_bytes() != files[1].read_bytes()
        ):
            different[kind] = (rows[0].get(kind), rows[1].get(kind))
    return different


def _report_file(path: Path | str) -> Path:
    return Path(path) / REPORT_FILE if Path(path).is_dir() else Path(path)


def _read(path: Path | str) -> dict[str, Any]:
    file = _report_file(path)
    if not file.is_file():
        raise InputError(
            f"{file}: expected the report of a finished run, got nothing. "
            "Name the output of scripts/build_dataset.py."
        )
    return json.loads(file.read_text(encoding="utf-8"))
