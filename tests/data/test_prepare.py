import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from soccermaster.data.datasets import MatchClips, SoccerNetGSR
from soccermaster.data.errors import DatasetError
from soccermaster.data.prepare import prepare
from soccermaster.data.shards import ShardClips
from tests.conftest import ROOT
from tests.data.test_match_clips import record, write_list, write_video
from tests.data.test_soccernet_gsr import image, person, pitch, write


def listing(root):
    """Everything below a folder, with sizes and times."""
    found = {path: path.lstat() for path in sorted(root.rglob("*"))}
    return {path: (status.st_size, status.st_mtime_ns) for path, status in found.items()}


def run(*arguments, **environment):
    command = [sys.executable, str(ROOT / "scripts/prepare_data.py"), *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
        env=os.environ | environment,
    )  # fmt: skip


def test_known_counts_of_the_public_lists(shared, tmp_path):
    for source, split, sample in (
        ("MatchTime", "test", "matchtime_classification_test.json"),
        ("SoccerNet-v2", "valid", "soccernet_v2_classification_valid.json"),
    ):
        records = json.loads((shared / "samples/events" / sample).read_text())
        write_list(tmp_path / "data", records, source, split)
    report = prepare(MatchClips, tmp_path / "data", tmp_path / "out")
    lists = report["lists"]
    assert list(lists) == ["MatchTime/test", "SoccerNet-v2/valid"]
    assert lists["MatchTime/test"] == {
        "records": 3256,
        "duplicate_videos": 5,
        "multi_label_videos": 3,
        "unknown_classes": 0,
        "missing_videos": 3251,
    }
    counts = lists["SoccerNet-v2/valid"]
    assert (counts["records"], counts["duplicate_videos"]) == (17491, 449)
    assert counts["multi_label_videos"] == 413
    assert report["splits"]["valid"]["classes"]["events"]["ball out of play"] == 5994
    assert report["splits"]["test"]["fields"] == {"event": 3256, "text": 3256}
    index = pq.ParquetFile(report["index"], memory_map=True)
    assert index.metadata.num_rows == 3256 + 17491
    assert not report["problems"]["duplicate"]["refused"]


def test_the_script_reports_and_exits_with_0_or_strictly_with_1(tmp_path):
    root = tmp_path / "Saison 2015 – Málaga"
    game = "españa_laliga_2015-2016/Málaga 1 - 0 Atlético"
    records = [record(), {"video": f"{game}/1_00_00.mp4", "caption": "córner"}]
    write_list(root, records, "SoccerReplay-1988", "valid")
    before = listing(root)
    report = tmp_path / "reports/clips.json"
    done = run("dataset=match_clips", f"root={root}", f"report={report}", f"output={tmp_path}")
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text(encoding="utf-8"))
    assert found["lists"] == {
        "SoccerReplay-1988/valid": {
            "records": 2,
            "duplicate_videos": 0,
            "multi_label_videos": 0,
            "unknown_classes": 1,
            "missing_videos": 2,
        }
    }
    assert "córner" in found["problems"]["unknown_class"]["examples"][0]
    assert "Málaga" in "".join(found["problems"]["missing_video"]["examples"])
    assert "missing_video: 2" in done.stdout and listing(root) == before
    strict = run("dataset=match_clips", f"root={root}", "strict=true", f"output={tmp_path}")
    assert strict.returncode == 1 and "unknown_class: 1" in strict.stdout
    nothing = run("dataset=match_clips", f"root={tmp_path / 'nowhere'}")
    assert nothing.returncode == 1 and "video_clip_json" in nothing.stderr


