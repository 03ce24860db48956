"""The index of a dataset: one Parquet file that training opens in the place of all label files.

A dataset falls into parts that can be read by themselves: a sequence, a slice of a clip list, a
hundred pictures. Each part is a row group; its files with their sizes and times, and what was wrong
with them, are in the metadata of the Parquet file. So a start-up opens the file memory-mapped,
compares times, and reads the columns that it needs; a changed part alone is scanned again.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from soccermaster.data.errors import DatasetError, some
from soccermaster.data.indexing.problems import Problems
from soccermaster.ops.cache_folder import cache_folder

#: Path, size in bytes (-1 of a folder, -2 of nothing) and time of change of a file.
Stamp = tuple[str, int, int]

_METADATA_KEY = b"soccermaster"
# So few parts are read before worker processes have started.
_PARTS_WORTH_A_POOL = 4


@dataclass(frozen=True)
class Part:
    """A piece of a dataset that is read at once.

    Attributes:
        key: unique in the dataset, such as "train/SNGS-060".
        split: "train", "valid" or "test".
        files: what the rows are read from.
    """

    key: str
    split: str
    files: tuple[Path, ...]


@dataclass
class Scan:
    """What reading a part gave.

    Attributes:
        rows: one per clip.
        problems: what is wrong with them.
        facts: counts that the rows do not tell, in plain values.
        depends_on: files and folders, besides those of the part, that the rows depend on.
    """

    rows: pa.Table
    problems: Problems
    facts: dict[str, Any] = field(default_factory=dict)
    depends_on: tuple[Path, ...] = ()


@dataclass(frozen=True)
class IndexedPart:
    """A part as the index knows it."""

    key: str
    split: str
    stamps: tuple[Stamp, ...]
    num_rows: int
    row_group: int | None  # None without rows
    problems: Problems
    facts: dict[str, Any]

    def is_current(self, part: Part) -> bool:
        """Whether no file has changed since."""
        known = {path for path, _, _ in self.stamps}
        return {str(file) for file in part.files} <= known and all(
            stamp(path) == (path, size, time_ns) for path, size, time_ns in self.stamps
        )


class Index:
    """An index file, opened memory-mapped. It can be sent to other processes.

    Args:
        path: of the Parquet file.
        version: of the scan; an index that another version made is refused.

    Raises:
        DatasetError: no such file, or not an index of this version.
    """

    def __init__(self, path: Path | str, version: str) -> None:
        self.path = Path(path)
        self._file: pq.ParquetFile | None = None
        content = _read_metadata(self.path)
        if content.get("version") != version:
            raise DatasetError.at(
                self.path,
                expected=f"an index of version {version}",
                got=repr(content.get("version")),
                fix="Build it again with scripts/prepare_data.py.",
            )
        self.parts = tuple(_part_from_json(values) for values in content["parts"])

    def split(self, split: str) -> list[IndexedPart]:
        """The parts of a split, in order."""
        return [part for part in self.parts if part.split == split]

    def read(self, parts: Sequence[IndexedPart], columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of some parts, with some columns or all."""
        groups = [part.row_group for part in parts if part.row_group is not None]
        if not groups:
            return self._open().schema_arrow.empty_table()
        return self._open().read_row_groups(groups, columns=columns, use_threads=False)

    def _open(self) -> pq.ParquetFile:
        if self._file is None:
            self._file = pq.ParquetFile(self.path, memory_map=True)
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None}


def index_path(name: str, root: Path | str, output: Path | str | None = None) -> Path:
    """The index file of the dataset `name` at `root`, in `output` or else in the cache folder."""
    place = hashlib.sha1(os.fsencode(Path(root).resolve())).hexdigest()[:12]
    return Path(output or cache_folder()) / f"{name}-{place}.parquet"


def is_index_of(path: Path, version: str) -> bool:
    """Whether there is an index that this version of the scan made.

    Raises:
        DatasetError: something else is there.
    """
    return path.is_file() and _read_metadata(path).get("version") == version


