import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from soccermaster.data.collate import collate_clips
from soccermaster.data.datasets.match_clips import MatchClips, clip_list_path
from soccermaster.data.datasets.soccernet_gsr import SoccerNetGSR
from soccermaster.data.synthetic import render_sequence
from soccermaster.data.synthetic.writers import (
    GSR_CLIP_NUMBERS,
    gsr_clip_ids,
    write_gsr,
    write_gsr_sequence,
    write_match_clips,
)
from soccermaster.data.video import probe
from soccermaster.vocabulary import NO_NUMBER, RELEASE_EVENTS

SIZE = (144, 256)


@pytest.fixture(scope="module")
def sequence():
    return render_sequence(3, 3, 25, SIZE)


@pytest.fixture(scope="module")
def gsr(sequence, tmp_path_factory):
    root = tmp_path_factory.mktemp("gsr")
    write_gsr_sequence(root / "SoccerNetGS/train/SNGS-060", sequence, "train", 25)
    return root


def test_what_was_written_is_what_is_read(gsr, sequence):
    clip = SoccerNetGSR(gsr, "train", num_frames=3)[0]
    old, new = sequence.annotations, clip.annotations
    assert len(old.athletes) > 15
    for field in ("frame", "roles", "teams", "track_ids"):
        np.testing.assert_array_equal(
            getattr(new.athletes, field), getattr(old.athletes, field), field
        )
    for field, places in (("boxes_xyxy_px", 2), ("positions_m", 3)):
        old_values, new_values = getattr(old.athletes, field), getattr(new.athletes, field)
        np.testing.assert_allclose(new_values, old_values, atol=10**-places)
    np.testing.assert_array_equal(new.athletes.numbers, old.athletes.numbers)
    np.testing.assert_array_equal(new.lines.known, True)
    ends = [np.sort(lines.segments_px, axis=-2) for lines in (old.lines, new.lines)]
    np.testing.assert_allclose(ends[1], ends[0], atol=0.01)
    crossing = new.keypoints.known & np.isfinite(new.keypoints.points_px).all(axis=-1)
    crossing[:, 52 - 1] = False  # rendered where it is; readers put it where PnLCalib's table does
    assert crossing.sum() > 6
    np.testing.assert_allclose(
        new.keypoints.points_px[crossing], old.keypoints.points_px[crossing], atol=0.2
    )
    difference = clip.frames.astype(int) - sequence.frames
    assert np.abs(difference).mean() < 6
    np.testing.assert_allclose(clip.times_s, sequence.times_s)


def test_a_batch_of_what_is_read(gsr):
    dataset = SoccerNetGSR(gsr, "train", num_frames=1)
    batch = collate_clips([dataset[0], dataset[2]], dataset.provides, dataset.name)
    assert batch.images.shape == (2, 1, 3, *SIZE) and batch.clip_ids[1] == "SNGS-060/000003"
    assert set(batch.athletes.frame.tolist()) == {0, 1}


def test_label_files_follow_the_real_format(gsr, sequence):
    file = gsr / "SoccerNetGS/train/SNGS-060/Labels-GameState.json"
    labels = json.loads(file.read_text())
    assert list(labels) == ["info", "images", "annotations", "categories"]
    info = labels["info"]
    assert {k for k, v in info.items() if isinstance(v, int)} == {"frame_rate", "seq_length"}
    assert all(isinstance(v, str | int) for v in info.values()) and info["version"] == "1.3"
    assert [i["image_id"] for i in labels["images"]] == [f"106000000{t}" for t in (1, 2, 3)]
    objects = [a for a in labels["annotations"] if a["supercategory"] == "object"]
    pitches = [a for a in labels["annotations"] if a["supercategory"] == "pitch"]
    assert len(objects) == len(sequence.annotations.athletes) and len(pitches) == 3
    assert len({a["id"] for a in labels["annotations"]}) == len(labels["annotations"])
    for entry in objects:
        assert len(entry["bbox_pitch"] or range(6)) == 6 and len(entry["bbox_image"]) == 6
        assert isinstance(entry["attributes"]["jersey"], str | None)
        assert (entry["attributes"]["role"] == "ball") == (entry["category_id"] == 4)
    corner = np.array([[p["x"], p["y"]] for p in pitches[0]["lines"]["Side line top"]])
    assert (corner >= 0).all() and (corner <= 1).all()


