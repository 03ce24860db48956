import json

import cv2
import numpy as np
import pytest

from soccermaster.data.datasets.base import DatasetError
from soccermaster.data.datasets.soccernet_gsr import SoccerNetGSR
from soccermaster.vocabulary import LINES, NO_NUMBER, ROLES, UNKNOWN

HEIGHT, WIDTH = 90, 160


def image(number, **changed):
    return {
        "is_labeled": True,
        "image_id": f"1060{number:06d}",
        "file_name": f"{number:06d}.jpg",
        "height": HEIGHT,
        "width": WIDTH,
        "has_labeled_person": True,
        "has_labeled_pitch": True,
        "has_labeled_camera": True,
        "ignore_regions_x": [],
        "ignore_regions_y": [],
    } | changed


def person(number, track_id, role="player", jersey="10", team="left", **changed):
    return {
        "id": f"{number}-{track_id}",
        "image_id": f"1060{number:06d}",
        "track_id": track_id,
        "supercategory": "object",
        "category_id": 1,
        "attributes": {"role": role, "jersey": jersey, "team": team},
        "bbox_image": {"x": 40, "y": 30, "x_center": 45.0, "y_center": 45.0, "w": 10, "h": 30},
        "bbox_pitch": {"x_bottom_middle": -0.305, "y_bottom_middle": 24.1},
    } | changed


def pitch(number, **lines):
    points = {
        name.replace("_", " "): [{"x": x, "y": y} for x, y in xy] for name, xy in lines.items()
    }
    return {
        "id": f"{number}-pitch",
        "image_id": f"1060{number:06d}",
        "supercategory": "pitch",
        "category_id": 5,
        "lines": points,
    }


def write(root, images, annotations, name="SNGS-060"):
    folder = root / "SoccerNetGS/train" / name
    (folder / "img1").mkdir(parents=True)
    for entry in images:
        picture = np.full((HEIGHT, WIDTH, 3), int(entry["file_name"][:6]), np.uint8)
        cv2.imwrite(str(folder / "img1" / entry["file_name"]), picture)
    info = {"version": "1.3", "name": name, "frame_rate": 25, "seq_length": len(images)}
    labels = {"info": info, "images": images, "annotations": annotations, "categories": []}
    (folder / "Labels-GameState.json").write_text(json.dumps(labels))
    return folder


def test_windows_do_not_overlap_and_drop_the_rest(tmp_path):
    write(tmp_path, [image(n) for n in range(1, 8)], [person(4, 7)])
    dataset = SoccerNetGSR(tmp_path, "train", num_frames=3)
    assert len(dataset) == 2
    clip = dataset[1]
    assert clip.clip_id == "SNGS-060/000004" and clip.source == "soccernet_gsr"
    np.testing.assert_allclose(clip.times_s, [3 / 25, 4 / 25, 5 / 25])
    np.testing.assert_allclose(clip.frames.mean(axis=(1, 2, 3)), [4, 5, 6], atol=1)
    assert clip.annotations.athletes.frame.tolist() == [0]
    assert len(dataset[0].annotations.athletes) == 0
    assert len(SoccerNetGSR(tmp_path, "train", num_frames=3, stride=1)) == 5
    assert len(SoccerNetGSR(tmp_path / "SoccerNetGS", "train", num_frames=7)) == 1


def test_people_have_boxes_roles_numbers_teams_and_positions(tmp_path):
    annotations = [
        person(2, 3, role="referee", jersey=None, team=None),
        person(1, 1),
        person(1, 2, role="goalkeeper", jersey="07", team="right", bbox_pitch=None),
        person(2, 4, role="ball", jersey=None, team=None),
    ]
    write(tmp_path, [image(1), image(2)], annotations)
    athletes = SoccerNetGSR(tmp_path, "train", num_frames=2)[0].annotations.athletes
    assert athletes.frame.tolist() == [0, 0, 1, 1]
    assert [ROLES[r] for r in athletes.roles] == ["player", "goalkeeper", "referee", "ball"]
    assert athletes.numbers.tolist() == [10, 7, NO_NUMBER, NO_NUMBER]
    assert athletes.teams.tolist() == [0, 1, UNKNOWN, UNKNOWN]
    assert athletes.track_ids.tolist() == [1, 2, 3, 4]
    assert np.isnan(athletes.legibility).all()
    np.testing.assert_allclose(athletes.boxes_xyxy_px[0], [40, 30, 50, 60])
    np.testing.assert_allclose(athletes.positions_m[0], [-0.305, 24.1], rtol=1e-6)
    assert np.isnan(athletes.positions_m[1]).all()


