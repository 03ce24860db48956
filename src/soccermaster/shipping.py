"""From a checkpoint of a training run to the small folder that is shipped with the library.

Weights in float16, the configuration without places on this machine, the tokenizer even where it is
the built-in one (which may be trained again one day), and a model card.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soccermaster.model import SoccerModel, load_model, pack_tokenizers, portable, unpack_tokenizers
from soccermaster.model_card import model_card
from soccermaster.models.pretrained import SHIPPED, find_model
from soccermaster.models.text import TextEncoder
from soccermaster.models.tokenizer import built_in_tokenizer
from soccermaster.models.weights import (
    CheckpointError,
    load_strictly,
    read_config,
    read_tensors,
    to_float16,
    write_checkpoint,
)

METRICS_NAME = "metrics.json"
CARD_NAME = "README.md"


@dataclass(frozen=True)
class Shipped:
    """What was written."""

    directory: Path
    megabytes: float  # of the weights, 10^6 bytes
    num_parameters: int


def ship_model(
    checkpoint: Path | str,
    output: Path | str = SHIPPED / "soccermaster-tiny",
    *,
    recipe: str,
    metrics: Path | str | None = None,
    real_frames: Path | str | None = None,
    hardware: str | None = None,
    duration: str | None = None,
    max_megabytes: float = 20.0,
) -> Shipped:
    """Write a checkpoint as a shipped model.

    Args:
        checkpoint: what `load_model` takes.
        output: folder, whose name is that of the model; an older checkpoint there is replaced.
        recipe: the command that trained it, for the card.
        metrics: `metrics.json` for the table of the card; the one beside the checkpoint folder when
            None.
        real_frames: report of `benchmarks/real_frames.py`, for the card.
        hardware: that it was trained on, in words, for the card.
        duration: of the training, in words, for the card.
        max_megabytes: most that the weights may take (10^6 bytes).

    Raises:
        CheckpointError: the weights do not fit float16 or `max_megabytes`; nothing was written.
        FileNotFoundError: there are no metrics, or no file of the name of `real_frames`.
        ValueError: `recipe` is empty.
    """
    if not recipe.strip():
        raise ValueError("expected recipe='COMMAND' that trained the model, for its card, got none")
    directory, output = find_model(checkpoint), Path(output)
    metrics = directory.parent / METRICS_NAME if metrics is None else Path(metrics)
    if not metrics.is_file():
        raise FileNotFoundError(
            f"expected the scores of the model at {metrics}, found none. A model ships with them: "
            "give metrics=FILE, which scripts/train.py and scripts/evaluate.py write."
        )
    read = unpack_tokenizers(read_config(directory), directory)
    model = SoccerModel.from_config(read)
    tensors = read_tensors(directory)
    load_strictly(model, tensors, f"weights of {directory}")
    halves = to_float16(tensors)
    megabytes = sum(t.numel() * t.element_size() for t in halves.values()) / 1e6
    if megabytes > max_megabytes:
        raise CheckpointError(
            f"expected weights of at most {max_megabytes:g} MB in float16, got {megabytes:.1f} MB "
            f"in {directory}. Train a smaller model; nothing was written."
        )
    config, files = pack_tokenizers(portable(read))
    config, files = _with_built_in_tokenizers(model, config, files)
    parameters = model.num_parameters()
    card = model_card(
        config,
        parameters,
        output.name,
        _read(metrics),
        recipe,
        None if real_frames is None else _read(real_frames),
        hardware,
        duration,
    )
    config["name"] = output.name
    write_checkpoint(output, config, halves, {**files, CARD_NAME: card.encode()})
    load_model(output)
    return Shipped(output, megabytes, sum(parameters.values()))


def _with_built_in_tokenizers(
    model: SoccerModel, config: Mapping[str, Any], files: Mapping[str, bytes]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The configuration and files with the tokenizer of each text tower that uses ours."""
    config, files = json.loads(json.dumps(config)), dict(files)
    for name, module in model.named_modules():
        if isinstance(module, TextEncoder) and module.tokenizer_directory is None:
            node = config
            for key in name.split("."):
                node = node[key]
            node["tokenizer"] = f"tokenizers/{name}"
            files[f"tokenizers/{name}/tokenizer.json"] = built_in_tokenizer()
    return config, files


def _read(path: Path | str) -> dict[str, Any]:
    return json.loads(Path(path).read_text(encoding="utf-8"))
