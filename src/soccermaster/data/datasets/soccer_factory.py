"""SoccerFactory's released clips: up to 750 frames labelled by an automatic pipeline.

    root/extracted_info/SNGS-10001.json
    root/sn500/SNGS-10001/img1/000001.jpg ...

Boxes with roles and numbers, and a camera per frame, from which the markings are projected. In the
release people have no identity over time, no team and no place on the pitch; what our own factory
exports has them (`track_id`, `team`, `position_m`), and the dataset provides them where every
sequence does. Its frames say their rate (`fps`); that of the release is 25.

Source: SoccerMaster (CVPR 2026), release of SoccerFactory, JSON form. The pickled form is not read:
opening a pickle runs what is in it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from soccermaster.data.datasets.game_state_file import (
    ROLES_WITH_NUMBER,
    check_present,
    shirt_number,
    without_mistakes,
)
from soccermaster.data.datasets.label_files import Record, load_json, path_inside
from soccermaster.data.datasets.sequences import (
    SEQUENCE_SCHEMA,
    SequenceClips,
    SequenceLabels,
    check_pictures,
    row_from_labels,
)
from soccermaster.data.download import Download
from soccermaster.data.errors import DatasetError, nearest
from soccermaster.data.images import VideoError, image_size
from soccermaster.data.indexing.index import Part, Scan
from soccermaster.data.indexing.problems import Problems
from soccermaster.geometry import Camera, Pitch, visible_keypoints, visible_segments
from soccermaster.structures import Athletes, Cameras, Keypoints, Lines
from soccermaster.vocabulary import NO_NUMBER, ROLES, TEAMS, UNKNOWN

#: (H, W) of the extracted frames; 720p sources were enlarged.
RELEASED_SIZE = (1080, 1920)
# R is a rotation if R R^T is the identity up to this.
_ROTATION_TOLERANCE = 0.01
_PITCH = Pitch()


class SoccerFactory(SequenceClips):
    """Windows of consecutive frames of SoccerFactory; see `SequenceClips` for the arguments.

    The release has no splits: all of it is "train".

    A number outside of 0..99 is none, a role of null is unknown. Without a number a player or
    goalkeeper has none to see, or, where nobody judged how legible it is (null), an unknown one. A
    frame without a valid camera has
    no known lines or keypoints. The file's `R` is [R | t], 3x4, in the centred pitch frame.
    """

    name = "soccer_factory"
    version = "soccer_factory-2"
    download: ClassVar[Download | None] = Download(
        "SoccerMaster's authors offer soccer_factory_annotations.tar.gz and seven archives of "
        "videos (126 GB); their script extracts the frames to sn500/SNGS-1xxxx/img1."
    )
    provides = frozenset(
        {"boxes", "roles", "numbers", "legibility", "keypoints", "lines", "cameras"}
    )

    @classmethod
    def parts(cls, root: Path | str, split: str | None = None) -> list[Part]:
        """See `IndexedClips.parts`: one per sequence."""
        root = Path(root).resolve()
        folder = root / "extracted_info"
        if split not in (None, "train"):
            raise DatasetError.at(
                root,
                expected="split 'train'",
                got=repr(split),
                fix="SoccerFactory has no other: validate on another dataset.",
            )
        files = sorted(folder.glob("*.json")) if folder.is_dir() else []
        if not files:
            raise DatasetError.at(
                folder,
                expected="label files such as SNGS-10001.json",
                got="none",
                fix="Name the folder that holds extracted_info and sn500.",
            )
        return [
            Part(
                key=f"train/{file.stem}",
                split="train",
                files=(file, root / "sn500" / file.stem / "img1"),
            )
            for file in files
        ]

    @classmethod
    def scan(cls, part: Part, root: Path, check_media: bool) -> Scan:
        """See `IndexedClips.scan`."""
        file, images = part.files
        problems = Problems()
        facts: dict[str, Any] = {"checked_media": check_media}
        try:
            path_inside(file.parent, file.name, file, "label file")
            path_inside(root / "sn500", f"{file.stem}/img1", file, "frames")
            labels = read_factory_sequence(file, images, problems)
            known = labels.athletes.track_ids != UNKNOWN
            facts["identities"] = bool(len(known) and known.all())
        except DatasetError as error:
            problems.refuse(error, "unreadable_labels")
            return Scan(SEQUENCE_SCHEMA.empty_table(), problems, facts)
        if check_media:
            check_pictures(labels.image_paths, labels.image_size, problems)
        return Scan(row_from_labels(labels, part.split, root), problems, facts)

    @classmethod
    def own_folders(cls, root: Path) -> list[Path]:
        """See `IndexedClips.own_folders`."""
        return [root / "extracted_info", root / "sn500"]


def read_factory_sequence(
    file: Path | str, images: Path | str, problems: Problems | None = None
) -> SequenceLabels:
    """The labels of one sequence, checked.

    Args:
        file: the label file.
        images: folder of the frames.
        problems: where to count records that break the format, which are then left out; None
            raises an error for the first one.

    Raises:
        DatasetError: a file is missing, or the labels break the format.
    """
    file, images = Path(file), Path(images)
    top = Record(load_json(file, "JSON labels of a sequence"), file, "top level", "Fetch it again.")
    frames = sorted((_frame_number(key, top), key) for key in top.value)
    if not frames:
        raise top.wrong("at least one frame", "an empty object")
    paths = tuple(
        path_inside(images, f"{number:06d}.jpg", file, f"frame {number}") for number, _ in frames
    )
    check_present(paths, problems)
    size = _size_of(paths[0])
    rows: list[tuple[Any, ...]] = []
    cameras = Cameras(*(np.full((len(frames), *shape), np.nan) for shape in ((3, 3), (3, 3), (3,))))
    for index, (number, key) in enumerate(frames):
        try:
            frame = Record(top.value[key], file, f"frame {number}")
            camera = _camera(frame)
            people = [
                Record(person, file, f"frame {number}, person {i}")
                for i, person in enumerate(frame.items("people"))
            ]
            rows += [(index, *_person(person)) for person in people]
        except DatasetError as error:
            if problems is None:
                raise
            problems.refuse(error)
            continue
        if camera is not None:
            cameras.K[index], cameras.R[index], cameras.position_m[index] = camera
    athletes = _athletes(rows)
    corners_m = np.full((len(athletes), 2, 2), np.nan, np.float32)
    athletes, _ = without_mistakes(athletes, corners_m, size, file, problems)
    keypoints, lines = _project(cameras, size)
    return SequenceLabels(
        name=file.stem,
        fps=_frame_rate(Record(top.value[frames[0][1]], file, f"frame {frames[0][0]}")),
        image_size=size,
        image_paths=paths,
        frame_numbers=np.array([number for number, _ in frames], np.int64),
        people_labeled=np.ones(len(frames), bool),
        athletes=athletes,
        keypoints=keypoints,
        lines=lines,
        cameras=cameras,
    )


def _frame_number(key: str, top: Record) -> int:
    if not (key.isascii() and key.isdigit() and 0 < len(key) <= 6 and int(key) > 0):
        raise top.wrong("frame numbers from 1 as keys", key)
    return int(key)


def _frame_rate(frame: Record) -> float:
    fps = frame.number("fps") if "fps" in frame.value else 25.0
    if not fps > 0:
        raise frame.wrong("frames per second as 'fps'", fps)
    return fps


def _size_of(path: Path) -> tuple[int, int]:
    """(H, W) of a frame, or what it should be: what is wrong with frames is counted elsewhere."""
    if not path.is_file():
        return RELEASED_SIZE
    try:
        return image_size(path)
    except VideoError:
        return RELEASED_SIZE


def _person(record: Record) -> tuple[Any, ...]:
    """Box corners, role, number, legibility, track id, team and place."""
    ((x, y, w, h),) = Record(
        {"bbox_ltwh": [record.items("bbox_ltwh")]}, record.file, record.where
    ).matrix("bbox_ltwh", (1, 4))
    role, jersey = record.value.get("role"), record.value.get("jersey_number")
    number = NO_NUMBER
    if role is not None and role not in ROLES:
        raise record.wrong(f"one of {', '.join(ROLES)}, or null", role, nearest(str(role), ROLES))
    team, place = record.value.get("team"), (math.nan, math.nan)
    if team is not None and team not in TEAMS:
        raise record.wrong(f"one of {', '.join(TEAMS)}, or null", team, nearest(str(team), TEAMS))
    if record.value.get("position_m") is not None:
        (place,) = Record(
            {"position_m": [record.items("position_m")]}, record.file, record.where
        ).matrix("position_m", (1, 2))
    if jersey is not None:
        number = shirt_number(record.number("jersey_number"))
        number = NO_NUMBER if number == UNKNOWN else number
    legibility = math.nan
    if record.value.get("legibility_score") is not None:
        legibility = record.number("legibility_score")
    elif jersey is None and role in (None, *ROLES_WITH_NUMBER):
        number = UNKNOWN
    return (
        (x, y, x + w, y + h),
        UNKNOWN if role is None else ROLES.index(role),
        number,
        legibility,
        UNKNOWN if record.value.get("track_id") is None else record.integer("track_id"),
        UNKNOWN if team is None else TEAMS.index(team),
        place,
    )


def _camera(frame: Record) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """K, rotation and position, if the pipeline trusts them."""
    if not frame.value.get("valid_cam_params"):
        return None
    K = np.array(frame.matrix("K", (3, 3)))
    camera_from_world = np.array(frame.matrix("R", (3, 4)))
    R, translation = camera_from_world[:, :3], camera_from_world[:, 3]
    if np.abs(R @ R.T - np.eye(3)).max() > _ROTATION_TOLERANCE:
        raise frame.wrong("a rotation and a translation, 3x4, as 'R'", R.round(3).tolist())
    return K, R, -R.T @ translation


def _athletes(rows: list[tuple[Any, ...]]) -> Athletes:
    columns = list(zip(*rows, strict=True)) if rows else [()] * 8
    frame, boxes, roles, numbers, legibility, track_ids, teams, places = columns
    return Athletes.from_boxes(
        np.array(frame, np.int64),
        np.array(boxes, np.float32).reshape(-1, 4),
        roles=np.array(roles, np.int64),
        numbers=np.array(numbers, np.int64),
        legibility=np.array(legibility, np.float32),
        track_ids=np.array(track_ids, np.int64),
        teams=np.array(teams, np.int64),
        positions_m=np.array(places, np.float32).reshape(-1, 2),
    )


def _project(cameras: Cameras, size: tuple[int, int]) -> tuple[Keypoints, Lines]:
    """What the cameras see of the pitch; unknown where there is no camera."""
    known = np.isfinite(cameras.K).all(axis=(1, 2))
    stack = Camera(cameras.K[known], cameras.R[known], cameras.position_m[known], size[::-1])
    points_px = np.full((len(known), len(_PITCH.keypoints_m), 2), np.nan)
    segments_px = np.full((len(known), len(_PITCH.line_ends_m), 2, 2), np.nan)
    if known.any():
        points_px[known] = visible_keypoints(stack, _PITCH)
        segments_px[known] = visible_segments(stack, _PITCH)
    return (
        Keypoints(points_px, np.repeat(known[:, None], points_px.shape[1], axis=1)),
        Lines(segments_px, np.repeat(known[:, None], segments_px.shape[1], axis=1)),
    )
