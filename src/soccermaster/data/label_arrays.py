"""The labels of a clip as arrays by name, for files; event and comment stay words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from soccermaster.structures import Annotations, Athletes, Cameras, Keypoints, Lines

_PARTS = {"athletes": Athletes, "keypoints": Keypoints, "lines": Lines, "cameras": Cameras}


def to_arrays(annotations: Annotations) -> dict[str, np.ndarray]:
    """What is annotated, such as "athletes.roles"; without event and text."""
    arrays = {}
    for part in _PARTS:
        value = getattr(annotations, part)
        if value is not None:
            for field in dataclasses.fields(value):
                arrays[f"{part}.{field.name}"] = getattr(value, field.name)
    if annotations.named_from_left is not None:
        arrays["named_from_left"] = annotations.named_from_left
    return arrays


def from_arrays(
    arrays: Mapping[str, np.ndarray], event: str | None, text: str | None
) -> Annotations:
    """The inverse of `to_arrays`; arrays of other names are left alone.

    Raises:
        KeyError: an array is missing.
    """
    parts = {
        part: kind(**{f.name: arrays[f"{part}.{f.name}"] for f in dataclasses.fields(kind)})
        for part, kind in _PARTS.items()
        if any(name.startswith(f"{part}.") for name in arrays)
    }
    named_from_left = arrays.get("named_from_left")
    return Annotations(event=event, text=text, named_from_left=named_from_left, **parts)
