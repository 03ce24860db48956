"""What differs between two runs of build_dataset.py; see configs/compare_datasets.yaml."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from soccermaster.cli import entry_point, start


@hydra.main(version_base="1.3", config_path="../configs", config_name="compare_datasets")
@entry_point
def main(cfg: DictConfig) -> None:
    from soccermaster.factory.compare import compare_runs

    print(compare_runs(cfg.first, cfg.second).to_text())


if __name__ == "__main__":
    start(main)
