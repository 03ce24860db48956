"""Evaluate: `python scripts/evaluate.py checkpoint=DIR`."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from soccermaster.cli import check_keys, entry_point, register_resolvers, start

register_resolvers()


@hydra.main(version_base="1.3", config_path="../configs", config_name="evaluate")
@entry_point
def main(cfg: DictConfig) -> None:
    from soccermaster.training.run import EVALUATE_KEYS, evaluate

    check_keys(cfg, EVALUATE_KEYS, "evaluate.py")
    evaluate(cfg)


if __name__ == "__main__":
    start(main)
