"""A package imports from the rows above it alone; this reads the imports and names the line."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "soccermaster"

#: What each part may import from the library, besides itself.
ROW_0 = {"vocabulary"}
ROW_1 = ROW_0 | {"geometry", "ops", "structures"}
ALLOWED = {
    "vocabulary": set(),
    "geometry": ROW_0,
    "ops": ROW_0,
    "structures": ROW_0 | {"geometry", "ops"},
    "data": ROW_1,
    "models": ROW_1,
    "metrics": ROW_1,
    "tracking": ROW_1,
    "viz": ROW_1,
    "tasks": ROW_1 | {"models", "metrics", "viz"},
    "model_card": set(),
    "model": ROW_1 | {"models", "model_card", "tasks.base"},
    "shipping": {"models", "model", "model_card"},
    "export": {"models", "model"},
    "demo": {"data", "downstream", "predict", "viz"},
    "official": ROW_1 | {"models", "model", "official_heads"},
    "official_heads": ROW_0 | {"models"},
    "predict": ROW_1 | {"models", "tasks.base", "model", "data", "metrics", "viz"},
    "predict_files": ROW_1 | {"models", "model", "data", "metrics", "viz", "predict"},
    "training": ROW_1 | {"models", "tasks.base", "model", "data", "metrics", "viz"},
    "downstream": ROW_1
    | {"predict", "predict_files", "model", "models", "data", "tracking", "metrics", "viz"},
    "factory": ROW_1
    | {"downstream", "predict", "model", "models", "data", "tracking", "metrics", "viz", "tasks"},
    "cli": {"ops"},
    "_torchvision": set(),
    "__init__": {"_torchvision", "geometry", "model", "predict", "structures"},
}


def imports(path: Path) -> list[tuple[int, str]]:
    """Line and dotted name below soccermaster of every import of our own."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names]
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
        else:
            continue
        found += [
            (node.lineno, name.removeprefix("soccermaster."))
            for name in names
            if name.startswith("soccermaster.")
        ]
    return found


def test_packages_import_only_from_rows_above():
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        assert part in ALLOWED, f"{path}: say in tests/test_layers.py which row '{part}' is in"
        for line, name in imports(path):
            top = name.split(".")[0]
            if top == part or top in ALLOWED[part]:
                continue
            if any(name.startswith(allowed) for allowed in ALLOWED[part] if "." in allowed):
                continue
            wrong.append(f"{path.relative_to(PACKAGE)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_geometry_needs_no_torch():
    for path in (PACKAGE / "geometry").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(n.split(".")[0] == "torch" for n in names), path
