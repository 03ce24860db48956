"""Fine-tunes a detector on exported clips; see configs/finetune_detector.yaml."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from soccermaster.cli import entry_point, start


@hydra.main(version_base="1.3", config_path="../configs", config_name="finetune_detector")
@entry_point
def main(cfg: DictConfig) -> None:
    from soccermaster.factory.finetune import EpochScores, finetune_detector

    def show(scores: EpochScores) -> None:
        valid = "" if scores.ap is None else f"  AP {scores.ap:.3f}  AP50 {scores.ap50:.3f}"
        print(f"epoch {scores.epoch:3d}  loss {scores.loss:.3f}{valid}", flush=True)

    report = finetune_detector(**cfg, on_epoch=show)
    print(f"Wrote epoch {report.best_epoch} to {cfg.output}")


if __name__ == "__main__":
    start(main)
