"""The notebooks run from top to bottom."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.pretrained import pretrained

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
#: Those that start from the shipped model; they also take longer.
PRETRAINED = {"new_head"}


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(p, id=p.stem, marks=[pytest.mark.slow] if p.stem in PRETRAINED else [])
        for p in NOTEBOOKS
    ],
)
def test_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch):
    if path.stem in PRETRAINED:
        monkeypatch.setenv("CHECKPOINT", pretrained())
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    )
    client.execute()
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    assert any("image/png" in o.get("data", {}) for o in outputs), "no picture was drawn"
