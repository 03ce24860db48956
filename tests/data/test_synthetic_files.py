"""What `make_synthetic` writes besides game state and clip lists: cameras, benchmarks, matches."""

import json

import cv2
import numpy as np
import pytest

from soccermaster.data.datasets.match_clips import MatchClips
from soccermaster.data.datasets.soccernet_gsr import SoccerNetGSR
from soccermaster.data.synthetic.benchmark_files import CLIPS_VIDEO, write_benchmark
from soccermaster.data.synthetic.calibration_files import write_calibration
from soccermaster.data.synthetic.match_files import MAIN, write_match
from soccermaster.data.video import probe
from soccermaster.geometry import Camera, Pitch
from soccermaster.vocabulary import CIRCLES, EVENTS, LINES, ROLES


def read(path):
    return json.loads(path.read_text())


def camera_of(record):
    """The camera of a prediction file, from its fields alone."""
    u, v = record["principal_point"]
    size = (round(2 * u + 1), round(2 * v + 1))
    return Camera.from_pan_tilt_roll(
        record["pan_degrees"], record["tilt_degrees"], record["roll_degrees"],
        record["x_focal_length"], record["position_meters"], size,
    )  # fmt: skip


@pytest.fixture(scope="module")
def calibration(tmp_path_factory):
    root = tmp_path_factory.mktemp("calibration")
    return write_calibration(root, "test", 3, image_size=(180, 320))


def test_calibration_polylines_are_where_the_camera_sees_the_markings(calibration):
    ends_m = dict(zip(LINES, Pitch("exact").line_ends_m, strict=True))
    for file in sorted(calibration.glob("0*.json")):
        camera = camera_of(read(calibration / f"camera_{file.name}"))
        assert camera.image_size == (960, 540)
        assert cv2.imread(str(file.with_suffix(".jpg"))).shape == (180, 320, 3)
        lines = read(file)
        assert len(lines) >= 2
        for name, points in lines.items():
            assert name.strip() in {*LINES, *CIRCLES}
            assert name.endswith(" ") == (name.strip() == "Goal left post left")
            if name.strip() not in LINES:
                continue
            points_px = np.array([[p["x"] * 960, p["y"] * 540] for p in points])
            a, b = ends_m[name.strip()]
            way_m = a + np.linspace(0, 1, 2001)[:, None] * (b - a)
            way_px, _ = camera.project(way_m)
            distance = np.linalg.norm(points_px[:, None] - way_px, axis=-1)
            assert np.nanmin(distance, axis=1).max() < 1.5


def test_calibration_is_not_overwritten(calibration):
    with pytest.raises(FileExistsError, match="match_info"):
        write_calibration(calibration.parents[1], "test", 1)


def test_a_fresh_benchmark_is_read_by_the_ordinary_readers(tmp_path):
    write_benchmark(
        tmp_path, seed=5, spatial=2, semantic=5, spatial_size=(144, 256), semantic_size=(48, 80)
    )
    sequence = SoccerNetGSR(tmp_path, "test", num_frames=4)[0]
    assert sequence.frames.shape == (4, 144, 256, 3)
    athletes = sequence.annotations.athletes
    people = athletes.select(athletes.roles != ROLES.index("ball"))
    first, second = (set(people.track_ids[people.frame // 2 == i]) for i in (0, 1))
    assert first and second and not first & second
    for number in range(1, 5):
        record = read(tmp_path / f"calibration/test/camera_{number:05d}.json")
        feet_m = people.select(people.frame == number - 1)
        inside = (feet_m.boxes_xyxy_px[:, 3] < 143) & (feet_m.boxes_xyxy_px[:, 1] > 1)
        points_m = np.pad(feet_m.positions_m[inside], ((0, 0), (0, 1)))
        feet_px = camera_of(record).project(points_m)[0] * (144 / 540)
        boxes = feet_m.boxes_xyxy_px[inside]
        assert np.median(np.abs(feet_px[:, 1] - boxes[:, 3])) < 2
    clips = MatchClips(tmp_path, "test", num_frames=30)
    assert [clips[i].annotations.event for i in range(5)] == list(EVENTS[:5])
    assert probe(tmp_path / CLIPS_VIDEO).num_frames == 5 * 30


def test_another_seed_is_another_benchmark(tmp_path):
    for seed in (1, 2):
        write_benchmark(tmp_path / str(seed), seed=seed, spatial=1, semantic=0)
    labels = [
        read(tmp_path / f"{seed}/SoccerNetGS/test/SNGS-116/Labels-GameState.json")
        for seed in (1, 2)
    ]
    assert labels[0]["annotations"] != labels[1]["annotations"]


def test_a_match_has_a_video_per_half_and_says_what_each_shot_shows(tmp_path):
    folder = write_match(tmp_path, 0, seed=3, minutes=1.2, fps=2, image_size=(72, 128))
    actions, shots = (read(folder / f"Labels-{n}.json")["annotations"] for n in ("v2", "cameras"))
    assert {a["label"] for a in actions} >= {"Kick-off"}
    assert all(isinstance(a["position"], str) for a in (*actions, *shots))
    for half in (1, 2):
        own = [s for s in shots if s["gameTime"].startswith(str(half))]
        ends_ms = [int(s["position"]) for s in own]
        assert ends_ms == sorted(ends_ms)
        assert ends_ms[-1] == 500 * probe(folder / f"{half}_72p.mp4").num_frames
        assert own[0]["label"] == MAIN
        assert all(("link" in s) == (s["replay"] == "replay") for s in own)
    assert read(folder / "Labels-v2.json")["gameScore"] in folder.name
    with pytest.raises(FileExistsError, match="2031"):
        write_match(tmp_path, 0)
