"""SoccerNet-tracking: 30-second sequences with boxes over time, in the text files of MOT.

    root/tracking/{train,test}/SNMOT-060/gt/gt.txt  gameinfo.ini  seqinfo.ini  img1/000001.jpg ...

Source: Cioppa et al., "SoccerNet-Tracking", CVPRW 2022. What a track is (role, team, number) is
found by joining the track id of `gt.txt` with `gameinfo.ini`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from soccermaster.data.datasets.game_state_file import (
    check_present,
    shirt_number,
    without_mistakes,
)
from soccermaster.data.datasets.label_files import Record, path_inside
from soccermaster.data.datasets.sequences import (
    SEQUENCE_SCHEMA,
    SequenceClips,
    SequenceLabels,
    check_pictures,
    row_from_labels,
)
from soccermaster.data.download import Download
from soccermaster.data.errors import DatasetError
from soccermaster.data.indexing.index import Part, Scan
from soccermaster.data.indexing.problems import Problems
from soccermaster.structures import Athletes
from soccermaster.vocabulary import NO_NUMBER, ROLES, TEAMS, UNKNOWN

_TRACKLET = re.compile(r"\s*trackletID_(\d{1,9})\s*[=:]\s*(.*)", re.IGNORECASE)
_VALUE = re.compile(r"\s*(\w+)\s*[=:]\s*(.*?)\s*")
_TEAM = re.compile(r"\bteams?\s+(left|right)\b", re.IGNORECASE)
_COLUMNS = ("frame", "track_id", "left", "top", "width", "height")
_LABELED_SPLITS = ("train", "test")
_MOST_FRAMES = 1_000_000


@dataclass(frozen=True)
class Tracklet:
    """What one line of `gameinfo.ini` says."""

    role: str
    team: str | None
    number: int  # 0..99, NO_NUMBER, or -1 unknown


class SoccerNetTracking(SequenceClips):
    """Windows of consecutive frames of SoccerNet-tracking; see `SequenceClips` for the arguments.

    `root` holds the folder `tracking`, or its splits "train" and "test". There is no valid split,
    and "challenge" has no labels. The class of a track without a line in `gameinfo.ini` is unknown.
    The file tells neither where the pitch is nor in which frames a number can be read.
    """

    name = "soccernet_tracking"
    version = "soccernet_tracking-2"
    download: ClassVar[Download | None] = Download(
        "Ask for access on the page of the data set that the message names, and log in with "
        "`hf auth login`.",
        task="tracking",
        folder="tracking",
        splits=_LABELED_SPLITS,
    )
    provides = frozenset({"boxes", "roles", "numbers", "legibility", "track_ids", "teams"})

    @classmethod
    def parts(cls, root: Path | str, split: str | None = None) -> list[Part]:
        """See `IndexedClips.parts`: one per sequence."""
        parent = _parent(Path(root).resolve())
        splits = _LABELED_SPLITS if split is None else (split,)
        folders = {
            name: sorted(p for p in (parent / name).iterdir() if (p / "gt").is_dir())
            for name in splits
            if (parent / name).is_dir()
        }
        if not any(folders.values()):
            raise DatasetError.at(
                parent,
                expected=f"sequences such as {splits[0]}/SNMOT-060 with gt/gt.txt",
                got="none",
                fix="Name the folder that holds tracking, and a split with labels: train, test.",
            )
        return [
            Part(
                key=f"{name}/{folder.name}",
                split=name,
                files=(
                    folder / "gt/gt.txt",
                    folder / "gameinfo.ini",
                    folder / "seqinfo.ini",
                    folder / "img1",
                ),
            )
            for name, found in folders.items()
            for folder in found
        ]

    @classmethod
    def scan(cls, part: Part, root: Path, check_media: bool) -> Scan:
        """See `IndexedClips.scan`."""
        folder = part.files[1].parent
        problems = Problems()
        facts = {"checked_media": check_media}
        try:
            path_inside(folder.parent, folder.name, folder, "sequence folder")
            labels = read_tracking_sequence(folder, problems)
        except DatasetError as error:
            problems.refuse(error, "unreadable_labels")
            return Scan(SEQUENCE_SCHEMA.empty_table(), problems, facts)
        if check_media:
            check_pictures(labels.image_paths, labels.image_size, problems)
        return Scan(row_from_labels(labels, part.split, root), problems, facts)

    @classmethod
    def own_folders(cls, root: Path) -> list[Path]:
        """See `IndexedClips.own_folders`."""
        return [_parent(root) / split for split in (*_LABELED_SPLITS, "challenge")]


def read_tracking_sequence(folder: Path | str, problems: Problems | None = None) -> SequenceLabels:
    """The labels of one sequence folder, checked.

    Args:
        folder: of the sequence.
        problems: where to count lines that break the format, which are then left out; None raises
            an error for the first one.

    Raises:
        DatasetError: a file is missing, or the labels break the format.
    """
    folder = Path(folder)
    file = folder / "gt/gt.txt"
    info = _sequence_info(folder)
    suffix = str(info.value.get("imExt", ".jpg"))
    num_frames = info.integer("seqLength")
    size = (info.integer("imHeight"), info.integer("imWidth"))
    fps = info.number("frameRate")
    if not (0 < num_frames <= _MOST_FRAMES and min(size) > 0 and fps > 0):
        raise info.wrong("a length, a size and a frame rate above 0", info.value)
    image_folder = path_inside(folder, str(info.value.get("imDir", "img1")), info.file, "'imDir'")
    paths = tuple(
        path_inside(image_folder, f"{n:06d}{suffix}", info.file, f"frame {n}")
        for n in range(1, num_frames + 1)
    )
    check_present(paths, problems)
    tracklets = read_game_info(folder / "gameinfo.ini")
    athletes = _athletes(file, num_frames, tracklets, problems)
    corners_m = np.full((len(athletes), 2, 2), np.nan, np.float32)
    athletes, _ = without_mistakes(athletes, corners_m, size, file, problems)
    return SequenceLabels(
        name=folder.name,
        fps=fps,
        image_size=size,
        image_paths=paths,
        frame_numbers=np.arange(1, num_frames + 1),
        people_labeled=np.ones(num_frames, bool),
        athletes=athletes,
    )


def read_game_info(file: Path | str) -> dict[int, Tracklet]:
    """What each track is, by track id.

    The file is read tolerantly: blanks anywhere, singular and plural, any case, and a word or a
    letter in the place of a number that nobody knows. Without a file nothing is known.

    Raises:
        DatasetError: the file cannot be read.
    """
    tracklets = {}
    for line in _lines(Path(file)):
        match = _TRACKLET.fullmatch(line)
        if match is None:
            continue
        text, _, detail = match[2].partition(";")
        role = _role(text)
        team = _TEAM.search(text)
        has_number = role in ("player", "goalkeeper")
        tracklets[int(match[1])] = Tracklet(
            role=role,
            team=team[1].lower() if team else None,
            number=shirt_number(detail.strip()) if has_number else NO_NUMBER,
        )
    return tracklets


def _parent(root: Path) -> Path:
    return root / "tracking" if (root / "tracking").is_dir() else root


def _lines(file: Path) -> list[str]:
    path_inside(file.parent, file.name, file, "file")
    if not file.exists():
        return []
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise DatasetError.at(
            file, expected="a text file", got=str(error), fix="Fetch it again."
        ) from error


def _sequence_info(folder: Path) -> Record:
    """The values of `seqinfo.ini`, with those of the real files where it is silent."""
    file = folder / "seqinfo.ini"
    values = {"frameRate": "25", "seqLength": "750", "imWidth": "1920", "imHeight": "1080"}
    for line in _lines(file):
        match = _VALUE.fullmatch(line)
        if match is not None:
            values[match[1]] = match[2]
    return Record(values, file, "[Sequence]", "Fetch it again.")


def _role(text: str) -> str:
    """The role in words such as "player team left", "goalkeepers team right"."""
    word = text.strip().lower().partition(" ")[0]
    return next((role for role in ROLES if word in (role, f"{role}s")), "other")


def _athletes(
    file: Path, num_frames: int, tracklets: dict[int, Tracklet], problems: Problems | None
) -> Athletes:
    rows = []
    if not file.is_file():
        raise DatasetError.at(
            file, expected="boxes", got="no such file", fix="Fetch the labels of this sequence."
        )
    for number, line in enumerate(_lines(file), start=1):
        if not line.strip():
            continue
        try:
            values = dict(zip(_COLUMNS, line.split(","), strict=False))
            record = Record(values, file, f"line {number}")
            frame = record.integer("frame")
            if not 1 <= frame <= num_frames:
                raise record.wrong(f"a frame in 1..{num_frames}", frame)
            x, y, w, h = (record.number(key) for key in _COLUMNS[2:])
            rows.append((frame - 1, record.integer("track_id"), x, y, x + w, y + h))
        except DatasetError as error:
            if problems is None:
                raise
            problems.refuse(error)
    table = np.array(sorted(rows), np.float64).reshape(-1, 6)
    track_ids = table[:, 1].astype(np.int64)
    strange = sorted(set(track_ids.tolist()) - set(tracklets))
    if strange and problems is not None:
        message = f"{file}: track {strange[0]} is not in gameinfo.ini"
        problems.add("unknown_tracklet", message, count=len(strange))
    known = [tracklets.get(track) for track in track_ids.tolist()]
    return Athletes.from_boxes(
        table[:, 0].astype(np.int64),
        table[:, 2:].astype(np.float32),
        roles=np.array([UNKNOWN if t is None else ROLES.index(t.role) for t in known], np.int64),
        numbers=np.array([UNKNOWN if t is None else t.number for t in known], np.int64),
        track_ids=track_ids,
        teams=np.array(
            [UNKNOWN if t is None or t.team is None else TEAMS.index(t.team) for t in known],
            np.int64,
        ),
    )
