"""Clip lists of UniSoccer: where they and their videos lie, and how their records are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soccermaster.data.datasets.label_files import Record, load_json_list, path_inside
from soccermaster.data.errors import DatasetError, nearest
from soccermaster.vocabulary import EVENTS, RELEASE_EVENTS

SOURCES: tuple[str, ...] = ("SoccerReplay-1988", "MatchTime", "SoccerNet-v2")

#: Length of a clip, and what the time in its name is the middle of.
CLIP_S = 30.0
#: Below the root, whole games as SoccerNet gives them out: {league}/{season}/{game}/1_720p.mkv.
GAMES_FOLDER = "games"
_HALF_VIDEOS = tuple(f"{size}.{end}" for size in ("720p", "224p") for end in ("mkv", "mp4"))
_CLIP_NAME = re.compile(r"([12])_(\d{1,3})_(\d{1,2})\.\w+")


@dataclass(frozen=True)
class ClipRecord:
    """One entry of a clip list."""

    video: str  # path below the video folder of the source
    event: str
    text: str | None  # anonymised comment


def event_classes(events: Sequence[str] | str | None) -> tuple[str, ...]:
    """The allowed classes: a list of any, "release" for the released 23, None for the library's 24.

    Raises:
        ValueError: another word.
    """
    if events is None:
        return EVENTS
    if isinstance(events, str):
        if events != "release":
            raise ValueError(f"expected events as a list, 'release' or null, got {events!r}.")
        return RELEASE_EVENTS
    return tuple(events)


def clip_list_path(root: Path, source: str, split: str) -> Path:
    """Where the clip list of a source lies."""
    return root / "video_clip_json" / source / f"classification_{split}.json"


def video_folder(root: Path, source: str, split: str) -> Path:
    """The folder that the video names in a clip list are relative to.

    Raises:
        DatasetError: an unknown source.
    """
    folders = {
        "SoccerReplay-1988": "SoccerReplay-1988-high-resolution",
        "MatchTime": f"MatchTime/{'SN-Caption-test-align' if split == 'test' else split}",
        "SoccerNet-v2": "SoccerNet-v2",
    }
    if source not in folders:
        raise DatasetError(f"expected a source, got {source!r}. {nearest(source, folders)}")
    return root / "video_clip" / folders[source]


def clip_time_s(video: str) -> float:
    """The time that the name of a clip says, in seconds from the start of its half."""
    match = _CLIP_NAME.fullmatch(video.rpartition("/")[2])
    return 60.0 * int(match[2]) + int(match[3]) if match else float("nan")


def half_videos(root: Path, video: str) -> list[Path]:
    """Where the half of a game that a clip was cut from may lie, the best one first.

    Args:
        root: of the dataset.
        video: {league}_{season}/{game}/{half}_{minute}_{second}.mp4; other names are of no game.
    """
    match = _CLIP_NAME.fullmatch(video.rpartition("/")[2])
    folder, _, game = video.rpartition("/")[0].rpartition("/")
    league, _, season = folder.rpartition("_")
    parts = (league, season, game)
    if match is None or "/" in folder or any(part in ("", ".", "..") for part in parts):
        return []
    names = (f"{match[1]}_{name}" for name in _HALF_VIDEOS)
    return [root / GAMES_FOLDER / league / season / game / name for name in names]


def load_clip_list(path: Path) -> list[object]:
    """The entries of a clip list, unchecked.

    Raises:
        DatasetError: not a JSON list.
    """
    return load_json_list(path, "a JSON list of clips")


def read_clip_list(path: Path | str, events: Sequence[str] = EVENTS) -> list[ClipRecord]:
    """The entries of a clip list, checked.

    Args:
        path: a `classification_*.json` file.
        events: the allowed classes.

    Raises:
        DatasetError: not a list of records, an unknown class, or a video outside of its folder.
    """
    path = Path(path)
    records = []
    for number, entry in enumerate(load_clip_list(path)):
        records.append(clip_record(entry, path, number, path.parent))
        check_event(records[-1].event, events, path, number)
    return records


def clip_record(entry: object, path: Path, number: int, folder: Path) -> ClipRecord:
    """One entry of the list at `path`, for any event class.

    Args:
        entry: number `number` of the list.
        path: of the list.
        number: from 0.
        folder: of the videos.

    Raises:
        DatasetError: it breaks the format, or its video lies outside of `folder`.
    """
    record = Record(entry, path, f"record {number}", "Correct or remove the record.")
    video, event = record.text("video"), record.text("caption")
    path_inside(folder, video, path, record.where)
    text = record.value.get("comments_text_anonymized")
    if text is not None and not isinstance(text, str):
        raise record.wrong("a string or null as 'comments_text_anonymized'", text)
    for value in (event, text):
        if value is not None and not _is_unicode(value):
            raise record.wrong("text in Unicode", value)
    return ClipRecord(video=video, event=event, text=(text or "").strip() or None)


def check_event(event: str, events: Sequence[str], path: Path, number: int) -> None:
    """Refuse a class that is not in the vocabulary.

    Raises:
        DatasetError: with the class that looks most like it.
    """
    if event not in events:
        raise DatasetError.at(
            path,
            record=f"record {number}",
            expected=f"one of the {len(events)} event classes",
            got=repr(event)[:60],
            fix=nearest(event[:60], events),
        )


def _is_unicode(text: str) -> bool:
    """Half a surrogate pair cannot be written to any file."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
