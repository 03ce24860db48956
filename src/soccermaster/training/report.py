"""What a run tells a person: parameters, scores, and the files with them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from rich.table import Table
from torch import nn

from soccermaster.model import SoccerModel


def parameter_table(model: SoccerModel) -> Table:
    """Parameters per part of the model, and how many of them are trained."""
    table = Table(title="Parameters")
    table.add_column("part")
    table.add_column("parameters", justify="right")
    table.add_column("trained", justify="right")
    for name, module in (("encoder", model.encoder), *model.tasks.items()):
        table.add_row(name, *_counts(module))
    table.add_section()
    table.add_row("all", *_counts(model))
    return table


def metrics_table(
    scores: Mapping[str, float],
    baselines: Mapping[str, Mapping[str, float]] | None = None,
    split: str = "valid",
) -> Table:
    """The scores of every task by "task/metric"; undefined ones are a dash.

    Args:
        scores: of the model.
        baselines: scores of the same metrics by the name of the baseline, one column each.
        split: what was evaluated.
    """
    baselines = baselines or {}
    table = Table(title="Validation" if split == "valid" else f"Scores on {split}")
    table.add_column("task")
    table.add_column("metric")
    for column in ("model", *baselines):
        table.add_column(column, justify="right")
    last = None
    for key in sorted(scores):
        task, metric = key.split("/")
        if last is not None and task != last:
            table.add_section()
        others = (_shown(column[key]) if key in column else "" for column in baselines.values())
        table.add_row(task if task != last else "", metric, _shown(scores[key]), *others)
        last = task
    return table


def write_metrics(results: Mapping[str, float], path: Path) -> None:
    """Write the scores as JSON, undefined ones as null; a reader never sees half a file."""
    values = {k: (v if math.isfinite(v) else None) for k, v in sorted(results.items())}
    fresh = path.with_name(f".{path.name}.writing")
    fresh.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    fresh.replace(path)


def _shown(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "-"


def _counts(module: nn.Module) -> tuple[str, str]:
    every = sum(p.numel() for p in module.parameters())
    trained = sum(p.numel() for p in module.parameters() if p.requires_grad)
    return f"{every:,}", f"{trained:,}"
