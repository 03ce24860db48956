"""A training run and an evaluation, from a composed configuration to the files they leave."""

from __future__ import annotations

import copy
import logging
import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from soccermaster.model import SoccerModel, initialise_from, load_model
from soccermaster.models.pretrained import find_model
from soccermaster.models.weights import check_fit, read_config
from soccermaster.training.baselines import Baselines
from soccermaster.training.callbacks import (
    LAST_NAME,
    PREVIOUS_NAME,
    LastCheckpoint,
    ReportUnreadable,
)
from soccermaster.training.datamodule import ClipDataModule
from soccermaster.training.feature_cache import FeatureCache
from soccermaster.training.lora import add_lora, merge_lora
from soccermaster.training.module import MultiTaskModule
from soccermaster.training.pictures import write_pictures
from soccermaster.training.report import metrics_table, parameter_table, write_metrics
from soccermaster.training.routing import route, routing_table, taught_tasks
from soccermaster.training.shapes import shapes_table
from soccermaster.training.sharding import FullySharded, gathered

TRAIN_KEYS = frozenset(
    {
        "name",
        "seed",
        "init_from",
        "freeze",
        "lora",
        "cache_features",
        "compare_untrained",
        "resume",
        "shapes",
        "compile",
        "matmul_precision",
        "baselines",
        "checkpoint_every_n_steps",
        "num_workers",
        "strict",
        "allow_shared_games",
        "loss_weights",
        "encoder",
        "text",
        "heads",
        "datasets",
        "tasks",
        "augment",
        "optim",
        "trainer",
        "callbacks",
        "loggers",
        "paths",
    }
)
EVALUATE_KEYS = frozenset(
    {
        "name",
        "checkpoint",
        "downstream",
        "predictions",
        "ground_truth",
        "report",
        "split",
        "baselines",
        "precision",
        "seed",
        "num_workers",
        "strict",
        "allow_shared_games",
        "datasets",
        "trainer",
        "callbacks",
        "paths",
    }
)
CHECKPOINT_NAME = "checkpoint"
METRICS_NAME = "metrics.json"
PICTURES_NAME = "pictures"
UNTRAINED_NAME = "untrained"
UNREADABLE_NAME = "unreadable_clips.jsonl"


def train(cfg: DictConfig) -> dict[str, float]:
    """Train, then evaluate on the validation splits.

    Leaves in `cfg.paths.output`: `checkpoint/` (config.json, model.safetensors), `metrics.json`,
    `pictures/`, `last.ckpt`, `previous.ckpt` and the logs; with `compare_untrained` also the run
    that it is compared with, in `untrained/`. With `shapes` it only prints the sizes of the model.

    Args:
        cfg: composed from configs/train.yaml.

    Returns:
        The validation scores by logged name; undefined ones are NaN.

    Raises:
        InterruptedError: the run was stopped by Ctrl-C; its checkpoints are written.
        ValueError: the configuration asks for something impossible.
    """
    console = Console(soft_wrap=True)
    if cfg.shapes:
        table = shapes_table(model_config(cfg), cfg.trainer.precision, list(cfg.freeze))
        Console(width=max(console.width, 132)).print(table)  # numbers are not cut
        return {}
    output = Path(cfg.paths.output)
    if cfg.compare_untrained and cfg.init_from is None:
        raise ValueError(
            "expected a pretrained encoder to compare with an untrained one, got none. Add "
            "init_from=CHECKPOINT, or compare_untrained=false."
        )
    fitted = _fit(cfg, output, console)
    untrained = None
    if cfg.compare_untrained and fitted.data.having("valid"):
        console.print("Now the same on an encoder with random weights, to compare with")
        twin = _untrained_twin(cfg)
        fitted_twin = _fit(twin, Path(twin.paths.output), console, is_twin=True)
        untrained = _validate(fitted_twin, "valid")
    return _evaluate(fitted, output, console, cfg.baselines, untrained=untrained)


@dataclass(frozen=True)
class _Fitted:
    """What an evaluation needs to know about a model."""

    trainer: pl.Trainer
    module: MultiTaskModule
    data: ClipDataModule
    pictured: ClipDataModule  # the same clips with their frames


