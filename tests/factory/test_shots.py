import json

import numpy as np
import pytest

from soccermaster.data.frame_source import open_source
from soccermaster.data.video import VideoWriter
from soccermaster.factory.records import Records
from soccermaster.factory.shots import Shots, find_cuts, is_main_view, labelled_shots
from soccermaster.factory.stage import ClipContext, StageError

GRASS, CROWD = (60, 140, 50), (120, 110, 130)


def picture(figure_height: int = 0) -> np.ndarray:
    """Grass below a stand, and a figure in the middle."""
    frame = np.full((90, 160, 3), GRASS, np.uint8)
    frame[:25] = CROWD
    if figure_height:
        width = figure_height // 2
        frame[90 - figure_height : 90, 80 - width : 80 + width] = (200, 30, 30)
    return frame


@pytest.mark.parametrize(
    ("frame", "main"),
    [
        (picture(), True),
        (picture(12), True),
        (picture(85), False),
        (np.zeros((90, 160, 3), np.uint8), False),
        (np.full((90, 160, 3), CROWD, np.uint8), False),
    ],
    ids=["empty pitch", "small figure", "close-up", "black", "stand"],
)
def test_the_main_camera_sees_grass_with_small_people(frame, main):
    assert is_main_view(frame) == main


@pytest.mark.parametrize(
    ("changes", "cuts"),
    [
        ([0, 0.01, 0.01, 0.9, 0.01, 0.01], [0, 3]),
        ([0, 0.01, 0.2, 0.01], [0]),
        ([0, 0.4, 0.4, 0.4, 0.4, 0.4], [0]),
        ([0], [0]),
        ([0, 0.01, 0.8, 0.9, 0.01, 0.01], [0, 3]),
        ([0, *[0.01] * 9, 0.9, *[0.01] * 6, 0.7, *[0.01] * 9], [0, 10, 17]),
    ],
    ids=["a cut", "too small", "always that much", "one frame", "larger of two", "a short shot"],
)
def test_cuts_stand_out_from_their_surroundings(changes, cuts):
    assert find_cuts(np.array(changes), 0.3, 5.0) == cuts


def run(path, **options):
    source = open_source(path)
    clip = ClipContext("video", source, range(len(source)))
    return Shots(**options).run(clip, Records())["shots"].to_pylist()


def test_shots_of_a_video_are_named_and_trimmed(tmp_path):
    path = tmp_path / "1_match.mp4"
    with VideoWriter(path, 25, (90, 160)) as writer:
        for frame in [picture()] * 40 + [picture(85)] * 10 + [picture(8)] * 40:
            writer.write(frame)
    shots = run(path)
    assert [(s["frame"], s["last_frame"], s["camera"]) for s in shots] == [
        (0, 29, "main"),
        (50, 89, "main"),
    ]
    shots = run(path, min_frames=1, trim_end_frames=0)
    assert [(s["frame"], s["camera"]) for s in shots] == [(0, "main"), (40, "other"), (50, "main")]


def test_labels_beside_the_video_count_instead(tmp_path):
    path = tmp_path / "1_720p.mp4"
    with VideoWriter(path, 25, (90, 160)) as writer:
        for _ in range(100):
            writer.write(picture())
    shots = [
        {"gameTime": "1 - 00:02", "position": "2000", "label": "Main camera center"},
        {
            "gameTime": "1 - 00:04",
            "position": "4000",
            "label": "Main camera center",
            "replay": "replay",
        },
        {"gameTime": "2 - 00:01", "position": "1000", "label": "Main camera center"},
    ]
    (tmp_path / "Labels-cameras.json").write_text(json.dumps({"annotations": shots}))
    found = run(path)
    assert [(s["frame"], s["last_frame"], s["camera"]) for s in found] == [
        (0, 39, "main"),
        (50, 99, "other"),
    ]
    assert {s["source"] for s in found} == {"Labels-cameras.json"}


def test_labels_that_are_none_are_named(tmp_path):
    path = tmp_path / "1_720p.mp4"
    with VideoWriter(path, 25, (90, 160)) as writer:
        writer.write(picture())
    (tmp_path / "Labels-cameras.json").write_text('{"shots": []}')
    with pytest.raises(StageError, match="expected SoccerNet camera labels"):
        run(path)


def test_labelled_shots_end_where_the_labels_say():
    annotations = [
        {"position": "1000", "label": "Main camera center"},
        {"position": "9000", "label": "Close-up"},
    ]
    shots = labelled_shots({"annotations": annotations}, 25.0, 50)
    assert shots == [(0, 24, True, 1.0), (25, 49, False, 1.0)]
