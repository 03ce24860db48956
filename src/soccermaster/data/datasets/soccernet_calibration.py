"""SoccerNet-calibration: single pictures with the markings of the pitch as polylines.

    root/calibration[-2023]/{train,valid,test}/00037.jpg  00037.json  [camera_00037.json]

Source: SoccerNet camera calibration challenges 2022 and 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from soccermaster.data.datasets.indexed import SPLITS
from soccermaster.data.datasets.label_files import Record, load_json, path_inside
from soccermaster.data.datasets.pitch_labels import (
    is_side_by_convention,
    polylines_of,
    should_turn_names,
)
from soccermaster.data.datasets.sequences import (
    SEQUENCE_SCHEMA,
    SequenceClips,
    SequenceLabels,
    check_pictures,
    row_from_labels,
)
from soccermaster.data.download import Download
from soccermaster.data.errors import DatasetError
from soccermaster.data.images import VideoError, image_size
from soccermaster.data.indexing.index import Part, Scan
from soccermaster.data.indexing.problems import Problems
from soccermaster.geometry import Camera, points_from_polylines, segments_from_polylines
from soccermaster.structures import Cameras, Keypoints, Lines

#: Size (W, H) that the parameters in camera files are for, and that of the real pictures.
CAMERA_FILE_SIZE = (960, 540)
#: The real files spell this class with a blank at its end.
SPELLED_WITH_BLANK = "Goal left post left"

_PICTURES_PER_PART = 100
_FOLDERS = ("calibration", "calibration-2023")


class SoccerNetCalibration(SequenceClips):
    """Pictures of SoccerNet-calibration as clips of one frame.

    A marking that is not annotated is absent. Cameras are given where `camera_NNNNN.json` lies
    beside a picture, which is so in synthetic data and for the predictions of others; the release
    has none. Of a view from behind a goal the markings are named as the evaluator does, unless
    `turn_names` is False.

    Args:
        root: folder that holds `calibration` or `calibration-2023`, or the splits.
        split: "train", "valid" or "test".
        num_frames: 1.
        image_size: (H, W) to decode to; None keeps the size of the files.
        turn_names: see `SequenceClips`.
        index: see `SequenceClips`.
    """

    name = "soccernet_calibration"
    version = "soccernet_calibration-3"
    download: ClassVar[Download | None] = Download(
        "Ask for access at https://huggingface.co/datasets/SoccerNet/SN-Calibration-2023 and log "
        "in with `hf auth login`.",
        task="calibration-2023",
        folder="calibration-2023",
    )
    names_are_unique = False  # every split counts from 00000
    provides = frozenset({"keypoints", "lines"})

    def __init__(
        self,
        root: Path | str,
        split: str,
        num_frames: int = 1,
        image_size: tuple[int, int] | None = None,
        *,
        turn_names: bool = True,
        index: Path | str | None = None,
    ) -> None:
        if num_frames != 1:
            raise ValueError(f"expected num_frames=1 of single pictures, got {num_frames}.")
        super().__init__(root, split, 1, image_size=image_size, turn_names=turn_names, index=index)

    @classmethod
    def parts(cls, root: Path | str, split: str | None = None) -> list[Part]:
        """See `IndexedClips.parts`: a hundred pictures each."""
        parent = _parent(Path(root).resolve())
        parts = []
        for name in SPLITS if split is None else (split,):
            hundreds: dict[int, list[Path]] = {}
            for file in _label_files(parent / name):
                hundreds.setdefault(int(file.stem) // _PICTURES_PER_PART, []).append(file)
            for hundred, files in sorted(hundreds.items()):
                extra = [f.with_suffix(".jpg") for f in files]
                extra += [camera for f in files if (camera := _camera_file(f)).is_file()]
                parts.append(Part(f"{name}/{hundred}", name, (*files, *extra)))
        if not parts:
            raise DatasetError.at(
                parent,
                expected=f"pictures with labels, such as {split or 'train'}/00001.json",
                got="none",
                fix="Name the folder that holds calibration, and one of its splits.",
            )
        return parts

    @classmethod
    def scan(cls, part: Part, root: Path, check_media: bool) -> Scan:
        """See `IndexedClips.scan`."""
        problems = Problems()
        rows, cameras = [SEQUENCE_SCHEMA.empty_table()], 0
        for file in (f for f in part.files if f.suffix == ".json" and f.stem.isdigit()):
            try:
                labels = read_picture_labels(file, problems)
            except DatasetError as error:
                problems.refuse(error, "unreadable_labels")
                continue
            if check_media:
                check_pictures(labels.image_paths, None, problems)
            cameras += labels.cameras is not None
            rows.append(row_from_labels(labels, part.split, root))
        facts = {"checked_media": check_media, "cameras": cameras}
        return Scan(pa.concat_tables(rows).combine_chunks(), problems, facts)

    @classmethod
    def own_folders(cls, root: Path) -> list[Path]:
        """See `IndexedClips.own_folders`."""
        return [_parent(root) / split for split in (*SPLITS, "challenge")]


def read_polylines(
    file: Path | str, problems: Problems | None = None
) -> dict[str, Float[np.ndarray, "n 2"]]:
    """Points in fractions of width and height, by class name without blanks at its ends.

    Args:
        file: `NNNNN.json`.
        problems: where to count what breaks the format, which is then left out; None raises an
            error for it.

    Raises:
        DatasetError: the file is missing, or breaks the format.
    """
    file = Path(file)
    path_inside(file.parent, file.name, file, "label file")
    labels = Record(load_json(file, "JSON points by marking"), file, "top level")
    return polylines_of(labels, problems)


def polylines_record(
    polylines_norm: Mapping[str, Float[np.ndarray, "n 2"]],
) -> dict[str, list[dict[str, float]]]:
    """Polylines as in the annotation files, with the blank that the official evaluator expects."""
    return {
        name + (" " if name == SPELLED_WITH_BLANK else ""): [
            {"x": float(x), "y": float(y)} for x, y in points
        ]
        for name, points in polylines_norm.items()
    }


def read_camera(file: Path | str, size: tuple[int, int] = CAMERA_FILE_SIZE) -> Camera:
    """The camera of a `camera_NNNNN.json` file; its lens distortion is left out.

    Args:
        file: as the official evaluator reads them; the parameters are for `CAMERA_FILE_SIZE`, and
            integers are pixel centres.
        size: (W, H) of the picture that the result is for.

    Raises:
        DatasetError: the file is missing, or breaks the format.
    """
    file = Path(file)
    path_inside(file.parent, file.name, file, "camera file")
    values = Record(load_json(file, "JSON parameters of a camera"), file, "top level")
    pan, tilt, roll = (values.number(f"{name}_degrees") for name in ("pan", "tilt", "roll"))
    (position_m,) = _row(values, "position_meters", 3)
    ((cx, cy),) = _row(values, "principal_point", 2)
    focal = [values.number(f"{axis}_focal_length") for axis in "xy"]
    if min(focal) <= 0:
        raise values.wrong("focal lengths above 0", focal)
    camera = Camera.from_pan_tilt_roll(
        pan, tilt, roll, focal[0], np.array(position_m), CAMERA_FILE_SIZE
    )
    K = np.array([[focal[0], 0, cx + 0.5], [0, focal[1], cy + 0.5], [0, 0, 1]])
    return Camera(K, camera.R, camera.position_m, CAMERA_FILE_SIZE).resize(size)


def read_picture_labels(file: Path, problems: Problems | None = None) -> SequenceLabels:
    """Everything about one picture; keypoints and line segments are derived here, once.

    Args:
        file: `NNNNN.json`.
        problems: see `read_polylines`.

    Raises:
        DatasetError: a file is missing, or breaks the format.
    """
    polylines = read_polylines(file, problems)
    picture = path_inside(file.parent, f"{file.stem}.jpg", file, "picture")
    height, width = size = _size_of(picture, file, problems)
    polylines_px = {name: points * (width, height) for name, points in polylines.items()}
    points = points_from_polylines(polylines_px, (width, height))
    segments_px, lines_known = segments_from_polylines(
        polylines_px, (width, height), points.keypoints_px
    )
    cameras = None
    if _camera_file(file).is_file():
        camera = read_camera(_camera_file(file), (width, height))
        cameras = Cameras(camera.K[None], camera.R[None], camera.position_m[None])
    return SequenceLabels(
        name=file.stem,
        fps=25.0,
        image_size=size,
        image_paths=(picture,),
        frame_numbers=np.array([1]),
        people_labeled=np.array([False]),
        athletes=None,
        keypoints=Keypoints(points.keypoints_px[None], points.keypoints_known[None]),
        lines=Lines(segments_px[None], lines_known[None]),
        turned=np.array([should_turn_names(polylines)]),
        behind_goal=np.array([is_side_by_convention(polylines)]),
        cameras=cameras,
    )


def _parent(root: Path) -> Path:
    return next((root / name for name in _FOLDERS if (root / name).is_dir()), root)


def _label_files(folder: Path) -> list[Path]:
    files = folder.glob("*.json") if folder.is_dir() else []
    return sorted(f for f in files if f.stem.isascii() and f.stem.isdigit() and len(f.stem) < 10)


def _camera_file(file: Path) -> Path:
    return file.with_name(f"camera_{file.name}")


def _row(values: Record, key: str, length: int) -> list[list[float]]:
    row = values.items(key)
    return Record({key: [row]}, values.file, values.where).matrix(key, (1, length))


def _size_of(picture: Path, file: Path, problems: Problems | None) -> tuple[int, int]:
    """(H, W) of the picture; without it, that of the real ones."""
    usual: tuple[int, int] = CAMERA_FILE_SIZE[::-1]
    if not picture.is_file():
        error: Any = DatasetError.at(
            file, expected=f"the picture {picture.name}", got="no such file", fix="Fetch it."
        )
        if problems is None:
            raise error
        problems.add("missing_frame", str(error), refused=True)
        return usual
    try:
        return image_size(picture)
    except VideoError as error:
        if problems is None:
            raise DatasetError(str(error)) from error
        return usual  # counted among the unreadable frames
