"""Index of a dataset and report: `python scripts/prepare_data.py dataset=NAME root=DIR`."""

from __future__ import annotations

import sys
from pathlib import Path

import hydra
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from soccermaster.cli import check_keys, entry_point, start

KEYS = (
    "root",
    "output",
    "report",
    "strict",
    "download",
    "workers",
    "shards",
    "clips_per_shard",
    "paths",
    "datasets",
)


@hydra.main(version_base="1.3", config_path="../configs", config_name="prepare_data")
@entry_point
def main(cfg: DictConfig) -> None:
    from soccermaster.data.download import download
    from soccermaster.data.indexing.report import print_report, print_shards, write_report
    from soccermaster.data.prepare import on_disk, prepare, prepare_shards

    check_keys(cfg, KEYS, "prepare_data.py")
    console = Console(soft_wrap=True, highlight=False)
    if cfg.report is not None and len(cfg.datasets) > 1:
        raise ValueError("expected one dataset with report=PATH, got several. Name one at a time.")
    num_problems = 0
    for name, node in cfg.datasets.items():
        dataset = on_disk(name, get_class(node.dataset._target_))
        if cfg.download:
            download(name, dataset.download, Path(cfg.root))
        options = OmegaConf.masked_copy(node.dataset, list(dataset.options))
        report = prepare(
            dataset,
            cfg.root,
            cfg.output,
            workers=cfg.workers,
            options=OmegaConf.to_object(options),
            console=console,
        )
        print_report(report, console)
        if cfg.report is not None:
            write_report(report, Path(cfg.report))
        num_problems += report["num_problems"]
        if cfg.shards:
            prepare_shards(
                instantiate(node.dataset),
                report,
                clips_per_shard=cfg.clips_per_shard,
                workers=cfg.workers,
                console=console,
            )
            print_shards(report["shards"], console)
            splits = report["shards"]["splits"].values()
            num_problems += sum(s.get("unreadable", 1) for s in splits)
            if cfg.report is not None:
                write_report(report, Path(cfg.report))
    if cfg.strict and num_problems:
        sys.exit(1)


if __name__ == "__main__":
    start(main)
