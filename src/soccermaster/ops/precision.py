"""Where bfloat16 pays."""

from __future__ import annotations

import torch


def bfloat16_is_fast(device: torch.device | str | None = None) -> bool:
    """Whether a device multiplies matrices in bfloat16 much faster than in float32.

    Args:
        device: a GPU if there is one, else the CPU, when None.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported()
    # a CPU without matrix units is slower in bfloat16; torch has no public question for them
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())
