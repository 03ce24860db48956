import contextlib
import dataclasses
import io
import json

import numpy as np
import pytest

from soccermaster.data.synthetic.dataset import SyntheticSpatial
from soccermaster.data.synthetic.take import annotate
from soccermaster.metrics.track_attributes import attribute_scores
from soccermaster.metrics.tracking import (
    TOLERANCE_M,
    box_similarities,
    count_tracks,
    game_state_scores,
    game_state_similarities,
    no_counts,
    place_similarity,
    same_identity,
    tracking_scores,
)
from soccermaster.structures import Athletes
from soccermaster.vocabulary import NO_NUMBER, ROLES, TEAMS
from tests.metrics.tracks import noisy_copy, people, random_sequence

PLAYER, KEEPER, REFEREE, BALL = (
    ROLES.index(role) for role in ("player", "goalkeeper", "referee", "ball")
)
NAMES = {"HOTA": "hota", "DetA": "deta", "AssA": "assa", "LocA": "loca"}


def test_similarity_of_places():
    distances_m = np.array([0.0, 0.65, 2.4054, 5.0, np.nan])
    places = np.stack([distances_m, np.zeros(5)], axis=1)
    similarity = place_similarity(np.zeros((1, 2)), places)[0]
    assert similarity.tolist() == pytest.approx([1, 0.95, 0.5, 0.05, 0], abs=1e-3)
    sigma_m = np.sqrt(TOLERANCE_M**2 / (-2 * np.log(0.05)))
    assert sigma_m == pytest.approx(2.0427, abs=1e-4)


@pytest.mark.parametrize(
    ("truth", "predicted", "same"),
    [  # role, number, team
        ((PLAYER, 7, 0), (PLAYER, 7, 0), True),
        ((PLAYER, 7, 0), (PLAYER, 8, 0), False),
        ((PLAYER, 7, 0), (PLAYER, 7, 1), False),
        ((PLAYER, 7, 0), (PLAYER, NO_NUMBER, 0), False),
        ((PLAYER, -1, 0), (PLAYER, NO_NUMBER, 0), True),
        ((KEEPER, 1, 0), (KEEPER, 99, 0), True),  # numbers of players alone count
        ((KEEPER, 1, 0), (KEEPER, 1, 1), False),
        ((REFEREE, 3, 0), (REFEREE, 4, 1), True),
        ((REFEREE, -1, -1), (PLAYER, -1, -1), False),
    ],
)
def test_who_is_who(truth, predicted, same):
    a, b = (people([0], [1], [(0, 0)], *zip(row, strict=True)) for row in (truth, predicted))
    assert same_identity(a, b).tolist() == [[same]]


def test_known_scores():
    # Two people, four frames; the tracker loses one for two frames and then gives a new id.
    frame = np.repeat(np.arange(4), 2)
    ids = np.tile([1, 2], 4)
    place = np.tile([(0.0, 0.0), (20.0, 0.0)], (4, 1))
    truth = people(frame, ids, place, [PLAYER] * 8, [7] * 8, [0] * 8)
    seen = np.array([True, True, True, False, True, False, True, True])
    predicted = dataclasses.replace(truth, track_ids=np.where(frame == 3, ids * 10, ids))
    predicted = predicted.select(seen)
    scores = tracking_scores([(truth, predicted)])
    deta, assa = 6 / 8, (3 * 3 / 4 + 1 * 1 / 4 + 2 * 1 / 4) / 6
    assert scores == pytest.approx(
        {
            "hota": np.sqrt(deta * assa),
            "deta": deta,
            "assa": assa,
            "loca": 1.0,
            "mota": 1 - (2 + 0 + 2) / 8,
            "idf1": 2 * 4 / (8 + 6),
        }
    )
    perfect = game_state_scores([(truth, truth)])
    assert perfect == {"gs_hota": 1.0, "gs_deta": 1.0, "gs_assa": 1.0, "gs_loca": 1.0}


def test_nothing_to_score():
    truth, _ = random_sequence(np.random.default_rng(0))
    nothing = truth.select(slice(0, 0))
    for pair in ((truth, nothing), (nothing, truth), (nothing, nothing)):
        scores = tracking_scores([pair])
        assert scores["hota"] == scores["idf1"] == 0 and scores["loca"] == 1
    assert tracking_scores([]) == no_counts().scores()
    assert all(np.isnan(v) for v in attribute_scores([]).values())