def _fit(cfg: DictConfig, output: Path, console: Console, is_twin: bool = False) -> _Fitted:
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    torch.set_float32_matmul_precision(cfg.matmul_precision)

    model = SoccerModel.from_config(model_config(cfg))
    if cfg.init_from is not None:
        taken = initialise_from(model, cfg.init_from)
        console.print(
            f"Initialised from {cfg.init_from}: loaded {', '.join(taken.loaded)}; fresh "
            f"{', '.join(taken.fresh) or 'none'}; unused {', '.join(taken.unused) or 'none'}"
        )
    data = make_datamodule(cfg)
    routes = route(model.tasks, data.provides("train"))
    idle = data.keep(routes)
    data.sizes("valid")  # opens them: what is missing shows now, not after the training
    model.config["input_sizes"] = input_sizes(routes, data)
    if cfg.lora is not None:
        add_lora(model.encoder, instantiate(cfg.lora))
    module = MultiTaskModule(
        model, routes, cfg.loss_weights, instantiate(cfg.optim), list(cfg.freeze)
    )

    start = resume_path(cfg, output, model, console)
    last = LastCheckpoint(output, cfg.checkpoint_every_n_steps, start)
    report = ReportUnreadable(data.unreadable, output / UNREADABLE_NAME)
    trainer = make_trainer(cfg, [report, last], len(data.sources))
    if cfg.lora is not None and isinstance(trainer.strategy, FullySharded):
        raise ValueError("low-rank adapters (lora) cannot be sharded; use trainer=ddp")
    if trainer.is_global_zero and not is_twin:
        if idle:
            console.print(f"Left out, since they teach none of the tasks: {', '.join(idle)}")
        console.print(routing_table(model.tasks, data.provides("train"), data.sizes("train")))
        console.print(parameter_table(model))
        unused = sorted(set(cfg.loss_weights) - set(model.tasks))
        if unused:
            console.print(f"loss_weights of tasks that are not selected: {', '.join(unused)}")
        if (output / METRICS_NAME).exists() and cfg.resume is None:
            console.print(f"[yellow]{output} holds an earlier run, which this one replaces.")

    read = with_kept_features(cfg, module, data, console) if cfg.cache_features else data
    read.validates_in_training = cfg.trainer.val_check_interval is not None
    if cfg.compile:
        model.encoder.compile_blocks()
    if cfg.resume == "auto" and trainer.is_global_zero:
        console.print(f"Continuing from {start}" if start else "Nothing to resume: a new run")
    trainer.fit(module, datamodule=read, ckpt_path=start, weights_only=True)
    if cfg.lora is not None:
        merge_lora(model.encoder)
    finished = gathered(model)
    if trainer.is_global_zero:
        finished.save(output / CHECKPOINT_NAME)
    if last.interrupted:
        quoted = shlex.quote(f"paths.output={output.parent if is_twin else output}")
        raise InterruptedError(
            f"stopped after {trainer.global_step} steps. {output / LAST_NAME} and "
            f"{output / CHECKPOINT_NAME} are written; continue with resume=auto {quoted}"
        )
    return _Fitted(trainer, module, read, data)


def _untrained_twin(cfg: DictConfig) -> DictConfig:
    """The same run without `init_from`, in a folder inside that of the run."""
    twin = copy.deepcopy(cfg)
    twin.init_from = None
    twin.paths.output = str(Path(cfg.paths.output) / UNTRAINED_NAME)
    if cfg.resume is not None:
        twin.resume = "auto"
    return twin


def with_kept_features(
    cfg: DictConfig, module: MultiTaskModule, data: ClipDataModule, console: Console
) -> ClipDataModule:
    """The same clips with the features that the tasks read, from `cfg.cache_features`.

    Raises:
        ValueError: the features would change in the course of the training.
    """
    encoder = module.model.encoder
    if any(parameter.requires_grad for parameter in encoder.parameters()):
        raise ValueError(
            "features can be kept of a frozen encoder alone. Add tune=frozen, or take "
            "cache_features=false."
        )
    augmented = [name for name, source in data.sources.items() if source.augment]
    if augmented and data.augment is not None:
        raise ValueError(
            f"features can be kept of clips that are not augmented, but {augmented} are. Add "
            "augment=none, or take cache_features=false."
        )
    on_gpu = torch.cuda.is_available() and cfg.trainer.accelerator in ("auto", "gpu", "cuda")
    tasks = module.model.tasks
    datasets = {}
    for source, names in module.routes.items():
        cache = FeatureCache(
            encoder,
            module.model.config["encoder"],
            set().union(*(tasks[name].reads for name in names)),
            None if cfg.cache_features is True else cfg.cache_features,
            "cuda" if on_gpu else "cpu",
        )
        described = OmegaConf.to_container(cfg.datasets[source].dataset, resolve=True)
        for split in ("train", "valid"):
            if source in data.having(split):
                datasets[source, split] = cache.clips(data, source, split, described)
        for message in cache.messages:
            console.print(message)
    return data.with_datasets(datasets)


