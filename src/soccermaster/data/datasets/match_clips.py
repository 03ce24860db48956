"""Clips of 30 seconds with an event class and often a comment, from lists of three sources.

    root/video_clip_json/{source}/classification_{split}.json      the list
    root/video_clip/{folder of the source}/{league}_{season}/{game}/1_23_45.mp4
    root/games/{league}/{season}/{game}/1_720p.mkv                 where a clip was not cut

Source: the clip lists of UniSoccer (Rao et al., 2025) for SoccerNet-v2, MatchTime and
SoccerReplay-1988.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int

from soccermaster.data.clip_frames import consecutive_frames, spread_frames
from soccermaster.data.datasets.clip_list_file import (
    CLIP_S,
    GAMES_FOLDER,
    SOURCES,
    ClipRecord,
    check_event,
    clip_list_path,
    clip_record,
    clip_time_s,
    event_classes,
    half_videos,
    load_clip_list,
    read_clip_list,
    video_folder,
)
from soccermaster.data.datasets.clip_list_report import summarize_lists
from soccermaster.data.datasets.indexed import SPLITS, IndexedClips, Summary
from soccermaster.data.datasets.label_files import path_inside
from soccermaster.data.download import Download
from soccermaster.data.errors import DatasetError, some
from soccermaster.data.frame_source import FrameSource, VideoSource
from soccermaster.data.indexing.index import Index, Part, Scan
from soccermaster.data.indexing.problems import Problems
from soccermaster.data.undecoded import UndecodedClip
from soccermaster.data.video import VideoError, probe
from soccermaster.structures import Annotations, Clip

__all__ = [
    "SOURCES",
    "ClipRecord",
    "MatchClips",
    "clip_list_path",
    "read_clip_list",
    "video_folder",
]

# A long list is scanned in slices, so that several cores open its videos.
_BYTES_PER_SLICE = 2_000_000


class MatchClips(IndexedClips):
    """Clips of half a minute around an event, seen as `num_frames` frames.

    The clip is cut into `num_frames` equal intervals and the middle frame of each is taken. A clip
    that nobody has cut is read from the video of its half, where the games lie below the root: 30
    seconds about the time in its name, less at the ends of the half. That opens the whole file;
    many passes are cheaper over shards.

    A list may name one video several times, in a few cases under several classes: see `repeats`.
    The matches of MatchTime valid lie in the test split of SoccerNet-v2.

    Args:
        root: folder that holds `video_clip_json`, and `video_clip` or `games`.
        split: "train", "valid" or "test".
        sources: which lists to read, or which by split; those that are not there are left out, one
            must be.
        num_frames: T, frames per clip.
        fps: take consecutive frames, so many per second, from the middle of the clip instead.
        events: the allowed classes, see `event_classes`.
        image_size: (H, W) to decode to; None keeps the size of the files, which may differ.
        missing: what to do about listed videos that are not there: "error", or "skip" them with a
            warning.
        short: what to do about a video of fewer frames than `num_frames`: "error" when it is read,
            or "pad": take them all, repeat the last one and mark it as padding.
        repeats: what to do about videos that are listed more than once. "unite": records of the
            same class and text are one clip, and a video under several classes has no event (it
            neither teaches nor counts one; its texts stay); without a text, it is left out with a
            warning. "keep": every record is a clip with its one class, as in the release, so that
            they contradict each other.
        index: Parquet file, or the folder that holds it; None: the one in the cache folder, which
            is built where it is missing or stale.

    Attributes:
        sources: the sources that were found.

    Raises:
        DatasetError: no list, a broken record, or missing videos.
    """

    name = "match_clips"
    version = "match_clips-2"
    schema = pa.schema(
        [
            ("source", pa.dictionary(pa.int8(), pa.string())),
            ("split", pa.dictionary(pa.int8(), pa.string())),
            ("number", pa.int32()),  # of the record in its list
            ("video", pa.string()),
            ("half_video", pa.string()),  # below the root, where the clip was not cut
            ("event", pa.string()),
            ("text", pa.string()),
            ("present", pa.bool_()),
            ("num_frames", pa.int32()),  # null where the video was not opened
            ("duration_s", pa.float32()),
        ]
    )
    options = ("events",)
    download: ClassVar[Download | None] = Download(
        "The lists come with the UniSoccer code and https://huggingface.co/datasets/Homie0609/"
        "MatchTime. SoccerReplay-1988 is given out after a form at https://huggingface.co/datasets/"
        "Homie0609/SoccerReplay-1988. The videos of SoccerNet-v2 and MatchTime are cut from games "
        "of SoccerNet: sign its agreement at https://www.soccer-net.org/data for the password."
    )

    def __init__(
        self,
        root: Path | str,
        split: str,
        sources: Sequence[str] | Mapping[str, Sequence[str]] = SOURCES,
        num_frames: int = 30,
        fps: float | None = None,
        events: Sequence[str] | Literal["release"] | None = None,
        image_size: tuple[int, int] | None = None,
        missing: Literal["error", "skip"] = "error",
        short: Literal["error", "pad"] = "pad",
        repeats: Literal["unite", "keep"] = "unite",
        index: Path | str | None = None,
    ) -> None:
        if repeats not in ("unite", "keep"):
            raise ValueError(f"expected repeats='unite' or 'keep', got {repeats!r}.")
        if missing not in ("error", "skip"):
            raise ValueError(f"expected missing='error' or 'skip', got {missing!r}.")
        self.num_frames = num_frames
        self.fps = fps
        self.image_size = None if image_size is None else tuple(image_size)
        self.short = short
        self.root = root = Path(root).resolve()
        lists = {s: clip_list_path(root, s, split) for s in _sources_of(sources, split)}
        self.sources = tuple(source for source, path in lists.items() if path.is_file())
        if not self.sources:
            raise _no_list(root, list(lists.values()))
        self._folders = {source: video_folder(root, source, split) for source in self.sources}
        self.releases = frozenset(f"{source}/{split}" for source in self.sources)
        opened, parts = self._open_index(
            root,
            split,
            index,
            (num_frames, fps, self.image_size, short, repeats),
            lambda part: part.key.partition("/")[0] in self.sources,
        )
        columns = ["source", "number", "video", "half_video", "event", "text", "present"]
        table = opened.read(parts, columns).unify_dictionaries()
        _check_events(table, event_classes(events), lists)
        present = table.filter(table["present"])
        self._report_absent(table, present, missing, f"{root}, split {split}")
        if repeats == "unite":
            present = _united(present, f"{root}, split {split}")
        self._records = present.combine_chunks()
        has_text = self._records["text"].null_count < len(self._records)
        self.provides = frozenset({"event", "text"} if has_text else {"event"})

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Clip:
        return self.undecoded(index).decode()

    def undecoded(self, index: int) -> UndecodedClip:
        """See `ClipDataset.undecoded`."""
        source, number, video, half_video, event, text = (
            self._records[column][index].as_py()
            for column in ("source", "number", "video", "half_video", "event", "text")
        )
        if half_video is None:
            frames = VideoSource(self._folders[source] / video)
            start_s, end_s = 0.0, frames.info.duration_s
        else:
            frames = VideoSource(self.root / half_video)
            start_s = max(clip_time_s(video) - CLIP_S / 2, 0.0)
            end_s = min(clip_time_s(video) + CLIP_S / 2, frames.info.duration_s)
        indices, frame_mask = self._choose(frames, start_s, end_s)
        return UndecodedClip(
            frames=frames,
            indices=tuple(indices.tolist()),
            image_size=self.image_size or (frames.info.height, frames.info.width),
            times_s=frames.times_s[indices],
            annotations=Annotations(event=event, text=text),
            clip_id=f"{source}/{video}#{number}",
            source=self.name,
            frame_mask=None if frame_mask.all() else frame_mask,
        )

    def _choose(
        self, frames: FrameSource, start_s: float, end_s: float
    ) -> tuple[Int[np.ndarray, " T"], Bool[np.ndarray, " T"]]:
        """Frame numbers out of a stretch of a video, and which of them are no padding."""
        if self.fps is None:
            return spread_frames(
                frames, self.num_frames, start_s, end_s - start_s, short=self.short
            )
        first_s = max((start_s + end_s - self.num_frames / self.fps) / 2, 0.0)
        indices = consecutive_frames(frames, first_s, self.num_frames, self.fps)
        return indices, np.ones(self.num_frames, bool)

    @classmethod
    def releases_with(
        cls,
        root: Path | str,
        split: str,
        sources: Sequence[str] | Mapping[str, Sequence[str]] = SOURCES,
        **_: Any,
    ) -> frozenset[str]:
        """See `ClipDataset.releases_with`."""
        return frozenset(
            f"{source}/{split}"
            for source in _sources_of(sources, split)
            if clip_list_path(Path(root), source, split).is_file()
        )

    @classmethod
    def parts(cls, root: Path | str, split: str | None = None) -> list[Part]:
        """See `IndexedClips.parts`: slices of the lists."""
        root = Path(root).resolve()
        parts, wanted = [], []
        for source in SOURCES:
            for name in SPLITS if split is None else [split]:
                path = clip_list_path(root, source, name)
                wanted.append(path)
                if path.is_file():
                    slices = 1 + path.stat().st_size // _BYTES_PER_SLICE
                    parts += [
                        Part(f"{source}/{name}/{i}/{slices}", name, (path,)) for i in range(slices)
                    ]
        if not parts:
            raise _no_list(root, wanted)
        return parts

    @classmethod
    def scan(cls, part: Part, root: Path, check_media: bool) -> Scan:
        """See `IndexedClips.scan`."""
        source, split, which, slices = part.key.split("/")
        (path,) = part.files
        folder = video_folder(root, source, split)
        problems = Problems()
        facts: dict[str, Any] = {"checked_media": check_media, "records": 0}
        try:
            entries = _entries_of_slice(path, int(which), int(slices))
        except DatasetError as error:
            if int(which) == 0:
                problems.refuse(error, "unreadable_labels")
            return Scan(cls.schema.empty_table(), problems, facts)
        facts["records"] = len(entries)
        records = []
        for number, entry in entries:
            try:
                records.append((number, clip_record(entry, path, number, folder)))
            except DatasetError as error:
                problems.refuse(error)
        clips = {record.video: folder / record.video for _, record in records}
        halves = {video: half_videos(root, video) for video in clips}
        files = sorted({*clips.values(), *(path for paths in halves.values() for path in paths)})
        present = _present(files)
        found = {
            video: next((path for path in (clip, *halves[video]) if path in present), None)
            for video, clip in clips.items()
        }
        games = root / GAMES_FOLDER
        for video, file in found.items():
            try:
                if file is not None and file != clips[video]:
                    path_inside(games, file.relative_to(games).as_posix(), path, video)
            except DatasetError as error:
                problems.refuse(error)
                found[video] = None
        opened = sorted({path for path in found.values() if path is not None})
        sizes = _probe(opened, problems) if check_media else {}
        known = [sizes.get(clips[record.video], (None, None)) for _, record in records]
        cut = {video for video, path in found.items() if path == clips[video]}
        rows = {
            "source": [source] * len(records),
            "split": [split] * len(records),
            "number": [number for number, _ in records],
            "video": [record.video for _, record in records],
            "half_video": [
                None
                if record.video in cut or found[record.video] is None
                else found[record.video].relative_to(root).as_posix()
                for _, record in records
            ],
            "event": [record.event for _, record in records],
            "text": [record.text for _, record in records],
            "present": [found[record.video] is not None for _, record in records],
            "num_frames": [num_frames for num_frames, _ in known],
            "duration_s": [duration_s for _, duration_s in known],
        }
        depends_on = tuple(sorted({file.parent for file in files}))
        return Scan(pa.table(rows, schema=cls.schema), problems, facts, depends_on)

    @classmethod
    def summarize(cls, index: Index, **options: Any) -> Summary:
        """See `IndexedClips.summarize`."""
        return summarize_lists(index, event_classes(options.get("events")))

    @classmethod
    def own_folders(cls, root: Path) -> list[Path]:
        """See `IndexedClips.own_folders`."""
        return [root / "video_clip_json", root / "video_clip", root / GAMES_FOLDER]

    @staticmethod
    def _report_absent(table: pa.Table, present: pa.Table, missing: str, where: str) -> None:
        total = len(table)
        count = total - len(present)
        if not count:
            return
        absent = table.filter(pc.invert(table["present"]))["video"].slice(0, 4).to_pylist()
        names = some([*absent, *absent[-1:] * (count - len(absent))])
        if missing == "error" or not len(present):
            raise DatasetError.at(
                where,
                expected=f"the {total} listed videos",
                got=f"{count} missing: {names}",
                fix="Fetch them" + (", or pass missing='skip'." if len(present) else "."),
            )
        warnings.warn(
            f"{where}: left out {count} of {total} listed videos that are not there: {names}",
            stacklevel=3,
        )


def _sources_of(sources: Sequence[str] | Mapping[str, Sequence[str]], split: str) -> Sequence[str]:
    return sources.get(split, SOURCES) if isinstance(sources, Mapping) else sources


def _no_list(root: Path, lists: Sequence[Path]) -> DatasetError:
    return DatasetError.at(
        root,
        expected=f"one of {', '.join(str(path.relative_to(root)) for path in lists)}",
        got="none of them",
        fix="Name the folder that holds video_clip_json, or another split.",
    )


def _check_events(table: pa.Table, events: Sequence[str], lists: dict[str, Path]) -> None:
    strange = table.filter(pc.invert(pc.is_in(table["event"], pa.array(list(events)))))
    if len(strange):
        first = strange.slice(0, 1).to_pylist()[0]
        check_event(first["event"], events, lists[first["source"]], first["number"])


def _united(records: pa.Table, where: str) -> pa.Table:
    """Equal records once, and no event where one video has several."""
    records = records.append_column("row", pa.array(range(len(records)), pa.int64()))
    videos = records.group_by(["source", "video"]).aggregate(
        [("event", "count_distinct"), ("row", "list")]
    )
    torn = videos.filter(pc.greater(videos["event_count_distinct"], 1))
    is_torn = pc.is_in(records["row"], pc.list_flatten(torn["row_list"]))
    event = pc.if_else(is_torn, pa.scalar(None, pa.string()), records["event"])
    records = records.set_column(records.schema.get_field_index("event"), "event", event)
    is_empty = pc.and_(is_torn, pc.is_null(records["text"]))
    empty = records.filter(is_empty)["video"].unique().to_pylist()
    if empty:
        warnings.warn(
            f"{where}: left out {len(empty)} videos that are listed under several classes and "
            f"without a comment: {some(empty)}",
            stacklevel=3,
        )
    records = records.filter(pc.invert(is_empty))
    equal = records.group_by(["source", "video", "event", "text"]).aggregate([("row", "min")])
    rows = pc.is_in(records["row"], equal["row_min"].combine_chunks())
    return records.filter(rows).drop_columns("row")


def _entries_of_slice(path: Path, which: int, slices: int) -> list[tuple[int, object]]:
    """Number and content of the entries in one of the equal slices of a list.

    Raises:
        DatasetError: not a JSON list.
    """
    status = path.stat()
    entries = _last_list(path, status.st_mtime_ns, status.st_size)
    first, last = (len(entries) * i // slices for i in (which, which + 1))
    if which == slices - 1:
        _last_list.cache_clear()  # it is large, and no later slice needs it
    return list(enumerate(entries[first:last], start=first))


@functools.lru_cache(maxsize=1)
def _last_list(path: Path, mtime_ns: int, num_bytes: int) -> list[object]:
    """A list as it was at that time: a process scans its slices one after the other."""
    return load_clip_list(path)


def _present(paths: Sequence[Path]) -> set[Path]:
    """Those of many files that exist. Lists each folder once: cheaper than asking for each file."""
    folders = {path.parent for path in paths}
    names = {
        folder: {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
        for folder in folders
    }
    return {path for path in paths if path.name in names[path.parent]}


def _probe(videos: Sequence[Path], problems: Problems) -> dict[Path, tuple[int, float]]:
    """Frames and seconds of each video that opens."""
    sizes = {}
    for video in videos:
        try:
            info = probe(video)
            sizes[video] = (info.num_frames, info.duration_s)
        except VideoError as error:
            problems.add("unreadable_video", str(error))
    return sizes
