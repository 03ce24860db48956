"""Convert official checkpoints, both ways; see configs/convert_checkpoint.yaml."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig, OmegaConf

from soccermaster.cli import entry_point, start


@hydra.main(version_base="1.3", config_path="../configs", config_name="convert_checkpoint")
@entry_point
def main(cfg: DictConfig) -> None:
    from soccermaster.official import from_official, to_official

    options = OmegaConf.to_container(cfg, resolve=True)
    source, output, direction = options["source"], options["output"], options["direction"]
    if direction == "from_official":
        refuse(options, "dialect", direction)
        done = from_official(source, output, options["text"], **options["encoder"])
    elif direction == "to_official":
        refuse(options, "text", direction)
        for name in options["encoder"]:
            refuse(options["encoder"], name, direction)
        done = to_official(source, output, options["dialect"])
    else:
        raise ValueError(f"expected direction from_official or to_official, got '{direction}'")
    print(f"Wrote {done.directory}: {', '.join(done.parts)}")
    for note in done.notes:
        print(f"Note: {note}")


def refuse(options: dict, name: str, direction: str) -> None:
    if options[name] is not None:
        raise ValueError(f"{name} has no meaning for direction={direction}; leave it out")


if __name__ == "__main__":
    start(main)