def evaluate(cfg: DictConfig) -> dict[str, float]:
    """Score a checkpoint on the validation (or test) splits of its datasets, or of others.

    Precision, image size and the place of the data are those of the training run, unless the
    configuration says otherwise.

    Args:
        cfg: composed from configs/evaluate.yaml.

    Returns:
        The scores by logged name; undefined ones are NaN.
    """
    console = Console(soft_wrap=True)
    directory = find_model(cfg.checkpoint)
    run = read_config(directory).get("run", {})
    if not run and not cfg.datasets:
        raise ValueError(
            f"expected dataset=[...] (and paths.data=DIR): {directory} was not trained here, so it "
            "does not say what to evaluate it on"
        )
    model = load_model(directory)
    # datasets refer to the encoder and to the paths of the run
    filled = OmegaConf.merge(
        {key: value for key, value in cfg.items_ex(resolve=False) if key != "datasets"},
        {
            "encoder": model.config["encoder"],
            "datasets": cfg.datasets or run["datasets"],
            "paths": {"data": cfg.paths.data or run.get("data", "data")},
            "trainer": {"precision": cfg.precision or run.get("precision", "32-true")},
        },
    )
    data = make_datamodule(filled)
    tasks = taught_tasks(model.tasks, data.provides(cfg.split))
    routes = route(tasks, data.provides(cfg.split))
    data.keep(routes)
    module = MultiTaskModule(model, routes, dict.fromkeys(model.tasks, 1.0))
    report = ReportUnreadable(data.unreadable, Path(cfg.paths.output) / UNREADABLE_NAME)
    trainer = make_trainer(filled, [report], 1)
    if trainer.is_global_zero:
        console.print(routing_table(tasks, data.provides(cfg.split), data.sizes(cfg.split)))
        skipped = [name for name in model.tasks if name not in tasks]
        if skipped:
            console.print(f"Not evaluated, for want of annotations: {', '.join(skipped)}")
    with_baselines = run.get("baselines", False) if cfg.baselines is None else cfg.baselines
    output = Path(cfg.paths.output)
    fitted = _Fitted(trainer, module, data, data)
    return _evaluate(fitted, output, console, with_baselines, cfg.split)


def model_config(cfg: DictConfig) -> dict[str, Any]:
    """The part of a run's configuration that describes the model, in plain values.

    `run` goes with it, so that a checkpoint knows how it is evaluated; its datasets still refer to
    the encoder and to the place of the data.
    """
    return {
        "name": cfg.name,
        "encoder": OmegaConf.to_container(cfg.encoder, resolve=True),
        "tasks": OmegaConf.to_container(cfg.tasks, resolve=True),
        "run": {
            "datasets": OmegaConf.to_container(cfg.datasets, resolve=False),
            "data": str(Path(cfg.paths.data).resolve()),
            "precision": cfg.trainer.precision,
            "baselines": cfg.baselines,
        },
    }


def input_sizes(routes: Mapping[str, Sequence[str]], data: ClipDataModule) -> dict[str, list[int]]:
    """(H, W) that each task is taught at, by its first dataset; prediction uses the same."""
    sizes: dict[str, list[int]] = {}
    for source, tasks in routes.items():
        for name in tasks:
            sizes.setdefault(name, [int(side) for side in data.sources[source].image_size])
    return sizes


def make_datamodule(cfg: DictConfig) -> ClipDataModule:
    """The data of a run."""
    sources = {name: instantiate(node) for name, node in cfg.datasets.items()}
    augment = instantiate(cfg.augment) if cfg.get("augment") else None
    return ClipDataModule(
        sources,
        augment,
        cfg.seed,
        cfg.num_workers,
        strict=cfg.strict,
        allow_shared_games=cfg.allow_shared_games,
    )


def make_trainer(cfg: DictConfig, callbacks: list[pl.Callback], num_sources: int) -> pl.Trainer:
    """Lightning's trainer; the datasets of a run make one optimizer step together.

    Raises:
        ValueError: float16, whose scaled gradients the fused optimizer would unscale after they are
            clipped.
    """
    if str(cfg.trainer.precision) in ("16", "16-mixed"):
        raise ValueError(
            f"expected trainer.precision bf16-mixed or 32-true, got {cfg.trainer.precision}: "
            "gradients are clipped as they are, which those scaled for float16 are not."
        )
    _quieten()
    loggers = [instantiate(node) for node in cfg.get("loggers", {}).values()]
    # ours come last, so that a checkpoint has what the others have done
    callbacks = [*(instantiate(node) for node in cfg.callbacks.values()), *callbacks]
    # trainer.deterministic is about sums; to fill memory before it is written costs a tenth of a
    # step
    torch.utils.deterministic.fill_uninitialized_memory = False
    return instantiate(
        cfg.trainer,
        accumulate_grad_batches=num_sources,
        callbacks=callbacks,
        logger=loggers or False,
        default_root_dir=cfg.paths.output,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )


