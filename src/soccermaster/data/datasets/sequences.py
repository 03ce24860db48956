"""Windows of consecutive frames of labelled sequences, out of the rows of an index."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int

from soccermaster.data.datasets.indexed import IndexedClips, Summary, count_by
from soccermaster.data.errors import DatasetError
from soccermaster.data.frame_source import ImageSource
from soccermaster.data.images import VideoError, image_size, read_image
from soccermaster.data.indexing.index import Index
from soccermaster.data.indexing.problems import Problems
from soccermaster.data.undecoded import UndecodedClip
from soccermaster.data.warp_labels import turn_names
from soccermaster.structures import Annotations, Athletes, Cameras, Clip, Keypoints, Lines
from soccermaster.vocabulary import LINES, NO_NUMBER, NUM_KEYPOINTS, ROLES, TEAMS

# Farther off the pitch than this, a position cannot be that of somebody on or beside it.
_OFF_PITCH_MARGIN_M = 10.0
_JPEG_SUFFIXES = (".jpg", ".jpeg")
_JPEG_END = b"\xff\xd9"


@dataclass(frozen=True)
class SequenceLabels:
    """The labels of a sequence of N frames as the index holds them.

    Attributes:
        name: such as "SNGS-060".
        fps: frames per second.
        image_size: (H, W) of the files.
        image_paths: of the N frames.
        frame_numbers: 1-based place of each frame in its video.
        people_labeled: False where nobody looked for people.
        athletes: `frame` is the index of the frame, 0..N-1; boxes in pixels of `image_size`. None
            of pictures in which nobody looks for people.
        keypoints: in pixels of `image_size`; None if nothing says where the pitch is.
        lines: in pixels of `image_size`.
        turned: where the names of the markings are turned by 180 degrees, if that is asked for.
        behind_goal: where the names would be turned in the picture or in its mirror image.
        cameras: NaN where unknown.
    """

    name: str
    fps: float
    image_size: tuple[int, int]
    image_paths: tuple[Path, ...]
    frame_numbers: Int[np.ndarray, " N"]
    people_labeled: Bool[np.ndarray, " N"]
    athletes: Athletes | None
    keypoints: Keypoints | None = None
    lines: Lines | None = None
    turned: Bool[np.ndarray, " N"] | None = None
    behind_goal: Bool[np.ndarray, " N"] | None = None
    cameras: Cameras | None = None


# Columns that hold a whole sequence in each row: name, type, shape of one value.
_ARRAYS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "frame": (np.int32, ()),
    "boxes_xyxy_px": (np.float32, (4,)),
    "roles": (np.int8, ()),
    "numbers": (np.int16, ()),
    "legibility": (np.float32, ()),
    "track_ids": (np.int64, ()),
    "teams": (np.int8, ()),
    "positions_m": (np.float32, (2,)),
    "keypoints_px": (np.float32, (NUM_KEYPOINTS, 2)),
    "keypoints_known": (np.uint8, (NUM_KEYPOINTS,)),
    "segments_px": (np.float32, (len(LINES), 2, 2)),
    "lines_known": (np.uint8, (len(LINES),)),
    "turned": (np.uint8, ()),
    "behind_goal": (np.uint8, ()),
    "K": (np.float64, (3, 3)),
    "R": (np.float64, (3, 3)),
    "position_m": (np.float64, (3,)),
}
_ATHLETES = (
    "frame", "boxes_xyxy_px", "roles", "numbers", "legibility", "track_ids", "teams", "positions_m",
)  # fmt: skip

SEQUENCE_SCHEMA = pa.schema(
    [
        ("split", pa.string()),
        ("name", pa.string()),
        ("fps", pa.float64()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("image_folder", pa.string()),  # below the root
        ("image_names", pa.list_(pa.string())),
        ("frame_numbers", pa.list_(pa.int32())),
        ("people_labeled", pa.list_(pa.bool_())),
        *(
            (name, pa.list_(pa.from_numpy_dtype(np.dtype(kind))))
            for name, (kind, _) in _ARRAYS.items()
        ),
    ]
)


class SequenceClips(IndexedClips):
    """Windows of `num_frames` consecutive frames.

    Args:
        root: of the dataset.
        split: "train", "valid" or "test".
        num_frames: T, frames per clip; a shorter rest of a sequence is left out.
        stride: frames from one window to the next; None: windows do not overlap.
        image_size: (H, W) to decode to; None keeps the size of the files.
        turn_names: name the markings of views from behind a goal as data for calibration do, see
            `should_turn_names`. Teams and positions stay.
        index: Parquet file, or the folder that holds it; None: the one in the cache folder, which
            is built where it is missing or stale.

    Raises:
        DatasetError: missing files, or labels that the format does not allow.
    """

    schema: ClassVar[pa.Schema] = SEQUENCE_SCHEMA
    #: Whether a name in two splits means the same frames.
    names_are_unique: ClassVar[bool] = True

    def __init__(
        self,
        root: Path | str,
        split: str,
        num_frames: int = 30,
        stride: int | None = None,
        image_size: tuple[int, int] | None = None,
        *,
        turn_names: bool = False,
        index: Path | str | None = None,
    ) -> None:
        self.root = Path(root).resolve()
        self.num_frames = num_frames
        self.image_size = None if image_size is None else tuple(image_size)
        self.turn_names = turn_names
        reading = (num_frames, stride, self.image_size, turn_names)
        self._index, self._parts = self._open_index(root, split, index, reading)
        if any(part.facts.get("cameras") for part in self._parts):
            self.provides = self.provides | {"cameras"}
        if all(part.facts.get("identities") for part in self._parts if part.num_rows):
            self.provides = self.provides | {"track_ids", "teams", "positions"}
        self._place = [(p, r) for p, part in enumerate(self._parts) for r in range(part.num_rows)]
        columns = self._index.read(self._parts, ["people_labeled", "frame_numbers"])
        labeled = [
            labels.values.to_numpy(zero_copy_only=False) | ("boxes" not in self.provides)
            for labels in columns["people_labeled"]
        ]
        numbers = [numbers.values.to_numpy() for numbers in columns["frame_numbers"]]
        self.windows, unlabeled, torn = _windows(labeled, numbers, num_frames, stride or num_frames)
        self._remember_some()
        if torn:
            warnings.warn(
                f"{root}, split {split}: left out {torn} windows with a gap between their frames; "
                f"{len(self.windows)} remain.",
                stacklevel=2,
            )
        if unlabeled:
            warnings.warn(
                f"{root}, split {split}: left out {unlabeled} windows with frames in which people "
                f"are not labelled; {len(self.windows)} remain.",
                stacklevel=2,
            )
        if not len(self.windows):
            longest = max(map(len, labeled), default=0)
            raise DatasetError.at(
                f"{root}, split {split}",
                expected=f"a sequence of at least {num_frames} labelled frames",
                got=f"{len(labeled)} sequences of at most {longest} frames",
                fix="Lower num_frames.",
            )

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> Clip:
        return self.undecoded(index).decode()

    def undecoded(self, index: int) -> UndecodedClip:
        """See `ClipDataset.undecoded`."""
        s, start = (int(i) for i in self.windows[index])
        sequence = self._read(s)
        window = slice(start, start + self.num_frames)
        frames = ImageSource(sequence.image_paths[window], sequence.fps)
        numbers = sequence.frame_numbers[window]
        size = self.image_size or (frames.info.height, frames.info.width)
        return UndecodedClip(
            frames=frames,
            indices=tuple(range(self.num_frames)),
            image_size=size,
            times_s=(numbers - 1) / sequence.fps,
            annotations=self._annotations(sequence, window, size),
            clip_id=f"{sequence.name}/{numbers[0]:06d}",
            source=self.name,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_rows_of_part"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._remember_some()

    def _remember_some(self) -> None:
        """Neighbouring windows are often read one after the other."""

        @functools.lru_cache(maxsize=4)
        def rows_of_part(number: int) -> pa.Table:
            return self._index.read([self._parts[number]])

        self._rows_of_part = rows_of_part

    def _read(self, number: int) -> SequenceLabels:
        part, row = self._place[number]
        return labels_from_row(self._rows_of_part(part).slice(row, 1), self.root)

    def _annotations(
        self, sequence: SequenceLabels, window: slice, size: tuple[int, int]
    ) -> Annotations:
        """Of some frames, in pixels of `size` (H, W)."""
        height, width = (new / old for new, old in zip(size, sequence.image_size, strict=True))
        scale = np.array([width, height])
        athletes = sequence.athletes if "boxes" in self.provides else None
        if athletes is not None:
            first, last = np.searchsorted(athletes.frame, [window.start, window.stop])
            athletes = athletes.select(np.arange(first, last))
            athletes.frame[:] -= window.start
            athletes.boxes_xyxy_px[:] *= np.tile(scale, 2).astype(np.float32)
        keypoints, lines, cameras = sequence.keypoints, sequence.lines, sequence.cameras
        named_from_left = None
        if keypoints is not None and lines is not None:
            keypoints = Keypoints(
                (keypoints.points_px[window] * scale).astype(np.float32), keypoints.known[window]
            )
            lines = Lines(
                (lines.segments_px[window] * scale).astype(np.float32), lines.known[window]
            )
            if self.turn_names and sequence.turned is not None:
                keypoints, lines = turn_names(keypoints, lines, sequence.turned[window])
                named_from_left = sequence.behind_goal[window]
        if cameras is not None:
            K = cameras.K[window].copy()
            K[:, :2] *= scale[:, None]
            cameras = Cameras(K, cameras.R[window], cameras.position_m[window])
        return Annotations(
            athletes=athletes,
            keypoints=keypoints,
            lines=lines,
            cameras=cameras,
            named_from_left=named_from_left,
        )

    @classmethod
    def summarize(cls, index: Index, **options: Any) -> Summary:
        """See `IndexedClips.summarize`."""
        splits: dict[str, dict[str, Any]] = {}
        problems = Problems()
        splits_of_name: dict[str, set[str]] = {}
        for part in index.parts:  # one at a time: all of them may not fit into memory
            table = index.read([part])
            for name in table["name"].to_pylist():
                splits_of_name.setdefault(name, set()).add(part.split)
            splits[part.split] = _sum(splits.get(part.split, {}), _count(table))
        for name, found in sorted(splits_of_name.items()):
            if len(found) > 1 and cls.names_are_unique:
                problems.add("leak_between_splits", f"{name} is in {', '.join(sorted(found))}")
        return Summary(splits, problems=problems)


def row_from_labels(labels: SequenceLabels, split: str, root: Path) -> pa.Table:
    """One row of `SEQUENCE_SCHEMA`."""
    unknown = np.empty(0)
    arrays: dict[str, np.ndarray] = {}
    if labels.athletes is not None:
        arrays |= {name: getattr(labels.athletes, name) for name in _ATHLETES}
    if labels.keypoints is not None and labels.lines is not None:
        arrays |= {
            "keypoints_px": labels.keypoints.points_px,
            "keypoints_known": labels.keypoints.known,
            "segments_px": labels.lines.segments_px,
            "lines_known": labels.lines.known,
        }
    if labels.turned is not None:
        arrays |= {"turned": labels.turned, "behind_goal": labels.behind_goal}
    if labels.cameras is not None:
        arrays |= {name: getattr(labels.cameras, name) for name in ("K", "R", "position_m")}
    flat = {
        name: np.ascontiguousarray(arrays.get(name, unknown), kind).reshape(-1)
        for name, (kind, _) in _ARRAYS.items()
    }
    values: dict[str, Any] = {
        "split": split,
        "name": labels.name,
        "fps": labels.fps,
        "height": labels.image_size[0],
        "width": labels.image_size[1],
        "image_folder": labels.image_paths[0].parent.relative_to(root).as_posix(),
        "image_names": [path.name for path in labels.image_paths],
        "frame_numbers": labels.frame_numbers.tolist(),
        "people_labeled": labels.people_labeled.tolist(),
    }
    columns = [pa.array([value], SEQUENCE_SCHEMA.field(n).type) for n, value in values.items()]
    columns += [pa.ListArray.from_arrays([0, len(v)], pa.array(v)) for v in flat.values()]
    return pa.table(columns, schema=SEQUENCE_SCHEMA)


def labels_from_row(row: pa.Table, root: Path) -> SequenceLabels:
    """What `row_from_labels` stored."""

    def one(name: str) -> Any:
        return row[name][0].as_py()

    def array(name: str) -> np.ndarray:
        kind, shape = _ARRAYS[name]
        return row[name][0].values.to_numpy().astype(kind).reshape(-1, *shape)

    folder = root / one("image_folder")
    people = {name: array(name) for name in _ATHLETES}
    integers = ("frame", "roles", "numbers", "track_ids", "teams")
    people |= {name: people[name].astype(np.int64) for name in integers}
    has_pitch, has_turned, has_cameras = (
        len(row[name][0].values) > 0 for name in ("keypoints_known", "turned", "K")
    )
    return SequenceLabels(
        name=one("name"),
        fps=one("fps"),
        image_size=(one("height"), one("width")),
        image_paths=tuple(folder / name for name in one("image_names")),
        frame_numbers=row["frame_numbers"][0].values.to_numpy().astype(np.int64),
        people_labeled=row["people_labeled"][0].values.to_numpy(zero_copy_only=False),
        athletes=Athletes(**people),
        keypoints=(
            Keypoints(array("keypoints_px"), array("keypoints_known").astype(bool))
            if has_pitch
            else None
        ),
        lines=(
            Lines(array("segments_px"), array("lines_known").astype(bool)) if has_pitch else None
        ),
        turned=array("turned").astype(bool) if has_turned else None,
        behind_goal=array("behind_goal").astype(bool) if has_turned else None,
        cameras=Cameras(array("K"), array("R"), array("position_m")) if has_cameras else None,
    )


def check_positions(
    athletes: Athletes, frame_numbers: Int[np.ndarray, " N"], file: Path, problems: Problems
) -> None:
    """Counts positions far off the pitch."""
    far = np.abs(athletes.positions_m) > np.array([105 / 2, 68 / 2]) + _OFF_PITCH_MARGIN_M
    for row in np.nonzero(far.any(axis=1))[0]:  # False for NaN
        frame = frame_numbers[athletes.frame[row]]
        position = athletes.positions_m[row].round(1).tolist()
        problems.add(
            "off_pitch_position",
            f"{file}, frame {frame}, track {athletes.track_ids[row]}: {position} m",
        )


def check_pictures(
    paths: Sequence[Path], expected_size: tuple[int, int] | None, problems: Problems
) -> None:
    """Counts pictures that do not decode, or are not of the size (H, W) that the labels say.

    Only the header and the end of a JPEG are looked at, and all of it where those are in doubt.
    """
    for path in paths:
        if not path.is_file():
            continue  # counted as missing
        try:
            size = image_size(path)
            if not _ends_well(path):
                read_image(path)
        except VideoError as error:
            problems.add("unreadable_frame", str(error))
            continue
        if expected_size is not None and size != expected_size:
            problems.add(
                "unreadable_frame",
                f"{path}: expected {expected_size} (height, width) as in the labels, got {size}.",
            )


def _ends_well(path: Path) -> bool:
    if path.suffix.lower() not in _JPEG_SUFFIXES:
        return False
    with path.open("rb") as file:
        file.seek(-2, 2)
        return file.read() == _JPEG_END


def _windows(
    labeled: Sequence[Bool[np.ndarray, " N"]],
    numbers: Sequence[Int[np.ndarray, " N"]],
    num_frames: int,
    stride: int,
) -> tuple[Int[np.ndarray, "W 2"], int, int]:
    """Sequence and first frame of each window, and how many have frames without labels or gaps."""
    windows, unlabeled, torn = [np.empty((0, 2), np.int64)], 0, 0
    for s, (frames, places) in enumerate(zip(labeled, numbers, strict=True)):
        starts = np.arange(0, len(frames) - num_frames + 1, stride)
        without_gap = places[starts + num_frames - 1] - places[starts] == num_frames - 1
        torn += int((~without_gap).sum())
        starts = starts[without_gap]
        known = np.concatenate([[0], np.cumsum(frames)])
        complete = known[starts + num_frames] - known[starts] == num_frames
        unlabeled += int((~complete).sum())
        starts = starts[complete]
        windows.append(np.stack([np.full_like(starts, s), starts], axis=1))
    return np.concatenate(windows), unlabeled, torn


def _sum(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Nested counts, added."""
    return {
        key: _sum(first.get(key, {}), second.get(key, {}))
        if isinstance(first.get(key, second.get(key)), Mapping)
        else first.get(key, 0) + second.get(key, 0)
        for key in dict.fromkeys([*first, *second])
    }


