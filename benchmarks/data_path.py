"""What a training clip costs on one core, stage by stage: `python benchmarks/data_path.py`.

The clip has 30 frames; all ratios are of processor time within one run, medians over the repeats.
Frames are photographs given with `images=DIR`, else rendered. The first table is about pictures of
1920x1080 px, the second one about a 720p video, the third one about what travels to the trainer.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from soccermaster.data.augment import AugmentClip, ResizeClip
from soccermaster.data.collate import collate_clips
from soccermaster.data.datasets.base import ClipDataset
from soccermaster.data.frame_source import FrameSource, VideoSource, encode_frame, open_source
from soccermaster.data.images import image_paths, read_image
from soccermaster.data.shards import ShardClips, write_shards
from soccermaster.data.synthetic import SyntheticSpatial
from soccermaster.data.undecoded import UndecodedClip
from soccermaster.data.video import VideoWriter
from soccermaster.structures import Annotations, Clip

NUM_FRAMES = 30
NETWORK = (512, 512)
# What a GPU sustains in training, unless a step was timed (--step-s): 40 % of the 989 dense
# bfloat16 TFLOP/s in the data sheet of an H100.
GPU_TFLOPS = 400.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, help="folder of frames to fill the clip with")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--draws", type=int, default=12, help="augmentations to average over")
    parser.add_argument("--gpu-tflops", type=float, default=GPU_TFLOPS, help="sustained")
    parser.add_argument(
        "--step-s", type=float, help="a measured step, of benchmarks/training_gpu.py"
    )
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        frames = some_frames(arguments.images, (1080, 1920))
        clip_ms = pictures(Path(folder), frames, arguments.repeats, arguments.draws, console)
        video(Path(folder), frames, arguments.repeats, console)
        traffic(Path(folder), console)
    feeding(clip_ms, arguments.step_s, arguments.gpu_tflops, console)


def some_frames(folder: Path | None, size: tuple[int, int]) -> list[np.ndarray]:
    """A few different frames of one size."""
    if folder is not None:
        height, width = size
        pictures = [read_image(path) for path in image_paths(folder)[:5]]
        return [cv2.resize(p, (width, height), interpolation=cv2.INTER_CUBIC) for p in pictures]
    dataset = SyntheticSpatial("train", 5, num_frames=1, image_size=size)
    return [dataset[index].frames[0] for index in range(5)]


class OneClip(ClipDataset):
    """The frames of a source, again and again."""

    name, provides = "one_clip", frozenset({"event"})

    def __init__(self, source: FrameSource) -> None:
        self.source = source

    def __len__(self) -> int:
        return 1

    def undecoded(self, index: int) -> UndecodedClip:
        """The one clip."""
        return UndecodedClip(
            frames=self.source,
            indices=tuple(range(NUM_FRAMES)),
            image_size=(self.source.info.height, self.source.info.width),
            times_s=self.source.times_s[:NUM_FRAMES],
            annotations=Annotations(event="goal"),
            clip_id="clip",
            source=self.name,
        )

    def __getitem__(self, index: int) -> Clip:
        return self.undecoded(index).decode()


def pictures(
    folder: Path, frames: Sequence[np.ndarray], repeats: int, draws: int, console: Console
) -> float:
    """Prints the table about pictures; returns the milliseconds of an augmented clip."""
    (folder / "img1").mkdir()
    for index in range(NUM_FRAMES):
        data = encode_frame(frames[index % len(frames)])
        (folder / f"img1/{index + 1:06d}.jpg").write_bytes(data)
    dataset = OneClip(open_source(folder))
    encoded = list(dataset.source.encoded(range(NUM_FRAMES)))
    write_shards(dataset, folder / "shards/train")
    shards = ShardClips(folder / "shards", "train")
    augment, resize = AugmentClip(NETWORK), ResizeClip(NETWORK)
    drawn = [augment.draw((1080, 1920), np.random.default_rng(s)) for s in range(draws)]
    ready = resize(dataset.undecoded(0))

    def opencv() -> None:
        for data in encoded:
            cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)

    def whole_size() -> None:
        for _ in dataset.undecoded(0).stream():
            pass

    def half_size() -> None:
        for _ in dataset.undecoded(0).stream((540, 960)):
            pass

    stages: dict[str, Callable[[], object]] = {
        "decode with OpenCV (cv2.imdecode)": opencv,
        "decode, whole size": whole_size,
        "decode, half size": half_size,
        "ready clip, resized only": lambda: resize(dataset.undecoded(0)),
    }
    stages |= {f"draw {n}": lambda d=d: d(dataset.undecoded(0)) for n, d in enumerate(drawn)}
    stages["labels and frames out of a shard"] = lambda: shards.undecoded(0)
    stages["collate (to channels first)"] = lambda: collate_clips([ready], {"event"}, "one")
    times = measure(stages, repeats)
    own = [times.pop(f"draw {n}") for n in range(draws)]
    base = times["decode with OpenCV (cv2.imdecode)"]
    times["ready clip, augmented: mean draw"] = statistics.mean(own)
    times["ready clip, augmented: dearest draw"] = max(own)
    table = Table("30 frames of 1920x1080 JPEG", "ms per clip", "ms per frame", "of OpenCV's")
    for name, seconds in times.items():
        table.add_row(
            name,
            f"{1e3 * seconds:.0f}",
            f"{1e3 * seconds / NUM_FRAMES:.1f}",
            f"{seconds / base:.2f}",
        )
    console.print(table)
    return 1e3 * statistics.mean(own)


def video(folder: Path, frames: Sequence[np.ndarray], repeats: int, console: Console) -> None:
    """Prints the table about random access."""
    path = folder / "match.mp4"
    with VideoWriter(path, 25.0, (720, 1280), keyframe_interval=50) as writer:
        for index in range(250):  # a slow pan over a picture
            picture = frames[index // 50 % len(frames)]
            x = 2 * index
            writer.write(np.ascontiguousarray(picture[100:820, x % 600 : x % 600 + 1280]))
    source = VideoSource(path)
    table = Table("30 frames of a 720p mp4", "ms", "sequential, ms", "ratio")
    for first in (50, 75, 99, 210):
        before = first // 50 * 50  # the key frame
        wanted = range(first, first + NUM_FRAMES)
        times = measure(
            {
                "random": lambda wanted=wanted: source.read(wanted),
                "sequential": lambda a=before, b=wanted[-1]: sequential(path, a, b),
            },
            repeats,
        )
        table.add_row(
            f"{first} to {wanted[-1]}, key frame {before}",
            f"{1e3 * times['random']:.0f}",
            f"{1e3 * times['sequential']:.0f}",
            f"{times['random'] / times['sequential']:.2f}",
        )
    console.print(table)


def sequential(path: Path, first: int, last: int) -> None:
    """Decodes the frames from a key frame on to RGB, one after the other, with PyAV alone."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        start = round(first / 25.0 / float(stream.time_base))
        container.seek(start, stream=stream, backward=True)
        for frame in container.decode(stream):
            frame.to_ndarray(format="rgb24")
            if frame.time >= (last - 0.5) / 25.0:
                return


