"""Clips in tar shards, for file systems that like few large files; the layout is WebDataset's.

    folder/shards.json      name of the dataset, what it provides, what it was read from
    folder/clips.parquet    one row per clip: its id, its shard, and where it lies in there
    folder/000000.tar       00000012.json  00000012.npz  00000012.0000.jpg  00000012.0001.jpg  ...

A clip lies in one piece: one read brings its frames, as the bytes of their own files, and its
sparse labels; nothing is pickled and nothing is unpacked to disk. Frames of a video, which have no
files, are encoded as JPEG.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from soccermaster.data.datasets.base import ClipDataset, DatasetError
from soccermaster.data.frame_source import EncodedSource, encode_frame
from soccermaster.data.images import VideoError
from soccermaster.data.label_arrays import from_arrays, to_arrays
from soccermaster.data.undecoded import UndecodedClip
from soccermaster.structures import Clip

SHARDS_FILE = "shards.json"
CLIPS_FILE = "clips.parquet"

_VERSION = 2
_MEMBER = re.compile(r"(\d{8})\.(json|npz|\d{4}\.(?:jpg|png))")
_SHARD = re.compile(r"\d{6}\.tar")
_BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True)
class ShardReport:
    """What `write_shards` did.

    Attributes:
        clips: written, or there from an earlier try.
        shards: files that hold them.
        num_bytes: of these files.
        unreadable: index and reason of every clip that was left out.
    """

    clips: int
    shards: int
    num_bytes: int
    unreadable: tuple[tuple[int, str], ...]


def write_shards(
    dataset: ClipDataset,
    folder: Path | str,
    *,
    clips_per_shard: int = 100,
    strict: bool = False,
    num_workers: int = 1,
    progress: Callable[..., Iterable[Any]] = lambda done, total: done,
) -> ShardReport:
    """Writes every clip of a dataset into tar shards, one split into one folder.

    Shards that a try before this one has completed are kept: the same command resumes. Those that
    had to leave clips out are written again. If files of the dataset have changed since, or it is
    read otherwise, they are refused.

    Args:
        dataset: of clips; those that it can give undecoded keep the bytes of their frames.
        folder: for the shards; made if necessary.
        clips_per_shard: clips in one file.
        strict: whether a clip that cannot be read is an error; else it is left out and reported.
        num_workers: threads that write, a shard each.
        progress: wraps the iterable of completed shards; is given `total=` their number.

    Raises:
        DatasetError, VideoError: a clip cannot be read and `strict` is set.
        DatasetError: the folder holds shards of another dataset, of another size, or of files that
            were others.
    """
    folder = Path(folder)
    plan = {
        "version": _VERSION,
        "name": dataset.name,
        "provides": sorted(dataset.provides),
        "clips": len(dataset),
        "clips_per_shard": clips_per_shard,
        "releases": sorted(dataset.releases),
        "fingerprint": dataset.fingerprint,
    }
    _check_same_plan(folder, plan)
    starts = range(0, len(dataset), clips_per_shard)
    jobs = [
        (folder / f"{number:06d}.tar", range(start, min(start + clips_per_shard, len(dataset))))
        for number, start in enumerate(starts)
    ]
    kept = {}
    for path, indices in jobs:
        found = list(_scan(path)) if path.is_file() else []
        if len(found) == len(indices):
            kept[path] = found
    reasons: dict[int, str] = {}
    done = _write_all(dataset, jobs, kept, strict, num_workers)
    for left_out in progress(done, total=len(jobs)):
        reasons |= left_out
    rows = [row for path, _ in jobs for row in kept.get(path) or _scan(path)]
    unreadable = sorted(reasons.items())
    if not rows:
        raise DatasetError.at(
            folder, expected="a clip that can be read", got="none", fix=str(unreadable[:3])
        )
    table = pa.table(
        {
            "clip_id": pa.array([row[1] for row in rows], pa.string()),
            "shard": pa.array([row[2] for row in rows], pa.int32()),
            "offset": pa.array([row[3] for row in rows], pa.int64()),
            "num_bytes": pa.array([row[4] for row in rows], pa.int64()),
        }
    )
    partial = folder / f".{CLIPS_FILE}.partial"
    pq.write_table(table, partial)
    partial.replace(folder / CLIPS_FILE)
    return ShardReport(
        clips=len(rows),
        shards=len(jobs),
        num_bytes=sum(path.stat().st_size for path, _ in jobs),
        unreadable=tuple(unreadable),
    )


class ShardClips(ClipDataset):
    """The clips of a folder of shards, in the order in which they were written.

    Training reads the clips of a few shards at a time (`groups`), in an order that depends on the
    seed alone: a stream that goes on exactly where it was interrupted.

    Args:
        root: folder of the splits.
        split: folder in there, with `shards.json`.

    Attributes:
        groups: the shard of each clip.

    Raises:
        DatasetError: no shards, or an index that does not fit them.
    """

    def __init__(self, root: Path | str, split: str) -> None:
        self.folder = Path(root) / split
        plan = _read_plan(self.folder)
        self.name = str(plan["name"])
        self.provides = frozenset(plan["provides"])
        self.releases = frozenset(plan["releases"])
        self.fingerprint = str(plan["fingerprint"])
        file = self.folder / CLIPS_FILE
        try:
            table = pq.read_table(file, memory_map=True)
            self._clip_ids = table["clip_id"]
            self._offsets = table["offset"].to_numpy()
            self._num_bytes = table["num_bytes"].to_numpy()
            self.groups = table["shard"].to_numpy()
        except (OSError, pa.ArrowException, KeyError) as error:
            raise DatasetError.at(
                file, expected="the index of the shards", got=str(error), fix="Write them again."
            ) from error
        self._check_index(file)

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, index: int) -> Clip:
        return self.undecoded(index).decode()

    def undecoded(self, index: int) -> UndecodedClip:
        """See `ClipDataset.undecoded`."""
        path = self._shard(int(self.groups[index]))
        record = f"clip {self._clip_ids[index].as_py()!r}"
        with path.open("rb") as file:
            file.seek(int(self._offsets[index]))
            data = file.read(int(self._num_bytes[index]))
        members = {name: content for _, name, content in _members(data, path, record)}
        return _unpack_clip(members, path, record)

    @classmethod
    def releases_with(cls, root: Path | str, split: str) -> frozenset[str]:
        """See `ClipDataset.releases_with`."""
        folder = Path(root) / split
        has_plan = (folder / SHARDS_FILE).is_file()
        return frozenset(_read_plan(folder)["releases"]) if has_plan else frozenset()

    def _shard(self, number: int) -> Path:
        return self.folder / f"{number:06d}.tar"

    def _check_index(self, file: Path) -> None:
        if not len(self):
            raise DatasetError.at(file, expected="clips", got="none", fix="Write them again.")
        ends = self._offsets + self._num_bytes
        wrong = (self._offsets < 0) | (self._num_bytes <= 0)
        for number in np.unique(self.groups).tolist():
            path = self._shard(number)
            if not path.is_file():
                raise DatasetError.at(
                    path, expected="a shard", got="no such file", fix="Copy all shards."
                )
            wrong |= (self.groups == number) & (ends > path.stat().st_size)
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            raise DatasetError.at(
                self._shard(int(self.groups[first])),
                record=f"clip {self._clip_ids[first].as_py()!r}",
                expected=f"bytes {self._offsets[first]} to {ends[first]} of the file",
                got="a shorter file",
                fix="Copy this shard again.",
            )


def _write_all(
    dataset: ClipDataset,
    jobs: Sequence[tuple[Path, range]],
    kept: Collection[Path],
    strict: bool,
    num_workers: int,
) -> Iterator[dict[int, str]]:
    """What each shard had to leave out, as the shards are completed."""
    missing = [job for job in jobs if job[0] not in kept]
    for _ in kept:
        yield {}
    # Decoding, encoding and files leave the interpreter to other threads.
    with ThreadPoolExecutor(num_workers) as pool:
        futures = [pool.submit(_write_shard, dataset, *job, strict) for job in missing]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _write_shard(dataset: ClipDataset, path: Path, indices: range, strict: bool) -> dict[int, str]:
    """Writes one shard; returns why clips could not be read, by index."""
    unreadable = {}
    partial = path.with_name(f".{path.name}.partial")
    with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
        for index in indices:
            try:
                members = _pack_clip(dataset.undecoded(index))
            except (VideoError, DatasetError) as error:
                if strict:
                    raise
                unreadable[index] = str(error)
                continue
            for suffix, content in members.items():
                info = tarfile.TarInfo(f"{index:08d}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    partial.replace(path)
    return unreadable


def _pack_clip(clip: Clip | UndecodedClip) -> dict[str, bytes]:
    """The files of a clip, by the end of their names."""
    if isinstance(clip, UndecodedClip):
        images = list(clip.frames.encoded(clip.indices))
        image_size = clip.image_size
    else:
        images = [encode_frame(frame) for frame in clip.frames]
        image_size = clip.frames.shape[1:3]
    annotations = clip.annotations
    arrays = {"times_s": clip.times_s, **to_arrays(annotations)}
    if clip.frame_mask is not None:
        arrays["frame_mask"] = clip.frame_mask
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    described = {
        "clip_id": clip.clip_id,
        "source": clip.source,
        "image_size": [int(n) for n in image_size],
        "event": annotations.event,
        "text": annotations.text,
    }
    files = {"json": json.dumps(described, ensure_ascii=False).encode(), "npz": packed.getvalue()}
    for number, image in enumerate(images):
        files[f"{number:04d}.{'png' if image.startswith(_PNG) else 'jpg'}"] = image
    return files


_PNG = b"\x89PNG"


def _unpack_clip(members: dict[str, bytes], path: Path, record: str) -> UndecodedClip:
    try:
        described = json.loads(members.pop("json"))
        with np.load(io.BytesIO(members.pop("npz")), allow_pickle=False) as packed:
            arrays = {name: packed[name] for name in packed.files}
        images = [members[name] for name in sorted(members)]
        clip_id = str(described["clip_id"])
        return UndecodedClip(
            frames=EncodedSource(images, f"{path}, {clip_id}"),
            indices=tuple(range(len(images))),
            image_size=(int(described["image_size"][0]), int(described["image_size"][1])),
            times_s=arrays["times_s"],
            annotations=from_arrays(arrays, described["event"], described["text"]),
            clip_id=clip_id,
            source=str(described["source"]),
            frame_mask=arrays.get("frame_mask"),
        )
    except VideoError:
        raise
    except Exception as error:  # foreign bytes raise whatever they happen to mean
        raise DatasetError.at(
            path,
            record=record,
            expected="a clip with labels",
            got=f"something else ({type(error).__name__}: {error})",
            fix="Copy or write this shard again.",
        ) from error


def _members(data: bytes, path: Path, record: str) -> Iterator[tuple[str, str, bytes]]:
    """Key, end of the name, and content of each file in a piece of a tar."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for info in tar:
                key, suffix = _checked_name(info, path, record)
                content = tar.extractfile(info)
                assert content is not None  # a regular file
                yield key, suffix, content.read()
    except tarfile.TarError as error:
        raise DatasetError.at(
            path,
            record=record,
            expected="files of a tar",
            got=f"something else ({error})",
            fix="Copy or write this shard again.",
        ) from error


