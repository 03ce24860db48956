"""Raw broadcast video to training clips; see configs/build_dataset.yaml."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig, OmegaConf

from soccermaster.cli import entry_point, start


@hydra.main(version_base="1.3", config_path="../configs", config_name="build_dataset")
@entry_point
def main(cfg: DictConfig) -> None:
    from soccermaster.factory.progress import ClipProgress
    from soccermaster.factory.runner import Chain, build_dataset

    factory = OmegaConf.to_container(cfg.factory, resolve=True)
    with ClipProgress() as progress:
        report = build_dataset(
            cfg.input,
            cfg.output,
            Chain(factory["order"], factory["stages"]),
            hydra.utils.instantiate(cfg.executor),
            clip_frames=cfg.clip_frames,
            fps=cfg.fps,
            progress=progress,
        )
    print(report.to_text(cfg.output))
    if report.failure is not None:
        raise ValueError(f"{cfg.input}: {report.failure}; see report.json in {cfg.output}")


if __name__ == "__main__":
    start(main)
