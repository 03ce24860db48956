"""Annotated pitch markings: reading polylines, and the names of views from behind a goal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from soccermaster.data.datasets.label_files import Record
from soccermaster.data.errors import DatasetError, nearest
from soccermaster.data.indexing.problems import Problems
from soccermaster.vocabulary import CIRCLES, LINES

PITCH_CLASSES: tuple[str, ...] = (*LINES, *CIRCLES)

# Markings that the annotators could not name.
_IGNORED = ("Goal unknown", "Line unknown")
# Points may lie a little outside of the picture; beyond this they are mistakes.
_FARTHEST_NORM = 0.5

_GOAL_LINES = (
    *(name for name in LINES if name.endswith("main")),
    "Side line left",
    "Side line right",
    "Middle line",
)
_TOUCHLINES = tuple(
    name for name in LINES if name.endswith((" top", " bottom")) and not name.startswith("Goal")
)
_GOAL_LINE_BELOW_DEG, _TOUCHLINE_BELOW_DEG = 20.0, 70.0


def polylines_of(
    lines: Record, problems: Problems | None = None
) -> dict[str, Float[np.ndarray, "n 2"]]:
    """Points in fractions of width and height, by class name without blanks at its ends.

    Args:
        lines: class names with lists of points {x, y}.
        problems: where to count single points and points far outside; None does not count.

    Raises:
        DatasetError: an unknown class, or something that is no list of points.
    """
    polylines: dict[str, np.ndarray] = {}
    for label, points in lines.value.items():
        name = label.strip()
        if name in _IGNORED:
            continue
        if name not in PITCH_CLASSES:
            error = lines.wrong("names of pitch markings", label, nearest(name, PITCH_CLASSES))
            if problems is None:
                raise error
            problems.refuse(error, "unknown_class")
            continue
        try:
            xy = np.array(_points(lines, name, points), np.float64).reshape(-1, 2)
        except DatasetError as error:
            if problems is None:
                raise
            problems.refuse(error)
            continue
        if not len(xy):
            continue
        polylines[name] = xy
        if problems is not None:
            _count_oddities(name, xy, lines, problems)
    return polylines


def should_turn_names(polylines_norm: Mapping[str, Float[np.ndarray, "n 2"]]) -> bool:
    """Whether the markings look like those of a view from behind a goal, named as the right one.

    From behind a goal, left and right cannot be told from the picture. By convention such views
    are named as if from the other end: all names are turned by 180 degrees where this is True.

    Args:
        polylines_norm: points by class name, in fractions of width and height.

    Source: the rule of the SoccerNet calibration kit: the mean angle of the lines along the goals
    to the horizontal is below 20 degrees, that of the lines along the touchlines below 70, and more
    markings of the right half are named than of the left half.
    """
    return _more_on_the_right(polylines_norm) > 0 and _seems_from_behind(polylines_norm)


def is_side_by_convention(polylines_norm: Mapping[str, Float[np.ndarray, "n 2"]]) -> bool:
    """Whether `should_turn_names` says yes to these markings or to their mirror image.

    Args:
        polylines_norm: points by class name, in fractions of width and height.
    """
    return _more_on_the_right(polylines_norm) != 0 and _seems_from_behind(polylines_norm)


def _points(lines: Record, name: str, points: object) -> list[tuple[float, float]]:
    where = f"{lines.where}, {name}"
    if not isinstance(points, list):
        raise lines.wrong(f"a list of points {{x, y}} for {name}", points)
    records = [Record(point, lines.file, where, lines.fix) for point in points]
    return [(record.number("x"), record.number("y")) for record in records]


def _count_oddities(name: str, xy: np.ndarray, lines: Record, problems: Problems) -> None:
    if len(xy) == 1:
        problems.add("single_point_line", f"{lines.file}, {lines.where}: {name}")
    if (np.abs(xy - 0.5) > 0.5 + _FARTHEST_NORM).any():
        problems.add("invisible_marking", f"{lines.file}, {lines.where}: {name} at {xy[0]}")


def _seems_from_behind(polylines_norm: Mapping[str, np.ndarray]) -> bool:
    along_goal = _mean_angle_deg(polylines_norm, _GOAL_LINES)
    along_touch = _mean_angle_deg(polylines_norm, _TOUCHLINES)
    return along_goal < _GOAL_LINE_BELOW_DEG and along_touch < _TOUCHLINE_BELOW_DEG


def _more_on_the_right(polylines_norm: Mapping[str, np.ndarray]) -> int:
    sides = [_side(name) for name in polylines_norm]
    return sides.count("right") - sides.count("left")


def _mean_angle_deg(polylines_norm: Mapping[str, np.ndarray], names: tuple[str, ...]) -> float:
    """Mean angle to the horizontal, 0..90; NaN without such a line."""
    angles = []
    for name in names:
        points = polylines_norm.get(name, ())
        if len(points) < 2:
            continue
        dx, dy = np.abs(np.asarray(points[-1]) - points[0])
        angles.append(np.degrees(np.arctan2(dy, dx)))
    return float(np.mean(angles)) if angles else float("nan")


def _side(name: str) -> str | None:
    """The half of the pitch in a class name; "post left" is not a half."""
    words = name.replace(" post left", "").replace(" post right", "").split()
    return next((word for word in words if word in ("left", "right")), None)
