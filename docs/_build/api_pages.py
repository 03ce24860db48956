"""A hook of mkdocs: the section API, one page per package with the docstrings of its modules."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_SOURCE = Path(__file__).resolve().parents[2] / "src"
_ROOT = "soccermaster"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages into the navigation."""
    pages = [{title: name} for name, (title, _) in _pages().items()]
    config.nav.append({"API": pages})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to the files of the site."""
    for name, (_, content) in _pages().items():
        files.append(File.generated(config, name, content=content))
    return files


def _pages() -> dict[str, tuple[str, str]]:
    """Title and Markdown of each page by file name: the top modules, then package by package."""
    pages = {"api/index.md": ("soccermaster", _page(_ROOT, _modules(_SOURCE / _ROOT, deep=False)))}
    packages = [p.parent for p in (_SOURCE / _ROOT).glob("*/__init__.py")]
    for package in sorted(packages):
        title = package.name
        pages[f"api/{title}.md"] = (title, _page(f"{_ROOT}.{title}", _modules(package, deep=True)))
    return pages


def _page(title: str, modules: list[str]) -> str:
    return "\n\n".join([f"# {title}", *(f"::: {name}" for name in modules)]) + "\n"


def _modules(folder: Path, deep: bool) -> list[str]:
    """Dotted names of the public modules of a folder, without packages that only collect names."""
    paths = sorted(folder.rglob("*.py") if deep else folder.glob("*.py"))
    public = [p for p in paths if not p.name.startswith("_")]
    return [".".join(p.relative_to(_SOURCE).with_suffix("").parts) for p in public]
