"""Fetching a dataset with the SoccerNet package, and what to do where a licence must be signed."""

from __future__ import annotations

import getpass
import os
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PASSWORD_VARIABLE = "SOCCERNET_PASSWORD"


class DownloadError(ValueError):
    """The files of a dataset could not be fetched."""


@dataclass(frozen=True)
class Download:
    """Where the files of a dataset come from.

    Attributes:
        advice: what a person does to get what is not public.
        task: what the SoccerNet package calls the data; None if it does not have them.
        folder: below the root; the archives of the splits are unpacked there.
        splits: to fetch.
    """

    advice: str
    task: str | None = None
    folder: str = ""
    splits: Sequence[str] = ("train", "valid", "test")


def download(name: str, what: Download | None, root: Path, downloader: Any = None) -> list[Path]:
    """Fetches the archives of a dataset and unpacks them.

    A password is taken from $SOCCERNET_PASSWORD, or asked for on a terminal; public data need none.

    Args:
        name: of the dataset, for messages.
        what: to fetch.
        root: of the dataset.
        downloader: a `SoccerNet.Downloader.SoccerNetDownloader`; None makes one.

    Returns:
        The folders of the splits.

    Raises:
        DownloadError: the package does not have the data, is not installed, or gives no access.
    """
    if what is None or what.task is None:
        advice = what.advice if what else "Nobody offers it for download by a program."
        raise DownloadError(f"{name} cannot be fetched by the SoccerNet package. {advice}")
    downloader = downloader or _downloader(root)
    password = _password()
    options = {"password": password} if password else {}
    if password:
        downloader.password = password
    try:
        downloader.downloadDataTask(task=what.task, split=list(what.splits), **options)
    except OSError as error:  # no access, no network
        raise DownloadError(f"{name}: {error} {what.advice}") from error
    archives = [(s, root / what.task / f"{s}.zip") for s in what.splits]
    found = [(split, archive) for split, archive in archives if archive.is_file()]
    if not found:
        raise DownloadError(
            f"{name}: expected archives such as {archives[0][1]} from the SoccerNet package, got "
            f"none. {what.advice}"
        )
    return [unpack(archive, root / what.folder / split) for split, archive in found]


def unpack(archive: Path, folder: Path) -> Path:
    """Unpacks the archive of a split, whether or not its paths begin with the name of the split.

    Names that would lead out of the folder are refused.

    Raises:
        DownloadError: a damaged archive, or one with such names.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            names = file.namelist()
            wrong = [n for n in names if n.startswith("/") or ".." in n.split("/")]
            if wrong:
                raise DownloadError(
                    f"{archive}: expected names below the folder of the split, got {wrong[0]!r}. "
                    "Do not use this archive."
                )
            has_split = all(name.startswith(f"{folder.name}/") for name in names)
            file.extractall(folder.parent if has_split else folder)
    except (zipfile.BadZipFile, OSError) as error:
        raise DownloadError(
            f"{archive}: expected a zip archive, got {error}. Delete and fetch it again."
        ) from error
    return folder


def _downloader(root: Path) -> Any:
    try:
        from SoccerNet.Downloader import SoccerNetDownloader
    except ImportError as error:
        raise DownloadError(
            f"expected the package SoccerNet, got {error}. Install it: pip install "
            "'soccermaster[eval]'"
        ) from error
    return SoccerNetDownloader(LocalDirectory=str(root))


def _password() -> str | None:
    given = os.environ.get(PASSWORD_VARIABLE)
    if given is None and sys.stdin.isatty():
        given = getpass.getpass("Your SoccerNet password (empty for public data): ")
    return given or None
