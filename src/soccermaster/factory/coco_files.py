"""Pictures with boxes in the layout of COCO, as the factory exports them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from soccermaster.data.errors import DatasetError
from soccermaster.data.images import read_image

_FIX = "Give a folder that scripts/build_dataset.py wrote, or another one in the layout of COCO."


@dataclass(frozen=True)
class CocoPicture:
    """One picture and what is in it; M boxes."""

    path: Path
    size: tuple[int, int]  # (H, W)
    boxes_ltwh_px: Float[np.ndarray, "M 4"]
    classes: Int[np.ndarray, " M"]  # index in the names of the file

    def read(self) -> UInt8[np.ndarray, "H W 3"]:
        """The picture, RGB.

        Raises:
            DatasetError: it is not of the size that the file says.
        """
        picture = read_image(self.path)
        if picture.shape[:2] != self.size:
            raise DatasetError.at(
                self.path, expected=f"a picture of (H, W) = {self.size}",
                got=f"{picture.shape[:2]}", fix="Write the export again.",
            )  # fmt: skip
        return picture


@dataclass(frozen=True)
class CocoFile:
    """Pictures in the order of the file, and the names of the classes."""

    names: tuple[str, ...]
    pictures: tuple[CocoPicture, ...]


def read_coco(path: Path | str, root: Path | str) -> CocoFile:
    """An annotation file.

    Crowds and boxes without an area are left out.

    Args:
        path: of the JSON file.
        root: what its picture names begin from.

    Raises:
        DatasetError: it is missing or not in the layout of COCO.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError.at(path, expected="a COCO file", got=str(error), fix=_FIX) from error
    try:
        return _convert(content, Path(root))
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError.at(
            path, expected="images, annotations and categories as in COCO", got=repr(error),
            fix=_FIX,
        ) from error  # fmt: skip


def _convert(content: dict[str, Any], root: Path) -> CocoFile:
    categories = sorted(content["categories"], key=lambda category: category["id"])
    place = {category["id"]: index for index, category in enumerate(categories)}
    found: dict[int, list[tuple[list[float], int]]] = {i["id"]: [] for i in content["images"]}
    for annotation in content["annotations"]:
        box = [float(value) for value in annotation["bbox"]]
        if not annotation.get("iscrowd", 0) and min(box[2:]) > 0:
            found[annotation["image_id"]].append((box, place[annotation["category_id"]]))
    pictures = [
        CocoPicture(
            path=root / image["file_name"],
            size=(int(image["height"]), int(image["width"])),
            boxes_ltwh_px=np.array([b for b, _ in found[image["id"]]], np.float64).reshape(-1, 4),
            classes=np.array([c for _, c in found[image["id"]]], np.int64),
        )
        for image in content["images"]
    ]
    return CocoFile(tuple(str(category["name"]) for category in categories), tuple(pictures))