def build_index(
    path: Path,
    parts: Sequence[Part],
    scan: Callable[[Part], Scan],
    schema: pa.Schema,
    version: str,
    *,
    keep: Callable[[IndexedPart], bool] = lambda part: False,
    is_enough: Callable[[IndexedPart], bool] = lambda part: True,
    workers: int | None = None,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, total: items,
) -> Index:
    """Writes an index of `parts`, scanning those that it does not know or that have changed.

    Every scanned part is put aside at once, so that an interrupted run goes on where it was.

    Args:
        path: of the index; what is there is replaced when all is done.
        parts: of the dataset.
        scan: reads a part; it must pickle.
        schema: of the rows.
        version: of the scan.
        keep: which parts of an earlier index stay, though they are not among `parts`.
        is_enough: which parts of an earlier index need no new scan, if their files are the same.
        workers: processes; None takes one per core.
        progress: goes around the loop over the parts to scan, with their number.

    Returns:
        The index; what was wrong with the data is in its parts.
    """
    with only_one_process(path):
        return _build(path, parts, scan, schema, version, keep, is_enough, workers, progress)


def stale_parts(index: Index, parts: Sequence[Part], split: str | None = None) -> list[str]:
    """Keys of the parts that are new, changed or gone since the index was made.

    Args:
        index: the index.
        parts: what is there now.
        split: compare the parts of this split alone.
    """
    known = {part.key: part for part in index.parts if split in (None, part.split)}
    changed = [
        part.key for part in parts if part.key not in known or not known[part.key].is_current(part)
    ]
    return changed + sorted(set(known) - {part.key for part in parts})


def stamp(path: Path | str) -> Stamp:
    """Size and time of change of a file. Of a folder, the time when a file came or went."""
    try:
        status = Path(path).stat()
    except OSError:
        return (str(path), -2, 0)
    is_folder = Path(path).is_dir()
    return (str(path), -1 if is_folder else status.st_size, status.st_mtime_ns)


def _build(
    path: Path,
    parts: Sequence[Part],
    scan: Callable[[Part], Scan],
    schema: pa.Schema,
    version: str,
    keep: Callable[[IndexedPart], bool],
    is_enough: Callable[[IndexedPart], bool],
    workers: int | None,
    progress: Callable[[Iterable[Any], int], Iterable[Any]],
) -> Index:
    aside = path.with_suffix(f".{platform.node()}.partial")
    aside.mkdir(parents=True, exist_ok=True)
    old = {part.key: part for part in _old_parts(path, version)}
    fragments = {part.key: aside / f"{_digest(part.key)}.parquet" for part in parts}

    def is_usable(scanned: IndexedPart | None, part: Part) -> bool:
        return scanned is not None and is_enough(scanned) and scanned.is_current(part)

    todo = []
    for part in parts:
        fragment = fragments[part.key]
        if not any(is_usable(scanned, part) for scanned in _old_parts(fragment, version)):
            fragment.unlink(missing_ok=True)
            if not is_usable(old.get(part.key), part):
                todo.append(part)
    wanted = {part.key for part in parts}
    kept = [part.key for part in old.values() if part.key not in wanted and keep(part)]
    if old and not todo and set(old) == wanted | set(kept) and not any(aside.iterdir()):
        aside.rmdir()
        return Index(path, version)
    work = functools.partial(_scan_to_file, scan=scan, schema=schema, version=version)
    jobs = [(part, fragments[part.key]) for part in todo]
    for _ in progress(_run(work, jobs, workers or os.cpu_count() or 1), len(jobs)):
        pass
    _merge(path, [*kept, *(part.key for part in parts)], fragments, schema, version)
    shutil.rmtree(aside, ignore_errors=True)
    return Index(path, version)


