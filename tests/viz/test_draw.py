from __future__ import annotations

import numpy as np
import pytest
import torch

from soccermaster import vocabulary
from soccermaster.structures import EventPrediction
from soccermaster.viz.canvas import ROLE_COLOURS, TEAM_COLOURS, athlete_colour
from soccermaster.viz.draw import (
    athlete_label,
    draw_athletes,
    draw_banner,
    draw_boxes,
    draw_keypoints,
    draw_lines,
    draw_overlay,
    event_lines,
)

from .predictions import keypoints, lines, people


@pytest.fixture
def frame() -> np.ndarray:
    return np.full((180, 320, 3), 60, np.uint8)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    assert before.shape == after.shape
    assert after.dtype == np.uint8
    return (before != after).any(-1)


def test_a_box_is_drawn_where_it_is_in_the_colour_of_its_role(frame):
    drawn = draw_athletes(frame, people([[0.5, 0.5, 0.75, 0.9]], role="referee"))
    inside = changed(frame, drawn)
    assert inside[90:163, 160].all()  # left side
    assert inside[161, 160:240].all()  # lower side
    assert not inside[95:155, 170:230].any()  # the person stays visible
    assert drawn[120, 160] == pytest.approx(ROLE_COLOURS["referee"], abs=25)
    assert not inside[:, :100].any()


def test_a_label_is_written_above_the_box(frame):
    boxes, colours = np.array([[100.0, 80.0, 140.0, 150.0]]), [(255, 0, 0)]
    with_label = draw_boxes(frame, boxes, colours, ["player 10"])
    without = draw_boxes(frame, boxes, colours, [""])
    rows, columns = np.nonzero(changed(without, with_label))
    assert rows.max() < 80
    assert 100 < columns.mean() < 140


def test_labels_stay_inside_the_frame(frame):
    drawn = draw_athletes(frame, people([[-0.1, -0.1, 0.02, 0.1]], role="goalkeeper"))
    assert changed(frame, drawn)[:8, :40].any()


@pytest.mark.parametrize(
    ("role", "number", "label"),
    [("player", 10, "player 10"), ("player", 100, "player"), ("goalkeeper", 0, "goalkeeper 0")],
)
def test_labels_say_role_and_number(role, number, label):
    assert athlete_label(vocabulary.ROLES.index(role), number) == label


def test_unknown_role_and_number_have_an_empty_label():
    assert athlete_label(vocabulary.UNKNOWN, vocabulary.UNKNOWN) == ""


def test_teams_colour_players_and_not_referees():
    player, referee = vocabulary.ROLES.index("player"), vocabulary.ROLES.index("referee")
    assert athlete_colour(player, 0) == TEAM_COLOURS["left"]
    assert athlete_colour(player) == ROLE_COLOURS["player"]
    assert athlete_colour(referee, 1) == ROLE_COLOURS["referee"]


def test_people_below_the_threshold_are_not_drawn(frame):
    unsure = people([[0.5, 0.5, 0.75, 0.9]], score=0.4)
    assert not changed(frame, draw_athletes(frame, unsure)).any()
    assert changed(frame, draw_athletes(frame, unsure, score_threshold=0.3)).any()


def test_the_frame_itself_is_not_changed(frame):
    before = frame.copy()
    draw_overlay(
        frame, people([[0.1, 0.1, 0.3, 0.5]]), keypoints({1: (0.5, 0.5)}), comments=["text"]
    )
    assert np.array_equal(frame, before)


def test_a_keypoint_is_a_dot_with_a_number(frame):
    drawn = draw_keypoints(frame, keypoints({30: (0.25, 0.5)}))
    pixels = changed(frame, drawn)
    assert pixels[89:91, 79:81].all()
    rows, columns = np.nonzero(pixels)
    assert columns.min() > 70
    assert columns.max() < 110
    assert rows.min() > 80
    assert rows.max() < 115


def test_a_line_connects_its_ends(frame):
    prediction = lines({"Middle line": [[0.5, 0.1], [0.5, 0.9]]})
    pixels = changed(frame, draw_lines(frame, prediction, names=False))
    assert pixels[18:162, 159:161].any(1).all()
    assert not pixels[:, :150].any()
    assert changed(frame, draw_lines(frame, prediction))[80:100, 130:150].any()  # the name


def test_points_that_are_not_finite_are_left_out(frame):
    prediction = keypoints({1: (float("nan"), 0.5)})
    assert not changed(frame, draw_keypoints(frame, prediction)).any()
    far = lines({"Side line top": [[-1e9, 0.5], [1e9, 0.5]]})
    assert changed(frame, draw_lines(frame, far, names=False))[89:91].any(0).all()


def test_a_banner_darkens_the_bottom_only(frame):
    drawn = draw_banner(frame, ["corner"])
    pixels = changed(frame, drawn)
    assert pixels[-1].all()
    assert not pixels[:150].any()
    assert drawn.max() > 200  # white letters


def test_long_text_takes_more_lines(frame):
    short = changed(frame, draw_banner(frame, ["a corner"])).sum()
    long = changed(frame, draw_banner(frame, ["a corner " * 20])).sum()
    assert long > 2 * short


def test_an_overlay_without_predictions_is_the_frame(frame):
    assert np.array_equal(draw_overlay(frame), frame)


def test_events_are_listed_by_score():
    event = EventPrediction(("goal", "corner", "foul"), torch.tensor([0.2, 0.7, 0.1]))
    assert event_lines(event, top=2) == ["corner 70 %, goal 20 %"]


def test_images_that_are_not_8_bit_rgb_are_refused(frame):
    with pytest.raises(ValueError, match="expected an RGB image"):
        draw_banner(frame.astype(np.float32), ["text"])
    with pytest.raises(ValueError, match="expected an RGB image"):
        draw_banner(frame[..., 0], ["text"])
