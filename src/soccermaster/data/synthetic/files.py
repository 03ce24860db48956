"""What all writers of synthetic files share: seeds by name, pictures, JSON, no overwriting."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8


def refuse_existing(paths: Iterable[Path], overwrite: bool) -> None:
    """Stop before anything is written over something.

    Raises:
        FileExistsError: one of the paths is there and `overwrite` is False.
    """
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        raise FileExistsError(
            f"{existing[0]}: expected nothing there, got {len(existing)} of the results already. "
            "Pass overwrite=True, or name another folder."
        )


def derived_seed(seed: int, *names: str) -> int:
    """A seed of its own for each thing, the same in every run."""
    return int(
        np.random.SeedSequence([seed, zlib.crc32("/".join(names).encode())]).generate_state(1)[0]
    )


def write_image(path: Path, frame: UInt8[np.ndarray, "H W 3"]) -> None:
    """Write an RGB frame.

    Raises:
        OSError: the picture could not be written.
    """
    if not cv2.imwrite(str(path), frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95]):
        raise OSError(f"{path}: expected to write a picture there, but could not. Check the disk.")


def write_json(path: Path, content: Any) -> None:
    """Write a file that gets its name when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    partial.replace(path)
