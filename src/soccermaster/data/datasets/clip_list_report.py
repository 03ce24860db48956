"""What is in clip lists: classes, comments, videos named twice, matches in two splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from soccermaster.data.datasets.indexed import Summary, count_by
from soccermaster.data.errors import nearest, some
from soccermaster.data.indexing.index import Index
from soccermaster.data.indexing.problems import Problems


def summarize_lists(index: Index, events: Sequence[str]) -> Summary:
    """Counts per split and per list, and the problems that show when lists are compared.

    In a summary, "duplicate_videos" are records minus distinct videos, "multi_label_videos" are
    distinct videos with more than one class, "unknown_classes" are distinct classes outside of
    `events`, and "missing_videos" are distinct videos that are not there.

    Args:
        index: of clip lists.
        events: the allowed classes.
    """
    lists: dict[str, dict[str, int]] = {}
    splits: dict[str, dict[str, Any]] = {}
    problems = Problems()
    matches: dict[str, set[str]] = {}
    for key in dict.fromkeys(part.key.rsplit("/", 2)[0] for part in index.parts):
        parts = [part for part in index.parts if part.key.rsplit("/", 2)[0] == key]
        table = index.read(parts, ["video", "event", "text", "present", "number"])
        num_records = sum(part.facts["records"] for part in parts)
        lists[key] = _count_list(key, table, num_records, events, problems)
        _add_counts(splits.setdefault(key.partition("/")[2], {}), table)
        for video in table["video"].unique().to_pylist():
            matches.setdefault(video.rpartition("/")[0] or video, set()).add(key)
    _add_leaks(matches, problems)
    for counts in splits.values():
        counts["classes"] = {"events": count_by(counts.pop("_events"))}
    return Summary(splits, lists, problems)


def _count_list(
    key: str, table: pa.Table, num_records: int, events: Sequence[str], problems: Problems
) -> dict[str, int]:
    classes: dict[str, list[str]] = {}
    absent: dict[str, None] = {}
    strange: dict[str, int] = {}
    columns = (table[name].to_pylist() for name in ("video", "event", "present", "number"))
    for video, event, present, number in zip(*columns, strict=True):
        classes.setdefault(video, []).append(event)
        if not present:
            absent[video] = None
        if event not in events:
            strange.setdefault(event, number)
            problems.add(
                "unknown_class",
                f"{key}, record {number}: expected one of the {len(events)} event classes, got "
                f"{event!r}. {nearest(event, events)}",
                refused=True,
            )
    for video in absent:
        problems.add("missing_video", f"{key}: {video}")
    multi_label = 0
    for video, found in classes.items():
        if len(found) > 1:
            message = f"{key}: {video} is listed {len(found)} times"
            problems.add("duplicate", message, count=len(found) - 1)
        if len(set(found)) > 1:
            multi_label += 1
            problems.add("multi_label", f"{key}: {video} is {some(sorted(set(found)))}")
    return {
        "records": num_records,
        "duplicate_videos": len(table) - len(classes),
        "multi_label_videos": multi_label,
        "unknown_classes": len(strange),
        "missing_videos": len(absent),
    }


def _add_counts(counts: dict[str, Any], table: pa.Table) -> None:
    counts["clips"] = counts.get("clips", 0) + len(table)
    fields = counts.setdefault("fields", {"event": 0, "text": 0})
    fields["event"] += len(table)
    fields["text"] += len(table) - table["text"].null_count
    counts.setdefault("_events", []).extend(table["event"].to_pylist())


def _add_leaks(matches: dict[str, set[str]], problems: Problems) -> None:
    """A match that two lists of different splits share, whatever their sources."""
    shared: dict[tuple[str, ...], list[str]] = {}
    for match, keys in matches.items():
        if len({key.partition("/")[2] for key in keys}) > 1:
            shared.setdefault(tuple(sorted(keys)), []).append(match)
    for keys, names in sorted(shared.items()):
        message = f"{' and '.join(keys)} share {len(names)} matches: {_few(names)}"
        problems.add("leak_between_splits", message, count=len(names))


def _few(names: Iterable[str]) -> str:
    return some(sorted(names), 2)
