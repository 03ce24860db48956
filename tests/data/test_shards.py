import dataclasses
import io
import itertools
import json
import tarfile
from functools import partial

import cv2
import numpy as np
import pytest
import webdataset
from torch.utils.data import DataLoader

from soccermaster.data.augment import AugmentClip
from soccermaster.data.datasets import MatchClips, SoccerNetGSR
from soccermaster.data.datasets.base import ClipDataset, DatasetError
from soccermaster.data.images import VideoError
from soccermaster.data.shards import ShardClips, write_shards
from soccermaster.data.synthetic import SyntheticSpatial
from soccermaster.data.synthetic.writers import write_gsr, write_match_clips
from soccermaster.structures import Annotations, Clip
from soccermaster.training.sampling import AugmentedClips, EndlessBatches, TakingTurns
from soccermaster.training.unreadable import collate_readable


def assert_same_labels(new: Clip, old: Clip):
    assert (new.clip_id, new.source) == (old.clip_id, old.source)
    np.testing.assert_array_equal(new.times_s, old.times_s)
    assert (new.annotations.event, new.annotations.text) == (
        old.annotations.event,
        old.annotations.text,
    )
    for part in ("athletes", "keypoints", "lines", "cameras"):
        a, b = getattr(new.annotations, part), getattr(old.annotations, part)
        assert (a is None) == (b is None)
        for field in dataclasses.fields(b) if b is not None else ():
            x, y = getattr(a, field.name), getattr(b, field.name)
            np.testing.assert_array_equal(x, y)
            assert x.dtype == y.dtype


class Numbered(ClipDataset):
    """Clips of one grey frame; those of `broken` cannot be read."""

    name, provides = "numbered", frozenset({"event"})

    def __init__(self, clips: int, broken: tuple[int, ...] = ()) -> None:
        self.clips, self.broken = clips, broken

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: int) -> Clip:
        if index in self.broken:
            raise VideoError(f"{index}.mp4: cut short")
        frames = np.full((1, 16, 16, 3), 5 * index, np.uint8)
        return Clip(frames, np.zeros(1), Annotations(event="goal"), f"clip {index}", self.name)


def test_clips_of_game_state_come_back_with_the_bytes_of_their_frames(tmp_path):
    write_gsr(tmp_path / "raw", "train", ["060"], num_frames=6, image_size=(72, 128), seed=1)
    dataset = SoccerNetGSR(tmp_path / "raw", "train", num_frames=3)
    report = write_shards(dataset, tmp_path / "shards/train", clips_per_shard=1)
    assert (report.clips, report.shards, report.unreadable) == (2, 2, ())
    shards = ShardClips(tmp_path / "shards", "train")
    assert (shards.name, shards.provides) == (dataset.name, dataset.provides)
    for index in range(2):
        assert_same_labels(shards[index], dataset[index])
        np.testing.assert_array_equal(shards[index].frames, dataset[index].frames)
        raw, packed = dataset.undecoded(index), shards.undecoded(index)
        assert packed.frames.images == tuple(p.read_bytes() for p in raw.frames.paths)


def test_clips_of_videos_come_back_as_good_pictures(tmp_path):
    write_match_clips(
        tmp_path / "raw", "MatchTime", "train", 2, image_size=(90, 160), duration_s=2.0, fps=10.0
    )
    dataset = MatchClips(tmp_path / "raw", "train", num_frames=4)
    write_shards(dataset, tmp_path / "shards/train")
    shards = ShardClips(tmp_path / "shards", "train")
    for index in range(2):
        assert_same_labels(shards[index], dataset[index])
        error = shards[index].frames.astype(float) - dataset[index].frames
        assert 10 * np.log10(255**2 / np.mean(error**2)) > 32


def test_drawn_clips_keep_their_cameras(tmp_path):
    dataset = SyntheticSpatial("train", 2, num_frames=2, image_size=(72, 128))
    write_shards(dataset, tmp_path / "train")
    shards = ShardClips(tmp_path, "train")
    assert shards[1].annotations.cameras is not None
    assert_same_labels(shards[1], dataset[1])


