"""Clips of 30 seconds with an event class and often a comment, from lists of three sources.

    root/video_clip_json/{source}/classification_{split}.json      the list
    root/video_clip/{folder of the source}/{league}/{match}/1_23_45.mp4

Source: the clip lists of UniSoccer (Rao et al., 2025) for SoccerNet-v2, MatchTime and
SoccerReplay-1988.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from soccermaster.data.clip_frames import spread_frames
from soccermaster.data.datasets.base import ClipDataset, DatasetError, nearest, some
from soccermaster.data.frame_source import VideoSource
from soccermaster.data.undecoded import UndecodedClip
from soccermaster.structures import Annotations, Clip
from soccermaster.vocabulary import EVENTS

SOURCES: tuple[str, ...] = ("SoccerReplay-1988", "MatchTime", "SoccerNet-v2")


@dataclass(frozen=True)
class ClipRecord:
    """One entry of a clip list."""

    video: str  # path below the video folder of the source
    event: str
    text: str | None  # anonymised comment


class MatchClips(ClipDataset):
    """Clips of half a minute around an event, seen as `num_frames` frames.

    The video is cut into `num_frames` equal intervals and the middle frame of each is taken.

    A list may name one video several times, with several classes; each entry is a clip of its own.
    The matches of MatchTime valid lie in the test split of SoccerNet-v2.

    Args:
        root: folder that holds `video_clip_json` and `video_clip`.
        split: "train", "valid" or "test".
        sources: which lists to read; those that are not there are left out, one must be.
        num_frames: T, frames per clip.
        events: the allowed classes.
        image_size: (H, W) to decode to; None keeps the size of the files, which may differ.
        missing: what to do about listed videos that are not there: "error", or "skip" them with a
            warning.
        short: what to do about a video of fewer frames than `num_frames`: "error" when it is read,
            or "pad": take them all, repeat the last one and mark it as padding.

    Attributes:
        sources: the sources that were found.
        records: the entries that can be read, with their source.

    Raises:
        DatasetError: no list, a broken record, or missing videos.
    """

    name = "match_clips"

    def __init__(
        self,
        root: Path | str,
        split: str,
        sources: Sequence[str] = SOURCES,
        num_frames: int = 30,
        events: Sequence[str] = EVENTS,
        image_size: tuple[int, int] | None = None,
        missing: Literal["error", "skip"] = "error",
        short: Literal["error", "pad"] = "pad",
    ) -> None:
        if missing not in ("error", "skip"):
            raise ValueError(f"expected missing='error' or 'skip', got {missing!r}.")
        self.num_frames = num_frames
        self.image_size = None if image_size is None else tuple(image_size)
        self.short = short
        root = Path(root)
        lists = {source: clip_list_path(root, source, split) for source in sources}
        self.sources = tuple(source for source, path in lists.items() if path.is_file())
        if not self.sources:
            raise DatasetError.at(
                root,
                expected=f"one of {', '.join(str(p.relative_to(root)) for p in lists.values())}",
                got="none of them",
                fix="Name the folder that holds video_clip_json, or another split.",
            )
        self._folders = {source: video_folder(root, source, split) for source in self.sources}
        self.records: list[tuple[str, int, ClipRecord]] = []
        absent: list[Path] = []
        for source, folder in self._folders.items():
            records = read_clip_list(lists[source], events)
            present = _present([folder / record.video for record in records])
            for number, record in enumerate(records):
                if folder / record.video in present:
                    self.records.append((source, number, record))
                else:
                    absent.append(folder / record.video)
        self._report_absent(absent, missing, f"{root}, split {split}")
        texts = any(record.text for _, _, record in self.records)
        self.provides = frozenset({"event", "text"} if texts else {"event"})

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Clip:
        return self.undecoded(index).decode()

    def undecoded(self, index: int) -> UndecodedClip:
        """See `ClipDataset.undecoded`."""
        source, number, record = self.records[index]
        frames = VideoSource(self._folders[source] / record.video)
        indices, frame_mask = spread_frames(frames, self.num_frames, short=self.short)
        return UndecodedClip(
            frames=frames,
            indices=tuple(indices.tolist()),
            image_size=self.image_size or (frames.info.height, frames.info.width),
            times_s=frames.times_s[indices],
            annotations=Annotations(event=record.event, text=record.text),
            clip_id=f"{source}/{record.video}#{number}",
            source=self.name,
            frame_mask=None if frame_mask.all() else frame_mask,
        )

    def _report_absent(self, absent: list[Path], missing: str, where: str) -> None:
        if not absent:
            return
        total = len(absent) + len(self.records)
        if missing == "error" or not self.records:
            raise DatasetError.at(
                where,
                expected=f"the {total} listed videos",
                got=f"{len(absent)} missing: {some(absent)}",
                fix="Fetch them" + (", or pass missing='skip'." if self.records else "."),
            )
        warnings.warn(
            f"{where}: left out {len(absent)} of {total} listed videos that are not there: "
            f"{some(absent)}",
            stacklevel=3,
        )


def clip_list_path(root: Path, source: str, split: str) -> Path:
    """Where the clip list of a source lies."""
    return root / "video_clip_json" / source / f"classification_{split}.json"


def video_folder(root: Path, source: str, split: str) -> Path:
    """The folder that the video names in a clip list are relative to."""
    folders = {
        "SoccerReplay-1988": "SoccerReplay-1988-high-resolution",
        "MatchTime": f"MatchTime/{'SN-Caption-test-align' if split == 'test' else split}",
        "SoccerNet-v2": "SoccerNet-v2",
    }
    if source not in folders:
        raise DatasetError(f"expected a source, got {source!r}. {nearest(source, folders)}")
    return root / "video_clip" / folders[source]


def read_clip_list(path: Path | str, events: Sequence[str] = EVENTS) -> list[ClipRecord]:
    """The entries of a clip list, checked.

    Args:
        path: a `classification_*.json` file.
        events: the allowed classes.

    Raises:
        DatasetError: not a list of records, an unknown class, or a video outside of its folder.
    """
    path = Path(path)
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError.at(
            path, expected="a JSON list of clips", got=f"{error}", fix="Fetch it again."
        ) from error
    if not isinstance(entries, list):
        raise DatasetError.at(
            path,
            expected="a JSON list of clips",
            got=f"a {type(entries).__name__}",
            fix="Name a classification_*.json file.",
        )
    return [
        _clip_record(entry, path, f"record {number}", events)
        for number, entry in enumerate(entries)
    ]


def _clip_record(entry: object, path: Path, where: str, events: Sequence[str]) -> ClipRecord:
    if not isinstance(entry, dict):
        raise DatasetError.at(
            path, record=where, expected="an object", got=repr(entry)[:60], fix="Fetch it again."
        )
    for key in ("video", "caption"):
        if not isinstance(entry.get(key), str):
            raise DatasetError.at(
                path,
                record=where,
                expected=f"a string as '{key}'",
                got=repr(entry.get(key))[:60],
                fix="Correct or remove the record.",
            )
    video = PurePosixPath(entry["video"])
    if video.is_absolute() or ".." in video.parts or not video.name:
        raise DatasetError.at(
            path,
            record=where,
            expected="a video path below the folder of its source",
            got=repr(entry["video"]),
            fix="Correct or remove the record.",
        )
    if entry["caption"] not in events:
        raise DatasetError.at(
            path,
            record=where,
            expected=f"one of the {len(events)} event classes",
            got=repr(entry["caption"]),
            fix=nearest(entry["caption"], events),
        )
    text = entry.get("comments_text_anonymized")
    if text is not None and not isinstance(text, str):
        raise DatasetError.at(
            path,
            record=where,
            expected="a string or null as 'comments_text_anonymized'",
            got=repr(text)[:60],
            fix="Correct or remove the record.",
        )
    return ClipRecord(video=str(video), event=entry["caption"], text=(text or "").strip() or None)


def _present(paths: Sequence[Path]) -> set[Path]:
    """Those of many files that exist. Lists each folder once: cheaper than asking for each file."""
    folders = {path.parent for path in paths}
    names = {
        folder: {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
        for folder in folders
    }
    return {path for path in paths if path.name in names[path.parent]}
