"""What the scripts share: where a run leaves its files, and errors that a person can act on."""

from __future__ import annotations

import functools
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

#: Errors whose message is meant for the person at the keyboard.
EXPECTED_ERRORS = (ValueError, FileNotFoundError, FileExistsError, NotADirectoryError)


def run_folder(name: str, resume: str | None) -> str:
    """The default run folder: a new one per run, or the newest resumable one for resume=auto."""
    runs = Path("outputs") / name
    if resume == "auto":
        resumable = sorted(p.parent for p in runs.glob("*/last.ckpt"))
        if resumable:
            return str(resumable[-1])
    return str(runs / time.strftime("%Y-%m-%d_%H-%M-%S"))


def start(main: Callable[[], None]) -> None:
    """Run a script's Hydra main, after a look at the names on the command line."""
    configs = Path(sys.argv[0]).resolve().parent.parent / "configs"
    refuse_unknown_choices(configs, sys.argv[1:])
    main()


def fast_precision() -> str:
    """Bfloat16 where the hardware multiplies matrices in it, float32 elsewhere."""
    import torch

    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    # a CPU without matrix units is slower in bfloat16; torch has no public question for them
    has_units = getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    return "bf16-mixed" if has_units else "32-true"


def register_resolvers() -> None:
    """Make `${run_folder:NAME,RESUME}` and `${fast_precision:}` known to the configs."""
    OmegaConf.register_new_resolver("run_folder", run_folder, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("fast_precision", fast_precision, use_cache=True, replace=True)


def entry_point(main: Callable[[DictConfig], Any]) -> Callable[[DictConfig], None]:
    """Wrap a script's main: settle the run folder, and turn expected errors into one message.

    The stack trace is shown with HYDRA_FULL_ERROR=1.
    """

    @functools.wraps(main)
    def wrapped(cfg: DictConfig) -> None:
        if "paths" in cfg:
            cfg.paths.output = HydraConfig.get().runtime.output_dir
        try:
            main(cfg)
        except InterruptedError as error:
            Console(stderr=True).print(f"[yellow]{error}", highlight=False)
            sys.exit(130)
        except EXPECTED_ERRORS as error:
            if os.environ.get("HYDRA_FULL_ERROR") == "1":
                raise
            console = Console(stderr=True, soft_wrap=True)
            console.print("[red]error:[/red]", end=" ")
            console.print(str(error), markup=False, highlight=False)
            console.print("(HYDRA_FULL_ERROR=1 shows where it was raised)", style="dim")
            sys.exit(1)

    return wrapped


def refuse_unknown_choices(configs: Path, arguments: Sequence[str]) -> None:
    """Stop with a list of what there is, when the command line names an option that is not there.

    Hydra's own message for a list of options ("task=[a,b]") does not say which ones exist.

    Args:
        configs: the folder of the config groups; `hydra.searchpath=[file://...]` adds others.
        arguments: of the command line.
    """
    folders = [configs]
    for argument in arguments:
        if argument.startswith("hydra.searchpath="):
            folders += [Path(found) for found in re.findall(r"file://([^,\]\s]+)", argument)]
    for argument in arguments:
        group, _, value = argument.lstrip("+").partition("=")
        if not re.fullmatch(r"\w+", group) or not (configs / group).is_dir():
            continue
        known = sorted({p.stem for folder in folders for p in (folder / group).glob("*.yaml")})
        wanted = [word.strip() for word in value.strip("[]").split(",") if word.strip()]
        unknown = [word for word in wanted if word not in known and word != "null"]
        if unknown:
            sys.exit(f"error: no {group} '{unknown[0]}'. There are: {', '.join(known)}")


def check_keys(cfg: DictConfig, known: Iterable[str], script: str) -> None:
    """Refuse top-level keys that nothing reads.

    Raises:
        ValueError: there are some; the known ones are listed.
    """
    unknown = sorted(set(cfg) - set(known))
    if unknown:
        raise ValueError(
            f"{script} reads no config key {unknown}. Its keys are {', '.join(sorted(known))}."
        )