@pytest.mark.parametrize(
    ("jersey", "number"),
    [(None, NO_NUMBER), ("", NO_NUMBER), ("0", 0), (9, 9), ("X", UNKNOWN), ("107", UNKNOWN)],
)
def test_shirt_numbers(tmp_path, jersey, number):
    write(tmp_path, [image(1)], [person(1, 1, jersey=jersey)])
    athletes = SoccerNetGSR(tmp_path, "train", num_frames=1)[0].annotations.athletes
    assert athletes.numbers.tolist() == [number]


def test_labels_follow_the_decoded_size(tmp_path):
    line = [(0.25, 0.0), (0.25, 1.0)]
    write(tmp_path, [image(1)], [person(1, 1), pitch(1, Middle_line=line)])
    clip = SoccerNetGSR(tmp_path, "train", num_frames=1, image_size=(45, 320))[0]
    assert clip.frames.shape == (1, 45, 320, 3)
    np.testing.assert_allclose(clip.annotations.athletes.boxes_xyxy_px[0], [80, 15, 100, 30])
    segment = clip.annotations.lines.segments_px[0, LINES.index("Middle line")]
    assert sorted(segment.tolist()) == [[80, 0], [80, 45]]


def test_reading_a_clip_leaves_the_labels_as_they_are(tmp_path):
    write(tmp_path, [image(1), image(2)], [person(2, 1)])
    dataset = SoccerNetGSR(tmp_path, "train", num_frames=1, image_size=(45, 80))
    first, second = dataset[1].annotations.athletes, dataset[1].annotations.athletes
    np.testing.assert_array_equal(first.boxes_xyxy_px, second.boxes_xyxy_px)
    np.testing.assert_array_equal(first.frame, second.frame)


def test_no_pitch_record_is_unknown_but_an_empty_one_is_an_empty_pitch(tmp_path):
    annotations = [pitch(2), pitch(3, Middle_line=[(0.5, 0.1), (0.5, 0.9)])]
    write(tmp_path, [image(1), image(2), image(3, has_labeled_pitch=False)], annotations)
    found = SoccerNetGSR(tmp_path, "train", num_frames=3)[0].annotations
    for known in (found.lines.known, found.keypoints.known):
        assert not known[0].any() and not known[2].any()
    assert found.lines.known[1].all() and np.isnan(found.lines.segments_px[1]).all()


def test_lines_with_one_point_are_unknown_and_blanks_at_the_end_do_not_count(tmp_path):
    record = pitch(1, Middle_line=[(0.5, 0.5)])
    post = [{"x": 0.2, "y": -0.01}, {"x": 0.2, "y": 0.4}]
    record["lines"] |= {"Goal left post left ": post, "Line unknown": post}
    write(tmp_path, [image(1)], [record])
    lines = SoccerNetGSR(tmp_path, "train", num_frames=1)[0].annotations.lines
    assert not lines.known[0, LINES.index("Middle line")]
    segment = lines.segments_px[0, LINES.index("Goal left post left")]
    np.testing.assert_allclose(sorted(segment.tolist()), [[32, 0], [32, 36]], atol=1e-4)
    assert np.isfinite(lines.segments_px).all(axis=(-1, -2)).sum() == 1


def test_keypoints_are_the_crossings_of_the_lines(tmp_path):
    record = pitch(1, Middle_line=[(0.5, 0.2), (0.5, 1.0)], Side_line_top=[(0.0, 0.2), (1.0, 0.2)])
    write(tmp_path, [image(1)], [record])
    keypoints = SoccerNetGSR(tmp_path, "train", num_frames=1)[0].annotations.keypoints
    np.testing.assert_allclose(keypoints.points_px[0, 1], [80, 18], atol=1e-3)
    assert keypoints.known[0, 1]


def test_frames_without_labelled_people_are_left_out_with_a_warning(tmp_path):
    images = [image(1), image(2, has_labeled_person=False), image(3), image(4)]
    write(tmp_path, images, [person(3, 1)])
    with pytest.warns(UserWarning, match="left out 1 windows"):
        dataset = SoccerNetGSR(tmp_path, "train", num_frames=2)
    assert [dataset[i].clip_id for i in range(len(dataset))] == ["SNGS-060/000003"]