def _scan(path: Path) -> Iterator[tuple[int, str, int, int, int]]:
    """Index, clip id, shard number, offset and length of every clip in a shard."""
    with tarfile.open(path, mode="r:") as tar:
        clips: dict[str, list[int]] = {}
        ids: dict[str, str] = {}
        for info in tar:
            key, suffix = _checked_name(info, path, "index")
            end = info.offset_data + -(-info.size // _BLOCK) * _BLOCK
            first, _ = clips.get(key, (info.offset, 0))
            clips[key] = [first, end]
            if suffix == "json":
                content = tar.extractfile(info)
                assert content is not None  # a regular file
                ids[key] = json.loads(content.read())["clip_id"]
    for key, (first, end) in clips.items():
        yield int(key), ids[key], int(path.stem), first, end - first


def _checked_name(info: tarfile.TarInfo, path: Path, record: str) -> tuple[str, str]:
    match = _MEMBER.fullmatch(info.name)
    if match is None or not info.isreg():
        raise DatasetError.at(
            path,
            record=record,
            expected="regular files such as 00000012.0003.jpg",
            got=repr(info.name)[:80],
            fix="This is no shard of this library, or it was tampered with.",
        )
    return match[1], match[2]


def _check_same_plan(folder: Path, plan: dict[str, Any]) -> None:
    file = folder / SHARDS_FILE
    if file.is_file():
        old = _read_plan(folder)
        differs = [key for key in plan if old.get(key) != plan[key]]
        if differs == ["fingerprint"]:
            raise DatasetError.at(
                file,
                expected="shards of the dataset as it is now",
                got="some that were written before its files or its configuration changed",
                fix=f"Remove {folder} to write them anew, or choose another folder.",
            )
        if differs:
            raise DatasetError.at(
                file,
                expected=", ".join(f"{key}={plan[key]!r}" for key in differs),
                got=", ".join(f"{key}={old.get(key)!r}" for key in differs),
                fix="Choose another folder, or remove these shards.",
            )
        return
    if any(_SHARD.fullmatch(p.name) for p in folder.iterdir()) if folder.is_dir() else False:
        raise DatasetError.at(
            folder, expected=f"{SHARDS_FILE} with the shards", got="none", fix="Remove the shards."
        )
    folder.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(json.dumps(plan, indent=2) + "\n", encoding="utf-8")
    partial.replace(file)


def _read_plan(folder: Path) -> dict[str, Any]:
    file = folder / SHARDS_FILE
    try:
        plan = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(plan, dict) or plan.get("version") != _VERSION:
            raise ValueError(f"no object with 'version' {_VERSION}")
        if not all(isinstance(plan[key], list) for key in ("provides", "releases")):
            raise ValueError("no lists as 'provides' and 'releases'")
        if not all(isinstance(plan[key], str) for key in ("name", "fingerprint")):
            raise ValueError("no words as 'name' and 'fingerprint'")
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError.at(
            file,
            expected="the description of a folder of shards",
            got=str(error),
            fix="Name the folder that holds the splits, or write them again.",
        ) from error
    return plan
