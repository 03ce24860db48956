"""Writes synthetic clips in the formats of the real datasets; see configs/make_synthetic.yaml."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import hydra
from omegaconf import DictConfig
from rich.progress import track

from soccermaster.cli import entry_point, start
from soccermaster.data.synthetic.benchmark_files import write_benchmark
from soccermaster.data.synthetic.calibration_files import write_calibration
from soccermaster.data.synthetic.match_files import write_match
from soccermaster.data.synthetic.writers import gsr_clip_ids, write_gsr, write_match_clips


@hydra.main(version_base="1.3", config_path="../configs", config_name="make_synthetic")
@entry_point
def main(config: DictConfig) -> None:
    output = Path(config.output)
    if config.split == "benchmark":
        write_benchmark(
            output,
            seed=config.seed,
            spatial=config.benchmark.spatial,
            semantic=config.benchmark.semantic,
            spatial_size=tuple(config.benchmark.spatial_size),
            semantic_size=tuple(config.benchmark.semantic_size),
            overwrite=config.overwrite,
            progress=partial(track, description="benchmark"),
        )
    elif config.split is None:
        write_formats(config, output)
    else:
        raise ValueError(
            f"expected split=benchmark or no split, got {config.split!r}. "
            "Numbers per split are set by gsr.train, clips.valid, ..."
        )
    print(f"Wrote {output.resolve()}")


def write_formats(config: DictConfig, output: Path) -> None:
    same = {"seed": config.seed, "overwrite": config.overwrite}
    common = {**same, "image_size": tuple(config.image_size)}
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
        if config.calibration[split]:
            write_calibration(
                output,
                split,
                config.calibration[split],
                image_size=tuple(config.calibration.image_size),
                progress=partial(track, description=f"calibration/{split}"),
                **same,
            )
    for index in range(config.matches.count):
        write_match(
            output,
            index,
            minutes=config.matches.minutes,
            fps=config.matches.fps,
            progress=partial(track, description=f"match {index}"),
            **common,
        )


if __name__ == "__main__":
    start(main)
