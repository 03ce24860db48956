"""Evaluate a checkpoint (`checkpoint=DIR`), or files with `downstream=calibration`."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from soccermaster.cli import check_given, check_keys, entry_point, register_resolvers, start

register_resolvers()


@hydra.main(version_base="1.3", config_path="../configs", config_name="evaluate")
@entry_point
def main(cfg: DictConfig) -> None:
    if cfg.get("downstream") is not None:
        if "evaluate" not in cfg.downstream:
            raise ValueError("expected a downstream task that scores files, such as calibration")
        check_given(cfg, ("predictions", "ground_truth"))
        hydra.utils.call(cfg.downstream.evaluate)
        return
    given = [key for key in ("predictions", "ground_truth", "report") if cfg[key] is not None]
    if given:
        raise ValueError(f"{', '.join(given)}: read with a downstream task, as downstream=...")
    check_given(cfg, ("checkpoint",))
    from soccermaster.training.run import EVALUATE_KEYS, evaluate

    check_keys(cfg, EVALUATE_KEYS, "evaluate.py")
    evaluate(cfg)


if __name__ == "__main__":
    start(main)