@contextmanager
def only_one_process(path: Path) -> Iterator[None]:
    """The processes of a training run on one machine wait for the first one to build `path`."""
    lock = Path(tempfile.gettempdir()) / f"soccermaster-{os.getuid()}-{_digest(str(path))}.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(
    work: Callable[[tuple[Part, Path]], None], jobs: list[tuple[Part, Path]], workers: int
) -> Iterable[None]:
    if workers < 2 or len(jobs) < _PARTS_WORTH_A_POOL:
        yield from map(work, jobs)
        return
    with ProcessPoolExecutor(min(workers, len(jobs)), get_context("forkserver")) as pool:
        futures = [pool.submit(work, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _scan_to_file(
    job: tuple[Part, Path], scan: Callable[[Part], Scan], schema: pa.Schema, version: str
) -> None:
    part, path = job
    stamps = [stamp(file) for file in part.files]  # before reading: a change meanwhile shows
    result = scan(part)
    stamps += [stamp(file) for file in result.depends_on]
    rows = result.rows.cast(schema)
    content = {
        "key": part.key,
        "split": part.split,
        "stamps": stamps,
        "num_rows": len(rows),
        "row_group": 0 if len(rows) else None,
        "problems": result.problems.to_json(),
        "facts": result.facts,
    }
    with _AtomicWriter(path, schema, {"version": version, "parts": [content]}) as writer:
        if len(rows):
            writer.write_table(rows, row_group_size=len(rows))


def _merge(
    path: Path, keys: Sequence[str], fragments: dict[str, Path], schema: pa.Schema, version: str
) -> None:
    """Writes one file of the scanned parts and of those of the earlier index."""
    old = {part.key: part for part in _old_parts(path, version)}
    old_index = Index(path, version) if old else None
    contents, row_group, sources = [], 0, []
    for key in keys:
        fragment = fragments.get(key)
        if fragment is not None and fragment.is_file():
            source = Index(fragment, version)
            part = source.parts[0]
        else:
            source, part = old_index, old[key]
        sources.append((source, part))
        has_rows = part.num_rows > 0
        contents.append(_part_to_json(part) | {"row_group": row_group if has_rows else None})
        row_group += has_rows
    with _AtomicWriter(path, schema, {"version": version, "parts": contents}) as writer:
        for source, part in sources:
            if part.num_rows:
                writer.write_table(source.read([part]), row_group_size=part.num_rows)


class _AtomicWriter:
    """A Parquet writer whose file gets its name when it is complete."""

    def __init__(self, path: Path, schema: pa.Schema, content: dict[str, Any]) -> None:
        self.path = path
        self.partial = path.with_name(f".{path.name}.{os.getpid()}")
        text = json.dumps(content).encode()
        self.schema = schema.with_metadata({_METADATA_KEY: text})

    def __enter__(self) -> pq.ParquetWriter:
        self.writer = pq.ParquetWriter(self.partial, self.schema, compression="zstd")
        return self.writer

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.writer.close()
        if kind is None:
            self.partial.replace(self.path)
        else:
            self.partial.unlink(missing_ok=True)


def _read_metadata(path: Path) -> dict[str, Any]:
    try:
        metadata = pq.read_schema(path, memory_map=True).metadata or {}
        return json.loads(metadata[_METADATA_KEY])
    except FileNotFoundError as error:
        raise DatasetError.at(
            path,
            expected="the index of a dataset",
            got="no such file",
            fix="Build it with scripts/prepare_data.py, or leave out index=.",
        ) from error
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise DatasetError.at(
            path,
            expected="the index of a dataset",
            got=f"something else ({error})",
            fix="Delete it and build it again with scripts/prepare_data.py.",
        ) from error


def _old_parts(path: Path, version: str) -> tuple[IndexedPart, ...]:
    """The parts of the index that is there, if it can still be used."""
    return Index(path, version).parts if is_index_of(path, version) else ()


def _part_from_json(values: dict[str, Any]) -> IndexedPart:
    return IndexedPart(
        **values
        | {
            "stamps": tuple(tuple(entry) for entry in values["stamps"]),
            "problems": Problems.from_json(values["problems"]),
        }
    )


def _part_to_json(part: IndexedPart) -> dict[str, Any]:
    return vars(part) | {"problems": part.problems.to_json()}


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def explain_stale(index: Index, keys: Sequence[str]) -> DatasetError:
    """The error for an index that no longer fits its dataset."""
    return DatasetError.at(
        index.path,
        expected="an index of the files as they are now",
        got=f"{len(keys)} parts that are new, changed or gone: {some(keys)}",
        fix="Run scripts/prepare_data.py again; it reads the changed parts alone.",
    )
