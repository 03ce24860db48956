"""The report about a dataset: what is in it and what is wrong with it, on screen and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from soccermaster.data.indexing.problems import KINDS, Problems


def make_report(
    dataset: str,
    root: Path,
    index: Path,
    splits: Mapping[str, Any],
    lists: Mapping[str, Any] | None,
    problems: Problems,
) -> dict[str, Any]:
    """The report in plain values.

    Args:
        dataset: its name.
        root: its folder.
        index: the Parquet file.
        splits: counts by split.
        lists: counts by clip list, "source/split"; None for other data.
        problems: all that is wrong.

    Returns:
        "dataset", "root", "index", "splits", "lists" (of clip lists), "problems" by kind with
        "count", "examples", "refused" (how many of them training refuses) and "meaning", and
        "num_problems".
    """
    report: dict[str, Any] = {
        "dataset": dataset,
        "root": str(root),
        "index": str(index),
        "splits": dict(splits),
    }
    if lists is not None:
        report["lists"] = dict(lists)
    report["problems"] = {
        kind: found | {"meaning": KINDS[kind]} for kind, found in problems.to_json().items()
    }
    report["num_problems"] = len(problems)
    return report


def print_shards(shards: Mapping[str, Any], console: Console) -> None:
    """Show what was written into tar shards, and what could not be."""
    console.print(f"shards in {shards['folder']}: train with dataset=shards paths.data=there")
    for split, found in shards["splits"].items():
        if "refused" in found:
            console.print(f"  {split}: none, training refuses it: {found['refused']}", markup=False)
            continue
        console.print(
            f"  {split}: {found['clips']} clips in {found['shards']} files, "
            f"{found['bytes'] / 1e9:.2f} GB; {found['unreadable']} could not be read"
        )
        for example in found["examples"]:
            console.print(f"    {example}", markup=False)


def write_report(report: Mapping[str, Any], path: Path) -> None:
    """Write the report as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1, ensure_ascii=False)
    path.write_text(text.encode("utf-8", "backslashreplace").decode(), encoding="utf-8")


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """Show the report."""
    console.print(
        Group(
            _splits_table(report),
            *_class_tables(report),
            *([_lists_table(report["lists"])] if report.get("lists") else []),
            _problems(report),
            Text(f"index: {report['index']}"),
        )
    )


def _splits_table(report: Mapping[str, Any]) -> Table:
    rows = {split: _flat(counts) for split, counts in report["splits"].items()}
    names = dict.fromkeys(name for row in rows.values() for name in row)
    return _table(f"{report['dataset']}, {report['root']}", "", names, rows)


def _table(
    title: str, first: str, names: Iterable[str], columns: Mapping[str, Mapping[str, int]]
) -> Table:
    """One row per name, with its count in each column."""
    table = Table(title=title, title_justify="left")
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    for name in names:
        table.add_row(Text(name), *(f"{counts.get(name, 0):,}" for counts in columns.values()))
    return table


def _flat(counts: Mapping[str, Any]) -> dict[str, int]:
    plain = {name: value for name, value in counts.items() if isinstance(value, int)}
    return plain | {name: value for name, value in counts["fields"].items() if value}


def _class_tables(report: Mapping[str, Any]) -> list[Table]:
    splits = report["splits"]
    groups = dict.fromkeys(group for counts in splits.values() for group in counts["classes"])
    tables = []
    for group in groups:
        by_split = {split: counts["classes"].get(group, {}) for split, counts in splits.items()}
        names = dict.fromkeys(name for classes in by_split.values() for name in classes)
        if names:
            tables.append(_table(group, "class", names, by_split))
    return tables


def _lists_table(lists: Mapping[str, Mapping[str, int]]) -> Table:
    names = next(iter(lists.values()))
    return _table("clip lists", "", names, lists)


def _problems(report: Mapping[str, Any]) -> RenderableType:
    if not report["problems"]:
        return Text("no problems")
    lines = [Text(f"{report['num_problems']:,} problems", style="bold")]
    for kind, found in report["problems"].items():
        refused = f", {found['refused']:,} refused by training" if found["refused"] else ""
        lines.append(Text(f"{kind}: {found['count']:,}{refused} ({found['meaning']})"))
        lines += [Text(f"  {example}", style="dim") for example in found["examples"]]
    return Group(*lines)
