"""From the class names of somebody's detector to the classes of the factory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int, UInt8

from soccermaster.factory.models import FrameBoxes
from soccermaster.vocabulary import ROLES, UNKNOWN

#: In a class table: neither a person nor the ball.
DROPPED = -2
#: What a class of a detector can mean: a person of unknown role, or a role (or the ball).
PERSON = "person"

#: Names that detectors in use have, in lower case; other classes are not people and not the ball.
KNOWN_NAMES: dict[str, str] = {PERSON: PERSON, "sports ball": "ball", **{r: r for r in ROLES}}


def class_table(
    names: Mapping[int, str], meanings: Mapping[str, str] | None, detector: str
) -> Int[np.ndarray, " C"]:
    """What each class index of a detector is in `FrameBoxes.classes`; -2 for what is dropped.

    Args:
        names: of the detector's classes.
        meanings: class name to "person" or a role; `KNOWN_NAMES` when None.
        detector: for the error.

    Raises:
        ValueError: a meaning is no word of ours, a name is no class of the detector, or no class is
            a person.
    """
    given = KNOWN_NAMES if meanings is None else {k.lower(): v for k, v in meanings.items()}
    wrong = sorted(set(given.values()) - {PERSON, *ROLES})
    if wrong:
        raise ValueError(f"expected classes to mean {PERSON} or one of {ROLES}, got {wrong}")
    lowered = {index: name.lower() for index, name in names.items()}
    unknown = sorted(set(given) - set(lowered.values()))
    if meanings is not None and unknown:
        raise ValueError(
            f"expected class names of {detector} ({', '.join(lowered.values())}), got {unknown}"
        )
    table = np.full(max(names, default=-1) + 1, DROPPED)
    for index, name in lowered.items():
        if name in given:
            word = given[name]
            table[index] = UNKNOWN if word == PERSON else ROLES.index(word)
    people = (table >= UNKNOWN) & (table != ROLES.index("ball"))
    if not people.any():
        raise ValueError(
            f"no class of {detector} is a person: it has {', '.join(names.values())}. Say what "
            "they mean with classes={name: person, other_name: ball}."
        )
    return table


def frame_boxes(
    frame: UInt8[np.ndarray, "H W 3"],
    boxes_xyxy_px: Float[np.ndarray, "m 4"],
    scores: Float[np.ndarray, " m"],
    classes: Int[np.ndarray, " m"],
) -> FrameBoxes:
    """Boxes clipped to their frame, best first, without dropped classes and empty boxes."""
    height, width = frame.shape[:2]
    boxes = np.asarray(boxes_xyxy_px, np.float32).reshape(-1, 4)
    boxes = boxes.clip(0, np.array([width, height] * 2, np.float32))
    there = (classes > DROPPED) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    order = np.flatnonzero(there)[np.argsort(-scores[there], kind="stable")]
    return FrameBoxes(boxes[order], scores[order].astype(np.float32), classes[order])
