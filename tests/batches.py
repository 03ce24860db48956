"""Batches of synthetic clips that provide every annotation field."""

from __future__ import annotations

import dataclasses

import numpy as np

from soccermaster.data.augment import ResizeClip
from soccermaster.data.collate import collate_clips
from soccermaster.data.synthetic import SyntheticSpatial
from soccermaster.structures import Batch
from soccermaster.vocabulary import ANNOTATION_FIELDS


def full_batch(
    clips: int = 2, frames: int = 2, size: tuple[int, int] = (64, 96), padded: bool = False
) -> Batch:
    """Clips with people, pitch, event and comment."""
    dataset = SyntheticSpatial("train", clips, num_frames=frames, image_size=(72, 128))
    resize, rng = ResizeClip(size), np.random.default_rng(0)
    made = []
    for i in range(clips):
        clip = resize(dataset[i], rng)
        annotations = dataclasses.replace(
            clip.annotations, event=("corner", "goal")[i % 2], text=f"[PLAYER] number {i} scores"
        )
        made.append(dataclasses.replace(clip, annotations=annotations))
    batch = collate_clips(made, frozenset(ANNOTATION_FIELDS), "synthetic")
    if padded:
        batch.frame_mask[:, -1] = False
    return batch
