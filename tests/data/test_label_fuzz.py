"""Label files with anything in them: a result, or a DatasetError; never a look outside."""

from __future__ import annotations

import copy
import json
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soccermaster.data.datasets.clip_list_file import read_clip_list
from soccermaster.data.datasets.game_state_file import read_game_state
from soccermaster.data.datasets.match_clips import MatchClips
from soccermaster.data.datasets.soccer_factory import SoccerFactory, read_factory_sequence
from soccermaster.data.datasets.soccernet_calibration import (
    SoccerNetCalibration,
    read_camera,
    read_picture_labels,
)
from soccermaster.data.datasets.soccernet_gsr import SoccerNetGSR
from soccermaster.data.datasets.soccernet_tracking import (
    SoccerNetTracking,
    read_tracking_sequence,
)
from soccermaster.data.errors import DatasetError
from soccermaster.data.synthetic.calibration_files import camera_record
from soccermaster.geometry import Camera
from tests.data.test_soccernet_gsr import image, person, pitch, write

OUTSIDE = ["..", "../../secret", "/etc/passwd", "img1/../../..", "a/../../b", "\0", "~", "\ud800"]
OUTSIDE += ["x" * 300, "", ".", "C:\\secret", "leak", "leak/secret.txt"]
STRANGE = [None, True, -1, 0, 10**30, 10**400, 1e308, float("nan"), float("inf"), "7", "x", [], {}]
STRANGE += [[[]], {"": None}, [None], "1e999", "NaN", -0.0, "9" * 5000]
values = st.sampled_from(STRANGE + OUTSIDE) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=4,
)
fuzz = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

_watched: dict[str, list[str]] = {}


def _watch(event: str, arguments: tuple) -> None:
    if _watched and event in ("open", "os.listdir", "os.scandir") and arguments:
        for seen in _watched.values():
            seen.append(str(arguments[0]))


sys.addaudithook(_watch)


@contextmanager
def nothing_read_in(folder: Path):
    """Fails when a file or folder below `folder` is opened."""
    _watched["now"] = []
    try:
        yield
    finally:
        seen = [Path(p).resolve() for p in _watched.pop("now") if p and "\0" not in p]
        assert not [p for p in seen if p.is_relative_to(folder.resolve())]


def places(value, path=()):
    """Paths of all values in nested lists and objects."""
    yield path
    inside = dict(enumerate(value)) if isinstance(value, list) else value
    for key, inner in inside.items() if isinstance(inside, dict) else ():
        yield from places(inner, (*path, key))


