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


def metrics_table(scores: Mapping[str, float]) -> Table:
    """The scores of every task by logged name; undefined ones are a dash."""
    table = Table(title="Validation")
    table.add_column("task")
    table.add_column("metric")
    table.add_column("value", justify="right")
    last = None
    for key, value in sorted(scores.items()):
        _, task, metric = key.split("/")
        if last is not None and task != last:
            table.add_section()
        shown = "-" if not math.isfinite(value) else f"{value:.4f}"
        table.add_row(task if task != last else "", metric, shown)
        last = task
    return table


def write_metrics(results: Mapping[str, float], path: Path) -> None:
    """Write the scores as JSON, undefined ones as null; a reader never sees half a file."""
    values = {k: (v if math.isfinite(v) else None) for k, v in sorted(results.items())}
    fresh = path.with_name(f".{path.name}.writing")
    fresh.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    fresh.replace(path)


def _counts(module: nn.Module) -> tuple[str, str]:
    every = sum(p.numel() for p in module.parameters())
    trained = sum(p.numel() for p in module.parameters() if p.requires_grad)
    return f"{every:,}", f"{trained:,}"