@pytest.mark.filterwarnings("ignore")
def test_every_kind_of_problem_in_sequences_is_counted(tmp_path):
    far = {"x_bottom_middle": -82.0, "y_bottom_middle": 20.0}
    annotations = [
        person(1, 1, bbox_pitch=far),
        person(1, 2, bbox_image={"x": 5, "y": 5, "w": 0, "h": 5}),
        person(1, 3, bbox_image={"x": 500, "y": 5, "w": 9, "h": 5}),
        person(2, 1),
        person(2, 1),
        person(2, 4, role="players"),
        pitch(1, Middle_line=[(0.5, 0.5)], Side_line_top=[(3.0, 0.1), (0.4, 0.1)]),
        pitch(2, Midle_line=[(0.5, 0.5)]),
    ]
    images = [image(n) for n in range(1, 5)]
    folder = write(tmp_path / "data", images, annotations)
    write(tmp_path / "data", [image(1)], [], "SNGS-061")
    valid = tmp_path / "data/SoccerNetGS/valid"
    write(tmp_path / "other", [image(1)], [], "SNGS-061")
    (tmp_path / "other/SoccerNetGS/train").rename(valid)
    (folder / "img1/000002.jpg").unlink()
    cut = (folder / "img1/000003.jpg").read_bytes()
    (folder / "img1/000003.jpg").write_bytes(cut[: len(cut) // 2])
    cv2.imwrite(str(folder / "img1/000004.jpg"), np.zeros((9, 9, 3), np.uint8))
    before = listing(tmp_path / "data")
    report = prepare(SoccerNetGSR, tmp_path / "data", tmp_path / "out")
    assert {kind: p["count"] for kind, p in report["problems"].items()} == {
        "bad_record": 1,
        "impossible_box": 2,
        "invisible_marking": 1,
        "leak_between_splits": 1,
        "missing_frame": 1,
        "off_pitch_position": 1,
        "repeated_track": 1,
        "single_point_line": 1,
        "unknown_class": 1,
        "unreadable_frame": 2,
    }
    assert "SNGS-061 is in train, valid" in report["problems"]["leak_between_splits"]["examples"][0]
    assert "000003.jpg" in "".join(report["problems"]["unreadable_frame"]["examples"])
    assert report["splits"]["train"]["clips"] == 2 and report["splits"]["train"]["frames"] == 5
    assert report["splits"]["train"]["fields"]["boxes"] == 3
    assert report["splits"]["train"]["classes"]["roles"] == {"player": 3}
    assert listing(tmp_path / "data") == before
    with pytest.raises(DatasetError, match=r"prepare_data\.py lists them"):
        SoccerNetGSR(tmp_path / "data", "train", num_frames=1, index=tmp_path / "out")


def test_unreadable_videos_and_shared_matches_are_found(tmp_path):
    write_list(tmp_path, [record(), record("1_00_10.mp4")])
    write_list(tmp_path, [record(caption="goal"), record(caption="var")], "SoccerNet-v2", "test")
    write_video(tmp_path, num_frames=5)
    write_video(tmp_path, "1_00_10.mp4", num_frames=30)
    write_video(tmp_path, source="SoccerNet-v2", split="test", num_frames=5)
    (cut,) = tmp_path.glob("video_clip/MatchTime/train/*/*/1_00_10.mp4")
    cut.write_bytes(cut.read_bytes()[:800])
    report = prepare(MatchClips, tmp_path, tmp_path / "out")
    kinds = {kind: found["count"] for kind, found in report["problems"].items()}
    assert kinds == {
        "duplicate": 1, "leak_between_splits": 1, "multi_label": 1, "unreadable_video": 1,
    }  # fmt: skip
    assert (
        "MatchTime/train and SoccerNet-v2/test share 1 matches"
        in (report["problems"]["leak_between_splits"]["examples"][0])
    )
    rows = pq.read_table(report["index"]).to_pylist()
    assert [row["num_frames"] for row in rows] == [5, None, 5, 5]


def test_a_split_that_training_refuses_has_a_report_and_no_shards(tmp_path):
    write_list(tmp_path / "data", [record(), {"video": 3, "caption": "goal"}])
    write_list(tmp_path / "data", [record()], split="valid")
    for split in ("train", "valid"):
        write_video(tmp_path / "data", split=split, num_frames=30)
    report = tmp_path / "report.json"
    options = ("dataset=match_clips", f"root={tmp_path / 'data'}", f"output={tmp_path / 'out'}")
    done = run(*options, "shards=true", f"report={report}")
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text())
    assert found["problems"]["bad_record"]["count"] == 1
    shards = found["shards"]["splits"]
    assert "record 1" in shards["train"]["refused"] and shards["train"]["clips"] == 0
    assert shards["valid"]["clips"] == 1 and "training refuses it" in done.stdout


def test_an_index_of_an_older_version_is_built_again(tmp_path, monkeypatch):
    monkeypatch.setenv("SOCCERMASTER_CACHE", str(tmp_path / "cache"))
    write(tmp_path / "data", [image(1)], [person(1, 1)])
    with monkeypatch.context() as earlier:
        earlier.setattr(SoccerNetGSR, "version", "soccernet_gsr-0")
        old = SoccerNetGSR(tmp_path / "data", "train", num_frames=1)
    new = SoccerNetGSR(tmp_path / "data", "train", num_frames=1)
    assert len(new) == 1 and new.fingerprint != old.fingerprint
    index = SoccerNetGSR.index_file(tmp_path / "data")
    with (
        monkeypatch.context() as later,
        pytest.raises(DatasetError, match="expected an index of version soccernet_gsr-9"),
    ):
        later.setattr(SoccerNetGSR, "version", "soccernet_gsr-9")
        SoccerNetGSR(tmp_path / "data", "train", num_frames=1, index=index)


def test_only_what_changed_is_read_again(tmp_path):
    for name in ("SNGS-060", "SNGS-061"):
        write(tmp_path / "data", [image(1)], [person(1, 1)], name)
    index = SoccerNetGSR.build(tmp_path / "data", output=tmp_path / "out")
    (tmp_path / "data/SoccerNetGS/train/SNGS-061/Labels-GameState.json").write_text("{")
    seen = []

    def watch(parts, total):
        seen.append(total)
        return parts

    with pytest.raises(DatasetError, match=r"1 parts that are new, .*train/SNGS-061.*prepare_data"):
        SoccerNetGSR(tmp_path / "data", "train", num_frames=1, index=index.path)
    index = SoccerNetGSR.build(tmp_path / "data", output=tmp_path / "out", progress=watch)
    assert [len(part.problems) for part in index.parts] == [0, 1]
    SoccerNetGSR.build(tmp_path / "data", output=tmp_path / "out", progress=watch)
    assert seen == [1]


def test_an_interrupted_build_goes_on_where_it_was(tmp_path):
    for name in ("SNGS-060", "SNGS-061", "SNGS-062"):
        write(tmp_path / "data", [image(1)], [person(1, 1)], name)
    seen = []

    def stop(parts, total):
        for _ in parts:
            seen.append(total)
            if len(seen) == 2:
                raise KeyboardInterrupt
            yield

    with pytest.raises(KeyboardInterrupt):
        SoccerNetGSR.build(tmp_path / "data", output=tmp_path / "out", progress=stop)
    assert not list((tmp_path / "out").glob("*.parquet"))
    index = SoccerNetGSR.build(tmp_path / "data", output=tmp_path / "out", progress=stop)
    assert seen == [3, 3, 1] and len(index.read(index.split("train"))) == 3
    assert [p.name for p in (tmp_path / "out").iterdir()] == [index.path.name]


def test_several_processes_give_the_same_index_as_one(tmp_path):
    for number in range(60, 65):
        write(tmp_path / "data", [image(1)], [person(1, number)], f"SNGS-{number:03d}")
    one = SoccerNetGSR.build(tmp_path / "data", output=tmp_path / "one", workers=1)
    two = SoccerNetGSR.build(tmp_path / "data", output=tmp_path / "two", workers=2)
    first, second = (str(index.read(index.parts).to_pylist()) for index in (one, two))
    assert first == second and len(one.parts) == 5


def test_training_reads_the_index_alone(tmp_path, monkeypatch):
    """Start-up opens no label file; splits that are added later join the same index."""
    monkeypatch.setenv("SOCCERMASTER_CACHE", str(tmp_path / "cache"))
    folder = write(tmp_path / "data", [image(1)], [person(1, 1)])
    first = SoccerNetGSR(tmp_path / "data", "train", num_frames=1)[0]
    (index,) = (tmp_path / "cache").iterdir()
    file = folder / "Labels-GameState.json"
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    file.write_text(" " * file.stat().st_size)  # the same size and time: nobody may notice
    os.utime(file, ns=times)
    again = SoccerNetGSR(tmp_path / "data", "train", num_frames=1)[0]
    np.testing.assert_array_equal(
        first.annotations.athletes.boxes_xyxy_px, again.annotations.athletes.boxes_xyxy_px
    )
    write(tmp_path / "other", [image(1)], [person(1, 1)])
    (tmp_path / "other/SoccerNetGS/train").rename(tmp_path / "data/SoccerNetGS/valid")
    assert len(SoccerNetGSR(tmp_path / "data", "valid", num_frames=1)) == 1
    assert [row["split"] for row in pq.read_table(index, columns=["split"]).to_pylist()] == [
        "train",
        "valid",
    ]


def test_nothing_is_written_to_the_folders_of_a_dataset(tmp_path):
    write(tmp_path, [image(1)], [])
    before = listing(tmp_path)
    for output in (tmp_path, tmp_path / "SoccerNetGS/train", tmp_path / "SoccerNetGS/x"):
        with pytest.raises(DatasetError, match=r"output=DIR"):
            prepare(SoccerNetGSR, tmp_path, output)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("content", [b"", b"PAR1nonsense", b"{}"])
def test_what_is_no_index_is_named(tmp_path, content):
    write(tmp_path, [image(1)], [])
    index = tmp_path / "index.parquet"
    index.write_bytes(content)
    with pytest.raises(DatasetError, match=r"index\.parquet.*build it again"):
        SoccerNetGSR(tmp_path, "train", num_frames=1, index=index)
    with pytest.raises(DatasetError, match="no such file"):
        SoccerNetGSR(tmp_path, "train", num_frames=1, index=tmp_path / "none.parquet")


def test_the_script_writes_shards_that_train(tmp_path):
    write_list(tmp_path / "data", [record(f"{i}.mp4") for i in range(3)])
    for i in range(3):
        write_video(tmp_path / "data", f"{i}.mp4", num_frames=30 if i else 8)
    before = listing(tmp_path / "data")
    report = tmp_path / "report.json"
    options = ("dataset=match_clips", f"root={tmp_path / 'data'}", f"output={tmp_path / 'out'}")
    done = run(*options, "shards=true", f"report={report}", "clips_per_shard=1")
    assert done.returncode == 0, done.stderr
    assert "2 clips in 3 files" in done.stdout and "1 could not be read" in done.stdout
    shards = json.loads(report.read_text())["shards"]
    assert shards["splits"]["train"]["unreadable"] == 1
    assert "at least 30 frames, got 8" in shards["splits"]["train"]["examples"][0]
    assert listing(tmp_path / "data") == before
    clips = ShardClips(shards["folder"], "train")
    assert len(clips) == 2 and clips[0].frames.shape == (30, 32, 64, 3)
    assert clips[0].annotations.event == "corner"
