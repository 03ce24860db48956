"""How clips of one dataset become a batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from soccermaster.structures import (
    Athletes,
    Batch,
    Cameras,
    Clip,
    Features,
    Keypoints,
    Lines,
)
from soccermaster.vocabulary import ANNOTATION_FIELDS, LINES, NUM_KEYPOINTS

# The annotation fields that the rows of `Athletes` hold.
_ATHLETE_FIELDS = frozenset(
    {"boxes", "roles", "numbers", "legibility", "track_ids", "teams", "positions"}
)


def collate_clips(clips: Sequence[Clip], provides: Collection[str], source: str) -> Batch:
    """Stacks clips of equal frame size; shorter clips are padded with their last frame.

    The batch has the annotations that the dataset provides. Where a single clip lacks keypoints,
    lines or a camera, they are unknown in its frames; in padding they are unknown too.

    Args:
        clips: B clips of one frame size, each with at least one frame.
        provides: fields of `vocabulary.ANNOTATION_FIELDS` that the dataset annotates.
        source: name of the dataset.

    Raises:
        ValueError: no clips, frame sizes that differ, an unknown field, or a clip without athletes
            in a dataset that provides them: no boxes would look like an empty pitch.
    """
    provides = frozenset(provides)
    unknown = sorted(provides - set(ANNOTATION_FIELDS))
    if unknown:
        raise ValueError(
            f"{source}: expected fields of {', '.join(ANNOTATION_FIELDS)}, got {unknown}."
        )
    if not clips:
        raise ValueError(f"{source}: expected at least one clip, got none.")
    sizes = {clip.frames.shape[1:3] for clip in clips}
    if len(sizes) != 1:
        raise ValueError(
            f"{source}: expected clips of one frame size, got {sorted(sizes)} (height, width). "
            "Resize them first, with ResizeClip or AugmentClip."
        )
    num_frames = max(len(clip.frames) for clip in clips)
    annotations = [clip.annotations for clip in clips]
    return Batch(
        images=torch.from_numpy(_images(clips, num_frames)),
        frame_mask=torch.from_numpy(np.stack([_frame_mask(clip, num_frames) for clip in clips])),
        provides=provides,
        source=source,
        clip_ids=tuple(clip.clip_id for clip in clips),
        athletes=(
            _collate_athletes(clips, num_frames, source) if provides & _ATHLETE_FIELDS else None
        ),
        keypoints=(
            _stack([a.keypoints for a in annotations], _unknown_keypoints, num_frames)
            if "keypoints" in provides
            else None
        ),
        lines=(
            _stack([a.lines for a in annotations], _unknown_lines, num_frames)
            if "lines" in provides
            else None
        ),
        cameras=(
            _stack([a.cameras for a in annotations], _unknown_cameras, num_frames)
            if "cameras" in provides
            else None
        ),
        events=tuple(a.event for a in annotations) if "event" in provides else (),
        texts=tuple(a.text for a in annotations) if "text" in provides else (),
        features=_collate_features(clips, num_frames, source),
    )


def _images(clips: Sequence[Clip], num_frames: int) -> np.ndarray:
    """(B, T, 3, H, W), written once."""
    height, width = clips[0].frames.shape[1:3]
    images = np.empty((len(clips), num_frames, 3, height, width), np.uint8)
    for image, clip in zip(images, clips, strict=True):
        image[: len(clip.frames)] = clip.frames.transpose(0, 3, 1, 2)
        image[len(clip.frames) :] = clip.frames[-1].transpose(2, 0, 1)
    return images


def _frame_mask(clip: Clip, num_frames: int) -> np.ndarray:
    mask = np.zeros(num_frames, bool)
    mask[: len(clip.frames)] = True if clip.frame_mask is None else clip.frame_mask
    return mask


def _collate_features(clips: Sequence[Clip], num_frames: int, source: str) -> Features | None:
    """Kept features of all clips; padding has those of the last frame, and is masked out."""
    kept = [clip.features for clip in clips if clip.features is not None]
    if not kept:
        return None
    if len(kept) != len(clips):
        raise ValueError(f"{source}: expected features of all clips of a batch, or of none")
    named = [features.named_tensors() for features in kept]
    stacked = {}
    for name in named[0]:
        tensors = [tensors[name] for tensors in named]
        if name != "clip":  # has no axis of frames
            tensors = [_pad_frames(tensor, num_frames) for tensor in tensors]
        stacked[name] = torch.cat(tensors)
    mask = torch.from_numpy(np.stack([_frame_mask(clip, num_frames) for clip in clips]))
    return Features.from_named_tensors(kept[0].grid, stacked, None if mask.all() else mask)


def _pad_frames(tensor: Tensor, num_frames: int) -> Tensor:
    missing = num_frames - tensor.shape[1]
    return torch.cat([tensor, tensor[:, -1:].repeat_interleave(missing, dim=1)], dim=1)


def _collate_athletes(clips: Sequence[Clip], num_frames: int, source: str) -> Athletes:
    rows = []
    for i, clip in enumerate(clips):
        athletes = clip.annotations.athletes
        if athletes is None:
            raise ValueError(
                f"{source}: expected athletes in every clip, got none in {clip.clip_id!r}. "
                "Leave such clips out of the dataset: no boxes would look like an empty pitch."
            )
        rows.append(dataclasses.replace(athletes, frame=athletes.frame + i * num_frames))
    return Athletes(
        **{
            field.name: _tensor(np.concatenate([getattr(r, field.name) for r in rows]))
            for field in dataclasses.fields(Athletes)
        }
    )


def _stack(values: Sequence[Any], unknown: Callable[[int], Any], num_frames: int) -> Any:
    """Stacks annotations with one entry per frame; `unknown(n)` makes n entries of nothing."""
    example = unknown(0)
    values = [example if value is None else value for value in values]
    padded = {}
    for field in dataclasses.fields(example):
        columns = [np.asarray(getattr(value, field.name)) for value in values]
        filler = [getattr(unknown(num_frames - len(column)), field.name) for column in columns]
        pairs = zip(columns, filler, strict=True)
        padded[field.name] = _tensor(np.stack([np.concatenate(pair) for pair in pairs]))
    return type(example)(**padded)


def _unknown_keypoints(n: int) -> Keypoints:
    return Keypoints(
        points_px=np.full((n, NUM_KEYPOINTS, 2), np.nan, np.float32),
        known=np.zeros((n, NUM_KEYPOINTS), bool),
    )


def _unknown_lines(n: int) -> Lines:
    return Lines(
        segments_px=np.full((n, len(LINES), 2, 2), np.nan, np.float32),
        known=np.zeros((n, len(LINES)), bool),
    )


def _unknown_cameras(n: int) -> Cameras:
    return Cameras(
        K=np.full((n, 3, 3), np.nan, np.float32),
        R=np.full((n, 3, 3), np.nan, np.float32),
        position_m=np.full((n, 3), np.nan, np.float32),
    )


def _tensor(array: np.ndarray) -> Tensor:
    """Floats become float32 and integers int64; booleans stay."""
    if np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float32)
    elif np.issubdtype(array.dtype, np.integer):
        array = array.astype(np.int64)
    return torch.from_numpy(array)
