"""The factory: videos in, a data set and a report out.

Stages that belong to a whole video (shots) come first and give the clips; the other stages run clip
by clip. What is stored is not made again, and the same inputs give the same outputs however often
a run was stopped.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from soccermaster.data.frame_source import open_source
from soccermaster.factory.executors import Executor
from soccermaster.factory.inputs import Video, find_videos
from soccermaster.factory.records import Records
from soccermaster.factory.stage import ChainError, Stage, check_chain, stage_labels
from soccermaster.factory.store import discard_partial, write_json
from soccermaster.factory.summary import summarise_clip
from soccermaster.factory.work import (
    LOG_FILE,
    ClipJob,
    ClipResult,
    build_stages,
    load_records,
    pending,
    stage_hash,
)

REPORT_FILE = "report.json"
CLIPS_FILE = "clips.json"


@dataclass(frozen=True)
class Chain:
    """An ordered list of stages.

    Args:
        order: names of the stages; one may come twice.
        stages: configuration of each name, with `_target_`; further names are not used.
    """

    order: Sequence[str]
    stages: Mapping[str, Mapping[str, Any]]

    def configs(self) -> list[Mapping[str, Any]]:
        """The configurations in order.

        Raises:
            ChainError: the order names a stage without configuration, or none at all.
        """
        unknown = [name for name in self.order if name not in self.stages]
        if unknown or not self.order:
            raise ChainError(
                f"expected an order of the stages {', '.join(self.stages)}, got "
                f"{unknown[0] if unknown else 'none'}"
            )
        return [self.stages[name] for name in self.order]


@dataclass
class Report:
    """What became of the videos and the clips; `report.json`.

    Attributes:
        stages: label, version and hash (of configuration and weights) of each stage.
        videos: per video: name, path, status ("done" or "failed"), frames, clips, error or remark.
        clips: per clip: id, number, video, frames, status, rows per stage, folders of the records
            per stage, summary, error.
        remarks: about the whole run.
        errors: of the work on the whole data set, after the clips.
    """

    stages: list[dict[str, Any]] = field(default_factory=list)
    videos: list[dict[str, Any]] = field(default_factory=list)
    clips: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def failure(self) -> str | None:
        """Why the run counts as failed; None if something was done, or nothing was to be done."""
        counts = self.counts
        if self.errors:
            return self.errors[0]
        if not counts["videos_done"]:
            return "no video could be read"
        if counts["clips_failed"] and not counts["clips_done"]:
            return "every clip failed"
        return None

    @property
    def counts(self) -> dict[str, int]:
        """Videos and clips that are done and that failed."""
        return {
            f"{kind}_{status}": sum(entry["status"] == status for entry in entries)
            for kind, entries in (("videos", self.videos), ("clips", self.clips))
            for status in ("done", "failed")
        }

    def to_text(self, output: Path | str) -> str:
        """A few lines for the terminal: counts, and what failed or was remarkable."""
        counts = self.counts
        lines = [
            f"{counts['videos_done']} videos and {counts['clips_done']} clips done, "
            f"{counts['videos_failed']} videos and {counts['clips_failed']} clips failed: "
            f"{Path(output) / REPORT_FILE}"
        ]
        for video in self.videos:
            remark = video.get("error") or video.get("remark")
            lines += [f"  {video['name']}: {remark}"] if remark else []
        for clip in self.clips:
            remarks = clip.get("summary", {}).get("remarks", [])
            if clip["status"] == "failed":
                remarks = [f"{clip['failed_stage']}: {clip['error']}"]
            lines += [f"  {clip['clip']}: {remark}" for remark in remarks]
        lines += [f"  {line}" for line in self.remarks + self.errors]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """What the file holds."""
        return {"counts": self.counts, **asdict(self)}


def build_dataset(
    given: Path | str,
    output: Path | str,
    chain: Chain,
    executor: Executor,
    *,
    clip_frames: int = 750,
    fps: float = 25.0,
    progress: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> Report:
    """Run a chain over videos.

    Args:
        given: see `inputs.find_videos`.
        output: folder of the data set; a folder of an earlier run is continued.
        chain: what to do.
        executor: where to do it.
        clip_frames: longer shots are cut into clips of at most so many frames.
        fps: of folders of pictures.
        progress: called with what is worked on ("videos", "clips"), how many are done, of how many.

    Returns:
        The report, which is also in `output/report.json`.

    Raises:
        ChainError: the stages do not fit together.
        InputError: nothing to work on.
        ModelUnavailableError: a model that is needed is not there.
        BlockingIOError: another run works on the same folder.
    """
    output = Path(output).resolve()
    configs = chain.configs()
    stages = build_stages(configs)
    check_chain(stages)
    num_video_stages = _video_stages(stages)
    videos = find_videos(given, output)
    output.mkdir(parents=True, exist_ok=True)
    with _alone_in(output):
        discard_partial(output)
        report = Report()
        runs = _Runs(executor, output, fps, progress)
        shots = runs.of_videos(videos, configs, num_video_stages, report)
        jobs = _clip_jobs(shots, configs[num_video_stages:], output, fps, clip_frames, report)
        clip_stages = stages[num_video_stages:]
        finished = runs.of_clips(jobs, clip_stages, report)
        report.stages = _describe(stages, configs)  # now that all weights are there
        write_json(output / REPORT_FILE, report.to_json())
        _finish(clip_stages, finished, output, report)
        write_json(output / REPORT_FILE, report.to_json())
    return report


@dataclass(frozen=True)
class _Runs:
    executor: Executor
    output: Path
    fps: float
    progress: Callable[[str, int, int], None]

    def of_videos(
        self,
        videos: Sequence[Video],
        configs: Sequence[Mapping[str, Any]],
        num_video_stages: int,
        report: Report,
    ) -> list[tuple[Video, list[tuple[int, int]]]]:
        """The shots (first frame, frame after the last) to keep of each readable video.

        Where there is anything to do, the models of all stages are looked at before: videos take
        hours.
        """
        stages, jobs, lengths = build_stages(configs[:num_video_stages]), [], {}
        for video in videos:
            entry = {"name": video.name, "path": str(video.path), "status": "done"}
            report.videos.append(entry)
            try:
                entry["frames"] = lengths[video.name] = len(open_source(video.path, self.fps))
            except (ValueError, OSError) as error:
                entry |= {"status": "failed", "error": " ".join(str(error).split())}
                continue
            jobs.append(
                ClipJob(
                    clip_id=f"video-{video.name}",
                    video=str(video.path.resolve()),
                    first=0,
                    stop=None,
                    number=0,
                    fps=self.fps,
                    stages=tuple(configs[:num_video_stages]),
                    output=str(self.output),
                )
            )
        if any(pending(job, stages) < len(stages) for job in jobs):
            self.executor.check(configs[num_video_stages:])
        results = self._run("videos", jobs, stages) if stages else {}
        entries = {entry["name"]: entry for entry in report.videos}
        kept = []
        for video, job in _with_jobs(videos, jobs):
            entry, ranges = entries[video.name], [(0, lengths[video.name])]
            if stages:
                result = results[job.clip_id]
                if result.status == "failed":
                    entry |= {"status": "failed", "error": f"{result.failed_stage}: {result.error}"}
                    continue
                records = load_records(job, stages)
                ranges = _main_shots(records)
                entry["shots"] = records["shots"].num_rows
                if not ranges:
                    entry["remark"] = "no shot of the main camera"
            kept.append((video, ranges))
        return kept

    def of_clips(
        self, jobs: Sequence[ClipJob], stages: Sequence[Stage], report: Report
    ) -> list[ClipJob]:
        """The jobs that are done; every job has its entry in the report."""
        results = self._run("clips", jobs, stages)
        for job in jobs:
            result = results[job.clip_id]
            entry: dict[str, Any] = {
                "clip": job.clip_id,
                "number": job.number,
                "video": job.video,
                "frames": [job.first, job.stop],
                "status": result.status,
                "rows": result.rows,
                "records": result.folders,
            }
            if result.status == "done":
                entry["summary"] = summarise_clip(load_records(job, stages), job.stop - job.first)
            else:
                entry |= {"failed_stage": result.failed_stage, "error": result.error}
            report.clips.append(entry)
        return [job for job in jobs if results[job.clip_id].status == "done"]

    def _run(
        self, what: str, jobs: Sequence[ClipJob], stages: Sequence[Stage]
    ) -> dict[str, ClipResult]:
        results: dict[str, ClipResult] = {}
        first = min((pending(job, stages) for job in jobs), default=0)
        self.progress(what, 0, len(jobs))
        for result in self.executor.run(jobs, first):
            results[result.clip_id] = result
            if result.trace:
                line = {"clip": result.clip_id, "stage": result.failed_stage, "trace": result.trace}
                with (self.output / LOG_FILE).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
            self.progress(what, len(results), len(jobs))
        return results


def _video_stages(stages: Sequence[Stage]) -> int:
    """How many stages at the start belong to whole videos.

    Raises:
        ChainError: one of them comes after a stage of clips.
    """
    of_video = [stage.per_video for stage in stages]
    count = of_video.index(False) if False in of_video else len(stages)
    if any(of_video[count:]):
        late = stages[count + of_video[count:].index(True)].name
        raise ChainError(f"expected {late} before the stages of clips, got it after "
                         f"{stages[count].name}. Move it to the start.")  # fmt: skip
    return count


def _describe(stages: Sequence[Stage], configs: Sequence[Mapping[str, Any]]) -> list[dict]:
    return [
        {
            "stage": label,
            "version": stage.version,
            "config_hash": stage_hash(stage, config),
            "requires": sorted(stage.requires),
            "provides": sorted(stage.provides),
        }
        for label, stage, config in zip(stage_labels(stages), stages, configs, strict=True)
    ]


def _with_jobs(videos: Sequence[Video], jobs: Sequence[ClipJob]) -> Iterator[tuple[Video, ClipJob]]:
    by_id = {job.clip_id: job for job in jobs}
    for video in videos:
        if f"video-{video.name}" in by_id:
            yield video, by_id[f"video-{video.name}"]


def _main_shots(records: Records) -> list[tuple[int, int]]:
    shots = records["shots"].to_pylist()
    return [(s["frame"], s["last_frame"] + 1) for s in shots if s["camera"] == "main"]


def _clip_jobs(
    shots: Sequence[tuple[Video, list[tuple[int, int]]]],
    configs: Sequence[Mapping[str, Any]],
    output: Path,
    fps: float,
    clip_frames: int,
    report: Report,
) -> list[ClipJob]:
    """A job per piece of a shot; a clip keeps its number in later runs."""
    entries = {entry["name"]: entry for entry in report.videos}
    jobs = []
    for video, ranges in shots:
        pieces = [
            (start, min(start + clip_frames, stop))
            for first, stop in ranges
            for start in range(first, stop, clip_frames)
        ]
        entries[video.name]["clips"] = len(pieces)
        for first, stop in pieces:
            jobs.append(
                ClipJob(
                    clip_id=f"{video.name}_{first:06d}_{stop:06d}",
                    video=str(video.path.resolve()),
                    first=first,
                    stop=stop,
                    number=0,
                    fps=fps,
                    stages=tuple(configs),
                    output=str(output),
                )
            )
    numbers = _numbers([job.clip_id for job in jobs], output / CLIPS_FILE)
    return [replace(job, number=numbers[job.clip_id]) for job in jobs]


def _numbers(clip_ids: Sequence[str], file: Path) -> dict[str, int]:
    numbers = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    following = max(numbers.values(), default=0) + 1
    for clip_id in clip_ids:
        if clip_id not in numbers:
            numbers[clip_id] = following
            following += 1
    write_json(file, numbers)
    return numbers


def _finish(stages: Sequence[Stage], done: Sequence[ClipJob], output: Path, report: Report) -> None:
    """Let the stages write about all clips; what goes wrong is in the report, as with clips."""
    clips = [(job.clip_id, job.number) for job in done]
    every = json.loads((output / CLIPS_FILE).read_text(encoding="utf-8"))
    gone = sorted(set(every.values()) - {number for _, number in clips})
    for label, stage in zip(stage_labels(stages), stages, strict=True):
        try:
            report.remarks += stage.finish(output, clips, gone)
        except Exception as error:  # the report names it, and the clips are done
            line = " ".join(f"{label}: {type(error).__name__}: {error}".split())
            report.errors.append(line)


@contextmanager
def _alone_in(output: Path) -> Iterator[None]:
    """Hold the folder; the system lets it go with the process, however that ends."""
    with (output / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(
                f"{output}: another run works on this folder. Wait for it, or name another."
            ) from error
        yield
