"""Find moments by text: `python scripts/search.py input=VIDEO index=FILE query="a corner"`."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from soccermaster.cli import entry_point, start


@hydra.main(version_base="1.3", config_path="../configs", config_name="search")
@entry_point
def main(cfg: DictConfig) -> None:
    from soccermaster.downstream.search import clock, open_index, search_files
    from soccermaster.model import load_model
    from soccermaster.predict import Predictor

    console = Console(soft_wrap=True, highlight=False)
    predictor = Predictor(
        load_model(cfg.checkpoint), clip_seconds=cfg.clip_seconds, device=cfg.device
    )
    index = open_index(predictor, cfg.input, cfg.index, cfg.stride_s, cfg.fps, cfg.overwrite)
    console.print(f"{len(index.vectors)} clips of {index.made_of['video']} in {cfg.index}")
    if cfg.query is None:
        return
    queries = [cfg.query] if isinstance(cfg.query, str) else list(cfg.query)
    for query in queries:
        table = Table("from", "to", "similarity", "event", title=query)
        for moment in index.search(predictor, query, cfg.top_k):
            times = (clock(moment.start_s), clock(moment.stop_s))
            table.add_row(*times, f"{moment.score:.3f}", moment.event or "-")
        console.print(table)
    written = search_files(predictor, index, queries, cfg.output, cfg.top_k)
    console.print(f"Moments and their thumbnails: {written}")


if __name__ == "__main__":
    start(main)