def test_bad_ids_are_refused():
    truth, predicted = random_sequence(np.random.default_rng(0))
    with pytest.raises(ValueError, match="once per frame"):
        tracking_scores([(truth, dataclasses.replace(predicted, track_ids=predicted.frame))])
    nameless = dataclasses.replace(truth, track_ids=np.full(len(truth), -1))
    with pytest.raises(ValueError, match="track id in every row"):
        tracking_scores([(truth, nameless)])
    with pytest.raises(ValueError, match="shape"):
        count_tracks([np.array([1])], [np.array([1])], [np.zeros((1, 2))])
    with pytest.raises(ValueError, match="attributes"):
        same_identity(truth, truth, ["jersey"])


def test_balls_do_not_count():
    truth, predicted = random_sequence(np.random.default_rng(3))
    ball = people([0, 1], [900, 900], [(0, 0), (1, 0)], [BALL] * 2, [NO_NUMBER] * 2, [-1] * 2)
    with_ball = Athletes(
        **{k: np.concatenate([getattr(truth, k), getattr(ball, k)]) for k in vars(truth)}
    )
    assert tracking_scores([(with_ball, predicted)]) == tracking_scores([(truth, predicted)])
    assert game_state_scores([(truth, predicted)]) == game_state_scores([(with_ball, predicted)])


def test_attributes_of_tracks():
    frame, ids = np.repeat(np.arange(4), 3), np.tile([1, 2, 3], 4)
    place = np.tile([(0.0, 0.0), (20.0, 0.0), (-30.0, 5.0)], (4, 1))
    roles = np.tile([PLAYER, PLAYER, KEEPER], 4)
    truth = people(frame, ids, place, roles, np.tile([7, 8, 1], 4), np.tile([0, 1, 1], 4))
    predicted = dataclasses.replace(
        truth,
        roles=np.tile([PLAYER, PLAYER, PLAYER], 4),
        numbers=np.array([7, 9, 1] * 3 + [70, 8, 1]),
        teams=np.tile([0, 1, 0], 4),
        positions_m=place + np.array([0.0, 0.5]),
        track_ids=ids + 10 * frame,  # who is who over time plays no part
    )
    scores = attribute_scores([(truth, predicted.select(ids < 4))])
    assert scores == pytest.approx(
        {
            "found_tracks": 1.0,
            "role_accuracy": 2 / 3,
            "role_macro_f1": (2 * 2 / 5 + 0) / 2,
            "team_accuracy": 2 / 3,
            "number_accuracy": 1 / 2,
            "position_error_m": 0.5,
            "position_error_median_m": 0.5,
        }
    )
    assert attribute_scores([(truth, predicted.select(ids == 1))])["found_tracks"] == 1 / 3


def reference(similarities, threshold_metrics=True):
    """Scores of TrackEval, from ids and similarities."""
    pytest.importorskip("trackeval", reason="install soccermaster[eval] for sn-trackeval")
    from trackeval.metrics import CLEAR, HOTA, Identity

    truth, predicted, tables = similarities
    data = {"similarity_scores": tables, "num_timesteps": len(tables)}
    for side, ids in (("gt", truth), ("tracker", predicted)):
        unique = np.unique(np.concatenate(ids))
        data[f"{side}_ids"] = [np.searchsorted(unique, i) for i in ids]
        data[f"num_{side}_ids"] = len(unique)
        data[f"num_{side}_dets"] = sum(map(len, ids))
    with contextlib.redirect_stdout(io.StringIO()):
        hota = HOTA().eval_sequence(data)
        clear, identity = CLEAR().eval_sequence(data), Identity().eval_sequence(data)
    scores = {ours: float(np.mean(hota[theirs])) for theirs, ours in NAMES.items()}
    return scores | {"mota": clear["MOTA"], "idf1": identity["IDF1"]}


@pytest.mark.parametrize("seed", range(12))
def test_equal_to_trackeval_on_random_sequences(seed):
    rng = np.random.default_rng(seed)
    people, noise = int(rng.integers(1, 14)), float(rng.uniform(0.2, 3))
    truth, predicted = random_sequence(rng, int(rng.integers(1, 40)), people, noise)
    for similarities in (box_similarities, game_state_similarities):
        tables = similarities(truth, predicted)
        assert count_tracks(*tables).scores() == pytest.approx(reference(tables), abs=1e-9)


