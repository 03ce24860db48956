"""Preparing a dataset for training: its index, and the report about it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from soccermaster.data.datasets.base import ClipDataset
from soccermaster.data.datasets.indexed import IndexedClips
from soccermaster.data.errors import DatasetError
from soccermaster.data.indexing.problems import Problems
from soccermaster.data.indexing.report import make_report
from soccermaster.data.shards import write_shards


def on_disk(name: str, dataset: type) -> type[IndexedClips]:
    """The class of a dataset, if it is one with files.

    Raises:
        ValueError: it is made up on the fly.
    """
    if not issubclass(dataset, IndexedClips):
        raise ValueError(
            f"expected a dataset on disk, got {name}, which is rendered on the fly. Nothing is to "
            "be prepared for it."
        )
    return dataset


def prepare(
    dataset: type[IndexedClips],
    root: Path | str,
    output: Path | str | None = None,
    *,
    workers: int | None = None,
    options: Mapping[str, Any] | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Builds or renews the index of a dataset, opening every file once, and reports about it.

    Args:
        dataset: the class that reads it.
        root: its folder; nothing is written there.
        output: folder of the index; None takes the cache folder, where training looks for it.
        workers: processes; None takes one per core.
        options: arguments of the dataset in the configuration, such as `events`.
        console: where progress is shown; None shows none.

    Returns:
        The report, see `make_report`.

    Raises:
        DatasetError: there is nothing at `root`, or `output` lies in the dataset's own folders.
    """
    root = Path(root).resolve()
    _refuse_own_folders(dataset, root, dataset.index_file(root, output))

    def progress(parts: Any, total: int) -> Any:
        if console is None or not total:
            return parts
        return track(parts, f"{dataset.name}: {total} parts", total, console=console)

    index = dataset.build(root, output=output, check_media=True, workers=workers, progress=progress)
    summary = dataset.summarize(index, **(options or {}))
    problems = Problems()
    for part in index.parts:
        problems.merge(part.problems)
    problems.merge(summary.problems)
    return make_report(dataset.name, root, index.path, summary.splits, summary.lists, problems)


def prepare_shards(
    make: Callable[..., ClipDataset],
    report: dict[str, Any],
    *,
    clips_per_shard: int = 100,
    workers: int | None = None,
    console: Console | None = None,
) -> None:
    """Writes the clips of every split of an indexed dataset into tar shards beside its index.

    Args:
        make: makes the dataset of a split: `make(split=..., index=...)`, as training does.
        report: that of `prepare`; gets an entry "shards" with the folder and, by split, the numbers
            of clips and shards, their bytes, and what could not be read. A split whose labels
            training refuses gets none, and an entry "refused" that says why.
        clips_per_shard: clips in one file.
        workers: threads; None takes one per core.
        console: where progress is shown; None shows none.

    Raises:
        DatasetError: there are other shards in the folder.
    """
    index = Path(report["index"])
    folder = index.with_name(f"{index.stem}-shards")
    splits: dict[str, dict[str, Any]] = {}
    report["shards"] = {"folder": str(folder), "splits": splits}
    for split in report["splits"]:
        arguments = {"split": split, "index": index}
        if "missing" in inspect.signature(make).parameters:
            arguments["missing"] = "skip"

        def progress(done: Any, total: int, split: str = split) -> Any:
            if console is None:
                return done
            return track(done, f"shards of {split}", total, console=console)

        try:
            dataset = make(**arguments)
        except DatasetError as error:
            splits[split] = {"clips": 0, "shards": 0, "bytes": 0, "refused": str(error)}
            continue
        written = write_shards(
            dataset,
            folder / split,
            clips_per_shard=clips_per_shard,
            num_workers=workers or os.cpu_count() or 1,
            progress=progress,
        )
        splits[split] = {
            "clips": written.clips,
            "shards": written.shards,
            "bytes": written.num_bytes,
            "unreadable": len(written.unreadable),
            "examples": [reason for _, reason in written.unreadable[:3]],
        }


def _refuse_own_folders(dataset: type[IndexedClips], root: Path, index: Path) -> None:
    folder = index.resolve().parent
    for own in (*dataset.own_folders(root), root):
        inside = folder.is_relative_to(own.resolve())
        if (own == root and folder == root) or (own != root and inside):
            raise DatasetError.at(
                folder,
                expected="an output folder beside the dataset's own folders",
                got=f"one in {own}",
                fix="Choose another with output=DIR.",
            )
