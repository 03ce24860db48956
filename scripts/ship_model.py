"""Write a shipped model: `python scripts/ship_model.py checkpoint=DIR output=DIR/NAME`."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from soccermaster.cli import entry_point, start


@hydra.main(version_base="1.3", config_path="../configs", config_name="ship_model")
@entry_point
def main(cfg: DictConfig) -> None:
    from soccermaster.shipping import ship_model

    shipped = ship_model(**cfg)
    print(
        f"{shipped.num_parameters:,} parameters, {shipped.megabytes:.1f} MB in {shipped.directory}"
    )


if __name__ == "__main__":
    start(main)
