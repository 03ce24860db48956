"""Train: `python scripts/train.py experiment=pretrain_multitask`."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from soccermaster.cli import check_keys, entry_point, register_resolvers, start

register_resolvers()


@hydra.main(version_base="1.3", config_path="../configs", config_name="train")
@entry_point
def main(cfg: DictConfig) -> None:
    from soccermaster.training.run import TRAIN_KEYS, train

    check_keys(cfg, TRAIN_KEYS, "train.py")
    train(cfg)


if __name__ == "__main__":
    start(main)