def resume_path(cfg: DictConfig, output: Path, model: SoccerModel, console: Console) -> str | None:
    """The checkpoint to continue from; `auto` starts afresh where there is none yet.

    Where the last one is damaged or missing, `auto` takes the one before it.

    Raises:
        FileNotFoundError: `resume` names one that is not there.
        ValueError: it is damaged, or of a run with other tasks; or a new run would replace one that
            was stopped.
    """
    if cfg.resume is None:
        if (output / LAST_NAME).is_file() and not (output / METRICS_NAME).is_file():
            raise ValueError(
                f"expected a folder without an unfinished run, got {output / LAST_NAME}. Go on "
                "with resume=auto, name another folder with paths.output=DIR, or delete the file."
            )
        return None
    if cfg.resume == "auto":
        there = [p for p in (output / LAST_NAME, output / PREVIOUS_NAME) if p.is_file()]
        for path in there[:-1]:
            try:
                return _check_resumable(path, model)
            except DamagedError as error:
                console.print(f"[yellow]{error}. Trying the one before it.")
        return _check_resumable(there[-1], model) if there else None
    path = Path(cfg.resume)
    if not path.is_file():
        raise FileNotFoundError(
            f"expected a checkpoint to continue from at {path}, found none. Name the file with "
            "resume=PATH, the run folder with resume=auto paths.output=DIR, or leave out resume."
        )
    return _check_resumable(path, model)


class DamagedError(ValueError):
    """A checkpoint that cannot be read."""


def _check_resumable(path: Path, model: SoccerModel) -> str:
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
    except Exception as error:  # a damaged file raises whatever its bytes happen to mean
        raise DamagedError(
            f"cannot continue from {path}: it is damaged or no checkpoint of a run ({error})"
        ) from error
    tensors = {name.removeprefix("model."): tensor for name, tensor in stored.items()}
    check_fit(model, tensors, f"state of resume={path}")
    return str(path)


def _quieten() -> None:
    """Keep the libraries' chatter off the screen; their own errors stay."""
    for name in ("lightning.pytorch", "lightning.fabric", "faster_coco_eval"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # raised by lightning about its own code and defaults; nobody here can act on them
    for message in (
        "LeafSpec",
        "across ranks is zero",
        "does not have many workers",
        "srun",
        "in eval mode at the start of training",  # frozen parts
    ):
        warnings.filterwarnings("ignore", message=f".*{message}.*")


def _validate(fitted: _Fitted, split: str) -> dict[str, float]:
    """Scores by "task/metric"."""
    fitted.data.trainer = fitted.trainer
    loaders = fitted.data.evaluation_loaders(split)
    fitted.trainer.validate(fitted.module, loaders, verbose=False)
    return {key.removeprefix("val/"): value for key, value in fitted.module.scores.items()}


def _evaluate(
    fitted: _Fitted,
    output: Path,
    console: Console,
    with_baselines: bool,
    split: str = "valid",
    untrained: Mapping[str, float] | None = None,
) -> dict[str, float]:
    module = fitted.module
    if not fitted.data.having(split):
        console.print(f"Nothing to evaluate on: no dataset has a split '{split}'.")
        return {}
    if with_baselines:
        module.baselines = Baselines(module.model)
    scores = _validate(fitted, split)
    baselines = {}
    if module.baselines is not None:
        baselines = module.baselines.compute(scores)
        scores = module.baselines.own_scores(scores)
    if untrained is not None:
        baselines |= {UNTRAINED_NAME: dict(untrained)}
    named = _named("val" if split == "valid" else split, scores)
    model = gathered(module.model)
    if fitted.trainer.is_global_zero:
        table = metrics_table(scores, baselines, split)
        if untrained is not None:
            table.caption = f"{UNTRAINED_NAME}: the same, learnt on an encoder with random weights"
        Console(width=max(console.width, 110)).print(table)
        output.mkdir(parents=True, exist_ok=True)
        write_metrics(named | _all_named(baselines), output / METRICS_NAME)
        folder = output / PICTURES_NAME
        pictures = write_pictures(model, module.routes, fitted.pictured, split, folder)
        console.print(f"{len(pictures)} pictures in {folder}")
        console.print(f"scores in {output / METRICS_NAME}")
    return named


def _named(prefix: str, scores: Mapping[str, float]) -> dict[str, float]:
    return {f"{prefix}/{key}": value for key, value in scores.items()}


def _all_named(groups: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {k: v for name, scores in groups.items() for k, v in _named(name, scores).items()}
