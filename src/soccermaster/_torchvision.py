"""Keeps torchvision importable beside a CPU-only build of torch.

torchvision comes in through timm. Its published wheels are linked against the CUDA build of torch;
beside a CPU-only torch the compiled library cannot load, and `import torchvision` then fails on the
missing operator `torchvision::nms`, which takes timm, lightning and torchmetrics down with it.

`install()` puts a finder in front of the import system that waits for the first import of
torchvision. Where torchvision's own library loads (GPU users), nothing is changed. Elsewhere the
two operators that torchvision declares at import time are defined, `nms` with a pure PyTorch CPU
kernel, and `torchvision.ops.nms` accepts it. Other compiled operators keep raising torchvision's
own error.
Nothing heavy is imported before somebody asks for torchvision.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

_libraries: list[Any] = []  # torch.library objects lose their definitions when collected


def install() -> None:
    """Install the finder once; does nothing when it is there or torchvision is imported already."""
    if "torchvision" in sys.modules or any(isinstance(f, _Finder) for f in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in ("torchvision", "torchvision.ops.boxes"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec
        if fullname == "torchvision":
            if _own_operators_load(spec):
                return spec
            spec.loader = _Around(spec.loader, before=_define_operators)
        elif _libraries:
            spec.loader = _Around(spec.loader, after=_accept_nms)
        return spec


class _Around(importlib.abc.Loader):
    """A loader that runs a function before or after the module's own code."""

    def __init__(
        self,
        loader: Any,
        before: Callable[[], None] | None = None,
        after: Callable[[ModuleType], None] | None = None,
    ) -> None:
        self._loader = loader
        self._before = before
        self._after = after

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if self._before is not None:
            self._before()
        self._loader.exec_module(module)
        if self._after is not None:
            self._after(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def _own_operators_load(spec: importlib.machinery.ModuleSpec) -> bool:
    import torch

    for folder in spec.submodule_search_locations or ():
        for library in sorted(Path(folder).glob("_C*")):
            try:
                torch.ops.load_library(str(library))
            except (OSError, ImportError):
                return False
            return True
    return False


def _define_operators() -> None:
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", _nms, "CPU")
    _libraries.append(library)


def _accept_nms(boxes: ModuleType) -> None:
    boxes._assert_has_ops = lambda: None  # type: ignore[attr-defined]


def _nms(dets: Any, scores: Any, iou_threshold: float) -> Any:
    """Greedy non-maximum suppression: boxes (n, 4) xyxy -> kept indices, best first."""
    import torch

    order = scores.argsort(descending=True, stable=True)
    boxes = dets[order]
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    top_left = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    bottom_right = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    overlap = (bottom_right - top_left).clamp(min=0).prod(2)
    suppresses = overlap / (area[:, None] + area[None] - overlap) > iou_threshold
    keep = torch.ones(len(boxes), dtype=torch.bool)
    for i in range(len(boxes)):
        if keep[i]:
            keep[i + 1 :] &= ~suppresses[i, i + 1 :]
    return order[keep]
