"""SoccerNet game state reconstruction: clips of 750 frames with people, ball and pitch lines.

    root/SoccerNetGS/{train,valid,test}/SNGS-060/Labels-GameState.json
                                                 img1/000001.jpg ...
    root/legibility_jn/{train,valid,test}.json      optional, not part of SoccerNet

Source: Somers et al., "SoccerNet Game State Reconstruction", CVPRW 2024; label version 1.3.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import ClassVar

import numpy as np

from soccermaster.data.datasets.game_state_file import (
    LABELS_FILE,
    GameState,
    read_game_state,
)
from soccermaster.data.datasets.indexed import SPLITS
from soccermaster.data.datasets.label_files import Record, load_json_list, path_inside
from soccermaster.data.datasets.pitch_labels import is_side_by_convention, should_turn_names
from soccermaster.data.datasets.sequences import (
    SEQUENCE_SCHEMA,
    SequenceClips,
    SequenceLabels,
    check_pictures,
    check_positions,
    row_from_labels,
)
from soccermaster.data.download import Download
from soccermaster.data.errors import DatasetError
from soccermaster.data.indexing.index import Part, Scan, Stamp, stamp
from soccermaster.data.indexing.problems import Problems
from soccermaster.geometry import points_from_polylines, segments_from_polylines
from soccermaster.structures import Keypoints, Lines
from soccermaster.vocabulary import ROLES


class SoccerNetGSR(SequenceClips):
    """Windows of consecutive frames of SoccerNet-GSR; see `SequenceClips` for the arguments.

    `root` is the folder that holds `SoccerNetGS`, or that folder itself; the split "challenge" has
    no labels.

    What the labels leave open stays unknown: a frame without a pitch record has no known lines or
    keypoints, a `bbox_pitch` of null gives a NaN position, a shirt number that is no number (such
    as "X") is unknown. A shirt number of null means that there is none to read. Positions are as
    labelled: airborne balls and rays near the horizon give points far off the pitch.

    SoccerNet has no legibility scores. They are taken from `legibility_jn/{split}.json` where that
    file is there; without it, and for people it does not list, `legibility` is NaN, which counts as
    readable wherever a number is given.
    """

    name = "soccernet_gsr"
    version = "soccernet_gsr-3"
    download: ClassVar[Download | None] = Download(
        "Ask for access at https://huggingface.co/datasets/SoccerNet/SN-GSR-2024 and log in with "
        "`hf auth login`; the labels of the test split may come from SoccerNet/SN-GroundTruth.",
        task="gamestate-2024",
        folder="SoccerNetGS",
    )
    provides = frozenset(
        {
            "boxes",
            "roles",
            "numbers",
            "legibility",
            "track_ids",
            "teams",
            "positions",
            "keypoints",
            "lines",
        }
    )

    @classmethod
    def parts(cls, root: Path | str, split: str | None = None) -> list[Part]:
        """See `IndexedClips.parts`: one per sequence."""
        root = Path(root).resolve()
        parent = _parent(root)
        if split is None:
            splits = [s for s in SPLITS if (parent / s).is_dir()]
            if not splits:
                raise _nothing(parent / "train", parent)
        else:
            splits = [split]
        return [
            Part(
                key=f"{name}/{folder.name}",
                split=name,
                files=(
                    folder / LABELS_FILE,
                    folder / "img1",
                    *([scores] if (scores := legibility_file(root, name)).is_file() else []),
                ),
            )
            for name in splits
            for folder in _sequence_folders(parent, name)
        ]

    @classmethod
    def scan(cls, part: Part, root: Path, check_media: bool) -> Scan:
        """See `IndexedClips.scan`."""
        file = part.files[0]
        problems = Problems()
        facts = {"checked_media": check_media}
        try:
            state = read_game_state(file.parent, problems)
            legibility = _read_legibility(part, state, problems)
        except DatasetError as error:
            problems.refuse(error, "unreadable_labels")
            return Scan(SEQUENCE_SCHEMA.empty_table(), problems, facts)
        labels = sequence_labels(state, legibility)
        check_positions(state.athletes, state.frame_numbers, file, problems)
        if check_media:
            check_pictures(state.image_paths, state.image_size, problems)
        row = row_from_labels(labels, part.split, root)
        return Scan(row, problems, facts, depends_on=(state.image_paths[0].parent,))

    @classmethod
    def own_folders(cls, root: Path) -> list[Path]:
        """See `IndexedClips.own_folders`."""
        return [_parent(root) / split for split in (*SPLITS, "challenge")] + [
            root / "SoccerNetGS",
            root / "legibility_jn",
        ]


def legibility_file(root: Path, split: str) -> Path:
    """Where the legibility scores of a split may lie."""
    return root / "legibility_jn" / f"{split}.json"


def sequence_labels(state: GameState, legibility: np.ndarray) -> SequenceLabels:
    """The labels as the index holds them: keypoints and line segments are derived here, once."""
    points, segments, turned, behind_goal = [], [], [], []
    size = state.image_size[::-1]
    for frame in range(len(state.frame_numbers)):
        polylines_px = state.polylines.of_frame(frame, state.image_size)
        points.append(points_from_polylines(polylines_px, size))
        segments.append(segments_from_polylines(polylines_px, size, points[-1].keypoints_px))
        polylines = state.polylines.of_frame(frame)
        turned.append(should_turn_names(polylines))
        behind_goal.append(is_side_by_convention(polylines))
    labeled = state.pitch_labeled[:, None]
    state.athletes.legibility[:] = legibility
    return SequenceLabels(
        name=state.name,
        fps=state.fps,
        image_size=state.image_size,
        image_paths=state.image_paths,
        frame_numbers=state.frame_numbers,
        people_labeled=state.people_labeled,
        athletes=state.athletes,
        keypoints=Keypoints(
            np.stack([p.keypoints_px for p in points]),
            np.stack([p.keypoints_known for p in points]) & labeled,
        ),
        lines=Lines(
            np.stack([xy for xy, _ in segments]),
            np.stack([known for _, known in segments]) & labeled,
        ),
        turned=np.array(turned),
        behind_goal=np.array(behind_goal),
    )


def _parent(root: Path) -> Path:
    return root / "SoccerNetGS" if (root / "SoccerNetGS").is_dir() else root


def _nothing(folder: Path, parent: Path) -> DatasetError:
    splits = sorted(p.name for p in parent.iterdir() if p.is_dir()) if parent.is_dir() else []
    return DatasetError.at(
        folder,
        expected="a folder of SNGS-xxx sequences",
        got=f"nothing; {parent} holds {splits or 'no folders'}",
        fix="Name the folder that holds SoccerNetGS, and one of its splits.",
    )


def _sequence_folders(parent: Path, split: str) -> list[Path]:
    folder = parent / split
    if not folder.is_dir():
        raise _nothing(folder, parent)
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    folders = [path_inside(folder, name, folder, "sequence folder") for name in names]
    if not folders:
        raise DatasetError.at(
            folder,
            expected="at least one SNGS-xxx folder",
            got="none",
            fix="Unpack the sequences of this split.",
        )
    return folders


def _read_legibility(part: Part, state: GameState, problems: Problems) -> np.ndarray:
    """Scores of the rows of `state.athletes`; NaN where there is none."""
    athletes = state.athletes
    scores = np.full(len(athletes), np.nan, np.float32)
    if len(part.files) < 3:
        return scores
    file = part.files[2]
    known = _legibility_by_clip(file, stamp(file)).get(state.name.removeprefix("SNGS-"), {})
    for row, (frame, track) in enumerate(zip(athletes.frame, athletes.track_ids, strict=True)):
        scores[row] = known.get((state.image_ids[frame], int(track)), np.nan)
    unknown = np.isnan(scores) & (athletes.roles != ROLES.index("ball"))
    if unknown.any():
        problems.add(
            "missing_legibility",
            f"{file}: nothing about {unknown.sum()} people of {state.name}; their numbers count "
            "as readable.",
            count=int(unknown.sum()),
        )
    return scores


@functools.lru_cache(maxsize=2)
def _legibility_by_clip(file: Path, version: Stamp) -> dict[str, dict[tuple[str, int], float]]:
    """Scores by clip, then image_id and track, from [clip, image_id, track, number, score]."""
    entries = load_json_list(file, "a JSON list of legibility scores")
    names = ("clip", "image_id", "track_id", "number", "legibility")
    scores: dict[str, dict[tuple[str, int], float]] = {}
    for number, entry in enumerate(entries):
        values = entry if isinstance(entry, list) and len(entry) == len(names) else []
        record = Record(dict(zip(names, values, strict=False)), file, f"record {number}")
        clip = str(record.take("clip", (str, int), "a clip number"))
        image_id = str(record.take("image_id", (str, int), "an image id"))
        score = record.number("legibility")
        if not 0 <= score <= 1:
            raise record.wrong("a score in 0..1", score)
        scores.setdefault(clip, {})[image_id, record.integer("track_id")] = score
    return scores
