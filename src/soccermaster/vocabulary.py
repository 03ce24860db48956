"""Closed word lists: roles, teams, event classes, line and circle names, annotation fields.

Every other module refers to these words by position or by string; a word has its one home here.
Spelling follows the released labels and is part of the contract ("off side", "throw in", ...).
"""

from __future__ import annotations

#: Roles of people (and the ball), in the class order of the released detection head. A sixth class,
#: "no role", follows them in the network output.
ROLES: tuple[str, ...] = ("ball", "goalkeeper", "other", "player", "referee")

#: The team is the goal that it defends, as seen from the main camera.
TEAMS: tuple[str, ...] = ("left", "right")

#: Value for "not annotated" in every integer label array.
UNKNOWN: int = -1

#: Shirt numbers are 0..99; this class means "no (readable) number".
NO_NUMBER: int = 100

#: A shirt number counts as readable above this legibility score.
LEGIBLE_ABOVE: float = 0.5

#: The 23 event strings of the released clip lists and weights, in classifier order.
RELEASE_EVENTS: tuple[str, ...] = (
    "var",
    "end of half game",
    "clearance",
    "second yellow card",
    "injury",
    "ball possession",
    "throw in",
    "show added time",
    "shot off target",
    "start of half game",
    "substitution",
    "saved by goal-keeper",
    "red card",
    "lead to corner",
    "ball out of play",
    "off side",
    "goal",
    "penalty",
    "yellow card",
    "foul lead to penalty",
    "corner",
    "free kick",
    "foul with no card",
)

#: The library's default list: the release plus one class.
EVENTS: tuple[str, ...] = (*RELEASE_EVENTS, "own goal")

#: Events whose comments are interchangeable: two clips of one such class are positives in the
#: alignment loss.
INTERCHANGEABLE_EVENTS: tuple[str, ...] = (
    "end of half game",
    "start of half game",
    "off side",
    "ball possession",
    "substitution",
)

#: The 23 straight pitch markings, in heatmap channel order (SoccerNet names without blanks at the
#: ends).
LINES: tuple[str, ...] = (
    "Big rect. left bottom",
    "Big rect. left main",
    "Big rect. left top",
    "Big rect. right bottom",
    "Big rect. right main",
    "Big rect. right top",
    "Goal left crossbar",
    "Goal left post left",
    "Goal left post right",
    "Goal right crossbar",
    "Goal right post left",
    "Goal right post right",
    "Middle line",
    "Side line bottom",
    "Side line left",
    "Side line right",
    "Side line top",
    "Small rect. left bottom",
    "Small rect. left main",
    "Small rect. left top",
    "Small rect. right bottom",
    "Small rect. right main",
    "Small rect. right top",
)

#: Curved markings; "left" and "right" are the penalty arcs alone.
CIRCLES: tuple[str, ...] = ("Circle central", "Circle left", "Circle right")

#: Pitch keypoints have numbers, 1..57; arrays hold keypoint k at index k - 1.
NUM_KEYPOINTS: int = 57

#: What a dataset can annotate; a task names the fields it learns from.
ANNOTATION_FIELDS: tuple[str, ...] = (
    "boxes",
    "roles",
    "numbers",
    "legibility",
    "track_ids",
    "teams",
    "positions",
    "keypoints",
    "lines",
    "cameras",
    "event",
    "text",
)
