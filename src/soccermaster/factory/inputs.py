"""What the factory is pointed at: a video, a folder, or a list of them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from soccermaster.data.images import IMAGE_SUFFIXES

VIDEO_SUFFIXES: tuple[str, ...] = (".mp4", ".mkv", ".avi", ".mov", ".webm", ".ts", ".m4v", ".mpg")
LIST_SUFFIXES: tuple[str, ...] = (".txt", ".lst")

#: Folders with pictures that a run writes into its output.
EXPORTED_FOLDERS: tuple[str, ...] = ("sn500", "SoccerNetGS", "yolo")


class InputError(ValueError):
    """There is nothing to work on."""


@dataclass(frozen=True)
class Video:
    """A video, or a folder of pictures.

    Attributes:
        name: unique among the videos of a run, fit for a file name.
        path: file or folder.
    """

    name: str
    path: Path


def find_videos(given: Path | str, output: Path | str | None = None) -> list[Video]:
    """The videos that an input names, in order.

    Args:
        given: a video; a picture; a folder of pictures (or one with `img1/`); a folder in which
            videos and such folders lie at any depth; a text file with one path per line, relative
            to the file, `#` after a blank or at the start beginning a comment.
        output: folder of the data set: what an earlier run wrote into it is no input, if it lies
            in the folder that is given.

    Raises:
        InputError: nothing is there, or a video twice. A single entry of a list that is missing is
            found later, when it is opened, and does not stop the others.
    """
    given = Path(given)
    if given.is_file() and given.suffix.lower() in LIST_SUFFIXES:
        lines = given.read_text("utf-8").splitlines()
        paths = [path for line in lines if (path := _listed(line, given.parent)) is not None]
        expected = "one path per line"
    elif given.is_dir() and not _is_sequence(given):
        paths = sorted(
            path
            for path in given.rglob("*")
            if not any(part.startswith(".") for part in path.relative_to(given).parts)
            and ((path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()) or _is_sequence(path))
            and path.name != "img1"
            and not _was_written(path, given, output)
        )
        expected = f"files ending in {', '.join(VIDEO_SUFFIXES)}, or folders of pictures"
    else:
        paths = [given] if given.exists() else []
        expected = "a video, a folder or a list of videos"
    if not paths:
        raise InputError(f"{given}: expected {expected}, got none. Check input=...")
    places: dict[Path, Path] = {}
    for path in paths:
        if (first := places.setdefault(path.resolve(), path)) is not path:
            raise InputError(
                f"{given}: expected every video once, got {path} twice (also as {first}). "
                "Name it once: two jobs would write the same files."
            )
    return [Video(name, path) for name, path in zip(_names(paths), paths, strict=True)]


def _listed(line: str, folder: Path) -> Path | None:
    """The path in a line of a list; a name with ` #` in it counts where there is such a file."""
    line = line.strip()
    if line and not (folder / line).exists():
        line = re.split(r"(?:^|\s)#", line)[0].strip()
    return folder / line if line else None


def _was_written(path: Path, given: Path, output: Path | str | None) -> bool:
    if output is None:
        return False
    own = [Path(output).resolve() / name for name in EXPORTED_FOLDERS]
    return any(
        path.resolve().is_relative_to(folder) and not given.resolve().is_relative_to(folder)
        for folder in own
    )


def _is_sequence(path: Path) -> bool:
    if not path.is_dir():
        return False
    folder = path / "img1" if (path / "img1").is_dir() else path
    return any(p.suffix.lower() in IMAGE_SUFFIXES for p in folder.iterdir())


def _names(paths: list[Path]) -> list[str]:
    """The stems; with the beginning of a hash of the path where two are the same."""
    stems = [re.sub(r"[^\w.-]+", "_", path.stem if path.is_file() else path.name) for path in paths]
    names = []
    for stem, path in zip(stems, paths, strict=True):
        if stems.count(stem) > 1:
            stem += "_" + hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
        names.append(stem)
    return names
