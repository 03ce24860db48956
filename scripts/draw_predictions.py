"""Draws what a model says about the benchmark: `python scripts/draw_predictions.py CHECKPOINT`.

Above: spatial frames with the predicted people, keypoints and lines. Below: semantic clips with
their true event and comment, the predicted event, and the comment that the model finds among those
of 48 clips.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import UInt8

from soccermaster.data.augment import ResizeClip
from soccermaster.data.collate import collate_clips
from soccermaster.data.synthetic import SyntheticSemantic, SyntheticSpatial
from soccermaster.model import SoccerModel, load_model
from soccermaster.structures import Batch
from soccermaster.training.pictures import overlay_arguments
from soccermaster.viz.draw import draw_overlay

MOMENTS = (4, 10, 14, 17, 21, 27)  # frames of a clip at one frame per second
WIDTH = 1200
COLUMNS = 2
CAPTION_HEIGHT = 15
POOL = 48


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="folder, or the name of a shipped model")
    parser.add_argument("output", type=Path, nargs="?", default=Path("docs/images/predictions.jpg"))
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--seed", type=int, default=20302, help="of the clips; not of training")
    parser.add_argument("--quality", type=int, default=78)
    arguments = parser.parse_args()
    model = load_model(arguments.checkpoint).eval()
    cells = draw_frames(model, arguments.frames, arguments.seed)
    cells += draw_clips(model, arguments.clips, arguments.seed)
    sheet = np.concatenate(
        [in_columns(cells[: arguments.frames]), in_columns(cells[arguments.frames :])]
    )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    quality = [cv2.IMWRITE_JPEG_QUALITY, arguments.quality]
    if not cv2.imwrite(str(arguments.output), sheet[..., ::-1], quality):
        raise OSError(f"{arguments.output}: expected to write a picture there, but could not")
    print(f"{arguments.output}: {sheet.shape[1]} x {sheet.shape[0]}")


@torch.no_grad()
def draw_frames(model: SoccerModel, count: int, seed: int) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Spatial frames with what the heads for the frame find."""
    tasks = [n for n in ("athletes", "pitch_keypoints", "pitch_lines") if n in model.tasks]
    width = WIDTH // COLUMNS
    height = width * 9 // 16
    dataset = SyntheticSpatial("test", count, 1, image_size=(2 * height, 2 * width), seed=seed)
    drawn = []
    for index in range(count):
        clip = dataset[index]
        batch = as_batch([clip], input_size(model, tasks[0]), dataset.provides)
        outputs = model.run(batch, tasks)
        predictions = [model.tasks[n].decode(output, batch) for n, output in outputs.items()]
        picture = draw_overlay(clip.frames[0], **overlay_arguments(predictions, 0, 0))
        drawn.append(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))
    return drawn


@torch.no_grad()
def draw_clips(model: SoccerModel, count: int, seed: int) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Moments of semantic clips under what is true and what is predicted."""
    width = WIDTH // COLUMNS // len(MOMENTS)
    size = (width * 9 // 16, width)
    dataset = SyntheticSemantic("test", POOL, image_size=(96, 160), seed=seed)
    clips = [dataset[i] for i in range(POOL)]
    batch = as_batch(clips, input_size(model, "events"), dataset.provides)
    outputs = model.run(batch, ["events", "alignment"])
    events = model.tasks["events"].decode(outputs["events"], batch)
    found = (outputs["alignment"].video @ outputs["alignment"].text.T).argmax(1).tolist()
    drawn = []
    for i in np.linspace(0, POOL - 1, count).round().astype(int).tolist():
        true = clips[i].annotations
        guess, text = events[i], clips[found[i]].annotations.text
        rows = [
            caption(f"{true.event.upper()}  {true.text}", (150, 20, 20)),
            caption(
                f"{guess.event.upper()} {float(guess.scores.max()):.2f}  {text}", (20, 20, 150)
            ),
        ]
        moments = [cv2.resize(clips[i].frames[t], size[::-1]) for t in MOMENTS]
        drawn.append(np.concatenate([*rows, np.concatenate(moments, axis=1)]))
    return drawn


def as_batch(clips: list, size: tuple[int, int], provides: frozenset[str]) -> Batch:
    """Clips at the size of a task."""
    resize, rng = ResizeClip(size), np.random.default_rng(0)
    return collate_clips([resize(c, rng) for c in clips], provides=frozenset(provides), source="")


def input_size(model: SoccerModel, task: str) -> tuple[int, int]:
    """(H, W) that a task was trained at."""
    height, width = model.config["input_sizes"][task]
    return height, width


def caption(text: str, colour: tuple[int, int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """A line of text, cut at the edge."""
    strip = np.full(
        (CAPTION_HEIGHT, WIDTH // COLUMNS // len(MOMENTS) * len(MOMENTS), 3), 255, np.uint8
    )
    cv2.putText(strip, text, (3, 11), cv2.FONT_HERSHEY_SIMPLEX, 0.34, colour, 1, cv2.LINE_AA)
    return strip


def in_columns(cells: list[UInt8[np.ndarray, "h w 3"]]) -> UInt8[np.ndarray, "H W 3"]:
    """Cells of one size side by side, row by row."""
    cells = cells + [np.full_like(cells[0], 255)] * (-len(cells) % COLUMNS)
    rows = [np.concatenate(cells[i : i + COLUMNS], 1) for i in range(0, len(cells), COLUMNS)]
    return np.concatenate(rows)


if __name__ == "__main__":
    main()
