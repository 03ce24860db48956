import json

import numpy as np
import pytest

from soccermaster.data.datasets import match_clips
from soccermaster.data.datasets.base import DatasetError
from soccermaster.data.datasets.clip_list_file import half_videos, load_clip_list
from soccermaster.data.datasets.match_clips import (
    MatchClips,
    clip_list_path,
    read_clip_list,
    video_folder,
)
from soccermaster.data.prepare import prepare
from soccermaster.data.video import VideoError, VideoWriter

GAME = "england_epl_2015-2016/2015-08-16 - 18-00 City 3 - 0 Chelsea"


def record(name="1_00_00.mp4", caption="corner", **text):
    return {"video": f"{GAME}/{name}", "caption": caption, **text}


def write_list(root, records, source="MatchTime", split="train"):
    path = clip_list_path(root, source, split)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(records))
    return path


def write_video(root, name="1_00_00.mp4", source="MatchTime", split="train", num_frames=60):
    with VideoWriter(video_folder(root, source, split) / GAME / name, 10, (32, 64)) as writer:
        for i in range(num_frames):
            writer.write(np.full((32, 64, 3), 4 * i, np.uint8))


def test_clips_have_class_text_and_the_middle_frame_of_each_interval(tmp_path):
    text = {"comments_text": "Silva takes it.", "comments_text_anonymized": "[PLAYER] takes it."}
    write_list(tmp_path, [record(**text)])
    write_video(tmp_path)
    dataset = MatchClips(tmp_path, "train", num_frames=6, image_size=(16, 32))
    assert dataset.provides == {"event", "text"} and dataset.sources == ("MatchTime",)
    clip = dataset[0]
    assert clip.annotations.event == "corner" and clip.annotations.text == "[PLAYER] takes it."
    assert clip.frames.shape == (6, 16, 32, 3) and clip.frame_mask is None
    np.testing.assert_allclose(clip.times_s, [0.5, 1.5, 2.5, 3.5, 4.5, 5.5], atol=1e-3)
    np.testing.assert_allclose(clip.frames.mean(axis=(1, 2, 3)), 4 * 10 * clip.times_s, atol=3)


def test_short_videos_repeat_the_last_frame_as_padding(tmp_path):
    write_list(tmp_path, [record()])
    write_video(tmp_path, num_frames=4)
    clip = MatchClips(tmp_path, "train", num_frames=6)[0]
    assert clip.frame_mask.tolist() == [True] * 4 + [False] * 2
    np.testing.assert_array_equal(clip.frames[3:], clip.frames[[3, 3, 3]])


def test_short_videos_are_an_error_where_no_padding_is_wanted(tmp_path):
    write_list(tmp_path, [record()])
    write_video(tmp_path, num_frames=4)
    dataset = MatchClips(tmp_path, "train", num_frames=6, short="error")
    with pytest.raises(VideoError, match=r"1_00_00\.mp4.*at least 6 frames, got 4"):
        dataset[0]


def test_sources_without_text_teach_only_the_event(tmp_path):
    records = [record(), record("2_00_00.mp4", caption="goal")]
    write_list(tmp_path, records, source="SoccerNet-v2")
    for name in ("1_00_00.mp4", "2_00_00.mp4"):
        write_video(tmp_path, name, source="SoccerNet-v2")
    dataset = MatchClips(tmp_path, "train")
    assert dataset.provides == {"event"} and len({dataset[i].clip_id for i in (0, 1)}) == 2
    assert dataset[1].annotations.text is None


def test_records_that_repeat_or_contradict_each_other(tmp_path):
    again = {"comments_text": "x", "comments_text_anonymized": "Again."}
    records = [record(), record(), record(**again), record("2_00_00.mp4"), record("3_00_00.mp4")]
    records += [record("3_00_00.mp4", caption="goal")]
    records += [record("4_00_00.mp4", **again), record("4_00_00.mp4", caption="var", **again)]
    write_list(tmp_path, records)
    for number in range(1, 5):
        write_video(tmp_path, f"{number}_00_00.mp4")
    with pytest.warns(UserWarning, match=r"left out 1 videos .* several classes .*3_00_00"):
        dataset = MatchClips(tmp_path, "train", num_frames=2)
    seen = [clip.annotations for clip in dataset]
    assert [a.event for a in seen] == ["corner", "corner", "corner", None]
    assert [a.text for a in seen] == [None, "Again.", None, "Again."]
    kept = MatchClips(tmp_path, "train", num_frames=2, repeats="keep")
    assert [clip.annotations.event for clip in kept][3:] == [
        "corner",
        "corner",
        "goal",
        "corner",
        "var",
    ]
    with pytest.raises(ValueError, match="'unite' or 'keep', got 'drop'"):
        MatchClips(tmp_path, "train", repeats="drop")


def test_several_sources_are_read_one_after_the_other(tmp_path):
    for source in ("MatchTime", "SoccerReplay-1988"):
        write_list(tmp_path, [record()], source=source, split="test")
        write_video(tmp_path, source=source, split="test")
    assert (tmp_path / "video_clip/MatchTime/SN-Caption-test-align").is_dir()
    assert (tmp_path / "video_clip/SoccerReplay-1988-high-resolution").is_dir()
    dataset = MatchClips(tmp_path, "test")
    assert [dataset[i].clip_id.split("/")[0] for i in (0, 1)] == ["SoccerReplay-1988", "MatchTime"]


