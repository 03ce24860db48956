"""Writes synthetic clips in the formats of the real datasets; see configs/make_synthetic.yaml."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import hydra
from omegaconf import DictConfig
from rich.progress import track

from soccermaster.cli import entry_point, start
from soccermaster.data.synthetic.writers import gsr_clip_ids, write_gsr, write_match_clips


@hydra.main(version_base="1.3", config_path="../configs", config_name="make_synthetic")
@entry_point
def main(config: DictConfig) -> None:
    output = Path(config.output)
    common = {
        "seed": config.seed,
        "image_size": tuple(config.image_size),
        "overwrite": config.overwrite,
    }
    for split in ("train", "valid", "test"):
        if config.gsr[split]:
            write_gsr(
                output,
                split,
                gsr_clip_ids(split, config.gsr[split]),
                num_frames=config.gsr.frames,
                fps=config.gsr.fps,
                progress=partial(track, description=f"SoccerNetGS/{split}"),
                **common,
            )
        if config.clips[split]:
            write_match_clips(
                output,
                config.clips.source,
                split,
                config.clips[split],
                events=config.clips.events,
                duration_s=config.clips.duration_s,
                fps=config.clips.fps,
                progress=partial(track, description=f"{config.clips.source}/{split}"),
                **common,
            )
    print(f"Wrote {output.resolve()}")


if __name__ == "__main__":
    start(main)
