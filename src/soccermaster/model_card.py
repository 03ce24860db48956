"""The model card (README.md) of a model: what it is, what taught it, how good it is, its limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

#: "val/task/metric" or "baseline/task/metric" to the score, as in metrics.json; None is undefined.
Scores = Mapping[str, float | None]

_HEADER = """\
---
library_name: soccermaster
license: apache-2.0
tags:
- soccer
- football
- video
- camera-calibration
---
"""
_SYNTHETIC = "soccermaster.data.synthetic."
_OWN = "val"
_NUMBERS = "athletes/number_accuracy"
#: Shirt numbers that are right more rarely than this were not learnt; there are about a hundred.
_LEARNT = 0.05


def model_card(
    config: Mapping[str, Any],
    parameters: Mapping[str, int],
    name: str | None = None,
    metrics: Scores | None = None,
    recipe: str | None = None,
    real_frames: Mapping[str, Any] | None = None,
    hardware: str | None = None,
    duration: str | None = None,
) -> str:
    """Markdown with the header that the Hugging Face hub reads.

    Args:
        config: of the checkpoint.
        parameters: number of parameters of the encoder and of each task.
        name: of the model; that of its run when None.
        metrics: scores of the model and of its baselines, a column each.
        recipe: the command that trained it.
        real_frames: report of `benchmarks/real_frames.py`.
        hardware: that it was trained on, in words.
        duration: of the training, in words.
    """
    name = name or str(config.get("name", "soccermaster"))
    datasets = config.get("run", {}).get("datasets", {})
    sections = [
        f"# {name}",
        "A video encoder with heads for soccer, made with `soccermaster`.",
        f'```python\nimport soccermaster as sm\n\nmodel = sm.load_model("{name}")\n```',
        "## Model\n\n" + _model_table(config, parameters),
    ]
    if datasets:
        sections.append("## Data\n\n" + _data_table(datasets))
    if recipe is not None:
        sections.append(f"## Recipe\n\n```bash\n{recipe}\n```")
        trained = [f"on {hardware}"] * bool(hardware) + [f"in {duration}"] * bool(duration)
        if trained:
            sections.append(f"Trained {' '.join(trained)}.")
    if metrics is not None:
        sections.append("## Scores\n\n" + metrics_table(metrics))
    if real_frames is not None:
        sections.append("## Real frames\n\n" + _real_frames(real_frames))
    sections.append("## Limits\n\n" + _limits(datasets, metrics or {}))
    return _HEADER + "\n" + "\n\n".join(sections) + "\n"


def metrics_table(metrics: Scores) -> str:
    """The scores by task and metric, a column for the model and one for each baseline."""
    columns = sorted({key.split("/")[0] for key in metrics} - {_OWN})
    rows = sorted(key.removeprefix(f"{_OWN}/") for key in metrics if key.startswith(f"{_OWN}/"))
    cells = [
        [f"`{row}`", *(_shown(metrics, f"{c}/{row}") for c in (_OWN, *columns))] for row in rows
    ]
    return _table(["score", "model", *(c.replace("_", " ") for c in columns)], cells)


def _model_table(config: Mapping[str, Any], parameters: Mapping[str, int]) -> str:
    sizes = {"encoder": config["encoder"].get("image_size"), **config.get("input_sizes", {})}
    cells = [
        [f"`{part}`", f"{count:,}", "x".join(map(str, sizes[part])) if sizes.get(part) else "-"]
        for part, count in parameters.items()
    ]
    total = ["all", f"{sum(parameters.values()):,}", ""]
    return _table(["part", "parameters", "pictures (height x width)"], [*cells, total])


def _data_table(datasets: Mapping[str, Any]) -> str:
    cells = []
    for name, source in datasets.items():
        dataset = source["dataset"]
        clips, frames = (_of_split(dataset.get(k), "train") for k in ("num_clips", "num_frames"))
        cells.append([f"`{name}`", f"`{dataset['_target_']}`", clips, frames])
    return _table(["dataset", "class", "training clips", "frames per clip"], cells)


def _limits(datasets: Mapping[str, Any], metrics: Scores) -> str:
    targets = [source["dataset"]["_target_"] for source in datasets.values()]
    lines = []
    if targets and all(target.startswith(_SYNTHETIC) for target in targets):
        lines.append(
            "It has seen synthetic video alone: clips rendered from a model of the pitch, with "
            "drawn people. On real broadcasts it finds less, and its scores say little of them."
        )
    tells, accuracy = "roles and shirt numbers", metrics.get(f"{_OWN}/{_NUMBERS}")
    if accuracy is not None and accuracy < _LEARNT:
        tells = "roles"
        lines.append(
            f"It has not learnt to read shirt numbers (`{_NUMBERS}` {accuracy:.3f}): those that it "
            "gives mean nothing."
        )
    lines.append(
        f"It is for research on soccer video. It does not recognise persons: it tells {tells}, "
        "not names."
    )
    return "\n\n".join(lines)


def _real_frames(report: Mapping[str, Any]) -> str:
    cells = [
        [key.replace("_", " "), "-" if value is None else f"{value:.3g}"]
        for key, value in report.items()
        if isinstance(value, int | float) or value is None
    ]
    return _table(["real pictures", ""], cells)


def _of_split(value: Any, split: str) -> str:
    value = value.get(split) if isinstance(value, Mapping) else value
    return "-" if value is None else str(value)


def _shown(metrics: Scores, key: str) -> str:
    value = metrics.get(key)
    return "-" if value is None or not math.isfinite(value) else f"{value:.3f}"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
