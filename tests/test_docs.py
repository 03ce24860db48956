"""What the pages say exists: commands compose, names can be imported, files are there."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException

from soccermaster.cli import quoted, refuse_unknown_choices, register_resolvers
from tests.configs import CONFIGS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands() -> list[tuple[str, str]]:
    """(page, command) of every script that a code block of a page runs."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```bash\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if match := re.search(r"scripts/\w+\.py.*", line.partition(" #")[0]):
                    found.append((str(page.relative_to(ROOT)), match[0]))
    return found


def test_there_are_commands_to_check():
    assert len(commands()) > 20


@pytest.mark.parametrize("page", sorted({page for page, _ in commands()}))
def test_commands_compose(page: str):
    register_resolvers()
    for command in (c for p, c in commands() if p == page):
        script, *arguments = shlex.split(command)
        overrides = [quoted(argument) for argument in arguments]
        assert (ROOT / script).is_file(), command
        if "hydra.searchpath" in command:
            continue  # the configs of the example do not exist; tests/test_readme.py trains it
        refuse_unknown_choices(CONFIGS, overrides)
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            try:
                compose(Path(script).stem, overrides)
            except HydraException as error:
                pytest.fail(f"{page}: {command}: {error}")


def test_dotted_names_can_be_imported():
    for page in PAGES:
        for name in re.findall(r"`(soccermaster(?:\.\w+)+)`", page.read_text("utf-8")):
            assert _exists(name), f"{page.name}: {name}"


def test_files_of_the_repository_are_there():
    folders = "benchmarks|configs|docs|notebooks|scripts|tests"
    for page in PAGES:
        for name in re.findall(rf"`((?:{folders})/[\w./-]+)`", page.read_text("utf-8")):
            assert (ROOT / name).exists(), f"{page.name}: {name}"


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path: Path):
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
        pytest.skip("mkdocs is not installed: pip install -e '.[docs]'")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    page = (tmp_path / "api" / "tasks" / "index.html").read_text("utf-8")
    assert "AthleteDetection" in page
    assert "num_layers" in page


def _exists(name: str) -> bool:
    parts = name.split(".")
    for split in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for part in parts[split:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False
