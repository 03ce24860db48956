"""Export the encoder: `python scripts/export.py checkpoint=DIR output=DIR`."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig, OmegaConf

from soccermaster.cli import entry_point, start


@hydra.main(version_base="1.3", config_path="../configs", config_name="export")
@entry_point
def main(cfg: DictConfig) -> None:
    from soccermaster.export import export_encoder

    options = OmegaConf.to_container(cfg, resolve=True)
    for file in export_encoder(**options):
        print(f"{file.path}: {', '.join(file.outputs)}; differs by {file.max_difference:.1e}")


if __name__ == "__main__":
    start(main)
