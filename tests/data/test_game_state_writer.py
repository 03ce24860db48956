import dataclasses
import json

import numpy as np
import pytest

from soccermaster.data.datasets.game_state_file import read_game_state, read_predictions
from soccermaster.data.datasets.game_state_writer import write_game_state, write_predictions
from soccermaster.data.errors import DatasetError
from soccermaster.data.synthetic.writers import write_gsr
from soccermaster.metrics.tracking import game_state_scores
from tests.data.test_soccernet_gsr import image, person, pitch, write


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A tree as scripts/make_synthetic.py writes it."""
    root = tmp_path_factory.mktemp("tree")
    write_gsr(root, "valid", ["021", "022"], num_frames=12, image_size=(144, 256))
    return root


def assert_equal(first, second):
    """All fields, to the bit; paths by their name."""
    for field in dataclasses.fields(first):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if dataclasses.is_dataclass(a):
            assert_equal(a, b)
        elif field.name == "image_paths":
            assert [path.name for path in a] == [path.name for path in b]
            assert all(x.read_bytes() == y.read_bytes() for x, y in zip(a, b, strict=True))
        else:
            np.testing.assert_array_equal(a, b, field.name)


def test_synthetic_sequences_survive_reading_and_writing(tree, tmp_path):
    for name in ("SNGS-021", "SNGS-022"):
        read = read_game_state(tree / f"SoccerNetGS/valid/{name}")
        assert len(read.athletes) > 50 and len(read.polylines.name) > 10
        write_game_state(tmp_path / name, read)
        assert_equal(read, read_game_state(tmp_path / name))


def test_what_is_unknown_survives_too(tmp_path):
    annotations = [
        person(1, 1, jersey="X", bbox_pitch=None),
        person(1, None, role=None, team=None, jersey=None),
        person(2, 2, role="goalkeeper", bbox_image={"x": 0.1, "y": 1 / 3, "w": 7.7, "h": 9}),
        pitch(2),
    ]
    images = [image(1), image(2), image(3, has_labeled_camera=False, has_labeled_person=False)]
    read = read_game_state(write(tmp_path, images, annotations))
    assert np.isnan(read.corners_m).all() and np.isfinite(read.athletes.positions_m).any()
    write_game_state(tmp_path / "again/SNGS-060", read)
    assert_equal(read, read_game_state(tmp_path / "again/SNGS-060"))


def test_predictions_have_what_the_evaluator_needs(tmp_path):
    read = read_game_state(
        write(tmp_path, [image(1)], [person(1, 1), person(1, 2, bbox_pitch=None)])
    )
    write_predictions(tmp_path / "SNGS-060.json", read)
    (entry,) = json.loads((tmp_path / "SNGS-060.json").read_text())["predictions"]
    assert entry["image_id"] == "1060000001" and entry["attributes"]["jersey"] == "10"
    assert len(entry["bbox_pitch"]) == 6 and None not in entry["bbox_pitch"].values()


def test_the_evaluator_knows_no_unknown_number(tmp_path):
    read = read_game_state(write(tmp_path, [image(1)], [person(1, 1, jersey="X")]))
    assert read.athletes.numbers.tolist() == [-1]
    write_predictions(tmp_path / "SNGS-060.json", read)
    (entry,) = json.loads((tmp_path / "SNGS-060.json").read_text())["predictions"]
    assert entry["attributes"]["jersey"] is None


def test_predictions_say_how_sure_they_are(tmp_path):
    people = [person(1, 1, bbox_pitch=None), person(1, 2), person(1, 3)]
    read = read_game_state(write(tmp_path, [image(1)], people))
    write_predictions(tmp_path / "SNGS-060.json", read, np.array([0.9, 0.4, np.nan]))
    written = json.loads((tmp_path / "SNGS-060.json").read_text())["predictions"]
    assert [(p["track_id"], p["confidence"]) for p in written] == [(2, 0.4), (3, 0.0)]


def test_predictions_are_read_as_they_were_written(tree, tmp_path):
    state = read_game_state(tree / "SoccerNetGS/valid/SNGS-021")
    write_predictions(tmp_path / "SNGS-021.json", state)
    read = read_predictions(tmp_path / "SNGS-021.json", state.image_ids)
    placed = state.athletes.select(np.isfinite(state.athletes.positions_m).all(axis=1))
    for field in ("frame", "boxes_xyxy_px", "roles", "numbers", "track_ids", "teams"):
        np.testing.assert_array_equal(getattr(read, field), getattr(placed, field), field)
    np.testing.assert_array_equal(read.positions_m, placed.positions_m)
    scores = game_state_scores([(placed, read)])
    assert scores["gs_hota"] == scores["gs_loca"] == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 1060000001}, "a string as 'image_id'"),
        ({"image_id": "1060000000"}, "image_id of the images list"),  # frames count from 1
        ({"track_id": None}, "track_id"),
        ({"bbox_pitch": None}, "six numbers"),
        ({"bbox_pitch": {"x_bottom_middle": 0.0, "y_bottom_middle": 0.0}}, "six numbers"),
    ],
)
def test_predictions_that_would_silently_score_0_are_refused(tmp_path, change, message):
    state = read_game_state(write(tmp_path, [image(1)], [person(1, 1)]))
    file = tmp_path / "SNGS-060.json"
    write_predictions(file, state)
    content = json.loads(file.read_text())
    content["predictions"][0] |= change
    file.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=message):
        read_predictions(file, state.image_ids)


def test_a_perfect_prediction_scores_100(tree, tmp_path):
    trackeval = pytest.importorskip(
        "trackeval", reason="the evaluator is not installed: pip install '.[eval]'"
    )
    names = ("SNGS-021", "SNGS-022")
    for name in names:
        state = read_game_state(tree / f"SoccerNetGS/valid/{name}")
        write_predictions(tmp_path / f"SoccerNetGS-valid/perfect/data/{name}.json", state)
    config = {
        "GT_FOLDER": str(tree / "SoccerNetGS"),
        "TRACKERS_FOLDER": str(tmp_path),
        "SEQ_INFO": dict.fromkeys(names, 12),
        "PRINT_CONFIG": False,
    }
    evaluator = trackeval.Evaluator(
        {
            "PRINT_RESULTS": False,
            "PRINT_CONFIG": False,
            "TIME_PROGRESS": False,
            "OUTPUT_SUMMARY": False,
            "OUTPUT_DETAILED": False,
            "PLOT_CURVES": False,
            "USE_PARALLEL": False,
        }
    )
    dataset = trackeval.datasets.SoccerNetGS(config)
    metric = trackeval.metrics.HOTA({"PRINT_CONFIG": False})
    results, _ = evaluator.evaluate([dataset], [metric])
    scores = results["SoccerNetGS"]["perfect"]["COMBINED_SEQ"]
    (hota,) = [score["HOTA"]["HOTA"] for name, score in scores.items() if name == "person"]
    np.testing.assert_allclose(100 * np.mean(hota), 100.0, atol=1e-6)
