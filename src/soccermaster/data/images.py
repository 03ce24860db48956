"""How picture files are found, decoded (whole or at a fraction of their size) and resized.

JPEG goes through libjpeg-turbo, which can leave out the finest frequencies and so decode at 1/2,
1/4 or 1/8 of the size in less time; other pictures through Pillow.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import simplejpeg
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
    with path.open("rb") as file:
        return _size_of(file, path)


def encoded_size(data: bytes, name: Path | str) -> tuple[int, int]:
    """(H, W) of a picture in memory, from its header alone.

    Raises:
        VideoError: not a picture; `name` is for its message.
    """
    return _size_of(io.BytesIO(data), name)


def read_image(path: Path | str, size: tuple[int, int] | None = None) -> UInt8[np.ndarray, "H W 3"]:
    """A picture as RGB, resized to `size` (H, W) if it is given.

    Raises:
        VideoError: missing, not a picture, or cut short.
    """
    path = existing_file(path)
    frame = decode_image(path.read_bytes(), path, at_least=size)
    return frame if size is None else resize_image(frame, size)


def decode_image(
    data: bytes, name: Path | str, at_least: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """A picture from the bytes of its file, as RGB.

    Args:
        data: the file, a JPEG, PNG or another format that Pillow reads.
        name: for the error message.
        at_least: (h, w); a JPEG may come at the `reduction` of its size that this permits.

    Raises:
        VideoError: not a picture, or cut short.
    """
    try:
        if simplejpeg.is_jpeg(data):
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
            if colours in ("YCbCr", "Gray", "RGB"):
                factor = reduction((height, width), at_least)
                smallest = (height // factor, width // factor) if factor > 1 else (0, 0)
                return simplejpeg.decode_jpeg(
                    data, "RGB", min_height=smallest[0], min_width=smallest[1]
                )
        with Image.open(io.BytesIO(data)) as image:
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _bad_image(name, error) from error


def reduction(size: tuple[int, int], at_least: tuple[int, int] | None) -> int:
    """The largest of 1, 2, 4, 8 that divides `size` (H, W) and leaves `at_least` (h, w).

    A size that it divides stays exact: a pixel of the small picture covers whole large ones.
    """
    if at_least is None:
        return 1
    fits = (
        f
        for f in (8, 4, 2)
        if all(n % f == 0 and n // f >= least for n, least in zip(size, at_least, strict=True))
    )
    return next(fits, 1)


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


def write_png(path: Path, image: UInt8[np.ndarray, "H W 3"]) -> None:
    """Write an RGB picture that gets its name when it is complete.

    Raises:
        OSError: it could not be written.
    """
    done, encoded = cv2.imencode(".png", image[..., ::-1])
    if not done:
        raise OSError(f"{path}: expected to encode a picture, but could not")
    partial = path.with_name(f".{path.name}.writing")
    partial.write_bytes(encoded.tobytes())
    partial.replace(path)


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


def _size_of(file: BinaryIO, name: Path | str) -> tuple[int, int]:
    try:
        with Image.open(file) as image:
            return image.height, image.width
    except (OSError, Image.DecompressionBombError) as error:
        raise _bad_image(name, error) from error


def _natural_key(name: str) -> list[tuple[int, int, str]]:
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _bad_image(path: Path | str, reason: object) -> VideoError:
    return VideoError(
        f"{path}: expected a readable jpg or png, got one that does not decode ({reason}). "
        "Fetch it again."
    )
