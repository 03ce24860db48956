"""How close the encoder comes to the matrix-product peak: `python benchmarks/encoder.py`.

Float32 on `--threads` threads. Each row runs in turn with the matrix products that the encoder
consists of, so that both see the same machine; a ratio is the median over `--repeats` rounds. Only
the FLOPs that are needed count (torch's FLOP counter): a dense batch stops at the tap, a backward
pass is two forward passes. Memory is what tensors hold at a time, above the weights and the images.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import weakref
from collections.abc import Callable

CLOCK: Callable[[], float] = time.perf_counter
_LARGE = {"image_size": (512, 512), "patch_size": 16, "embed_dim": 1024, "depth": 24}
_LARGE |= {"temporal_depth": 8, "num_heads": 16}
_BASE = {"image_size": (512, 512), "patch_size": 16, "embed_dim": 768, "depth": 12}
_BASE |= {"temporal_depth": 4, "num_heads": 12}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--frames", type=int, default=2, help="of the clips")
    parser.add_argument("--busy", action="store_true", help="count processor time: others compute")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    if arguments.busy:
        global CLOCK
        CLOCK = lambda: time.process_time() / arguments.threads  # noqa: E731
    import torch
    from rich.console import Console
    from rich.table import Table

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    rows = [
        ("large, to the tap", _LARGE, {"patches"}, False, "0.75"),
        ("large, in full", _LARGE, {"frames"}, False, "0.75"),
        ("base, dense training", _BASE, {"patches"}, True, "0.63"),
    ]
    table = Table("what", "per frame", "per second", "compared with", "ratio", "bound")
    for name, sizes, outputs, train, least in rows:
        run, flops = encoder_pass(sizes, outputs, train, arguments.frames)
        rates, peaks, ratios = [], [], []
        run()
        before = peak(sizes["embed_dim"])
        for _ in range(arguments.repeats):
            seconds = timed(run)
            after = peak(sizes["embed_dim"])
            peaks.append(max(before, after))
            rates.append(flops / seconds)
            ratios.append(rates[-1] / peaks[-1])
            before = after
        table.add_row(
            name,
            f"{flops / arguments.frames / 1e9:,.1f} GFLOP",
            f"{statistics.median(rates) / 1e9:.1f} GFLOP",
            f"{statistics.median(peaks) / 1e9:.1f} GFLOP/s, matrix product",
            f"{statistics.median(ratios):.2f}",
            f"at least {least}",
        )
        del run
    for name, outputs in (("to the tap", {"patches"}), ("in full", {"frames"})):
        encoder_bytes, block_bytes = inference_memory(outputs, arguments.frames)
        table.add_row(
            f"inference memory, large, {name}",
            f"{encoder_bytes / 2**20 / arguments.frames:.0f} MiB",
            "",
            f"{block_bytes / 2**20 / arguments.frames:.0f} MiB, one block",
            f"{encoder_bytes / block_bytes:.2f}",
            "at most 1.0",
        )
    Console(width=120).print(table)


def timed(run: Callable[[], object]) -> float:
    start = CLOCK()
    run()
    return CLOCK() - start


def peak(width: int, tokens: int = 2048) -> float:
    """FLOP/s of the matrix products of an MLP, the best of some tries."""
    import torch

    weight = torch.randn(4 * width, width)
    tokens_in = torch.randn(tokens, width)
    out = torch.empty(tokens, 4 * width)
    best = min(timed(lambda: torch.mm(tokens_in, weight.T, out=out)) for _ in range(4))
    return 2 * tokens * width * 4 * width / best


def encoder_pass(
    sizes: dict, outputs: set[str], train: bool, frames: int
) -> tuple[Callable[[], object], int]:
    """A pass over one clip, and the FLOPs that it needs."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from soccermaster.models.encoder import VideoEncoder

    with torch.device("meta"):
        shape = VideoEncoder(**sizes)
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            shape(torch.empty(1, frames, 3, 512, 512), outputs)
    flops = counter.get_total_flops() * (3 if train else 1)

    encoder = VideoEncoder(**sizes).train(train)
    images = torch.rand(1, frames, 3, 512, 512) * 2 - 1

    def infer() -> None:
        with torch.inference_mode():
            encoder(images, outputs)

    def learn() -> None:
        encoder.zero_grad()
        features = encoder(images, outputs)
        features.patches.mean().backward()

    return (learn if train else infer), flops


def inference_memory(outputs: set[str], frames: int) -> tuple[int, int]:
    """Peak bytes of the encoder above weights and images, and of one of its blocks."""
    import torch

    from soccermaster.models.encoder import VideoEncoder

    encoder = VideoEncoder(**_LARGE | {"depth": 4, "temporal_depth": 2}).eval()
    images = torch.rand(1, frames, 3, 512, 512)
    tokens = torch.rand(frames, 1024, 1024)
    with torch.inference_mode():
        block = peak_bytes(lambda: encoder.blocks[0](tokens)) + tokens.nbytes
        return peak_bytes(lambda: encoder(images, outputs)), block


def peak_bytes(run: Callable[[], object]) -> int:
    """Most bytes of tensors that `run` makes and holds at a time."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Ledger(TorchDispatchMode):
        held, most = 0, 0

        def __init__(self) -> None:
            super().__init__()
            self.known: set[int] = set()

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            import torch

            for tensor in tree_leaves((args, kwargs)):  # what was there before is not counted
                if isinstance(tensor, torch.Tensor):
                    self.known.add(tensor.untyped_storage()._cdata)
            result = function(*args, **(kwargs or {}))
            for tensor in tree_leaves(result):
                if isinstance(tensor, torch.Tensor):
                    self.count(tensor.untyped_storage())
            return result

        def count(self, storage) -> None:
            if storage._cdata in self.known:
                return
            self.known.add(storage._cdata)
            self.held += storage.nbytes()
            self.most = max(self.most, self.held)
            weakref.finalize(storage, self.release, storage._cdata, storage.nbytes())

        def release(self, key: int, size: int) -> None:
            self.held -= size
            self.known.discard(key)

    with Ledger() as ledger:
        run()
    return ledger.most


if __name__ == "__main__":
    main()
