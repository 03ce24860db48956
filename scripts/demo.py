"""A local page to see a model at work: `python scripts/demo.py`."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from soccermaster.cli import entry_point, start


@hydra.main(version_base="1.3", config_path="../configs", config_name="demo")
@entry_point
def main(cfg: DictConfig) -> None:
    from soccermaster.demo import build_page, launch
    from soccermaster.model import load_model
    from soccermaster.predict import Predictor

    predictor = Predictor(
        load_model(cfg.checkpoint), clip_seconds=cfg.clip_seconds, device=cfg.device
    )
    page = build_page(predictor, str(cfg.checkpoint), cfg.top_k)
    launch(page, cfg.port, browser=cfg.browser)


if __name__ == "__main__":
    start(main)