def test_missing_videos_are_an_error_or_a_warning_with_their_count(tmp_path):
    write_list(tmp_path, [record(f"1_00_{i:02d}.mp4") for i in range(6)])
    write_video(tmp_path, "1_00_04.mp4")
    with pytest.raises(DatasetError, match=r"the 6 listed videos, got 5 missing: .*1_00_00.mp4"):
        MatchClips(tmp_path, "train")
    with pytest.warns(UserWarning, match="left out 5 of 6"):
        dataset = MatchClips(tmp_path, "train", missing="skip")
    assert len(dataset) == 1 and dataset[0].clip_id.endswith("1_00_04.mp4#4")


def test_skipping_everything_is_still_an_error(tmp_path):
    write_list(tmp_path, [record()])
    with pytest.raises(DatasetError, match="1 missing"):
        MatchClips(tmp_path, "train", missing="skip")
    with pytest.raises(DatasetError, match=r"classification_valid\.json"):
        MatchClips(tmp_path, "valid")
    with pytest.raises(DatasetError, match="Did you mean 'MatchTime'"):
        video_folder(tmp_path, "MatchTimes", "train")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (record(caption="offside"), "record 1.*'offside'.*Did you mean 'off side'"),
        (record() | {"video": "../../etc/1.mp4"}, "record 1.*below the folder"),
        (record() | {"video": "/etc/1.mp4"}, "record 1.*below the folder"),
        ({"video": "a/b.mp4"}, "record 1.*'caption'"),
        (record(comments_text_anonymized=3), "record 1.*comments_text_anonymized"),
        (["a/b.mp4"], "record 1.*an object"),
    ],
)
def test_broken_records_are_named_when_the_dataset_is_built(tmp_path, broken, message):
    write_list(tmp_path, [record(), broken])
    with pytest.raises(DatasetError, match=rf"(?s)classification_train\.json.*{message}"):
        MatchClips(tmp_path, "train")


def test_the_list_must_be_json_and_a_list(tmp_path):
    path = write_list(tmp_path, {"video": "a"})
    with pytest.raises(DatasetError, match="got a dict"):
        read_clip_list(path)
    path.write_text("[")
    with pytest.raises(DatasetError, match="expected a JSON list"):
        read_clip_list(path)


@pytest.mark.parametrize(
    ("file", "count", "with_text", "corners"),
    [
        ("matchtime_classification_test.json", 3256, 3256, 474),
        ("soccernet_v2_classification_valid.json", 17491, 0, 815),
    ],
)
def test_real_lists(shared, file, count, with_text, corners):
    records = read_clip_list(shared / "samples/events" / file)
    assert len(records) == count
    assert sum(r.text is not None for r in records) == with_text
    assert sum(r.event == "corner" for r in records) == corners


def test_the_fingerprint_follows_the_files(tmp_path):
    write_list(tmp_path, [record()])
    write_video(tmp_path)
    first = MatchClips(tmp_path, "train").fingerprint
    assert first and MatchClips(tmp_path, "train").fingerprint == first
    write_list(tmp_path, [record(caption="penalty")])
    assert MatchClips(tmp_path, "train").fingerprint != first


def write_half(root, half=1, num_frames=500):
    """A half of 100 s in which each frame is brighter than the one before."""
    folder = root / "games" / "england_epl/2015-2016" / GAME.partition("/")[2]
    with VideoWriter(folder / f"{half}_720p.mkv", 5, (32, 64)) as writer:
        for i in range(num_frames):
            writer.write(np.full((32, 64, 3), i // 2, np.uint8))


def test_clips_that_nobody_cut_come_from_the_half_of_the_game(tmp_path):
    names = ["1_00_50.mp4", "1_00_05.mp4", "1_01_35.mp4", "2_00_00.mp4"]
    write_list(tmp_path, [record(name) for name in names], source="SoccerNet-v2")
    write_half(tmp_path)
    write_video(tmp_path, "2_00_00.mp4", source="SoccerNet-v2")
    dataset = MatchClips(tmp_path, "train", num_frames=6)
    middle, first, last, cut = dataset
    np.testing.assert_allclose(middle.times_s, [37.5, 42.5, 47.5, 52.5, 57.5, 62.5], atol=0.2)
    np.testing.assert_allclose(middle.frames.mean(axis=(1, 2, 3)), 2.5 * middle.times_s, atol=3)
    np.testing.assert_allclose(first.times_s[[0, -1]], [20 / 12, 20 - 20 / 12], atol=0.2)
    np.testing.assert_allclose(last.times_s[[0, -1]], [80 + 20 / 12, 100 - 20 / 12], atol=0.2)
    assert cut.times_s[-1] < 6  # where there is a clip, that is taken
    near = MatchClips(tmp_path, "train", num_frames=5, fps=5.0)[0]
    np.testing.assert_allclose(near.times_s, 49.5 + 0.2 * np.arange(5), atol=0.11)
    report = prepare(MatchClips, tmp_path, tmp_path / "out")
    assert report["lists"]["SoccerNet-v2/train"]["missing_videos"] == 0


@pytest.mark.parametrize("folder", [".._..", "a_..", ".._a", "a", "a_", "a_b/c"])
def test_no_game_is_looked_for_elsewhere(tmp_path, folder):
    assert half_videos(tmp_path, f"{folder}/game/1_00_00.mp4") == []


def test_a_long_list_is_parsed_once(tmp_path, monkeypatch):
    write_list(tmp_path, [record(f"1_00_{i:02d}.mp4") for i in range(20)])
    write_video(tmp_path, "1_00_00.mp4")
    parsed = []

    def watch(path):
        parsed.append(path)
        return load_clip_list(path)

    monkeypatch.setattr(match_clips, "load_clip_list", watch)
    monkeypatch.setattr(match_clips, "_BYTES_PER_SLICE", 600)
    index = MatchClips.build(tmp_path, output=tmp_path / "out", workers=1)
    assert len(index.parts) > 3 and len(parsed) == 1
    assert index.read(index.parts)["number"].to_pylist() == list(range(20))
