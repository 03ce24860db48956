"""Composing the configuration in tests, as the scripts do."""

from __future__ import annotations

from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from soccermaster.cli import register_resolvers

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


def names(group: str) -> list[str]:
    """The options of a config group, sorted."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def compose_train(*overrides: str, root: str = "train") -> DictConfig:
    """configs/train.yaml (or another root) with overrides."""
    register_resolvers()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose(root, overrides=list(overrides))
