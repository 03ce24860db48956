"""Folders and zip files of JSON records, one per image, by the name of the image."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from soccermaster.data.datasets import DatasetError

#: No record of one image is larger; a zip file can claim to hold anything.
MAX_BYTES = 16 * 2**20


def read_records(path: Path | str) -> dict[str, Any]:
    """The content of every JSON file, by its name without folder and ending.

    A zip file is read in memory, nothing is unpacked. Hidden files are passed over.

    Raises:
        DatasetError: there is no such folder or zip file, it holds no JSON file, two files have one
            name, one is damaged or too large, or a name leads out of the zip file.
    """
    path = Path(path)
    records: dict[str, Any] = {}
    for name, text in _texts(path):
        stem = PurePosixPath(name).stem
        if stem in records:
            raise DatasetError.at(
                path, record=name, expected="one file per image", got=f"a second {stem}.json",
                fix="Give the folder of one data set and one split.",
            )  # fmt: skip
        try:
            records[stem] = json.loads(text)
        except ValueError as error:
            raise DatasetError.at(
                path, record=name, expected="JSON", got=str(error), fix="Write the file again."
            ) from error
    if not records:
        raise DatasetError.at(
            path, expected="JSON files, one per image", got="none", fix="Check the path."
        )
    return records


def _texts(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in sorted(path.rglob("*.json")):
            if not any(part.startswith(".") for part in file.relative_to(path).parts):
                _check_size(path, file.name, file.stat().st_size)
                yield file.relative_to(path).as_posix(), file.read_bytes()
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for member in sorted(archive.infolist(), key=lambda m: m.filename):
                parts = PurePosixPath(member.filename.replace("\\", "/")).parts
                if ".." in parts or member.filename.startswith(("/", "\\")):
                    raise DatasetError.at(
                        path, record=member.filename, expected="names inside of the zip file",
                        got="one that leads out of it", fix="Do not trust this file.",
                    )  # fmt: skip
                hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
                if member.is_dir() or hidden or not member.filename.endswith(".json"):
                    continue
                _check_size(path, member.filename, member.file_size)
                try:
                    yield member.filename, archive.read(member)
                except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
                    raise DatasetError.at(
                        path, record=member.filename, expected="a readable member",
                        got=str(error), fix="Pack the zip file again, without a password.",
                    ) from error  # fmt: skip
    else:
        got = "another kind of file" if path.exists() else "nothing there"
        raise DatasetError.at(
            path, expected="a folder or a zip file of JSON files", got=got, fix="Check the path."
        )


def _check_size(path: Path, name: str, size: int) -> None:
    if size > MAX_BYTES:
        raise DatasetError.at(
            path, record=name, expected=f"at most {MAX_BYTES} bytes per image", got=f"{size}",
            fix="This is no record of a single image.",
        )  # fmt: skip
