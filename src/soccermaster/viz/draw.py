"""Draw predictions on a video frame: athletes, pitch keypoints and lines, events and comments.

Every function takes an RGB frame and returns a new one; sizes follow the height of the frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from soccermaster import vocabulary
from soccermaster.geometry import Camera, Pitch
from soccermaster.structures import (
    AthletesPrediction,
    EventPrediction,
    KeypointsPrediction,
    LinesPrediction,
)
from soccermaster.viz.canvas import (
    BLACK,
    Colour,
    athlete_colour,
    blend,
    canvas,
    font_px,
    paint_dot,
    paint_line,
    stroke,
    text_size,
    wrap_text,
    write_text,
)

Frame = UInt8[np.ndarray, "H W 3"]

#: By the first word of the line's name.
_LINE_COLOURS: dict[str, Colour] = {
    "Big": (255, 120, 200),
    "Circle": (110, 230, 255),
    "Goal": (255, 165, 60),
    "Middle": (110, 230, 255),
    "Side": (110, 230, 255),
    "Small": (255, 240, 90),
}
_KEYPOINT_COLOUR: Colour = (255, 70, 70)


def draw_athletes(
    frame: Frame, prediction: AthletesPrediction, score_threshold: float = 0.5
) -> Frame:
    """Boxes of people in the colour of their role, with role and shirt number.

    Args:
        frame: the frame of the prediction, at any resolution.
        prediction: of one frame.
        score_threshold: people are present when their score is above it.
    """
    shown = _array(prediction.scores) > score_threshold
    height, width = frame.shape[:2]
    boxes_px = _array(prediction.boxes_xyxy_norm)[shown] * [width, height, width, height]
    roles, numbers = _array(prediction.roles)[shown], _array(prediction.numbers)[shown]
    return draw_boxes(
        frame,
        boxes_px,
        [athlete_colour(int(role)) for role in roles],
        [athlete_label(int(r), int(n)) for r, n in zip(roles, numbers, strict=True)],
    )


def athlete_label(role: int, number: int) -> str:
    """Role and shirt number in words: "player 10"; what is not known is left out."""
    words = [vocabulary.ROLES[role]] if 0 <= role < len(vocabulary.ROLES) else []
    if 0 <= number < vocabulary.NO_NUMBER:
        words.append(str(number))
    return " ".join(words)


def draw_boxes(
    frame: Frame,
    boxes_xyxy_px: Float[np.ndarray, "n 4"],
    colours: Sequence[Colour],
    labels: Sequence[str],
) -> Frame:
    """Boxes with a label above each; an empty label is not written.

    Args:
        frame: to draw on.
        boxes_xyxy_px: in pixels of the frame.
        colours: of each box and its label.
        labels: of each box.
    """
    image = canvas(frame)
    thickness, text_px = stroke(image, 1 / 450), font_px(image, 1 / 60)
    for (x_min, y_min, x_max, y_max), colour in zip(boxes_xyxy_px, colours, strict=True):
        # Through the centres of the outermost pixels, so that the sides are crisp.
        left, top, right, bottom = *np.floor((x_min, y_min)) + 0.5, *np.ceil((x_max, y_max)) - 0.5
        corners_px = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
        paint_line(image, corners_px, colour, thickness, closed=True)
    for (x_min, y_min, x_max, _), colour, label in zip(boxes_xyxy_px, colours, labels, strict=True):
        if label:
            above_px = ((x_min + x_max) / 2, y_min - thickness - 1)
            write_text(image, label, above_px, text_px, colour, anchor=(0.5, 1.0))
    return image


def draw_keypoints(
    frame: Frame, prediction: KeypointsPrediction, score_threshold: float | None = None
) -> Frame:
    """Pitch keypoints as dots with their numbers 1..57.

    Args:
        frame: the frame of the prediction, at any resolution.
        prediction: of one frame.
        score_threshold: points are present when their score is above it; that of the head if None.
    """
    image = canvas(frame)
    radius_px, text_px = max(2.0, image.shape[0] / 180), font_px(image, 1 / 55)
    points_px = _array(prediction.points_norm) * [image.shape[1], image.shape[0]]
    present = _array(prediction.present(score_threshold)) & np.isfinite(points_px).all(1)
    for index in np.flatnonzero(present):
        paint_dot(image, points_px[index], radius_px, _KEYPOINT_COLOUR)
    for index in np.flatnonzero(present):
        beside_px = tuple(points_px[index] + 1.5 * radius_px)
        write_text(image, str(index + 1), beside_px, text_px)
    return image


def draw_lines(
    frame: Frame,
    prediction: LinesPrediction,
    score_threshold: float | None = None,
    names: bool = True,
) -> Frame:
    """Pitch lines, coloured by the part of the pitch.

    Args:
        frame: the frame of the prediction, at any resolution.
        prediction: of one frame.
        score_threshold: lines are present when their score is above it; that of the head if None.
        names: write the name at the middle of each line.
    """
    image = canvas(frame)
    thickness, text_px = stroke(image, 1 / 300), font_px(image, 1 / 60)
    segments_px = _array(prediction.segments_norm) * [image.shape[1], image.shape[0]]
    present = _array(prediction.present(score_threshold)) & np.isfinite(segments_px).all((1, 2))
    for index in np.flatnonzero(present):
        paint_line(image, segments_px[index], _line_colour(index), thickness)
        for end_px in segments_px[index]:
            paint_dot(image, end_px, 1.5 * thickness, _line_colour(index))
    for index in np.flatnonzero(present) if names else ():
        middle_px = tuple(segments_px[index].mean(0))
        name = vocabulary.LINES[index]
        write_text(image, name, middle_px, text_px, _line_colour(index), anchor=(0.5, 0.5))
    return image


def draw_pitch_markings(frame: Frame, camera: Camera, pitch: Pitch | None = None) -> Frame:
    """The lines and circles of the template where a camera sees them.

    Args:
        frame: taken by the camera, at any resolution.
        camera: a single one.
        pitch: the template; the standard one if None.
    """
    image = canvas(frame)
    thickness = stroke(image, 1 / 300)
    camera = camera.resize((image.shape[1], image.shape[0]))
    for name, points_m in (pitch or Pitch()).polylines_m().items():
        points_px, _ = camera.project(points_m)  # NaN behind the camera
        paint_line(image, points_px, _LINE_COLOURS[name.split()[0]], thickness)
    return image


def draw_banner(frame: Frame, text_lines: Sequence[str]) -> Frame:
    """Text on a dark strip at the bottom of the frame; long lines are wrapped."""
    image = canvas(frame)
    text_px = font_px(image, 1 / 32)
    margin_px = text_px // 2
    width_px = image.shape[1] - 2 * margin_px
    lines = [part for line in text_lines for part in wrap_text(line, text_px, width_px)]
    if not lines:
        return image
    step_px = text_size(lines[0], text_px)[1]
    top_px = max(0, image.shape[0] - step_px * len(lines) - 2 * margin_px)
    blend(image[top_px:], BLACK, 0.65)
    for row, line in enumerate(lines):
        place_px = (margin_px, top_px + margin_px + row * step_px)
        write_text(image, line, place_px, text_px, backing=0)
    return image


def event_lines(prediction: EventPrediction, top: int = 3) -> list[str]:
    """The likeliest events in words, in one line: "corner 83 %, goal 9 %"."""
    scores = _array(prediction.scores)
    best = np.argsort(-scores, kind="stable")[:top]
    return [", ".join(f"{prediction.classes[i]} {100 * scores[i]:.0f} %" for i in best)]


def draw_overlay(
    frame: Frame,
    athletes: AthletesPrediction | None = None,
    keypoints: KeypointsPrediction | None = None,
    lines: LinesPrediction | None = None,
    event: EventPrediction | None = None,
    comments: Sequence[str] = (),
    athlete_threshold: float = 0.5,
    pitch_threshold: float | None = None,
) -> Frame:
    """Everything that is known about a frame, in one picture.

    Args:
        frame: the frame of the predictions, at any resolution.
        athletes: people.
        keypoints: pitch keypoints.
        lines: pitch lines; their names are written where no athletes are drawn over them.
        event: of the clip.
        comments: lines of text about the clip: retrieved or generated comments.
        athlete_threshold: least score of a person.
        pitch_threshold: keypoints and lines are present above this score; above that of their
            heads if None.
    """
    image = canvas(frame)
    if lines is not None:
        image = draw_lines(image, lines, pitch_threshold, names=athletes is None)
    if keypoints is not None:
        image = draw_keypoints(image, keypoints, pitch_threshold)
    if athletes is not None:
        image = draw_athletes(image, athletes, athlete_threshold)
    text_lines = [*(event_lines(event) if event is not None else ()), *comments]
    return draw_banner(image, text_lines)


def _line_colour(index: int) -> Colour:
    return _LINE_COLOURS[vocabulary.LINES[index].split()[0]]


def _array(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    return (tensor.double() if tensor.is_floating_point() else tensor).numpy()
