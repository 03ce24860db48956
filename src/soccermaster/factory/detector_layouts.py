"""Pictures with boxes in the layouts that detectors learn from: COCO and YOLO.

Every so many frames one of a clip is a picture, with the people whose role is known. A data set may
be larger than memory: YOLO's files are written clip by clip, and COCO's picture by picture.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from soccermaster.factory.store import link, move_into_place, write_text
from soccermaster.vocabulary import ROLES

SPLITS = ("train", "valid")


def pictures_of(
    labels: Mapping[str, Mapping[str, Any]], every: int
) -> Iterator[tuple[int, list[Mapping[str, Any]]]]:
    """The frames of a clip that become pictures: 1-based number, and people with a role.

    Args:
        labels: of all frames, see `export.factory_labels`.
        every: frames from one picture to the next.
    """
    for key, frame in labels.items():
        if (int(key) - 1) % every == 0:
            yield int(key), [person for person in frame["people"] if person["role"] is not None]


class CocoWriter:
    """A file in the layout of COCO that gets its name when the `with` block ends without an error.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._counts = {"images": 0, "annotations": 0}
        self._parts: dict[str, TextIO] = {}

    def __enter__(self) -> CocoWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._open = ExitStack()
        for kind in self._counts:
            part = self._partial(kind).open("w", encoding="utf-8")
            self._parts[kind] = self._open.enter_context(part)
        return self

    def add(self, name: str, size: tuple[int, int], people: list[Mapping[str, Any]]) -> None:
        """A picture.

        Args:
            name: of the file, from the folder of the data set on.
            size: (W, H) in pixels.
            people: with role and `bbox_ltwh`.
        """
        width, height = size
        image_id = self._add("images", {"file_name": name, "width": width, "height": height})
        for person in people:
            x, y, w, h = person["bbox_ltwh"]
            self._add(
                "annotations",
                {
                    "image_id": image_id,
                    "category_id": ROLES.index(person["role"]),
                    "bbox": [x, y, w, h],
                    "area": round(w * h, 3),
                    "iscrowd": 0,
                },
            )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()
        if error is None:
            whole = self._partial("whole")
            with whole.open("w", encoding="utf-8") as file:
                for part in self._counts:
                    file.write("{" if part == "images" else ",\n")
                    file.write(f'"{part}": [')
                    with self._partial(part).open(encoding="utf-8") as lines:
                        shutil.copyfileobj(lines, file)
                    file.write("\n]")
                categories = [{"id": index, "name": role} for index, role in enumerate(ROLES)]
                file.write(f',\n"categories": {json.dumps(categories)}}}\n')
            move_into_place(whole, self.path)
        for part in self._counts:
            self._partial(part).unlink()

    def _add(self, kind: str, entry: dict[str, Any]) -> int:
        self._counts[kind] += 1
        comma = "," if self._counts[kind] > 1 else ""
        numbered = {"id": self._counts[kind], **entry}
        self._parts[kind].write(f"{comma}\n{json.dumps(numbered, allow_nan=False)}")
        return numbered["id"]

    def _partial(self, kind: str) -> Path:
        return self.path.with_name(f".{self.path.name}.{kind}.{os.getpid()}.partial")


def write_yolo_clip(
    folder: Path,
    split: str,
    name: str,
    labels: Mapping[str, Mapping[str, Any]],
    frames: Path,
    size: tuple[int, int],
    every: int,
) -> list[Path]:
    """Write the pictures of a clip; those of an earlier call are replaced.

    Args:
        folder: of the layout.
        split: one of `SPLITS`.
        name: of the clip.
        labels: of all frames.
        frames: folder of the frames, which are linked.
        size: (W, H) of them.
        every: frames from one picture to the next.

    Returns:
        The files with labels.
    """
    remove_yolo_clip(folder, name, len(labels))
    width, height = size
    for kind in ("images", "labels"):
        (folder / kind / split).mkdir(parents=True, exist_ok=True)
    written = []
    for number, people in pictures_of(labels, every):
        stem = f"{name}_{number:06d}"
        link(frames / f"{number:06d}.jpg", folder / "images" / split / f"{stem}.jpg")
        lines = []
        for person in people:
            x, y, w, h = person["bbox_ltwh"]
            centre = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
            values = " ".join(f"{value:.6f}" for value in centre)
            lines.append(f"{ROLES.index(person['role'])} {values}\n")
        written.append(folder / "labels" / split / f"{stem}.txt")
        written[-1].write_text("".join(lines), encoding="utf-8")
    return written


def remove_yolo_clip(folder: Path, name: str, num_frames: int) -> None:
    """Remove the pictures of a clip from all splits."""
    for split in SPLITS:
        for number in range(1, num_frames + 1):
            stem = f"{name}_{number:06d}"
            (folder / "images" / split / f"{stem}.jpg").unlink(missing_ok=True)
            (folder / "labels" / split / f"{stem}.txt").unlink(missing_ok=True)


def remove_yolo_clips(folder: Path, names: Collection[str]) -> None:
    """Remove the pictures of clips whose length is not known."""
    names = set(names)
    for path in folder.glob("*/*/*"):
        if path.stem.rpartition("_")[0] in names:
            path.unlink()


def write_yolo_description(folder: Path) -> None:
    """Write `data.yaml`: it names no folder, so that the one in which it lies counts."""
    for kind in ("images", "labels"):
        for split in SPLITS:
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
    lines = [
        *(f"{key}: images/{split}" for key, split in zip(("train", "val"), SPLITS, strict=True))
    ]
    lines += ["names:", *(f"  {index}: {role}" for index, role in enumerate(ROLES))]
    write_text(folder / "data.yaml", "\n".join(lines) + "\n")
