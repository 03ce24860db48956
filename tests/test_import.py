"""Importing the package is light, and torchvision works beside a CPU-only torch."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_loads_nothing_heavy():
    loaded = run(
        "import sys, soccermaster\n"
        "heavy = ('torch', 'torchvision', 'lightning', 'hydra', 'cv2')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert loaded == "[]"


def test_torchvision_and_what_needs_it_import_in_a_fresh_process():
    kept = run(
        "import soccermaster, torch, torchvision, timm\n"
        "from torchvision.ops import nms\n"
        "boxes = torch.tensor([[0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30.0]])\n"
        "print(nms(boxes, torch.tensor([0.5, 0.9, 0.3]), 0.5).tolist())"
    )
    assert kept == "[1, 2]"


def test_public_names_resolve():
    import soccermaster as sm

    for name in sm.__all__:
        assert getattr(sm, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        sm.nonsense