def test_webdataset_reads_the_shards(tmp_path):
    write_shards(Numbered(3), tmp_path / "train")
    samples = list(webdataset.WebDataset(str(tmp_path / "train/000000.tar"), shardshuffle=False))
    assert [json.loads(s["json"])["clip_id"] for s in samples] == ["clip 0", "clip 1", "clip 2"]
    frame = cv2.imdecode(np.frombuffer(samples[2]["0000.jpg"], np.uint8), cv2.IMREAD_COLOR)
    assert abs(frame.mean() - 10) < 2
    assert np.load(io.BytesIO(samples[0]["npz"]), allow_pickle=False)["times_s"].tolist() == [0]


def stream(folder, batch_size=2, num_workers=0):
    """Augmented training batches, as the datamodule makes them."""
    shards = ShardClips(folder, "train")
    batches = EndlessBatches(len(shards), batch_size, 7, groups=shards.groups, files_at_once=2)
    loader = DataLoader(
        AugmentedClips(shards, AugmentClip((16, 16)), seed=7, strict=False),
        batch_sampler=batches,
        collate_fn=partial(collate_readable, provides=shards.provides, source="shards"),
        num_workers=num_workers,
    )
    return TakingTurns({"shards": loader})


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_interrupted_stream_goes_on_with_the_same_samples(tmp_path, num_workers):
    write_shards(Numbered(20), tmp_path / "train", clips_per_shard=4)
    one = stream(tmp_path)
    whole = [*one, *one]
    assert len(whole) == 20 and len({i for b in whole[:10] for i in b.clip_ids}) == 20
    for stop in (1, 7, 13):
        first = stream(tmp_path, num_workers=num_workers)
        for _ in itertools.islice(itertools.chain(first, first), stop):
            pass
        state = json.loads(json.dumps(first.state_dict()))
        resumed = stream(tmp_path, num_workers=num_workers)
        resumed.load_state_dict(state)
        rest = list(resumed) + (list(resumed) if stop < 10 else [])
        assert len(rest) == 20 - stop
        for batch, expected in zip(rest, whole[stop:], strict=True):
            assert batch.clip_ids == expected.clip_ids
            np.testing.assert_array_equal(batch.images, expected.images)


def test_a_stream_reads_few_shards_at_a_time():
    groups = np.arange(40) // 5  # 8 shards
    batches = EndlessBatches(40, 2, seed=0, groups=groups, files_at_once=2)
    passes = list(itertools.islice(iter(batches), 40))
    order = [index for batch in passes for index, _ in batch]
    for number in range(2):
        one = order[40 * number : 40 * (number + 1)]
        assert sorted(one) == list(range(40))
        for first in range(0, 40, 10):
            assert len(set(groups[one[first : first + 10]])) == 2
            assert len(set(groups[one[first : first + 5]])) == 2  # and these are mixed
    assert order[:40] != order[40:]


def test_writing_resumes_and_reports_what_it_leaves_out(tmp_path):
    folder = tmp_path / "train"
    with pytest.raises(VideoError, match=r"5\.mp4"):
        write_shards(Numbered(8, broken=(5,)), folder, clips_per_shard=2, strict=True)
    done = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.tar")}
    assert {"000000.tar", "000001.tar"} <= set(done) and "000002.tar" not in done
    report = write_shards(Numbered(8, broken=(5,)), folder, clips_per_shard=2)
    assert report.unreadable == ((5, "5.mp4: cut short"),) and report.clips == 7
    assert all((folder / name).stat().st_mtime_ns == time for name, time in done.items())
    assert [ShardClips(tmp_path, "train")[i].clip_id for i in (4, 5)] == ["clip 4", "clip 6"]
    again = write_shards(Numbered(8, broken=(5,)), folder, clips_per_shard=2)
    assert again.unreadable == ((5, "5.mp4: cut short"),)
    mended = write_shards(Numbered(8), folder, clips_per_shard=2)
    assert mended.unreadable == () and ShardClips(tmp_path, "train")[5].clip_id == "clip 5"
    assert all((folder / name).stat().st_mtime_ns == time for name, time in done.items())
    with pytest.raises(DatasetError, match="expected clips=9, got clips=8"):
        write_shards(Numbered(9), folder, clips_per_shard=2)


