"""Fine-tune a detector of `transformers` on the COCO layout that the factory exports.

The model brings its own loss (matching, classes, boxes); here are the loop and the choice of the
best epoch. The result is a folder for `TransformersDetector`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from soccermaster.data.errors import DatasetError
from soccermaster.factory.adapters.transformers_detector import DOWNLOAD
from soccermaster.factory.adapters.user_weights import find_pretrained
from soccermaster.factory.coco_files import CocoFile, CocoPicture, read_coco
from soccermaster.factory.store import write_json
from soccermaster.metrics.detection import average_precision
from soccermaster.models.huggingface import is_model_directory
from soccermaster.models.weights import CheckpointError, replaced_folder
from soccermaster.ops.precision import bfloat16_is_fast

#: Classes of these names are not scored as people.
_NOT_PEOPLE = ("ball", "sports ball")
_OTHERWISE = "a folder without the config.json of a transformers model"
_WARMUP = 0.05  # of the steps
_LOWEST_LR = 0.01  # of the highest, at the end
_FLOOR = 0.001  # boxes with a lower score are not scored


@dataclass(frozen=True)
class EpochScores:
    """One pass over the training pictures; the scores are of people in the validation pictures."""

    epoch: int  # from 1
    loss: float  # mean over the steps
    ap: float | None = None  # None without validation pictures
    ap50: float | None = None


@dataclass(frozen=True)
class FinetuneReport:
    """What was trained, and how it went."""

    weights: str
    classes: tuple[str, ...]
    num_train: int
    num_valid: int
    epochs: tuple[EpochScores, ...]
    best_epoch: int  # which is the one on the disk: highest ap, or the last without validation


def finetune_detector(
    data: Path | str,
    output: Path | str,
    weights: Path | str | None = "PekingU/rtdetr_v2_r50vd",
    *,
    epochs: int = 10,
    batch_size: int = 8,
    lr: float = 1e-4,
    backbone_lr: float = 1e-5,
    weight_decay: float = 1e-4,
    max_norm: float = 0.1,
    flip: float = 0.5,
    seed: int = 42,
    num_workers: int = 2,
    device: str = "auto",
    train_file: str = "coco/train.json",
    valid_file: str = "coco/valid.json",
    on_epoch: Callable[[EpochScores], None] | None = None,
) -> FinetuneReport:
    """Train, keep the best epoch, write the model, its image processor and `report.json`.

    Args:
        data: folder of the factory's export; the files name pictures from here on.
        output: folder for the detector; an older detector there is replaced.
        weights: what to begin from: a folder of `save_pretrained` or a hub id. A head for other
            classes begins anew.
        epochs: passes over the training pictures.
        batch_size: pictures per step.
        lr: highest learning rate (AdamW; a short warm-up, then a cosine).
        backbone_lr: that of the backbone.
        weight_decay: of AdamW.
        max_norm: of the gradient.
        flip: share of the pictures that are mirrored.
        seed: of order, mirroring and the new head.
        num_workers: processes that read pictures.
        device: "auto" takes a GPU when there is one.
        train_file: in `data`.
        valid_file: in `data`; without pictures in it, the last epoch is kept.
        on_epoch: is told the scores of each epoch.

    Raises:
        ModelUnavailableError: no such weights.
        CheckpointError: `output` is something else than a detector.
        DatasetError: the data are missing, damaged, or have no training pictures.
        ValueError: a number is not positive.
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("lr", lr)):
        if not value > 0:
            raise ValueError(f"expected {name} above 0, got {value}")
    data, output = Path(data), Path(output)
    folder = find_pretrained(weights, "The detector to fine-tune", "weights", DOWNLOAD)
    train = read_coco(data / train_file, data)
    if not train.pictures:
        raise DatasetError.at(
            data / train_file, expected="pictures to train on", got="none",
            fix="Export more clips with scripts/build_dataset.py.",
        )  # fmt: skip
    valid = read_coco(data / valid_file, data)
    if valid.names != train.names:
        raise DatasetError.at(
            data / valid_file, expected=f"the classes of training {train.names}",
            got=f"{valid.names}", fix="Write both files with one export.",
        )  # fmt: skip
    if output.is_dir() and any(output.iterdir()) and not is_model_directory(output):
        raise CheckpointError(f"expected a new folder or a detector at {output}, got {_OTHERWISE}")
    place = torch.device(_default_device() if device == "auto" else device)
    torch.manual_seed(seed)  # of the new head, and of the noise that some models train with
    processor, network = _load(folder, train.names, place)
    loader = DataLoader(
        _Pictures(train.pictures, flip, seed),
        batch_size,
        shuffle=True,
        generator=torch.Generator().manual_seed(seed),
        collate_fn=_Collate(processor),
        num_workers=num_workers,
    )
    optimizer = torch.optim.AdamW(
        _parameter_groups(network, lr, backbone_lr), weight_decay=weight_decay
    )
    total = epochs * len(loader)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _factor(step, total))
    history: list[EpochScores] = []
    best, best_ap = 0, -1.0
    for epoch in range(1, epochs + 1):
        loader.dataset.epoch = epoch
        loss = _train_epoch(network, loader, optimizer, schedule, max_norm)
        scores = evaluate_detector(network, processor, valid, batch_size)
        history.append(EpochScores(epoch, loss, **scores))
        if on_epoch is not None:
            on_epoch(history[-1])
        ap = history[-1].ap
        if ap is None or ap > best_ap:
            best, best_ap = epoch, -1.0 if ap is None else ap
            with replaced_folder(output, is_model_directory, _OTHERWISE) as fresh:
                network.save_pretrained(fresh)
                processor.save_pretrained(fresh)
    report = FinetuneReport(
        str(weights), train.names, len(train.pictures), len(valid.pictures), tuple(history), best
    )
    write_json(output / "report.json", asdict(report))
    return report


