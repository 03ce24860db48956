"""Pictures of a run: what the model sees in validation clips, beside what was annotated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from einops import rearrange

from soccermaster.model import SoccerModel
from soccermaster.structures import (
    AthletesPrediction,
    Batch,
    CommentaryPrediction,
    EventPrediction,
    KeypointsPrediction,
    LinesPrediction,
)
from soccermaster.training.datamodule import ClipDataModule
from soccermaster.viz.contact_sheet import contact_sheet
from soccermaster.viz.draw import draw_overlay

DRAWN_HEIGHT_PX = 432
_ARGUMENTS = {
    AthletesPrediction: "athletes",
    KeypointsPrediction: "keypoints",
    LinesPrediction: "lines",
    EventPrediction: "event",
}


@torch.no_grad()
def write_pictures(
    model: SoccerModel,
    routes: Mapping[str, Sequence[str]],
    data: ClipDataModule,
    split: str,
    folder: Path,
    clips_per_source: int = 4,
) -> list[Path]:
    """One picture per clip: its middle frame as predicted and as annotated.

    Predictions of types that are not known here (of tasks from elsewhere) are not drawn.

    Returns:
        The files, `SOURCE_INDEX.png`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    paths = []
    for source, loader in zip(data.having(split), data.evaluation_loaders(split), strict=True):
        drawn = 0
        for batch in loader:
            batch = batch.to(device)
            drawable = [n for n in routes[source] if model.tasks[n].baseline_of is None]
            outputs = model.run(batch, drawable)
            predictions = [
                model.tasks[name].decode(output, batch) for name, output in outputs.items()
            ]
            for clip in range(min(len(batch.images), clips_per_source - drawn)):
                path = folder / f"{source}_{drawn:02d}.png"
                picture = _picture(batch, predictions, clip)
                if not cv2.imwrite(str(path), picture[..., ::-1]):
                    raise OSError(f"cannot write {path}")
                paths.append(path)
                drawn += 1
            if drawn == clips_per_source:
                break
    model.train(was_training)
    return paths


def overlay_arguments(predictions: Sequence[list[Any]], frame: int, clip: int) -> dict[str, Any]:
    """Arguments of `viz.draw_overlay` for one frame, from the predictions of several tasks."""
    arguments: dict[str, Any] = {}
    for per_task in predictions:
        if not per_task:
            continue
        name = _ARGUMENTS.get(type(per_task[0]))
        if name is not None:
            arguments[name] = per_task[clip if name == "event" else frame]
        elif isinstance(per_task[0], CommentaryPrediction):
            arguments["comments"] = [per_task[clip].text]
    return arguments


def annotation_arguments(batch: Batch, frame: int, clip: int) -> dict[str, Any]:
    """The same arguments from what was annotated."""
    height, width = batch.image_size
    size = torch.tensor([width, height], dtype=torch.float32)
    arguments: dict[str, Any] = {}
    if batch.athletes is not None:
        people = batch.athletes.select(batch.athletes.frame == frame)
        ones = torch.ones(len(people))
        arguments["athletes"] = AthletesPrediction(
            boxes_xyxy_norm=people.boxes_xyxy_px.cpu() / size.repeat(2),
            scores=ones,
            roles=people.roles.cpu(),
            role_scores=ones,
            numbers=people.numbers.cpu(),
            number_scores=ones,
        )
    step = frame - clip * batch.num_frames
    if batch.keypoints is not None:
        points = batch.keypoints.points_px[clip, step].cpu() / size
        inside = ((points >= 0) & (points <= 1)).all(-1)
        arguments["keypoints"] = KeypointsPrediction(torch.nan_to_num(points), inside.float())
    if batch.lines is not None:
        segments = batch.lines.segments_px[clip, step].cpu() / size
        shown = segments.isfinite().flatten(1).all(-1)
        arguments["lines"] = LinesPrediction(torch.nan_to_num(segments), shown.float())
    event = batch.events[clip] if batch.events else None
    comments = [event] if event else []
    if batch.texts and batch.texts[clip]:
        comments.append(batch.texts[clip])
    arguments["comments"] = comments
    return arguments


def _picture(batch: Batch, predictions: Sequence[list[Any]], clip: int) -> np.ndarray:
    step = batch.num_frames // 2
    frame = clip * batch.num_frames + step
    image = rearrange(batch.images[clip, step].cpu().numpy(), "C H W -> H W C")
    height, width = batch.image_size
    size = (round(width * DRAWN_HEIGHT_PX / height), DRAWN_HEIGHT_PX)
    image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    predicted = draw_overlay(image, **overlay_arguments(predictions, frame, clip))
    annotated = draw_overlay(image, **annotation_arguments(batch, frame, clip))
    return contact_sheet([predicted, annotated], columns=2, captions=["predicted", "annotated"])