def traffic(folder: Path, console: Console) -> None:
    """Prints what one clip weighs on its way to the trainer."""
    dataset = SyntheticSpatial("train", 1, num_frames=NUM_FRAMES, image_size=(288, 512))
    batch = collate_clips([ResizeClip(NETWORK)(dataset[0])], dataset.provides, "one")
    parts = (batch.athletes, batch.keypoints, batch.lines, batch.cameras)
    labels = sum(t.nbytes for part in parts for t in vars(part).values())
    table = Table("worker to trainer, 30 frames of 512x512", "MiB")
    table.add_row("frames, uint8", f"{batch.images.nbytes / 2**20:.2f}")
    table.add_row("labels, sparse", f"{labels / 2**20:.2f}")
    console.print(table)


def feeding(clip_ms: float, step_s: float | None, gpu_tflops: float, console: Console) -> None:
    """Prints how many cores keep one GPU busy with a spatial and a semantic clip per step."""
    if step_s is None:
        tflop = step_tflop()
        step_s = tflop / gpu_tflops
        console.print(
            f"A step of siglip2_large_512 needs {tflop:.0f} TFLOP: {step_s:.2f} s at an assumed "
            f"{gpu_tflops:g} TFLOP/s (not timed; --step-s)."
        )
    console.print(
        f"A step of {step_s:.2f} s on a spatial and a semantic clip is fed by "
        f"{2 * clip_ms / 1000 / step_s:.1f} loader cores like this one."
    )


def step_tflop() -> float:
    """The large encoder, forward and backward (twice that): one clip to the tap, one in full."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from soccermaster.cli import register_resolvers
    from soccermaster.training.shapes import part_sizes

    register_resolvers()
    configs = Path(__file__).resolve().parent.parent / "configs"
    with initialize_config_dir(str(configs), version_base="1.3"):
        cfg = compose("train", ["encoder=siglip2_large_512"])
    encoder = OmegaConf.to_container(cfg.encoder, resolve=True)
    sizes = part_sizes({"encoder": encoder, "tasks": {}}, NUM_FRAMES)
    flops = {size.name: size.flops for size in sizes}
    return 3e-12 * (2 * flops["encoder, up to the tap"] + flops["encoder, after it"])


def measure(stages: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median processor seconds of each stage; the stages take turns, so a slow spell hits all."""
    found: dict[str, list[float]] = {name: [] for name in stages}
    for turn in range(repeats + 1):
        for name, stage in stages.items():
            start = time.process_time()
            stage()
            if turn:  # the first one warms up
                found[name].append(time.process_time() - start)
    return {name: statistics.median(seconds) for name, seconds in found.items()}


if __name__ == "__main__":
    main()
