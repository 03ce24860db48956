"""How fast synthetic clips are drawn on one core: `python benchmarks/synthetic.py`.

Cold: a fresh process, from its start to its first clip, imports included. Warm: frames per second
after that.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

_COLD = """
import cv2; cv2.setNumThreads(1)
from soccermaster.data.synthetic import {source}
{source}("train", 100, image_size={size})[0]
"""
_SIZES = ((96, 160), (144, 256), (360, 640), (720, 1280))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="per row of the table")
    seconds = parser.parse_args().seconds
    os.environ["OMP_NUM_THREADS"] = "1"
    import cv2
    from rich.console import Console
    from rich.table import Table

    from soccermaster.data.synthetic import SyntheticSemantic, SyntheticSpatial

    cv2.setNumThreads(1)
    table = Table("source", "H x W", "cold, s", "frames/s", "ms per clip")
    for source in (SyntheticSpatial, SyntheticSemantic):
        for size in _SIZES:
            start = time.perf_counter()
            code = _COLD.format(source=source.__name__, size=size)
            subprocess.run([sys.executable, "-c", code], check=True)
            cold_s = time.perf_counter() - start
            dataset = source("train", 10_000, image_size=size)
            for index in range(20):  # every texture is drawn once
                dataset[index]
            clips, frames, start = 0, 0, time.perf_counter()
            while (warm_s := time.perf_counter() - start) < seconds:
                frames += len(dataset[clips].frames)
                clips += 1
            table.add_row(
                source.name,
                f"{size[0]}x{size[1]}",
                f"{cold_s:.1f}",
                f"{frames / warm_s:.0f}",
                f"{1000 * warm_s / clips:.0f}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