def _count(table: pa.Table) -> dict[str, Any]:
    """Clips, frames, annotations by field, people by role and lines by class of a split."""
    flat: Mapping[str, pa.Array] = {
        name: pc.list_flatten(table[name]).combine_chunks() for name in _ARRAYS
    }
    numbers = flat["numbers"].to_numpy()
    roles = flat["roles"].to_numpy()
    segments = flat["segments_px"].to_numpy().reshape(-1, len(LINES), 4)
    visible = np.isfinite(segments).all(axis=2)
    points = flat["keypoints_px"].to_numpy().reshape(-1, NUM_KEYPOINTS, 2)
    known_line = flat["lines_known"].to_numpy().reshape(-1, len(LINES)) > 0
    return {
        "clips": len(table),
        "frames": int(pc.sum(pc.list_value_length(table["image_names"])).as_py() or 0),
        "fields": {
            "boxes": len(roles),
            "roles": int((roles >= 0).sum()),
            "numbers": int(((numbers >= 0) & (numbers < NO_NUMBER)).sum()),
            "legibility": int(np.isfinite(flat["legibility"].to_numpy()).sum()),
            "track_ids": int((flat["track_ids"].to_numpy() >= 0).sum()),
            "teams": int((flat["teams"].to_numpy() >= 0).sum()),
            "positions": int(np.isfinite(flat["positions_m"].to_numpy()[::2]).sum()),
            "keypoints": int(np.isfinite(points).all(axis=2).sum()),
            "lines": int((visible & known_line).sum()),
            "cameras": int(np.isfinite(flat["K"].to_numpy()[::9]).sum()),
        },
        "classes": {
            "roles": count_by([ROLES[r] if r >= 0 else None for r in roles]),
            "teams": count_by([TEAMS[t] if t >= 0 else None for t in flat["teams"].to_numpy()]),
            "lines": {
                name: int(count)
                for name, count in zip(LINES, visible.sum(axis=0), strict=True)
                if count
            },
        },
    }
