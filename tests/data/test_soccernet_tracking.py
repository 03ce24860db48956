import pytest

from soccermaster.data.datasets import DatasetError, SoccerNetTracking
from soccermaster.data.datasets.soccernet_tracking import Tracklet, read_game_info
from soccermaster.vocabulary import NO_NUMBER, ROLES, UNKNOWN
from tests.data.test_soccernet_gsr import image, write

GAME_INFO = """[Sequence]
name=SNMOT-060
num_tracklets=6
trackletID_1= player team left;10
trackletID_2= goalkeepers team  Right ;X
 TrackletID_3 = referee;main
trackletID_4= ball;1
trackletID_5= other;staff
trackletID_6=Goalkeeper team left;
trackletID_x= nonsense
"""
BOXES = """1,1,40,30,10,30,1,-1,-1,-1
2,2,41.5,30,10,30,1,-1,-1,-1

1,4,80,60,3,3,1,-1,-1,-1
2,77,10,10,5,9,1,-1,-1,-1
"""


def write_sequence(root, boxes=BOXES, split="train", **info):
    folder = root / "tracking" / split / "SNMOT-060"
    folder.parent.mkdir(parents=True)
    write(root, [image(1), image(2)], [], "SNMOT-060").rename(folder)
    (folder / "gt").mkdir()
    (folder / "gt/gt.txt").write_text(boxes)
    (folder / "gameinfo.ini").write_text(GAME_INFO)
    values = {"frameRate": 25, "seqLength": 2, "imWidth": 160, "imHeight": 90} | info
    lines = [f"{key}={value}" for key, value in values.items()]
    (folder / "seqinfo.ini").write_text("[Sequence]\n" + "\n".join(lines))
    return folder


def test_what_a_track_is_comes_from_gameinfo(tmp_path):
    folder = write_sequence(tmp_path)
    assert read_game_info(folder / "gameinfo.ini") == {
        1: Tracklet("player", "left", 10),
        2: Tracklet("goalkeeper", "right", UNKNOWN),
        3: Tracklet("referee", None, NO_NUMBER),
        4: Tracklet("ball", None, NO_NUMBER),
        5: Tracklet("other", None, NO_NUMBER),
        6: Tracklet("goalkeeper", "left", NO_NUMBER),
    }
    clip = SoccerNetTracking(tmp_path, "train", num_frames=2)[0]
    athletes = clip.annotations.athletes
    assert athletes.frame.tolist() == [0, 0, 1, 1] and athletes.track_ids.tolist() == [1, 4, 2, 77]
    assert athletes.boxes_xyxy_px[2].tolist() == [41.5, 30, 51.5, 60]
    names = [ROLES[role] if role >= 0 else None for role in athletes.roles]
    assert names == ["player", "ball", "goalkeeper", None]
    assert athletes.numbers.tolist() == [10, NO_NUMBER, UNKNOWN, UNKNOWN]
    assert athletes.teams.tolist() == [0, UNKNOWN, 1, UNKNOWN]
    assert clip.annotations.keypoints is None and clip.clip_id == "SNMOT-060/000001"


def test_without_gameinfo_people_have_no_class(tmp_path):
    folder = write_sequence(tmp_path)
    (folder / "gameinfo.ini").unlink()
    athletes = SoccerNetTracking(tmp_path, "train", num_frames=2)[0].annotations.athletes
    assert len(athletes) == 4 and (athletes.roles == UNKNOWN).all()


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ("3,1,1,1,1,1\n", r"line 1.*frame in 1\.\.2"),
        ("1,1,1,1,1\n", "line 1.*'height'"),
        ("1,1,1,1,nan,1\n", "line 1.*'width'"),
        ("1,1.5,1,1,1,1\n", "line 1.*whole number"),
    ],
)
def test_broken_lines_are_named(tmp_path, boxes, message):
    write_sequence(tmp_path, boxes)
    with pytest.raises(DatasetError, match=rf"gt\.txt, {message}"):
        SoccerNetTracking(tmp_path, "train", num_frames=1)


def test_the_challenge_has_no_labels(tmp_path):
    write_sequence(tmp_path, seqLength=3)
    with pytest.raises(DatasetError, match="a split with labels: train, test"):
        SoccerNetTracking(tmp_path, "valid")
    with pytest.raises(DatasetError, match=r"3 frames .* 1 missing: 000003\.jpg"):
        SoccerNetTracking(tmp_path, "train")