def test_shards_of_other_files_or_another_reading_are_refused(tmp_path):
    folder = tmp_path / "shards/train"
    write_gsr(tmp_path / "raw", "train", ["060"], num_frames=6, image_size=(72, 128), seed=1)
    dataset = SoccerNetGSR(tmp_path / "raw", "train", num_frames=3)
    write_shards(dataset, folder)
    assert ShardClips(tmp_path / "shards", "train").fingerprint == dataset.fingerprint != ""
    write_shards(SoccerNetGSR(tmp_path / "raw", "train", num_frames=3), folder)
    smaller = SoccerNetGSR(tmp_path / "raw", "train", num_frames=3, image_size=(36, 64))
    assert len(smaller) == len(dataset)
    with pytest.raises(DatasetError, match=r"files or its configuration changed.*Remove"):
        write_shards(smaller, folder)
    (labels,) = (tmp_path / "raw").rglob("Labels-GameState.json")
    labels.write_text(labels.read_text().replace('"jersey": "', '"jersey": "1'))
    corrected = SoccerNetGSR(tmp_path / "raw", "train", num_frames=3)
    assert len(corrected) == len(dataset)
    with pytest.raises(DatasetError, match=r"files or its configuration changed.*Remove"):
        write_shards(corrected, folder)


def test_several_threads_write_the_same_shards(tmp_path):
    for name, num_workers in (("one", 1), ("two", 2)):
        write_shards(Numbered(6), tmp_path / name, clips_per_shard=2, num_workers=num_workers)
    for number in range(3):
        one, two = (tmp_path / name / f"{number:06d}.tar" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("name", ["../escape.jpg", "/abs.jpg", "00000000.json/../../x", "x.pkl"])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.SYMTYPE])
def test_strange_files_in_a_shard_are_refused(tmp_path, name, kind):
    write_shards(Numbered(1), tmp_path / "train")
    path = tmp_path / "train/000000.tar"
    size = path.stat().st_size
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo(name if kind == tarfile.REGTYPE else "00000000.json")
        info.type, info.linkname = kind, "../../secret" if kind == tarfile.SYMTYPE else ""
        tar.addfile(info)
        tar.fileobj.write(bytes(size))
    with pytest.raises(DatasetError, match=r"000000\.tar.*clip 0.*regular files"):
        ShardClips(tmp_path, "train")[0]


def test_damaged_shards_are_named(tmp_path):
    write_shards(Numbered(4), tmp_path / "train", clips_per_shard=2)
    path = tmp_path / "train/000001.tar"
    data = path.read_bytes()
    path.write_bytes(data[:3000])
    with pytest.raises(DatasetError, match=r"000001\.tar.*shorter file"):
        ShardClips(tmp_path, "train")
    shards_hurt = bytearray(data)
    shards_hurt[: len(data) // 2] = bytes(len(data) // 2)
    path.write_bytes(shards_hurt)
    with pytest.raises(DatasetError, match=r"000001\.tar.*clip 2"):
        ShardClips(tmp_path, "train")[2]
    path.unlink()
    with pytest.raises(DatasetError, match=r"000001\.tar.*no such file"):
        ShardClips(tmp_path, "train")
    (tmp_path / "train/clips.parquet").write_bytes(b"junk")
    with pytest.raises(DatasetError, match=r"clips\.parquet"):
        ShardClips(tmp_path, "train")
    with pytest.raises(DatasetError, match=r"valid/shards\.json"):
        ShardClips(tmp_path, "valid")


def test_pickles_in_the_labels_are_refused(tmp_path):
    write_shards(Numbered(1), tmp_path / "train")
    path = tmp_path / "train/000000.tar"
    with tarfile.open(path) as tar:
        members = [(info, tar.extractfile(info).read()) for info in tar]
    evil = io.BytesIO()
    np.savez(evil, times_s=np.array([print], dtype=object))
    rebuilt = io.BytesIO()
    with tarfile.open(fileobj=rebuilt, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for info, content in members:
            content = evil.getvalue() if info.name.endswith("npz") else content
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    path.write_bytes(rebuilt.getvalue())
    with pytest.raises(DatasetError, match=r"clip 0.*allow_pickle"):
        ShardClips(tmp_path, "train")[0]
