"""Where the output of every stage is kept: complete or not at all, under the hash of its making.

    OUTPUT/records/CLIP/STAGE-HASH/stage.json
                                   detections.parquet ...

The hash covers the video, the frames, and the configuration, weights and version of the stage and
of all stages before it. So a rerun finds what is still right, a changed stage starts anew together
with those that follow it, and the results of two configurations lie side by side.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soccermaster.factory.records import Records, read_table, write_table

_DESCRIPTION = "stage.json"


@dataclass(frozen=True)
class StoredStage:
    """A finished stage of a clip.

    Attributes:
        folder: of its tables.
        rows: number of rows of each kind that it wrote.
    """

    folder: Path
    rows: dict[str, int]

    def load(self) -> dict[str, Any]:
        """The tables by kind."""
        return {kind: read_table(self.folder / f"{kind}.parquet", kind) for kind in self.rows}


class ClipStore:
    """The finished stages of one clip.

    Args:
        folder: of the clip; made when the first stage is finished.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def find(self, label: str, key: str) -> StoredStage | None:
        """A finished stage, or None. What was cut short or damaged does not count.

        Args:
            label: name of the stage in its chain.
            key: see `chain_keys`.
        """
        folder = self._folder(label, key)
        try:
            description = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        if description["key"] != key:
            return None
        for kind, num_bytes in description["bytes"].items():
            path = folder / f"{kind}.parquet"
            if not path.is_file() or path.stat().st_size != num_bytes:
                return None
        return StoredStage(folder, description["rows"])

    def write(
        self,
        label: str,
        key: str,
        records: Records,
        kinds: Sequence[str],
        description: dict[str, Any],
    ) -> StoredStage:
        """Keep some tables as the output of a stage; there is nothing to see until all is written.

        Args:
            label: name of the stage in its chain.
            key: see `chain_keys`.
            records: with the tables.
            kinds: which of them the stage made.
            description: what else to say in `stage.json`.
        """
        folder = self._folder(label, key)
        partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        rows = {kind: records[kind].num_rows for kind in sorted(kinds)}
        for kind in rows:
            write_table(partial / f"{kind}.parquet", records[kind])
        num_bytes = {kind: (partial / f"{kind}.parquet").stat().st_size for kind in rows}
        description = {**description, "key": key, "rows": rows, "bytes": num_bytes}
        text = json.dumps(description, indent=1, sort_keys=True)
        (partial / _DESCRIPTION).write_text(text, encoding="utf-8")
        move_into_place(partial, folder)
        return StoredStage(folder, rows)

    def _folder(self, label: str, key: str) -> Path:
        return self.folder / f"{label}-{key[:8]}"


def discard_partial(output: Path) -> None:
    """Remove what a killed run left half written anywhere in an output."""
    for depth in ("", "*/", "*/*/"):
        for partial in output.glob(f"{depth}.*.partial"):
            if partial.is_dir():
                shutil.rmtree(partial)
            else:
                partial.unlink()


def chain_keys(fingerprint: str, hashes: Sequence[str]) -> list[str]:
    """A key for each stage of a chain, which changes with everything that comes before it.

    Args:
        fingerprint: of the clip, see `fingerprint_of`.
        hashes: of the stages' configurations, in order.
    """
    keys, key = [], fingerprint
    for value in hashes:
        key = hashlib.sha256(f"{key}/{value}".encode()).hexdigest()
        keys.append(key)
    return keys


def fingerprint_of(path: Path | str, frames: range | None = None) -> str:
    """Changes when the file, or one of the files of the folder, or the range of frames does."""
    path = Path(path).resolve()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    parts = [f"{p.name}:{p.stat().st_size}:{p.stat().st_mtime_ns}" for p in files]
    parts.append(f"{path}:{frames}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def move_into_place(partial: Path, target: Path) -> None:
    """Give a complete folder or file its name; what had the name before is replaced."""
    for path in [partial] if partial.is_file() else [*partial.rglob("*"), partial]:
        _sync(path)
    if target.is_dir():
        old = target.with_name(f".{target.name}.{os.getpid()}.old.partial")
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        partial.rename(target)
        shutil.rmtree(old)
    else:
        partial.rename(target)
    _sync(target.parent)


def write_text(path: Path, text: str) -> None:
    """Write a file that gets its name when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    move_into_place(partial, path)


def link(source: Path, target: Path) -> None:
    """A hard link, or a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def write_json(path: Path, content: Any) -> None:
    """`write_text` of JSON."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