def test_shirt_numbers_are_strings_or_null(gsr, sequence):
    file = gsr / "SoccerNetGS/train/SNGS-060/Labels-GameState.json"
    written = [
        a["attributes"]["jersey"]
        for a in json.loads(file.read_text())["annotations"]
        if a["supercategory"] == "object"
    ]
    expected = [str(n) if n < NO_NUMBER else None for n in sequence.annotations.athletes.numbers]
    assert written == expected


def test_clip_ids_are_those_of_the_real_splits():
    assert {split: len(ids) for split, ids in GSR_CLIP_NUMBERS.items()} == {
        "train": 57,
        "valid": 58,
        "test": 49,
    }
    assert gsr_clip_ids("valid", 2) == ["021", "022"]
    with pytest.raises(ValueError, match="at most 49"):
        gsr_clip_ids("test", 50)


def test_sequences_are_not_overwritten_by_accident(tmp_path):
    common = {"num_frames": 1, "image_size": (72, 128)}
    (folder,) = write_gsr(tmp_path, "valid", ["021"], **common)
    first = (folder / "img1/000001.jpg").read_bytes()
    with pytest.raises(FileExistsError, match="SNGS-021"):
        write_gsr(tmp_path, "valid", ["022", "021"], **common)
    assert not (folder.parent / "SNGS-022").exists()
    write_gsr(tmp_path, "valid", ["021"], overwrite=True, **common)
    assert (folder / "img1/000001.jpg").read_bytes() == first
    write_gsr(tmp_path, "valid", ["021"], overwrite=True, seed=1, **common)
    assert (folder / "img1/000001.jpg").read_bytes() != first
    assert [p.name for p in folder.parent.iterdir()] == ["SNGS-021"]


def test_nothing_half_written_stays_behind(tmp_path, sequence):
    broken = render_sequence(3, 1, 25, (72, 128))
    without_cameras = type(broken)(
        **(vars(broken) | {"annotations": type(broken.annotations)(event="goal")})
    )
    with pytest.raises(ValueError, match="athletes and cameras"):
        write_gsr_sequence(tmp_path / "SNGS-060", without_cameras, "train", 25)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("source", "has_text"), [("MatchTime", True), ("SoccerNet-v2", False)])
def test_clip_lists_and_their_videos(tmp_path, source, has_text):
    events = ("corner", "goal")
    write_match_clips(
        tmp_path, source, "train", 3, events=events, duration_s=2.0, fps=3, image_size=(72, 128)
    )
    records = json.loads(clip_list_path(tmp_path, source, "train").read_text())
    assert all(("comments_text" in r) == has_text for r in records)
    dataset = MatchClips(tmp_path, "train", events=RELEASE_EVENTS, num_frames=4)
    clips = [dataset[i] for i in range(len(dataset))]
    assert [c.annotations.event for c in clips] == ["corner", "goal", "corner"]
    assert clips[0].frames.shape == (4, 72, 128, 3) and clips[0].frames.std() > 10
    assert len({c.clip_id for c in clips}) == 3
    for clip, record in zip(clips, records, strict=True):
        assert (clip.annotations.text is not None) == has_text
        assert "[" not in record.get("comments_text", "")
    videos = list(tmp_path.rglob("*.mp4"))
    assert len(videos) == 3 and probe(videos[0]).num_frames == 6
    with pytest.raises(FileExistsError, match=r"classification_train\.json"):
        write_match_clips(tmp_path, source, "train", 1)


@pytest.mark.slow
def test_the_script_writes_both_kinds_and_nothing_else(tmp_path):
    script = Path(__file__).parents[2] / "scripts/make_synthetic.py"
    options = [
        "output=out", "gsr.train=1", "gsr.valid=1", "gsr.frames=2", "clips.train=2",
        "clips.valid=0", "clips.duration_s=2", "image_size=[72,128]",
    ]  # fmt: skip
    subprocess.run([sys.executable, script, *options], cwd=tmp_path, check=True)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert len(SoccerNetGSR(tmp_path / "out", "valid", num_frames=2)) == 1
    assert len(MatchClips(tmp_path / "out", "train")) == 2
