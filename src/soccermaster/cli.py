"""What the scripts share: where a run leaves its files, and errors that a person can act on."""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

#: Errors whose message is meant for the person at the keyboard.
EXPECTED_ERRORS = (ValueError, OSError, InstantiationException, OmegaConfBaseException)

#: Config groups whose values are read by interpolation alone.
INTERPOLATED = ("heads", "paths")

#: Config groups that are one key of that name, which the script reads.
OWN_KEY = ("downstream",)


def run_folder(name: str, resume: str | None) -> str:
    """The default run folder: a new one per run, or the newest resumable one for resume=auto."""
    runs = Path("outputs") / name
    if resume == "auto":
        kept = [*runs.glob("*/last.ckpt"), *runs.glob("*/previous.ckpt")]
        resumable = sorted({path.parent for path in kept})
        if resumable:
            return str(resumable[-1])
    return str(runs / time.strftime("%Y-%m-%d_%H-%M-%S"))


def fast_precision() -> str:
    """Lightning's name of bfloat16 where the hardware is fast in it, of float32 elsewhere."""
    from soccermaster.ops.precision import bfloat16_is_fast

    return "bf16-mixed" if bfloat16_is_fast() else "32-true"


def register_resolvers() -> None:
    """Make `${run_folder:NAME,RESUME}` and `${fast_precision:}` known to the configs."""
    OmegaConf.register_new_resolver("run_folder", run_folder, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("fast_precision", fast_precision, use_cache=True, replace=True)


def start(main: Callable[[], None]) -> None:
    """Run a script's Hydra main, after a look at the names on the command line."""
    configs = Path(sys.argv[0]).resolve().parent.parent / "configs"
    sys.argv[1:] = [quoted(argument) for argument in sys.argv[1:]]
    refuse_unknown_choices(configs, sys.argv[1:])
    main()


def quoted(argument: str) -> str:
    """A `key=value` whose value has blanks or letters that Hydra's grammar does not know, quoted.

    Values that are quoted, lists, dictionaries or interpolations stay as they are.
    """
    key, equals, value = argument.partition("=")
    plain = value.isascii() and " " not in value
    if not equals or not re.fullmatch(r"[+~]*[\w.@/]+", key) or plain or value[0] in "'\"[{$":
        return argument
    escaped = value.replace("'", "\\'")
    return f"{key}='{escaped}'"


def entry_point(main: Callable[[DictConfig], Any]) -> Callable[[DictConfig], None]:
    """Wrap a script's main: settle the run folder, and turn expected errors into one message.

    A run that is refused leaves no folder behind. The stack trace is shown with HYDRA_FULL_ERROR=1.
    """

    @functools.wraps(main)
    def wrapped(cfg: DictConfig) -> None:
        hydra_config = HydraConfig.get()
        runtime = hydra_config.runtime
        console = Console(stderr=True, soft_wrap=True, highlight=False)
        if "paths" in cfg:
            cfg.paths.output = runtime.output_dir
        try:
            check_given(cfg)
            folders = [Path(s.path) for s in runtime.config_sources if s.schema == "file"]
            _check_read(cfg, folders, hydra_config.job.config_name)
            main(cfg)
        except InterruptedError as error:
            if int(os.environ.get("LOCAL_RANK", 0)) == 0:
                console.print(f"[yellow]{error}")
            sys.exit(130)
        except KeyboardInterrupt:
            console.print("[yellow]Interrupted; files that were not complete are not there.")
            sys.exit(130)
        except EXPECTED_ERRORS as error:
            if os.environ.get("HYDRA_FULL_ERROR") == "1":
                raise
            _discard_if_unused(Path(runtime.output_dir))
            console.print("[red]error:[/red]", end=" ")
            console.print(str(error), markup=False)
            console.print("(HYDRA_FULL_ERROR=1 shows where it was raised)", style="dim")
            sys.exit(1)

    return wrapped


def refuse_unknown_choices(configs: Path, arguments: Sequence[str]) -> None:
    """Stop with a list of what there is, when the command line names an option that is not there.

    Hydra's own message for a list of options ("task=[a,b]") does not say which ones exist.

    Args:
        configs: the folder of the config groups; `hydra.searchpath=[file://...]` and
            `--config-dir` add others.
        arguments: of the command line.
    """
    folders = [configs]
    for argument, following in zip(arguments, [*arguments, ""][1:], strict=True):
        if argument.startswith("hydra.searchpath="):
            folders += [Path(f) for f in re.findall(r"file://([^,\]'\"]+)", argument)]
        if argument in ("--config-dir", "-cd"):
            folders.append(Path(following))
        elif argument.startswith("--config-dir="):
            folders.append(Path(argument.partition("=")[2]))
    for argument in arguments:
        group, _, value = argument.lstrip("+").partition("=")
        if not re.fullmatch(r"\w+", group) or not (configs / group).is_dir():
            continue
        known = sorted({p.stem for folder in folders for p in (folder / group).glob("*.yaml")})
        wanted = [word.strip(" '\"") for word in value.strip("[]").split(",")]
        unknown = [word for word in wanted if word and word not in known and word != "null"]
        if unknown:
            sys.exit(f"error: no {group} '{unknown[0]}'. There are: {', '.join(known)}")


def check_given(cfg: DictConfig, names: Iterable[str] = ()) -> None:
    """Refuse a configuration with open values.

    Args:
        cfg: composed.
        names: top-level keys that must not be null, besides what the configs leave open (???).

    Raises:
        ValueError: something is missing; all of it is listed.
    """
    missing = sorted(_missing(cfg)) + [n for n in names if cfg.get(n) is None]
    if missing:
        raise ValueError(
            f"expected values for {', '.join(missing)}, got none. Add "
            + " ".join(f"{name}=..." for name in missing)
        )


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


def unread_keys(cfg: DictConfig, folders: Sequence[Path]) -> list[str]:
    """Values of the interpolated groups that no config file refers to, by dotted name."""
    texts = [p.read_text(encoding="utf-8") for f in folders for p in sorted(f.rglob("*.yaml"))]
    read = set(re.findall(r"\$\{([\w.]+)\}", "\n".join(texts)))
    unread = []

    def look(node: Any, name: str) -> None:
        if name in read:
            return
        if OmegaConf.is_dict(node):
            for key in node:
                look(node._get_node(key), f"{name}.{key}")
        else:
            unread.append(name)

    for group in INTERPOLATED:
        if group in cfg:
            look(cfg[group], group)
    return unread


def _check_read(cfg: DictConfig, folders: Sequence[Path], root: str) -> None:
    unread = unread_keys(cfg, folders)
    (path,) = (f / f"{root}.yaml" for f in folders if (f / f"{root}.yaml").is_file())
    declared = OmegaConf.load(path)
    groups = [str(next(iter(d))) for d in declared.get("defaults", []) if OmegaConf.is_dict(d)]
    own = {name: cfg[name] for name in groups if name in OWN_KEY and cfg.get(name) is not None}
    if all(group.startswith("override ") or group in OWN_KEY for group in groups):
        # the file declares every key besides
        chosen = set().union(*(_leaves(node, name) for name, node in own.items()))
        unread += sorted(_leaves(cfg) - _leaves(declared) - chosen)
    if unread:
        raise ValueError(f"nothing reads the config keys {unread}. Remove or correct them.")


def _leaves(node: Any, prefix: str = "") -> set[str]:
    if not OmegaConf.is_dict(node) or not len(node):
        return {prefix}
    names = (f"{prefix}.{key}" if prefix else str(key) for key in node)
    found = (_leaves(node._get_node(k), n) for k, n in zip(node, names, strict=True))
    return set().union(*found)


def _missing(node: Any, prefix: str = "") -> list[str]:
    """Dotted names of the values that are still ???; interpolations are not followed."""
    if not OmegaConf.is_dict(node) or node._is_none() or node._is_interpolation():
        return []
    missing = []
    for key in node:
        name, child = f"{prefix}{key}", node._get_node(key)
        missing += [name] if child._is_missing() else _missing(child, f"{name}.")
    return missing


def _discard_if_unused(output: Path) -> None:
    if output.is_dir() and {p.name for p in output.iterdir()} == {".hydra"}:
        shutil.rmtree(output)
