"""What the heads cost beside their networks, on one core: `python benchmarks/heads.py`.

Process time (other programs do not count), median over `--repeats` passes in random data of the
published sizes: 300 queries, 25 athletes a frame, heatmaps of 256x256.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--frames", type=int, default=30, help="of the clip")
    parser.add_argument("--window", type=int, default=8, help="frames drawn or decoded at once")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch
    from rich.console import Console
    from rich.table import Table

    torch.set_num_threads(1)
    torch.manual_seed(0)
    clip, window = arguments.frames, arguments.window

    def median_ms(function: Callable[[], object]) -> float:
        function()
        times = []
        for _ in range(arguments.repeats):
            start = time.process_time()
            function()
            times.append(1000 * (time.process_time() - start))
        return statistics.median(times)

    table = Table("what", "per", "ms", "at most")
    match_all, assign = matching(clip)
    table.add_row(f"matching, {clip} frames", "clip", f"{median_ms(match_all):.1f}", "20")
    table.add_row("  of which assignments", "clip", f"{median_ms(assign):.1f}", "")
    keypoints, lines = targets(window)
    drawing = [median_ms(draw) / window for draw in (keypoints, lines)]
    table.add_row("keypoint targets", "frame", f"{drawing[0]:.2f}", "")
    table.add_row("line targets", "frame", f"{drawing[1]:.2f}", "")
    table.add_row("  both", "frame", f"{sum(drawing):.2f}", "2")
    decoding = [median_ms(decode) / window for decode in decoders(window)]
    table.add_row("keypoint decoding, 57 channels", "frame", f"{decoding[0]:.2f}", "")
    table.add_row("line decoding, 23 channels, top 2", "frame", f"{decoding[1]:.2f}", "")
    table.add_row("  both", "frame", f"{sum(decoding):.2f}", "3")
    read = torch.rand(window, 80, 256, 256)
    floor = median_ms(lambda: read.amax(-1)) / window
    table.add_row("  reading 80 channels once", "frame", f"{floor:.2f}", "")
    Console().print(table)


def matching(frames: int) -> tuple[Callable[[], object], Callable[[], object]]:
    import torch

    from soccermaster.ops.matching import match
    from soccermaster.tasks.athletes import AthleteTargets, matching_cost

    people, queries = 25, 300
    logits = torch.randn(frames, queries, 1)
    rows = frames * people

    def people_like(*shape: int) -> torch.Tensor:
        """Boxes (cx, cy, w, h) anywhere in the frame, of the size of athletes."""
        sizes = torch.rand(*shape, 2) * torch.tensor([0.03, 0.1]) + torch.tensor([0.01, 0.05])
        return torch.cat([torch.rand(*shape, 2), sizes], dim=-1)

    boxes = people_like(frames, queries)
    unknown = torch.full((rows,), -1)
    wanted = AthleteTargets(
        torch.arange(frames).repeat_interleave(people),
        people_like(rows),
        *[unknown] * 4,
    )
    cost = matching_cost(logits, boxes, wanted)
    return (
        lambda: match(matching_cost(logits, boxes, wanted), wanted.frame),
        lambda: match(cost, wanted.frame),
    )


def pitch_batch(frames: int):
    """Synthetic clips, as they are annotated."""
    import numpy as np

    from soccermaster.data.augment import ResizeClip
    from soccermaster.data.collate import collate_clips
    from soccermaster.data.synthetic import SyntheticSpatial

    dataset = SyntheticSpatial("train", frames, num_frames=1, image_size=(144, 256))
    resize, rng = ResizeClip((512, 512)), np.random.default_rng(0)
    clips = [resize(dataset[i], rng) for i in range(frames)]
    return collate_clips(clips, dataset.provides, "synthetic")


def targets(frames: int) -> tuple[Callable[[], object], Callable[[], object]]:
    from soccermaster.ops.heatmaps import Canvas
    from soccermaster.tasks import pitch_keypoints, pitch_lines

    batch, size = pitch_batch(frames), (256, 256)
    canvases = Canvas(), Canvas()
    return (
        lambda: pitch_keypoints.make_targets(batch, size, 2.0, canvases[0]),
        lambda: pitch_lines.make_targets(batch, size, 2.0, canvases[1]),
    )


def decoders(frames: int) -> tuple[Callable[[], object], Callable[[], object]]:
    import torch

    from soccermaster.tasks.pitch_keypoints import KeypointsOutput, PitchKeypoints
    from soccermaster.tasks.pitch_lines import LinesOutput, PitchLines

    keypoints, lines = (draw()[0] for draw in targets(frames))
    keypoints = KeypointsOutput((keypoints + 0.02 * torch.rand_like(keypoints)).clamp(max=1))
    lines = LinesOutput((lines + 0.02 * torch.rand_like(lines)).clamp(max=1))
    heads = PitchKeypoints(8, (8, 8, 8)), PitchLines(8, (8, 8, 8))
    return lambda: heads[0].decode(keypoints), lambda: heads[1].decode(lines)


if __name__ == "__main__":
    main()