@pytest.fixture(scope="module")
def synthetic():
    """Two shots of synthetic matches, and noisy predictions."""
    dataset = SyntheticSpatial("valid", 2, 40, image_size=(720, 1280))
    pairs = []
    for seed in range(2):
        truth = annotate(dataset.take(seed)).athletes
        truth = truth.select(truth.roles != BALL)
        pairs.append((truth, noisy_copy(np.random.default_rng(seed), truth, 0.5)))
    return pairs


def test_equal_to_trackeval_on_synthetic_sequences(synthetic, tmp_path):
    for truth, predicted in synthetic:
        for similarities in (box_similarities, game_state_similarities):
            tables = similarities(truth, predicted)
            assert count_tracks(*tables).scores() == pytest.approx(reference(tables), abs=1e-9)
    official = official_game_state(tmp_path, synthetic)
    assert game_state_scores(synthetic) == pytest.approx(official, abs=1e-6)


def official_game_state(tmp_path, sequences):
    """What the evaluator of SoccerNet game state reads from files: one per sequence."""
    pytest.importorskip("trackeval", reason="install soccermaster[eval] for sn-trackeval")
    from trackeval import Evaluator
    from trackeval.datasets import SoccerNetGS
    from trackeval.metrics import HOTA

    for number, (truth, predicted) in enumerate(sequences, start=60):
        name = f"SNGS-{number:03d}"
        frames = np.union1d(truth.frame, predicted.frame)
        images = [
            {"image_id": image_id(number, frame)}
            | {f"has_labeled_{what}": True for what in ("person", "pitch", "camera")}
            for frame in frames
        ]
        categories = [{"id": 1, "name": "player"}]
        labels = {"images": images, "annotations": objects(number, truth), "categories": categories}
        write(tmp_path / "truth" / "train" / name / "Labels-GameState.json", labels)
        file = tmp_path / "found" / "SoccerNetGS-train" / "ours" / "data" / f"{name}.json"
        write(file, {"predictions": objects(number, predicted)})
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = SoccerNetGS(
            {
                "GT_FOLDER": str(tmp_path / "truth"),
                "TRACKERS_FOLDER": str(tmp_path / "found"),
                "OUTPUT_FOLDER": str(tmp_path / "out"),
                "SPLIT_TO_EVAL": "train",
                "PRINT_CONFIG": False,
            }
        )
        evaluator = Evaluator({"PLOT_CURVES": False, "PRINT_CONFIG": False, "USE_PARALLEL": False})
        results, _ = evaluator.evaluate([dataset], [HOTA()])
    combined = results["SoccerNetGS"]["ours"]["COMBINED_SEQ"]["person"]["HOTA"]
    return {f"gs_{ours}": float(np.mean(combined[theirs])) for theirs, ours in NAMES.items()}


def image_id(number, frame):
    return f"1{number:03d}{frame + 1:06d}"


def objects(number, athletes):
    rows = []
    for i in range(len(athletes)):
        x, y = athletes.positions_m[i].tolist()
        role, shirt = ROLES[athletes.roles[i]], int(athletes.numbers[i])
        rows.append(
            {
                "image_id": image_id(number, int(athletes.frame[i])),
                "supercategory": "object",
                "category_id": 1,
                "track_id": int(athletes.track_ids[i]),
                "attributes": {
                    "role": role,
                    "jersey": str(shirt) if 0 <= shirt < NO_NUMBER else None,
                    "team": TEAMS[athletes.teams[i]] if athletes.teams[i] >= 0 else None,
                },
                "bbox_pitch": {
                    f"{axis}_bottom_{side}": value
                    for side in ("left", "middle", "right")
                    for axis, value in zip("xy", (x, y), strict=True)
                },
            }
        )
    return rows


def write(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def test_equal_to_the_official_game_state_evaluator(tmp_path):
    rng = np.random.default_rng(5)
    sequences = [random_sequence(rng, 25, 12), random_sequence(rng, 40, 6, 2.0)]
    ours = game_state_scores(sequences)
    assert ours == pytest.approx(official_game_state(tmp_path, sequences), abs=1e-6)
    assert 0.1 < ours["gs_hota"] < 0.9
