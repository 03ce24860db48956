"""Predict `checkpoint=DIR input=VIDEO output=DIR`, or what `downstream=NAME` answers."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig, ListConfig

from soccermaster.cli import entry_point, register_resolvers, start

register_resolvers()


@hydra.main(version_base="1.3", config_path="../configs", config_name="predict")
@entry_point
def main(cfg: DictConfig) -> None:
    from pathlib import Path

    from hydra.utils import call

    from soccermaster.model import load_model
    from soccermaster.predict import Predictor
    from soccermaster.predict_files import write_predictions

    texts = cfg.texts
    if isinstance(texts, str):
        texts = [line for line in Path(texts).read_text(encoding="utf-8").splitlines() if line]
    elif isinstance(texts, ListConfig):
        texts = list(texts)
    predictor = Predictor(
        load_model(cfg.checkpoint),
        texts=texts,
        window=cfg.window,
        clip_seconds=cfg.clip_seconds,
        top_texts=cfg.top_texts,
        device=cfg.device,
    )
    if cfg.get("downstream") is not None:
        call(cfg.downstream.predict, predictor=predictor)
        return
    files = write_predictions(
        predictor, cfg.input, cfg.output, cfg.athlete_threshold, cfg.pitch_threshold, cfg.fps
    )
    print(
        f"{files.num_frames} frames ({files.num_registered} registered on the pitch) and "
        f"{files.num_clips} clips: {files.predictions}, {files.video}, {files.birds_eye}"
    )


if __name__ == "__main__":
    start(main)
