"""How picture files are found, read and resized."""

from __future__ import annotations

import os
import re
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

IMAGE_SUFFIXES: tuple[str, ...] = (".jpg", ".jpeg", ".png")


class VideoError(ValueError):
    """A video or a picture is missing or damaged, or has no such frame."""


def image_paths(folder: Path | str) -> list[Path]:
    """The jpg and png files of a folder in natural order: 2.jpg comes before 10.jpg.

    Raises:
        VideoError: no such folder, or no picture in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise VideoError(f"{folder}: expected a folder of pictures, got nothing. Check the path.")
    names = (entry.name for entry in os.scandir(folder))
    names = [n for n in names if n.lower().endswith(IMAGE_SUFFIXES) and not n.startswith(".")]
    if not names:
        raise VideoError(
            f"{folder}: expected {', '.join(IMAGE_SUFFIXES)} files, got none. "
            "Name the folder that holds the frames."
        )
    return [folder / name for name in sorted(names, key=_natural_key)]


def image_size(path: Path | str) -> tuple[int, int]:
    """(H, W) of a picture, from its header alone.

    Raises:
        VideoError: missing or not a picture.
    """
    path = existing_file(path)
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except OSError as error:
        raise _bad_image(path, error) from error


def read_image(path: Path | str, size: tuple[int, int] | None = None) -> UInt8[np.ndarray, "H W 3"]:
    """A picture as RGB, resized to `size` (H, W) if it is given.

    Raises:
        VideoError: missing, not a picture, or cut short.
    """
    path = existing_file(path)
    try:
        with Image.open(path) as image:
            if size is not None:
                # A JPEG decodes at 1/2, 1/4 or 1/8 of its size in a fraction of the time.
                image.draft("RGB", (size[1], size[0]))
            frame = np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise _bad_image(path, error) from error
    return frame if size is None else resize_image(frame, size)


def resize_image(
    image: UInt8[np.ndarray, "H W 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    """An image at `size` (H, W); it averages over areas when it shrinks."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method)


def existing_file(path: Path | str) -> Path:
    """The path, if a file is there.

    Raises:
        VideoError: nothing there, or a folder.
    """
    path = Path(path)
    if not path.is_file():
        got = "a folder" if path.is_dir() else "nothing there"
        raise VideoError(f"{path}: expected a file, got {got}. Check the path.")
    return path


def _natural_key(name: str) -> list[tuple[int, int, str]]:
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _bad_image(path: Path, reason: object) -> VideoError:
    return VideoError(
        f"{path}: expected a readable jpg or png, got one that does not decode ({reason}). "
        "Fetch it again."
    )
