"""Training of the large model on one GPU: `python benchmarks/training_gpu.py`.

All five tasks, B = 1 clip of T = 30 frames per dataset, bfloat16: a step is a spatial and a
semantic clip, forward, backward and AdamW; with and without `torch.compile` and activation
checkpointing.
MFU counts the FLOPs that are needed (a backward pass is two forward passes, recomputation is none)
against `--peak-tflops` of the GPU in dense bfloat16. Needs a CUDA GPU and no data.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import statistics
import time

_SPATIAL = ("athletes", "pitch_keypoints", "pitch_lines")
_SEMANTIC = ("events", "alignment")
#: Dense bfloat16 TFLOP/s by a part of the device name, from the data sheets.
_PEAKS = {"H100": 989.0, "H200": 989.0, "H800": 989.0, "A100": 312.0, "A800": 312.0, "L40S": 362.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10, help="steps that are timed")
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--clips", type=int, default=1, help="of each dataset in a step")
    parser.add_argument("--encoder", default="siglip2_large_512")
    parser.add_argument("--peak-tflops", type=float, help="of the GPU; known for some")
    parser.add_argument("--device", default="cuda", help="cpu tries the script")
    arguments = parser.parse_args()
    import torch
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("error: expected a CUDA GPU, found none (--device cpu tries the script)")
    on_gpu = arguments.device == "cuda"
    name = torch.cuda.get_device_name() if on_gpu else "CPU"
    peak = arguments.peak_tflops or next((v for k, v in _PEAKS.items() if k in name), None)
    table = Table("compile", "checkpointing", "s per step", "frames/s", "GiB", "MFU")
    for compiled in (False, True):
        for checkpointing in (False, True):
            label = ["yes" if compiled else "no", "yes" if checkpointing else "no"]
            try:
                seconds, flops, memory = measure(arguments, compiled, checkpointing)
            except torch.cuda.OutOfMemoryError:
                table.add_row(*label, "out of memory", "", "", "")
            else:
                mfu = f"{flops / seconds / peak / 1e12:.2f}" if peak else "-"
                frames = 2 * arguments.clips * arguments.frames
                table.add_row(
                    *label, f"{seconds:.3f}", f"{frames / seconds:.1f}", f"{memory:.1f}", mfu
                )
            gc.collect()
            if on_gpu:
                torch.cuda.empty_cache()
    console.print(
        f"{name}, torch {torch.__version__}, B = {arguments.clips}, T = {arguments.frames}"
    )
    console.print(table)


def measure(
    arguments: argparse.Namespace, compiled: bool, checkpointing: bool
) -> tuple[float, int, float]:
    """Seconds per step (median), FLOPs that a step needs, and peak memory in GiB."""
    import torch

    from soccermaster.training.shapes import part_sizes

    config, model = build(arguments.encoder, checkpointing)
    sizes = {
        size.name: size.flops * (3 if size.trained else 1)
        for size in part_sizes(config, arguments.frames, ["tasks.alignment.text"])
    }
    tap, late = sizes["encoder, up to the tap"], sizes["encoder, after it"]
    heads = sum(sizes[name] for name in (*_SPATIAL, *_SEMANTIC))
    flops = arguments.clips * (2 * tap + late + heads)

    device = torch.device(arguments.device)
    model = model.to(device).train()
    if compiled:
        model.encoder.compile_blocks()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)
    batch = clips(model, arguments.clips, arguments.frames).to(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def step() -> None:
        for tasks in (_SPATIAL, _SEMANTIC):
            with torch.autocast(device.type, torch.bfloat16):
                outputs = model.run(batch, tasks)
                losses = [
                    model.tasks[name].weigh(model.tasks[name].loss(output, batch))
                    for name, output in outputs.items()
                ]
            sum(losses[1:], start=losses[0]).backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()

    for _ in range(arguments.warmup):
        step()
    times = []
    for _ in range(arguments.repeats):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else float("nan")
    return statistics.median(times), flops, memory


def build(encoder: str, checkpointing: bool):
    """The configuration and the model of the paper, with a small text tower that is frozen."""
    from pathlib import Path

    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from soccermaster.cli import register_resolvers
    from soccermaster.model import SoccerModel

    register_resolvers()
    configs = Path(__file__).resolve().parent.parent / "configs"
    with initialize_config_dir(str(configs), version_base="1.3"):
        cfg = compose(
            "train",
            [
                f"encoder={encoder}",
                f"encoder.activation_checkpointing={str(checkpointing).lower()}",
                "text.depth=1",  # its vectors are cached in training
            ],
        )
    config = {key: OmegaConf.to_container(cfg[key], resolve=True) for key in ("encoder", "tasks")}
    model = SoccerModel.from_config(config)
    model.tasks["alignment"].text.requires_grad_(False)
    return config, model


def clips(model, count: int, frames: int):
    """A batch of synthetic clips with every annotation, at the size of the encoder."""
    import numpy as np

    from soccermaster.data.augment import ResizeClip
    from soccermaster.data.collate import collate_clips
    from soccermaster.data.synthetic import SyntheticSpatial

    dataset = SyntheticSpatial("train", count, num_frames=frames, image_size=(144, 256))
    resize, rng = ResizeClip(model.encoder.image_size), np.random.default_rng(0)
    made = []
    for i in range(count):
        clip = resize(dataset[i], rng)
        annotations = dataclasses.replace(clip.annotations, event="corner", text="a corner")
        made.append(dataclasses.replace(clip, annotations=annotations))
    return collate_clips(made, dataset.provides | {"event", "text"}, "synthetic")


if __name__ == "__main__":
    main()
