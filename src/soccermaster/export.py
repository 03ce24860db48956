"""The encoder as a file that runs without this library: `torch.export` and ONNX.

    export_encoder("soccermaster-tiny", "exported", num_frames=8)
    # exported/encoder.pt2, exported/encoder.onnx

Images (B, T, 3, H, W) in [-1, 1] go in; `patches` (B, T, N, D), `frames` (B, T, D) and, where the
encoder has one, `clip` (B, D) come out. The number of clips B is open; T, H and W are settled.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from soccermaster.model import load_encoder
from soccermaster.models.encoder import VideoEncoder

FORMATS = ("torch", "onnx")
TORCH_NAME = "encoder.pt2"
ONNX_NAME = "encoder.onnx"


class ExportError(ValueError):
    """What was written computes something else than the encoder."""


@dataclass(frozen=True)
class Exported:
    """A file and how far its outputs are from those of the encoder."""

    path: Path
    outputs: tuple[str, ...]
    max_difference: float  # over all outputs of random clips


class EncoderOutputs(nn.Module):
    """An encoder whose outputs are a tuple of tensors, named by `names`."""

    def __init__(self, encoder: VideoEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        clip = ("clip",) if encoder.clip_pool is not None else ()
        self.names: tuple[str, ...] = ("patches", "frames", *clip)

    def forward(self, images: Float[Tensor, "B T 3 H W"]) -> tuple[Tensor, ...]:
        """The features by the order of `names`."""
        features = self.encoder(images)
        return tuple(getattr(features, name) for name in self.names)


def export_encoder(
    checkpoint: Path | str,
    output: Path | str,
    num_frames: int | None = None,
    image_size: int | Sequence[int] | None = None,
    formats: Sequence[str] = FORMATS,
) -> list[Exported]:
    """Write the encoder of a checkpoint, run what was written, and compare.

    Args:
        checkpoint: what `load_encoder` takes.
        output: folder, made if necessary.
        num_frames: T; that of the encoder when None.
        image_size: side or (H, W); that of the encoder when None.
        formats: of `FORMATS`. "onnx" needs the extra `onnx`.

    Raises:
        ValueError: an unknown format, or one that needs packages that are not here.
        ExportError: what was written computes something else; it is removed.
    """
    check_formats(formats)
    model = EncoderOutputs(load_encoder(checkpoint, image_size)).eval()
    num_frames = num_frames or model.encoder.num_frames
    height, width = model.encoder.image_size
    generator = torch.Generator().manual_seed(0)
    images = torch.rand((2, num_frames, 3, height, width), generator=generator) * 2 - 1
    program = torch.export.export(
        model, (images,), dynamic_shapes={"images": {0: torch.export.Dim("clips", min=1)}}
    )
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    written = []
    for name in formats:
        path = output / (TORCH_NAME if name == "torch" else ONNX_NAME)
        partial = path.with_name(f".{path.stem}.writing{path.suffix}")
        try:
            if name == "torch":
                torch.export.save(program, partial)
            else:
                _write_onnx(program, model.names, partial)
            difference = _check_same(model, images, partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        written.append(Exported(path, model.names, difference))
    return written


def run_exported(path: Path | str, images: Float[Tensor, "B T 3 H W"]) -> tuple[Tensor, ...]:
    """The outputs of an exported encoder, in order, on the CPU."""
    path = Path(path)
    if path.suffix == ".pt2":
        with torch.no_grad():
            return torch.export.load(path).module()(images)
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return tuple(torch.from_numpy(array) for array in session.run(None, {"images": images.numpy()}))


def check_formats(formats: Sequence[str]) -> None:
    """Whether the formats can be written here.

    Raises:
        ValueError: one is unknown, or needs packages that are not here.
    """
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown or not formats:
        raise ValueError(f"expected formats among {list(FORMATS)}, got {unknown or 'none'}")
    if "onnx" in formats:
        wanted = ("onnx", "onnxscript", "onnxruntime")
        missing = [name for name in wanted if importlib.util.find_spec(name) is None]
        if missing:
            raise ValueError(
                f"exporting to ONNX needs {', '.join(missing)}: pip install 'soccermaster[onnx]', "
                "or choose formats=[torch]"
            )


def _write_onnx(program: torch.export.ExportedProgram, names: Sequence[str], path: Path) -> None:
    onnx_program = torch.onnx.export(
        program, input_names=["images"], output_names=list(names), dynamo=True, verbose=False
    )
    onnx_program.save(path, external_data=False)


def _check_same(model: EncoderOutputs, images: Tensor, path: Path) -> float:
    """Compare on clips of another number than those that were exported."""
    clips = torch.cat([images, images.flip(1)])[:3]
    with torch.no_grad():
        expected = model(clips)
    pairs = zip(expected, run_exported(path, clips), strict=True)
    differences = [float((a - b).abs().max() / a.abs().max().clamp(min=1)) for a, b in pairs]
    worst = float(np.max(differences))
    if not worst < 1e-3:
        raise ExportError(
            f"expected the outputs of the encoder from {path.name}, got a relative difference of "
            f"{worst:.2g}. Nothing was written; try another version of torch or onnxruntime."
        )
    return worst