@torch.no_grad()
def evaluate_detector(
    network: nn.Module, processor: Any, data: CocoFile, batch_size: int
) -> dict[str, float | None]:
    """`ap` and `ap50` of people (all classes but the ball as one) by a detector of `transformers`.

    None where there is no person to find.
    """
    person = torch.tensor([name not in _NOT_PEOPLE for name in data.names])
    network.eval()
    detected: list[Tensor] = []
    scores: list[Tensor] = []
    annotated: list[Tensor] = []
    for start in range(0, len(data.pictures), batch_size):
        some = data.pictures[start : start + batch_size]
        inputs = processor(
            images=[picture.read() for picture in some],
            return_tensors="pt",
            input_data_format="channels_last",
        ).to(network.device)
        results = processor.post_process_object_detection(
            network(**inputs), threshold=_FLOOR, target_sizes=[picture.size for picture in some]
        )
        for picture, result in zip(some, results, strict=True):
            kept = person[result["labels"].cpu()]
            detected.append(result["boxes"].float().cpu()[kept])
            scores.append(result["scores"].float().cpu()[kept])
            boxes = torch.from_numpy(picture.boxes_ltwh_px).float()[person[picture.classes]]
            annotated.append(torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1))
    if not sum(len(boxes) for boxes in annotated):
        return {"ap": None, "ap50": None}
    precision = average_precision(detected, scores, annotated)
    return {"ap": precision["ap"], "ap50": precision["ap50"]}


class _Pictures(Dataset):
    """Pictures with COCO annotations, some of them mirrored; the draw depends on the epoch."""

    def __init__(self, pictures: Sequence[CocoPicture], flip: float, seed: int) -> None:
        self.pictures, self.flip, self.seed = pictures, flip, seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[np.ndarray, dict[str, Any]]:
        picture = self.pictures[index]
        image, boxes = picture.read(), picture.boxes_ltwh_px
        if np.random.default_rng((self.seed, self.epoch, index)).random() < self.flip:
            image, boxes = mirror(image, boxes)
        annotations = [
            {"bbox": box, "category_id": kind, "area": box[2] * box[3], "iscrowd": 0}
            for box, kind in zip(boxes.tolist(), picture.classes.tolist(), strict=True)
        ]
        return image, {"image_id": index, "annotations": annotations}


class _Collate:
    """A batch as the model's own image processor makes it."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def __call__(self, rows: list[tuple[np.ndarray, dict[str, Any]]]) -> dict[str, Any]:
        images, annotations = zip(*rows, strict=True)
        return dict(
            self.processor(
                images=list(images),
                annotations=list(annotations),
                return_tensors="pt",
                input_data_format="channels_last",
            )
        )


def mirror(
    image: UInt8[np.ndarray, "H W 3"], boxes_ltwh_px: Float[np.ndarray, "M 4"]
) -> tuple[UInt8[np.ndarray, "H W 3"], Float[np.ndarray, "M 4"]]:
    """A picture and its boxes with left and right changed."""
    boxes = boxes_ltwh_px.copy()
    boxes[:, 0] = image.shape[1] - boxes[:, 0] - boxes[:, 2]
    return np.ascontiguousarray(image[:, ::-1]), boxes


def _load(folder: Path, names: Sequence[str], device: torch.device) -> tuple[Any, nn.Module]:
    from transformers import AutoImageProcessor, AutoModelForObjectDetection

    network = AutoModelForObjectDetection.from_pretrained(
        folder,
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
        ignore_mismatched_sizes=True,  # the head for other classes begins anew
        dtype=torch.float32,
    )
    return AutoImageProcessor.from_pretrained(folder), network.to(device)


def _train_epoch(
    network: nn.Module,
    loader: DataLoader,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    max_norm: float,
) -> float:
    """The mean loss over the steps.

    Raises:
        ValueError: the loss is no number any more.
    """
    network.train()
    device = network.device
    losses = []
    for batch in loader:
        labels = [{k: v.to(device) for k, v in row.items()} for row in batch.pop("labels")]
        inputs = {name: tensor.to(device) for name, tensor in batch.items()}
        fast = device.type == "cuda" and bfloat16_is_fast(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=fast):
            loss = network(**inputs, labels=labels).loss
        if not torch.isfinite(loss):
            raise ValueError(f"expected a loss that is finite, got {loss.item()}. Take a lower lr.")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), max_norm)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def _parameter_groups(network: nn.Module, lr: float, backbone_lr: float) -> list[dict[str, Any]]:
    groups: dict[float, list[nn.Parameter]] = {lr: [], backbone_lr: []}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups[backbone_lr if ".backbone." in f".{name}" else lr].append(parameter)
    return [{"params": parameters, "lr": rate} for rate, parameters in groups.items()]


def _factor(step: int, total: int) -> float:
    warmup = max(1, round(_WARMUP * total))
    if step < warmup:
        return (step + 1) / warmup
    share = (step - warmup) / max(1, total - warmup)
    return _LOWEST_LR + (1 - _LOWEST_LR) * 0.5 * (1 + math.cos(math.pi * share))


def _default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
