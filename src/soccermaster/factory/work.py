"""The work on one clip: run the stages that are not stored yet; what executors spread out."""

from __future__ import annotations

import functools
import json
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra.utils

from soccermaster.data.frame_source import open_source
from soccermaster.factory.inputs import VIDEO_SUFFIXES
from soccermaster.factory.models import HasWeights
from soccermaster.factory.records import Records
from soccermaster.factory.stage import ClipContext, Stage, config_hash, stage_labels
from soccermaster.factory.store import ClipStore, StoredStage, chain_keys, fingerprint_of

RECORDS_FOLDER = "records"
LOG_FILE = "log.jsonl"


@dataclass(frozen=True)
class ClipJob:
    """One clip to work on; plain values, for it crosses the border of processes.

    Attributes:
        clip_id: unique in the output.
        video: file or folder.
        first: first frame in the video.
        stop: the frame after the last one; None: all of the video.
        number: 1-based place of the clip in the output.
        fps: of a folder of pictures.
        stages: configurations of the stages, in order, each with `_target_`.
        output: folder of the data set.
    """

    clip_id: str
    video: str
    first: int
    stop: int | None
    number: int
    fps: float
    stages: tuple[Mapping[str, Any], ...]
    output: str


@dataclass
class ClipResult:
    """What became of a clip.

    Attributes:
        clip_id: of the job.
        status: "done" or "failed".
        rows: number of rows of each kind after each stage, by label of the stage.
        folders: names of the folders of the records, by label of the stage.
        failed_stage: label; None if none failed.
        error: one line.
        trace: where it happened, for the log.
    """

    clip_id: str
    status: str = "done"
    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    failed_stage: str | None = None
    error: str | None = None
    trace: str | None = None


def build_stages(configs: Sequence[Mapping[str, Any]]) -> list[Stage]:
    """The stages that configurations with `_target_` describe.

    What is configured alike inside of two stages (a VLM that reads numbers and roles) is one object
    and is loaded once.
    """
    shared: dict[str, Any] = {}
    return [_build(config, shared, share=False) for config in configs]


def stage_keys(job: ClipJob, stages: Sequence[Stage]) -> list[str]:
    """The key of each stage's output for a clip."""
    frames = None if job.stop is None else range(job.first, job.stop)
    hashes = [
        f"{stage.name}:{stage_hash(stage, config)}"
        for stage, config in zip(stages, job.stages, strict=True)
    ]
    video = fingerprint_of(job.video, frames)
    if Path(job.video).suffix.lower() not in VIDEO_SUFFIXES:  # videos know their own
        video += f" at {job.fps} fps"
    return chain_keys(video, hashes)


def stage_hash(stage: Stage, config: Mapping[str, Any]) -> str:
    """Changes with the configuration of a stage, its version, and the weights of its models."""
    models = [model for model in stage.models() if isinstance(model, HasWeights)]
    weights = [fingerprint for model in models if (fingerprint := model.fingerprint())]
    return config_hash(
        {**config, "weights of models": weights} if weights else config, stage.version
    )


def pending(job: ClipJob, stages: Sequence[Stage]) -> int:
    """The index of the first stage that is not stored; the number of stages if all are.

    Raises:
        OSError: the video is not there.
    """
    places = zip(stages, stage_labels(stages), stage_keys(job, stages), strict=True)
    for index, (stage, label, key) in enumerate(places):
        if _finished(job, stage, label, key) is None:
            return index
    return len(stages)


def prepare(configs: Sequence[Mapping[str, Any]], first: int, device: str) -> None:
    """Load the models of the stages from `first` on; see `Stage.prepare`."""
    for stage in _cached_stages(_frozen(configs))[first:]:
        stage.prepare(device)


def work_on(job: ClipJob, device: str) -> ClipResult:
    """Run what is not stored yet. Never raises: what went wrong is in the result."""
    result = ClipResult(job.clip_id)
    label = "open"
    try:
        stages = _cached_stages(_frozen(job.stages))
        keys, labels, store = stage_keys(job, stages), stage_labels(stages), clip_store(job)
        tables: dict[str, Any] = {}
        clip: ClipContext | None = None
        unread = []
        for stage, label, key, config in zip(stages, labels, keys, job.stages, strict=True):
            stored = _finished(job, stage, label, key)
            if stored is not None:
                unread.append(stored)
            else:
                for earlier in unread:
                    tables |= earlier.load()
                unread = []
                clip = clip or open_clip(job, device)
                start = time.perf_counter()
                stage.prepare(device)
                records = stage.run(clip, Records(tables))
                about = {"stage": stage.name, "version": stage.version, "config": dict(config)}
                stored = store.write(label, key, records, sorted(stage.provides), about)
                tables = dict(records)
                _log(job, label, time.perf_counter() - start)
            result.rows[label], result.folders[label] = stored.rows, stored.folder.name
    except Exception as error:  # the report names it, and the other clips go on
        result.status, result.failed_stage = "failed", label
        result.error = " ".join(f"{type(error).__name__}: {error}".split())
        result.trace = traceback.format_exc()
    return result


def open_clip(job: ClipJob, device: str = "cpu") -> ClipContext:
    """The clip of a job.

    Raises:
        VideoError: the video is missing or damaged.
    """
    source = open_source(job.video, job.fps)
    stop = len(source) if job.stop is None else job.stop
    return ClipContext(
        clip_id=job.clip_id,
        source=source,
        frames=range(job.first, stop),
        device=device,
        output=Path(job.output),
        number=job.number,
    )


def clip_store(job: ClipJob) -> ClipStore:
    """Where the records of a clip are."""
    return ClipStore(Path(job.output) / RECORDS_FOLDER / job.clip_id)


def load_records(job: ClipJob, stages: Sequence[Stage]) -> Records:
    """The records after the last stage of a finished clip.

    Raises:
        FileNotFoundError: a stage is not finished.
    """
    store, tables = clip_store(job), {}
    for label, key in zip(stage_labels(stages), stage_keys(job, stages), strict=True):
        stored = store.find(label, key)
        if stored is None:
            raise FileNotFoundError(f"{store.folder}: stage {label} is not finished")
        tables |= stored.load()
    return Records(tables)


def _finished(job: ClipJob, stage: Stage, label: str, key: str) -> StoredStage | None:
    stored = clip_store(job).find(label, key)
    if stored is None or type(stage).still_there is Stage.still_there:
        return stored
    return stored if stage.still_there(Path(job.output), stored.load()) else None


def _build(value: Any, shared: dict[str, Any], share: bool = True) -> Any:
    if isinstance(value, Mapping):
        key = json.dumps(value, sort_keys=True, default=str)
        if share and key in shared:
            return shared[key]
        built = {name: _build(part, shared) for name, part in value.items() if name != "_target_"}
        if "_target_" not in value:
            return built
        instance = hydra.utils.get_object(value["_target_"])(**built)
        if share:
            shared[key] = instance
        return instance
    if isinstance(value, list | tuple):
        return [_build(part, shared) for part in value]
    return value


def _frozen(configs: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(list(configs), sort_keys=False)


@functools.lru_cache(maxsize=4)
def _cached_stages(frozen: str) -> list[Stage]:
    """The stages of a process, so that models are loaded once and not per clip."""
    return build_stages(json.loads(frozen))


def _log(job: ClipJob, label: str, seconds: float) -> None:
    line = {"clip": job.clip_id, "stage": label, "seconds": round(seconds, 3)}
    with (Path(job.output) / LOG_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
