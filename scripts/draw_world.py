"""Draws a contact sheet of the synthetic world: `python scripts/draw_world.py`.

One row per event class and match: six moments of a clip, from 11 seconds before the event to
12 seconds after it, and the comment.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from soccermaster.data.synthetic import ACTS, SyntheticSemantic

MOMENTS = (4, 10, 14, 17, 21, 27)  # frames of a clip at one frame per second
CELL = (92, 164)  # height and width of a picture
CAPTION_HEIGHT = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, nargs="?", default=Path("docs/images/world.jpg"))
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--quality", type=int, default=72)
    arguments = parser.parse_args()
    size = (2 * CELL[0], 2 * CELL[1])  # drawn larger, and reduced to smooth it
    dataset = SyntheticSemantic("test", len(ACTS), image_size=size, seed=arguments.seed)
    rows = [draw_row(dataset, index) for index in range(len(ACTS))]
    half = (len(rows) + 1) // 2
    columns = [np.concatenate(rows[:half]), np.concatenate(rows[half:])]
    gap = np.full((len(columns[0]), 6, 3), 255, np.uint8)
    sheet = np.concatenate([columns[0], gap, columns[1]], axis=1)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    quality = [cv2.IMWRITE_JPEG_QUALITY, arguments.quality]
    if not cv2.imwrite(str(arguments.output), sheet[..., ::-1], quality):
        raise OSError(f"{arguments.output}: expected to write a picture there, but could not")
    print(f"{arguments.output}: {sheet.shape[1]} x {sheet.shape[0]}")


def draw_row(dataset: SyntheticSemantic, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """Some frames of a clip side by side, under its class and comment."""
    clip = dataset[index]
    pictures = np.concatenate(
        [cv2.resize(clip.frames[t], CELL[::-1], interpolation=cv2.INTER_AREA) for t in MOMENTS],
        axis=1,
    )
    caption = np.full((CAPTION_HEIGHT, pictures.shape[1], 3), 255, np.uint8)
    event, text = clip.annotations.event, clip.annotations.text
    font, black = cv2.FONT_HERSHEY_SIMPLEX, (0, 0, 0)
    cv2.putText(caption, event.upper(), (3, 11), font, 0.36, (150, 20, 20), 1, cv2.LINE_AA)
    left = cv2.getTextSize(event.upper(), font, 0.36, 1)[0][0] + 10
    cv2.putText(caption, text, (left, 11), font, 0.34, black, 1, cv2.LINE_AA)
    return np.concatenate([caption, pictures])


if __name__ == "__main__":
    main()