def test_without_a_labelled_camera_positions_are_unknown(tmp_path):
    write(tmp_path, [image(1, has_labeled_camera=False)], [person(1, 1)])
    athletes = SoccerNetGSR(tmp_path, "train", num_frames=1)[0].annotations.athletes
    assert np.isnan(athletes.positions_m).all()


def test_boxes_without_area_and_repeated_track_ids_are_reported(tmp_path):
    flat = person(1, 2, bbox_image={"x": 1, "y": 1, "w": 0, "h": 5})
    write(tmp_path, [image(1)], [person(1, 1), person(1, 1), flat])
    with pytest.warns(UserWarning) as caught:
        athletes = SoccerNetGSR(tmp_path, "train", num_frames=1)[0].annotations.athletes
    messages = " ".join(str(w.message) for w in caught)
    assert "1 boxes without area" in messages and "1 track ids" in messages
    assert athletes.track_ids.tolist() == [1, UNKNOWN]


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (person(1, 1, role="players"), "annotation '1-1'.*'players'.*Did you mean 'player'"),
        (person(1, 1, team="home"), "'home'.*Allowed: 'left', 'right'"),
        (person(9, 1), "'1060000009'"),
        (person(1, 1, bbox_image={"x": 1, "y": 2, "w": 3}), "'h'"),
        (person(1, 1, bbox_pitch={"x_bottom_middle": 1.0}), "'y_bottom_middle'"),
        (pitch(1, Midle_line=[(0.1, 0.1)]), "Did you mean 'Middle line'"),
    ],
)
def test_broken_records_are_named_when_the_dataset_is_built(tmp_path, annotation, message):
    write(tmp_path, [image(1)], [annotation])
    with pytest.raises(DatasetError, match=rf"(?s)Labels-GameState\.json.*{message}"):
        SoccerNetGSR(tmp_path, "train", num_frames=1)


def test_missing_parts_are_named_when_the_dataset_is_built(tmp_path):
    with pytest.raises(DatasetError, match="SoccerNetGS"):
        SoccerNetGSR(tmp_path, "train")
    folder = write(tmp_path, [image(1), image(2)], [])
    with pytest.raises(DatasetError, match=r"valid.*\['train'\]"):
        SoccerNetGSR(tmp_path, "valid")
    with pytest.raises(DatasetError, match="Lower num_frames"):
        SoccerNetGSR(tmp_path, "train", num_frames=3)
    (folder / "img1/000002.jpg").unlink()
    with pytest.raises(DatasetError, match=r"1 missing: 000002\.jpg"):
        SoccerNetGSR(tmp_path, "train", num_frames=1)
    (folder / "Labels-GameState.json").write_text("{")
    with pytest.raises(DatasetError, match="expected JSON"):
        SoccerNetGSR(tmp_path, "train", num_frames=1)
    (folder / "Labels-GameState.json").unlink()
    with pytest.raises(DatasetError, match="challenge"):
        SoccerNetGSR(tmp_path, "train", num_frames=1)


def test_windows_do_not_cross_a_gap(tmp_path):
    write(tmp_path, [image(n) for n in (1, 2, 3, 4, 8, 9, 10, 11)], [])
    with pytest.warns(UserWarning, match="left out 1 windows with a gap"):
        dataset = SoccerNetGSR(tmp_path, "train", num_frames=3)
    assert [clip.clip_id for clip in dataset] == ["SNGS-060/000001"]


@pytest.mark.parametrize(("version", "count"), [("1.1", 1), ("1.3", 0), ("1.10", 0), (None, 0)])
def test_labels_of_an_old_version_are_reported(tmp_path, version, count):
    folder = write(tmp_path, [image(1)], [])
    labels = json.loads((folder / "Labels-GameState.json").read_text())
    labels["info"]["version"] = version
    (folder / "Labels-GameState.json").write_text(json.dumps(labels))
    (part,) = SoccerNetGSR.parts(tmp_path, "train")
    problems = SoccerNetGSR.scan(part, tmp_path, check_media=False).problems
    assert len(problems) == count and (
        not count or "1.1" in problems.by_kind["old_labels"].examples[0]
    )
