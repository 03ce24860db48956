"""Where the markings of a football pitch are: keypoints, lines, circles and their symmetries.

World = centred pitch frame: metres, origin at the centre spot, x right, y toward the main camera,
z down (the crossbar is at z = -2.44). The numbers of the "table" template are those of the keypoint
table of PnLCalib, which the published heatmap networks were trained with; they are rounded to
centimetres and have one slip (keypoint 52 is 15 cm off the centre circle). The "exact" template
has the same points computed from the laws of the game.

Arrays hold keypoint k (1..57) at index k - 1; `points_m` goes on with the auxiliary points 58..73.
Other frames of reference than the world are in `soccermaster.geometry.frames`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from soccermaster.vocabulary import CIRCLES, LINES, NUM_KEYPOINTS

LENGTH_M = 105.0
WIDTH_M = 68.0
PENALTY_AREA_DEPTH_M = 16.5
PENALTY_AREA_WIDTH_M = 40.32
GOAL_AREA_DEPTH_M = 5.5
GOAL_AREA_WIDTH_M = 18.32
GOAL_WIDTH_M = 7.32
GOAL_HEIGHT_M = 2.44
CIRCLE_RADIUS_M = 9.15
PENALTY_MARK_M = 11.0  # from the goal line
#: The penalty arc spans this angle to both sides of the axis from goal to goal.
ARC_HALF_ANGLE_RAD = math.acos((PENALTY_AREA_DEPTH_M - PENALTY_MARK_M) / CIRCLE_RADIUS_M)

#: The two lines that cross at each keypoint 1..30 and auxiliary point 58..73.
LINE_CROSSINGS: dict[int, tuple[str, str]] = {
    1: ("Side line top", "Side line left"),
    2: ("Side line top", "Middle line"),
    3: ("Side line right", "Side line top"),
    4: ("Side line left", "Big rect. left top"),
    5: ("Big rect. left top", "Big rect. left main"),
    6: ("Big rect. right top", "Big rect. right main"),
    7: ("Side line right", "Big rect. right top"),
    8: ("Side line left", "Small rect. left top"),
    9: ("Small rect. left top", "Small rect. left main"),
    10: ("Small rect. right top", "Small rect. right main"),
    11: ("Side line right", "Small rect. right top"),
    12: ("Goal left crossbar", "Goal left post right"),
    13: ("Side line left", "Goal left post right"),
    14: ("Side line right", "Goal right post left"),
    15: ("Goal right crossbar", "Goal right post left"),
    16: ("Goal left crossbar", "Goal left post left"),
    17: ("Side line left", "Goal left post left"),
    18: ("Side line right", "Goal right post right"),
    19: ("Goal right crossbar", "Goal right post right"),
    20: ("Side line left", "Small rect. left bottom"),
    21: ("Small rect. left bottom", "Small rect. left main"),
    22: ("Small rect. right bottom", "Small rect. right main"),
    23: ("Side line right", "Small rect. right bottom"),
    24: ("Side line left", "Big rect. left bottom"),
    25: ("Big rect. left bottom", "Big rect. left main"),
    26: ("Big rect. right main", "Big rect. right bottom"),
    27: ("Side line right", "Big rect. right bottom"),
    28: ("Side line left", "Side line bottom"),
    29: ("Side line bottom", "Middle line"),
    30: ("Side line bottom", "Side line right"),
    58: ("Small rect. left main", "Side line top"),
    59: ("Big rect. left main", "Side line top"),
    60: ("Big rect. right main", "Side line top"),
    61: ("Small rect. right main", "Side line top"),
    62: ("Small rect. left main", "Big rect. left top"),
    63: ("Big rect. right top", "Small rect. right main"),
    64: ("Small rect. left top", "Big rect. left main"),
    65: ("Small rect. right top", "Big rect. right main"),
    66: ("Small rect. left bottom", "Big rect. left main"),
    67: ("Small rect. right bottom", "Big rect. right main"),
    68: ("Small rect. left main", "Big rect. left bottom"),
    69: ("Small rect. right main", "Big rect. right bottom"),
    70: ("Small rect. left main", "Side line bottom"),
    71: ("Big rect. left main", "Side line bottom"),
    72: ("Big rect. right main", "Side line bottom"),
    73: ("Small rect. right main", "Side line bottom"),
}

#: Keypoints above the ground plane: the four upper corners of the goal frames.
GOAL_TOPS: tuple[int, ...] = (12, 15, 16, 19)


@dataclass(frozen=True)
class Pitch:
    """The pitch template in the centred frame.

    Attributes:
        template: "table" for the rounded values that published networks use, "exact" for the laws
            of the game. They differ in keypoints 31..57 alone, by at most 0.15 m.
        points_m: keypoints 1..57 and auxiliary points 58..73.
        keypoints_m: keypoints 1..57.
        auxiliary_m: auxiliary line crossings 58..73, all on the ground.
        line_ends_m: both ends of each line, in the order of `vocabulary.LINES`.
        circle_centres_m: in the order of `vocabulary.CIRCLES`; all have `CIRCLE_RADIUS_M`.
        point_flip: index in `points_m` of the partner of each point under a horizontal mirror.
        point_rot180: the same for a half turn of the pitch about the centre spot.
        keypoint_flip: `point_flip` of the keypoints alone.
        keypoint_rot180: `point_rot180` of the keypoints alone.
        line_flip: like `point_flip`, for lines.
        line_rot180: like `point_rot180`, for lines.
        circle_flip: like `point_flip`, for circles.
        circle_rot180: like `point_rot180`, for circles.
    """

    template: Literal["table", "exact"] = "table"
    points_m: Float[np.ndarray, "73 3"] = field(init=False, repr=False, compare=False)
    keypoints_m: Float[np.ndarray, "57 3"] = field(init=False, repr=False, compare=False)
    auxiliary_m: Float[np.ndarray, "16 3"] = field(init=False, repr=False, compare=False)
    line_ends_m: Float[np.ndarray, "23 2 3"] = field(init=False, repr=False, compare=False)
    circle_centres_m: Float[np.ndarray, "3 3"] = field(init=False, repr=False, compare=False)
    point_flip: Int[np.ndarray, " 73"] = field(init=False, repr=False, compare=False)
    point_rot180: Int[np.ndarray, " 73"] = field(init=False, repr=False, compare=False)
    keypoint_flip: Int[np.ndarray, " 57"] = field(init=False, repr=False, compare=False)
    keypoint_rot180: Int[np.ndarray, " 57"] = field(init=False, repr=False, compare=False)
    line_flip: Int[np.ndarray, " 23"] = field(init=False, repr=False, compare=False)
    line_rot180: Int[np.ndarray, " 23"] = field(init=False, repr=False, compare=False)
    circle_flip: Int[np.ndarray, " 3"] = field(init=False, repr=False, compare=False)
    circle_rot180: Int[np.ndarray, " 3"] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.template not in ("table", "exact"):
            raise ValueError(f"expected template 'table' or 'exact', got {self.template!r}")
        corner = np.array([LENGTH_M / 2, WIDTH_M / 2, 0.0])
        auxiliary = [(x, y, 0.0) for x, y in _AUXILIARY_TABLE]
        points_m = np.array([*_KEYPOINTS_TABLE, *auxiliary]) - corner
        if self.template == "exact":
            for number, xy_m in _exact_keypoints().items():
                points_m[number - 1, :2] = xy_m
        line_ends_m = np.array([_LINE_ENDS_TABLE[name] for name in LINES]) - corner
        middles_m = line_ends_m.mean(axis=1)
        circle_centres_m = np.array([(_CIRCLES[name][0], 0.0, 0.0) for name in CIRCLES])
        point_flip = _partners(points_m, _MIRROR)
        point_rot180 = _partners(points_m, _HALF_TURN)
        values = {
            "points_m": points_m,
            "keypoints_m": points_m[:NUM_KEYPOINTS],
            "auxiliary_m": points_m[NUM_KEYPOINTS:],
            "line_ends_m": line_ends_m,
            "circle_centres_m": circle_centres_m,
            "point_flip": point_flip,
            "point_rot180": point_rot180,
            "keypoint_flip": point_flip[:NUM_KEYPOINTS],
            "keypoint_rot180": point_rot180[:NUM_KEYPOINTS],
            "line_flip": _partners(middles_m, _MIRROR),
            "line_rot180": _partners(middles_m, _HALF_TURN),
            "circle_flip": _partners(circle_centres_m, _MIRROR),
            "circle_rot180": _partners(circle_centres_m, _HALF_TURN),
        }
        for name, value in values.items():
            value.flags.writeable = False
            object.__setattr__(self, name, value)

    def polylines_m(
        self, step_m: float = 1.0, circle_step_m: float | None = None
    ) -> dict[str, Float[np.ndarray, "n 3"]]:
        """Points along the 23 lines and 3 circles, by class name.

        Args:
            step_m: distance of neighbours on straight lines; points start at the first end and the
                second end closes the list, however near the point before it is.
            circle_step_m: distance of neighbours along circles, at most; `step_m` if None. The
                centre circle closes: its last point is its first. The others are penalty arcs.
        """
        polylines = {}
        for name, (start_m, end_m) in zip(LINES, self.line_ends_m, strict=True):
            length_m = float(np.linalg.norm(end_m - start_m))
            along_m = np.append(np.arange(0.0, length_m, step_m), length_m)[:, None]
            polylines[name] = start_m + (end_m - start_m) * (along_m / length_m)
        for name, (x_m, start_rad, end_rad) in _CIRCLES.items():
            steps = math.ceil((end_rad - start_rad) * CIRCLE_RADIUS_M / (circle_step_m or step_m))
            angles = np.linspace(start_rad, end_rad, steps + 1)
            x, y = CIRCLE_RADIUS_M * np.cos(angles), CIRCLE_RADIUS_M * np.sin(angles)
            polylines[name] = np.stack([x_m + x, y, np.zeros_like(x)], axis=-1)
        return polylines

    def flip_name(self, name: str) -> str:
        """The class that `name` turns into when the image is mirrored horizontally.

        Raises:
            KeyError: `name` is no line or circle class.
        """
        return _partner_name(name, self.line_flip, self.circle_flip)

    def rot180_name(self, name: str) -> str:
        """The class that `name` turns into when the pitch is turned by 180 degrees.

        Raises:
            KeyError: `name` is no line or circle class.
        """
        return _partner_name(name, self.line_rot180, self.circle_rot180)


_MIRROR = (-1, 1, 1)
_HALF_TURN = (-1, -1, 1)
_MARK_X = LENGTH_M / 2 - PENALTY_MARK_M
#: Centre x, first and last angle; angles run from +x toward +y.
_CIRCLES: dict[str, tuple[float, float, float]] = {
    "Circle central": (0.0, 0.0, 2 * math.pi),
    "Circle left": (-_MARK_X, -ARC_HALF_ANGLE_RAD, ARC_HALF_ANGLE_RAD),
    "Circle right": (_MARK_X, math.pi - ARC_HALF_ANGLE_RAD, math.pi + ARC_HALF_ANGLE_RAD),
}

# Source: PnLCalib's keypoint table; x, y, z from the far left corner.
# fmt: off
_KEYPOINTS_TABLE = (
    (0, 0, 0), (52.5, 0, 0), (105, 0, 0),  # 1
    (0, 13.84, 0), (16.5, 13.84, 0), (88.5, 13.84, 0), (105, 13.84, 0),  # 4
    (0, 24.84, 0), (5.5, 24.84, 0), (99.5, 24.84, 0), (105, 24.84, 0),  # 8
    (0, 30.34, -2.44), (0, 30.34, 0), (105, 30.34, 0), (105, 30.34, -2.44),  # 12
    (0, 37.66, -2.44), (0, 37.66, 0), (105, 37.66, 0), (105, 37.66, -2.44),  # 16
    (0, 43.16, 0), (5.5, 43.16, 0), (99.5, 43.16, 0), (105, 43.16, 0),  # 20
    (0, 54.16, 0), (16.5, 54.16, 0), (88.5, 54.16, 0), (105, 54.16, 0),  # 24
    (0, 68, 0), (52.5, 68, 0), (105, 68, 0),  # 28
    (16.5, 26.68, 0), (52.5, 24.85, 0), (88.5, 26.68, 0),  # 31
    (16.5, 41.31, 0), (52.5, 43.15, 0), (88.5, 41.31, 0),  # 34
    (19.99, 32.29, 0), (43.68, 31.53, 0), (61.31, 31.53, 0), (85, 32.29, 0),  # 37
    (19.99, 35.7, 0), (43.68, 36.46, 0), (61.31, 36.46, 0), (85, 35.7, 0),  # 41
    (11, 34, 0), (16.5, 34, 0), (20.15, 34, 0),  # 45
    (46.03, 27.53, 0), (58.97, 27.53, 0),  # 48
    (43.35, 34, 0), (52.5, 34, 0), (61.5, 34, 0),  # 50
    (46.03, 40.47, 0), (58.97, 40.47, 0),  # 53
    (84.85, 34, 0), (88.5, 34, 0), (94, 34, 0),  # 55
)
_AUXILIARY_TABLE = (
    (5.5, 0), (16.5, 0), (88.5, 0), (99.5, 0),  # 58
    (5.5, 13.84), (99.5, 13.84), (16.5, 24.84), (88.5, 24.84),  # 62
    (16.5, 43.16), (88.5, 43.16), (5.5, 54.16), (99.5, 54.16),  # 66
    (5.5, 68), (16.5, 68), (88.5, 68), (99.5, 68),  # 70
)
_LINE_ENDS_TABLE = {
    "Big rect. left bottom": ((0, 54.16, 0), (16.5, 54.16, 0)),
    "Big rect. left main": ((16.5, 13.84, 0), (16.5, 54.16, 0)),
    "Big rect. left top": ((16.5, 13.84, 0), (0, 13.84, 0)),
    "Big rect. right bottom": ((88.5, 54.16, 0), (105, 54.16, 0)),
    "Big rect. right main": ((88.5, 13.84, 0), (88.5, 54.16, 0)),
    "Big rect. right top": ((88.5, 13.84, 0), (105, 13.84, 0)),
    "Goal left crossbar": ((0, 37.66, -2.44), (0, 30.34, -2.44)),
    "Goal left post left": ((0, 37.66, 0), (0, 37.66, -2.44)),
    "Goal left post right": ((0, 30.34, 0), (0, 30.34, -2.44)),
    "Goal right crossbar": ((105, 37.66, -2.44), (105, 30.34, -2.44)),
    "Goal right post left": ((105, 30.34, 0), (105, 30.34, -2.44)),
    "Goal right post right": ((105, 37.66, 0), (105, 37.66, -2.44)),
    "Middle line": ((52.5, 0, 0), (52.5, 68, 0)),
    "Side line bottom": ((0, 68, 0), (105, 68, 0)),
    "Side line left": ((0, 0, 0), (0, 68, 0)),
    "Side line right": ((105, 0, 0), (105, 68, 0)),
    "Side line top": ((0, 0, 0), (105, 0, 0)),
    "Small rect. left bottom": ((0, 43.16, 0), (5.5, 43.16, 0)),
    "Small rect. left main": ((5.5, 43.16, 0), (5.5, 24.84, 0)),
    "Small rect. left top": ((5.5, 24.84, 0), (0, 24.84, 0)),
    "Small rect. right bottom": ((99.5, 43.16, 0), (105, 43.16, 0)),
    "Small rect. right main": ((99.5, 43.16, 0), (99.5, 24.84, 0)),
    "Small rect. right top": ((99.5, 24.84, 0), (105, 24.84, 0)),
}
# fmt: on


def _exact_keypoints() -> dict[int, tuple[float, float]]:
    """Unrounded x, y (centred) of the keypoints that lie on circles."""
    r = CIRCLE_RADIUS_M
    box_x = LENGTH_M / 2 - PENALTY_AREA_DEPTH_M
    arc_y = r * math.sin(ARC_HALF_ANGLE_RAD)
    diagonal = r / math.sqrt(2)
    exact = {48: (-diagonal, -diagonal), 53: (-diagonal, diagonal)}
    exact |= {49: (diagonal, -diagonal), 54: (diagonal, diagonal)}
    exact |= {50: (-r, 0.0), 52: (r, 0.0), 47: (r - _MARK_X, 0.0), 55: (_MARK_X - r, 0.0)}
    exact |= {31: (-box_x, -arc_y), 33: (box_x, -arc_y), 34: (-box_x, arc_y), 36: (box_x, arc_y)}

    # Tangents from (dx, dy) relative to a circle's centre touch it at angle(d) +- acos(r / |d|).
    def touch(dx: float, dy: float) -> tuple[float, float]:
        angle = math.atan2(dy, dx) + math.acos(r / math.hypot(dx, dy))
        return r * math.cos(angle), r * math.sin(angle)

    x, y = touch(PENALTY_AREA_DEPTH_M - PENALTY_MARK_M, -PENALTY_AREA_WIDTH_M / 2)
    exact |= {37: (x - _MARK_X, y), 40: (_MARK_X - x, y)}
    exact |= {41: (x - _MARK_X, -y), 44: (_MARK_X - x, -y)}
    x, y = touch(0.0, -WIDTH_M / 2)
    exact |= {38: (-x, y), 39: (x, y), 42: (-x, -y), 43: (x, -y)}
    return exact


def _partners(points_m: np.ndarray, signs: tuple[int, int, int]) -> np.ndarray:
    """Index of the point nearest to each reflected point; the rounding slips do not matter."""
    reflected = points_m * signs
    distances = np.linalg.norm(reflected[:, None] - points_m[None], axis=-1)
    return distances.argmin(axis=1)


def _partner_name(name: str, line_partners: np.ndarray, circle_partners: np.ndarray) -> str:
    for names, partners in ((LINES, line_partners), (CIRCLES, circle_partners)):
        if name in names:
            return names[int(partners[names.index(name)])]
    raise KeyError(f"expected a class of vocabulary.LINES or CIRCLES, got {name!r}")
