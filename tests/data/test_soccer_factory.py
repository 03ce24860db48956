import json

import numpy as np
import pytest

from soccermaster.data.datasets import DatasetError, SoccerFactory
from soccermaster.geometry import Camera, Pitch
from soccermaster.vocabulary import NO_NUMBER, ROLES, TEAMS, UNKNOWN
from tests.data.test_soccernet_gsr import HEIGHT, WIDTH, image, write

CAMERA = Camera.from_pan_tilt_roll(10.0, 78.0, 0.2, 200.0, np.array([1, 60, -12]), (WIDTH, HEIGHT))


def person(number=10.0, role="player", legibility=0.9, box=(40.0, 30.0, 10.0, 30.0)):
    return {
        "id": 0,
        "bbox_ltwh": list(box),
        "role": role,
        "legibility_score": legibility,
        "jersey_number": number,
    }


def frame(*people, camera=CAMERA):
    labels = {"people": list(people), "valid_cam_params": camera is not None, "K": None, "R": None}
    if camera is not None:
        translation = -camera.R @ camera.position_m
        R = np.concatenate(
            [camera.R, translation[:, None]], axis=1
        )  # [R | t], as the files have it
        labels |= {"K": camera.K.tolist(), "R": R.tolist()}
    return labels


def write_sequence(root, frames, name="SNGS-10001"):
    folder = write(root, [image(int(number)) for number in frames], [], name)
    images = root / "sn500" / name
    images.mkdir(parents=True)
    (folder / "img1").rename(images / "img1")
    (root / "extracted_info").mkdir(exist_ok=True)
    file = root / "extracted_info" / f"{name}.json"
    file.write_text(json.dumps(frames))
    return file


def test_people_and_cameras_of_a_sequence(tmp_path):
    people = [
        person(),
        person(None, "referee", None),
        person(107.0, "goalkeeper", 0.2),
        person(7, None, 1.0),
    ]
    write_sequence(tmp_path, {"1": frame(*people), "2": frame(camera=None)})
    dataset = SoccerFactory(tmp_path, "train", num_frames=2)
    assert dataset.provides >= {"boxes", "numbers", "legibility", "keypoints", "lines", "cameras"}
    found = dataset[0].annotations
    athletes = found.athletes
    np.testing.assert_allclose(athletes.boxes_xyxy_px[0], [40, 30, 50, 60])
    assert athletes.numbers.tolist() == [10, NO_NUMBER, NO_NUMBER, 7]
    assert athletes.roles[[0, 3]].tolist() == [ROLES.index("player"), UNKNOWN]
    np.testing.assert_allclose(athletes.legibility, [0.9, np.nan, 0.2, 1.0], rtol=1e-6)
    assert athletes.readable_numbers("paper").tolist() == [10, NO_NUMBER, NO_NUMBER, 7]

    np.testing.assert_allclose(found.cameras.R[0], CAMERA.R, atol=1e-12)
    np.testing.assert_allclose(found.cameras.position_m[0], CAMERA.position_m, atol=1e-9)
    assert np.isnan(found.cameras.K[1]).all()
    expected_px, _ = CAMERA.project(Pitch().keypoints_m)
    np.testing.assert_allclose(found.keypoints.points_px[0], expected_px, atol=0.01)
    for known in (found.keypoints.known, found.lines.known):
        assert known[0].all() and not known[1].any()


@pytest.mark.parametrize(
    ("number", "role", "legibility", "read"),
    [
        (7.0, "player", None, 7),  # of the track; see Athletes.readable_numbers
        (None, "player", None, UNKNOWN),
        (None, "goalkeeper", None, UNKNOWN),
        (None, None, None, UNKNOWN),
        (None, "referee", None, NO_NUMBER),
        (None, "player", 0.9, NO_NUMBER),
        (7.0, "player", 0.0, 7),
    ],
)
def test_a_number_that_nobody_looked_for_is_unknown(tmp_path, number, role, legibility, read):
    write_sequence(tmp_path, {"1": frame(person(number, role, legibility))})
    athletes = SoccerFactory(tmp_path, "train", num_frames=1)[0].annotations.athletes
    assert athletes.numbers.tolist() == [read]


def test_identities_are_read_where_our_factory_wrote_them(tmp_path):
    ours = {"track_id": 4, "team": "left", "position_m": [10.5, -3.25]}
    nothing = {"track_id": 5, "team": None, "position_m": None}
    write_sequence(tmp_path, {"1": frame(person() | ours, person() | nothing)})
    dataset = SoccerFactory(tmp_path, "train", num_frames=1)
    assert dataset.provides >= {"track_ids", "teams", "positions"}
    athletes = dataset[0].annotations.athletes
    assert athletes.track_ids.tolist() == [4, 5]
    assert athletes.teams.tolist() == [TEAMS.index("left"), UNKNOWN]
    np.testing.assert_array_equal(athletes.positions_m, [[10.5, -3.25], [np.nan, np.nan]])
    write_sequence(tmp_path, {"1": frame(person())}, "SNGS-10002")  # as the release has it
    assert not SoccerFactory(tmp_path, "train", num_frames=1).provides & {"track_ids", "teams"}


def test_frames_may_say_their_rate(tmp_path):
    write_sequence(tmp_path, {"1": frame() | {"fps": 50.0}, "2": frame() | {"fps": 50.0}})
    write_sequence(tmp_path, {"1": frame(), "2": frame()}, "SNGS-10002")
    ours, released = SoccerFactory(tmp_path, "train", num_frames=2)
    assert ours.times_s.tolist() == [0, 0.02] and released.times_s.tolist() == [0, 0.04]


def test_cameras_follow_the_decoded_size(tmp_path):
    write_sequence(tmp_path, {"1": frame(person())})
    found = SoccerFactory(tmp_path, "train", num_frames=1, image_size=(180, 160))[0].annotations
    np.testing.assert_allclose(found.cameras.K[0, 0, 0], CAMERA.K[0, 0])
    np.testing.assert_allclose(found.cameras.K[0, 1], 2 * CAMERA.K[1])
    np.testing.assert_allclose(found.athletes.boxes_xyxy_px[0], [40, 60, 50, 120])


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ({"0": frame()}, "frame numbers from 1"),
        ({"1": frame() | {"R": np.eye(3).tolist()}}, "frame 1.*3x4 numbers as 'R'"),
        ({"1": frame() | {"R": np.ones((3, 4)).tolist()}}, "a rotation and a translation"),
        ({"1": frame(person(role="players"))}, "person 0.*Did you mean 'player'"),
        ({"1": frame(person(box=(1, 2, 3)))}, "person 0.*1x4 numbers"),
        ({"1": frame() | {"fps": 0}}, "frame 1.*frames per second"),
        ({"1": frame(person() | {"team": "home"})}, "person 0.*one of left, right"),
        ({"1": frame(person() | {"track_id": "x"})}, "person 0.*track_id"),
    ],
)
def test_broken_records_are_named(tmp_path, frames, message):
    write_sequence(tmp_path, {"1": frame()})
    (tmp_path / "extracted_info/SNGS-10001.json").write_text(json.dumps(frames))
    with pytest.raises(DatasetError, match=rf"(?s)SNGS-10001\.json.*{message}"):
        SoccerFactory(tmp_path, "train", num_frames=1)


def test_there_is_no_other_split_than_train(tmp_path):
    with pytest.raises(DatasetError, match="validate on another dataset"):
        SoccerFactory(tmp_path, "valid")
    with pytest.raises(DatasetError, match="extracted_info"):
        SoccerFactory(tmp_path, "train")
