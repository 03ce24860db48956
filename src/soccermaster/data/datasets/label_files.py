"""How label files are read: JSON and the values in it, checked, and paths that stay inside.

Label files come from elsewhere: they may be cut short, hold a string where a number belongs, NaN
or numbers without bound, or name files outside of the dataset. All of that ends in a `DatasetError`
that names the file and the record.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path, PurePosixPath
from typing import Any

from soccermaster.data.datasets.base import DatasetError

#: Coordinates, times and ids beyond this are mistakes.
LARGEST = 1e9
# The longest file name that common file systems take.
_LONGEST_NAME_BYTES = 255


def load_json(file: Path, expected: str, missing: str = "Fetch it again.") -> Any:
    """The content of a JSON file.

    Args:
        file: the file.
        expected: what it should hold, for messages.
        missing: what to do when it is not there.

    Raises:
        DatasetError: no such file, or not JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DatasetError.at(file, expected=expected, got="no such file", fix=missing) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError.at(
            file,
            expected=expected,
            got=f"something else ({_short(error)})",
            fix="Fetch it again.",
        ) from error


def load_json_list(file: Path, expected: str) -> list[Any]:
    """The content of a JSON file that holds a list.

    Raises:
        DatasetError: see `load_json`; or something else than a list.
    """
    entries = load_json(file, expected)
    if not isinstance(entries, list):
        raise DatasetError.at(
            file, expected=expected, got=f"a {type(entries).__name__}", fix="Name another file."
        )
    return entries


class Record:
    """A JSON object whose values are checked as they are taken.

    Args:
        value: what the file has.
        file: the file, for messages.
        where: the place in it, such as "record 12".
        fix: what to do about wrong values.

    Raises:
        DatasetError: `value` is no object.
    """

    def __init__(
        self, value: Any, file: Path, where: str, fix: str = "Correct or remove it."
    ) -> None:
        self.file, self.where, self.fix = file, where, fix
        if not isinstance(value, dict):
            raise self.wrong("an object", value)
        self.value: dict[str, Any] = value

    def wrong(self, expected: str, got: Any, fix: str | None = None) -> DatasetError:
        """The error for a value that is not as expected."""
        return DatasetError.at(
            self.file, record=self.where, expected=expected, got=_short(got), fix=fix or self.fix
        )

    def take(self, key: str, kind: type | tuple[type, ...], name: str) -> Any:
        """The value of a key.

        Raises:
            DatasetError: it is missing, or not of the kind, which messages call `name`.
        """
        if key not in self.value:
            raise DatasetError.at(
                self.file,
                record=self.where,
                expected=f"'{key}' ({name})",
                got="no such key",
                fix=self.fix,
            )
        value = self.value[key]
        if not isinstance(value, kind):
            raise self.wrong(f"{name} as '{key}'", value)
        return value

    def text(self, key: str) -> str:
        """The value of a key, a string."""
        return self.take(key, str, "a string")

    def items(self, key: str) -> list[Any]:
        """The value of a key, a list."""
        return self.take(key, list, "a list")

    def object(self, key: str) -> Record:
        """The value of a key, an object."""
        return Record(self.take(key, dict, "an object"), self.file, self.where, self.fix)

    def number(self, key: str) -> float:
        """The value of a key: a number, also as a string, finite and below `LARGEST` in size."""
        value = self.take(key, (int, float, str), "a number")
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if not abs(number) < LARGEST:  # False for NaN
            raise self.wrong(f"a number below {LARGEST:.0e} as '{key}'", value)
        return number

    def integer(self, key: str) -> int:
        """The value of a key: a whole number, also as a string or a float."""
        number = self.number(key)
        if number != int(number):
            raise self.wrong(f"a whole number as '{key}'", self.value[key])
        return int(number)

    def matrix(self, key: str, shape: tuple[int, int]) -> list[list[float]]:
        """The value of a key: rows of numbers."""
        rows = self.items(key)
        columns = [str(i) for i in range(shape[1])]
        if len(rows) != shape[0] or any(
            not isinstance(r, list) or len(r) != len(columns) for r in rows
        ):
            raise self.wrong(f"{shape[0]}x{shape[1]} numbers as '{key}'", rows)
        checked = [
            Record(dict(zip(columns, row, strict=True)), self.file, f"{self.where}, '{key}'")
            for row in rows
        ]
        return [[row.number(column) for column in columns] for row in checked]


def path_inside(folder: Path, name: str, file: Path, where: str) -> Path:
    """`folder / name` for a name out of a label file.

    Links that a person set up above `folder` are followed; below it none may lead out.

    Raises:
        DatasetError: the name is no relative path below the folder, or a link leads out of it.
    """

    def refuse(got: str) -> DatasetError:
        return DatasetError.at(
            file,
            record=where,
            expected=f"the name of a file below the folder {folder}",
            got=got,
            fix="Correct or remove the record, or put the file itself in the place of the link.",
        )

    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise refuse(_short(name))
    try:
        if max(len(os.fsencode(part)) for part in path.parts) > _LONGEST_NAME_BYTES:
            raise refuse(f"a name that is too long, {_short(name)}")
    except UnicodeEncodeError as error:
        raise refuse(_short(name)) from error
    try:
        inside = (folder / path).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:  # links in a circle
        raise refuse(_short(error)) from error
    if not inside:
        raise refuse(f"{name}, a link that leads out of it")
    return folder / path


def _short(value: Any) -> str:
    """What was found, in a few words; a number may have millions of digits."""
    if isinstance(value, Exception):
        return str(value)[:120]
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} too large to show"
    return text if len(text) <= 60 else f"{text[:57]}..."