@st.composite
def damaged(draw, document):
    """The text of a JSON file: one value or key changed, or cut short."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(sorted(places(changed), key=str)))
        new = copy.deepcopy(draw(values))
        if not path:
            changed = new
            break
        target = changed
        for key in path[:-1]:
            target = target[key]
        how = draw(st.sampled_from(["replace", "remove", "repeat", "rename"]))
        if how == "remove":
            del target[path[-1]]
        elif how == "repeat" and isinstance(target, list):
            target.append(copy.deepcopy(target[path[-1]]))
        elif how == "rename" and isinstance(target, dict):
            target[draw(st.sampled_from(OUTSIDE) | st.text(max_size=8))] = target.pop(path[-1])
        else:
            target[path[-1]] = new
        if not isinstance(changed, dict | list):
            break
    text = json.dumps(changed)
    return text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text


def accept(read, *named: str) -> None:
    """Runs a reader: it gives something, or an error that names its file."""
    try:
        read()
    except DatasetError as error:
        assert any(name in str(error) for name in named), error


@pytest.fixture
def outside(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    (folder / "secret.txt").write_text("secret")
    (folder / "000001.jpg").write_text("secret")
    return folder


GAME_STATE = {
    "info": {"version": "1.3", "name": "SNGS-060", "im_dir": "img1", "frame_rate": 25},
    "images": [image(1), image(2)],
    "annotations": [person(1, 1), pitch(1, Middle_line=[(0.5, 0.1), (0.5, 0.9)])],
    "categories": [],
}


@fuzz
@given(text=damaged(GAME_STATE))
@pytest.mark.filterwarnings("ignore")
def test_game_state(tmp_path, outside, text):
    folder = tmp_path / "SoccerNetGS/train/SNGS-060"
    if not folder.exists():
        write(tmp_path, GAME_STATE["images"], [])
        (folder / "leak").symlink_to(outside)
    (folder / "Labels-GameState.json").write_text(text)
    with nothing_read_in(outside):
        accept(lambda: read_game_state(folder), "SNGS-060")
        accept(lambda: _scan(SoccerNetGSR, tmp_path))


CLIP_LIST = [
    {"video": "league/match/1_00_00.mp4", "caption": "corner", "comments_text_anonymized": "a"},
    {"video": "league/match/1_00_10.mp4", "caption": "goal"},
]


@fuzz
@given(text=damaged(CLIP_LIST))
def test_clip_lists(tmp_path, outside, text):
    file = tmp_path / "video_clip_json/MatchTime/classification_train.json"
    videos = tmp_path / "video_clip/MatchTime/train/league"
    if not file.parent.exists():
        file.parent.mkdir(parents=True)
        videos.mkdir(parents=True)
        (videos.parent / "leak").symlink_to(outside)
    file.write_text(text)
    with nothing_read_in(outside):
        accept(lambda: read_clip_list(file), file.name)
        accept(lambda: _scan(MatchClips, tmp_path))


FACTORY = {
    str(n): {
        "people": [
            {"id": 0, "bbox_ltwh": [1.0, 2.0, 3.0, 4.0], "role": "player",
             "legibility_score": 0.9, "jersey_number": 10.0},
        ],
        "valid_cam_params": True,
        "K": [[200, 0, 80], [0, 200, 45], [0, 0, 1]],
        "R": [[1, 0, 0, 0], [0, 0.1, -0.995, 9], [0, 0.995, 0.1, 60]],
    }
    for n in (1, 2)
}  # fmt: skip


@fuzz
@given(text=damaged(FACTORY))
@pytest.mark.filterwarnings("ignore")
def test_soccer_factory(tmp_path, outside, text):
    file = tmp_path / "extracted_info/SNGS-10001.json"
    images = tmp_path / "sn500/SNGS-10001/img1"
    if not file.parent.exists():
        write(tmp_path, GAME_STATE["images"], [], "SNGS-10001")
        file.parent.mkdir()
        images.parent.mkdir(parents=True)
        (tmp_path / "SoccerNetGS/train/SNGS-10001/img1").rename(images)
    file.write_text(text)
    with nothing_read_in(outside):
        accept(lambda: read_factory_sequence(file, images), file.name, "img1")
        accept(lambda: _scan(SoccerFactory, tmp_path))


POLYLINES = {
    "Goal left post left ": [{"x": 0.1, "y": 0.2}, {"x": 0.1, "y": 0.3}],
    "Circle central": [{"x": 0.5, "y": 0.5}],
    "Side line top": [{"x": 0.0, "y": 0.5}, {"x": 1.0, "y": 0.5}],
}
CAMERA = camera_record(Camera.from_pan_tilt_roll(5.0, 75.0, 0.1, 2000.0, (0, 60, -12), (960, 540)))


@fuzz
@given(labels=damaged(POLYLINES), camera=damaged(CAMERA))
def test_calibration(tmp_path, outside, labels, camera):
    file = tmp_path / "calibration/train/00001.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    link = file.with_suffix(".jpg")
    if not link.is_symlink():
        link.symlink_to(outside / "000001.jpg")
    file.write_text(labels)
    camera_file = file.with_name("camera_00001.json")
    camera_file.write_text(camera)
    with nothing_read_in(outside):
        accept(lambda: read_camera(camera_file), camera_file.name)
        accept(lambda: read_picture_labels(file), file.name, "camera_00001.json")
        accept(lambda: _scan(SoccerNetCalibration, tmp_path))


MOT = "1,1,914,855,55,172,1,-1,-1,-1\n2,2,10,20,30,40,1,-1,-1,-1\n"
INFO = "[Sequence]\nname=SNMOT-060\nimDir=img1\nframeRate=25\nseqLength=2\n"
INFO += "imWidth=160\nimHeight=90\nimExt=.jpg\n"
GAME = "[Sequence]\ntrackletID_1= player team left;10\ntrackletID_2= goalkeepers team right;X\n"


@st.composite
def damaged_text(draw, text):
    start = draw(st.integers(0, len(text)))
    stop = draw(st.integers(start, min(len(text), start + 12)))
    word = st.sampled_from([str(v) for v in STRANGE[:12] + OUTSIDE]) | st.text(max_size=6)
    return text[:start] + draw(word) + text[stop:]


@fuzz
@given(gt=damaged_text(MOT), info=damaged_text(INFO), game=damaged_text(GAME))
@pytest.mark.filterwarnings("ignore")
def test_tracking(tmp_path, outside, gt, info, game):
    folder = tmp_path / "tracking/train/SNMOT-060"
    if not folder.exists():
        write(tmp_path, GAME_STATE["images"], [], "SNMOT-060")
        folder.parent.mkdir(parents=True)
        (tmp_path / "SoccerNetGS/train/SNMOT-060").rename(folder)
        (folder / "gt").mkdir()
        (folder / "leak").symlink_to(outside)
    for name, text in (("gt/gt.txt", gt), ("seqinfo.ini", info), ("gameinfo.ini", game)):
        (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    with nothing_read_in(outside):
        accept(lambda: read_tracking_sequence(folder), "SNMOT-060")
        accept(lambda: _scan(SoccerNetTracking, tmp_path))


@fuzz
@given(text=damaged([["060", "1060000001", 1, "10", 0.9], ["060", "1060000002", 1, None, 0.1]]))
@pytest.mark.filterwarnings("ignore")
def test_legibility(tmp_path, text):
    if not (tmp_path / "SoccerNetGS").exists():
        write(tmp_path, GAME_STATE["images"], GAME_STATE["annotations"])
        (tmp_path / "legibility_jn").mkdir()
    (tmp_path / "legibility_jn/train.json").write_text(text)
    _scan(SoccerNetGSR, tmp_path)


def test_a_sequence_that_is_a_link_out_of_the_dataset_is_refused(tmp_path, outside):
    folder = write(tmp_path, [image(1)], [])
    folder.rename(outside / "SNGS-060")
    folder.symlink_to(outside / "SNGS-060")
    with nothing_read_in(outside), pytest.raises(DatasetError, match="link that leads out"):
        SoccerNetGSR(tmp_path, "train", num_frames=1)


def test_a_picture_that_is_a_link_out_of_its_folder_is_refused(tmp_path, outside):
    folder = write(tmp_path, [image(1)], [])
    (folder / "img1/000001.jpg").unlink()
    (folder / "img1/000001.jpg").symlink_to(outside / "000001.jpg")
    with nothing_read_in(outside), pytest.raises(DatasetError, match=r"image 0.*leads out"):
        SoccerNetGSR(tmp_path, "train", num_frames=1)


def _scan(dataset, root):
    """What scripts/prepare_data.py does with every part; nothing that a file holds stops it."""
    for part in dataset.parts(root):
        dataset.scan(part, root.resolve(), check_media=True).rows.cast(dataset.schema)
