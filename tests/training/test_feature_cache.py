"""Kept features: the same as fresh ones, computed once, and not used when they are stale."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest
import torch

from soccermaster.data.datasets.base import ClipDataset
from soccermaster.data.errors import DatasetError
from soccermaster.data.synthetic import SyntheticSpatial
from soccermaster.models.encoder import VideoEncoder, normalize_images
from soccermaster.structures import Batch, Clip
from soccermaster.training.datamodule import ClipDataModule, Source
from soccermaster.training.feature_cache import CACHE_NAME, FeatureCache

SIZE = (32, 48)
CONFIG = {
    "image_size": list(SIZE),
    "patch_size": 16,
    "embed_dim": 16,
    "depth": 2,
    "temporal_depth": 1,
    "num_heads": 2,
}


class Tinted(ClipDataset):
    """Synthetic clips whose files may change."""

    name, provides = "tinted", SyntheticSpatial.provides

    def __init__(self, split: str, tint: int = 0, fingerprint: str = "", num_clips: int = 5):
        self.clips = SyntheticSpatial(split, num_clips, num_frames=2, image_size=SIZE)
        self.tint, self.fingerprint = tint, fingerprint

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Clip:
        clip = self.clips[index]
        return dataclasses.replace(clip, frames=clip.frames // 2 + np.uint8(self.tint))


def data(**options: object) -> ClipDataModule:
    dataset = functools.partial(Tinted, **options)
    return ClipDataModule({"tinted": Source(dataset, SIZE, 2)}, num_workers=0)


def cache(folder: Path, seed: int = 0, outputs: tuple[str, ...] = ("patches", "frames")):
    torch.manual_seed(seed)
    return FeatureCache(VideoEncoder(**CONFIG), CONFIG, outputs, folder)


def batches(read: ClipDataModule) -> list[Batch]:
    (loader,) = read.evaluation_loaders("valid")
    return list(loader)


def test_batches_of_kept_features_are_those_of_the_encoder(tmp_path: Path):
    kept, fresh = cache(tmp_path), data()
    clips = kept.clips(fresh, "tinted", "valid", {})
    read = fresh.with_datasets({("tinted", "valid"): clips})
    for a, b in zip(batches(read), batches(fresh), strict=True):
        with torch.no_grad():
            features = kept.encoder(normalize_images(b.images), {"patches", "frames"})
        assert a.features.grid == features.grid
        for name, tensor in features.named_tensors().items():
            assert torch.allclose(a.features.named_tensors()[name], tensor, atol=5e-3), name
        assert a.clip_ids == b.clip_ids and a.image_size == b.image_size
        assert torch.equal(a.athletes.boxes_xyxy_px, b.athletes.boxes_xyxy_px)
        assert torch.allclose(a.keypoints.points_px, b.keypoints.points_px, equal_nan=True)


def test_they_are_computed_once(tmp_path: Path):
    for expected in ("computed, since there are none yet", "5 clips from"):
        kept = cache(tmp_path)
        kept.clips(data(), "tinted", "valid", {})
        assert expected in kept.messages[0]
    assert len(list(tmp_path.iterdir())) == 1


def test_another_encoder_dataset_split_or_output_has_another_folder(tmp_path: Path):
    cache(tmp_path).clips(data(), "tinted", "valid", {})
    cache(tmp_path, seed=1).clips(data(), "tinted", "valid", {})
    cache(tmp_path).clips(data(), "tinted", "train", {})
    cache(tmp_path).clips(data(), "tinted", "valid", {"fps": 5})
    cache(tmp_path, outputs=("patches",)).clips(data(), "tinted", "valid", {})
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"tint": 9}, "is not what it was"),
        ({"fingerprint": "changed"}, "files of the dataset have changed"),
        ({"num_clips": 6}, "has 6 clips now, it had 5"),
    ],
)
def test_stale_features_are_noticed_and_replaced(tmp_path: Path, options: dict, reason: str):
    cache(tmp_path).clips(data(), "tinted", "valid", {})
    again = cache(tmp_path)
    clips = again.clips(data(**options), "tinted", "valid", {})
    assert "stale" in again.messages[0] and reason in again.messages[0]
    assert len(clips) == options.get("num_clips", 5)
    third = cache(tmp_path)
    third.clips(data(**options), "tinted", "valid", {})
    assert "clips from" in third.messages[0]


@pytest.mark.parametrize("name", [CACHE_NAME, "clips-00000.safetensors"])
def test_damaged_files_are_replaced(tmp_path: Path, name: str):
    cache(tmp_path).clips(data(), "tinted", "valid", {})
    (folder,) = tmp_path.iterdir()
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    again = cache(tmp_path)
    clips = again.clips(data(), "tinted", "valid", {})
    assert "stale" in again.messages[0]
    assert all(clip.features is not None for clip in clips)
    assert (folder / name).read_bytes() == content


def test_an_interrupted_computation_leaves_nothing(tmp_path: Path):
    class Broken(Tinted):
        def __getitem__(self, index: int) -> Clip:
            if index == 3:
                raise KeyboardInterrupt
            return super().__getitem__(index)

    module = ClipDataModule({"tinted": Source(Broken, SIZE, 2)}, num_workers=0)
    with pytest.raises(KeyboardInterrupt):
        cache(tmp_path).clips(module, "tinted", "valid", {})
    assert not list(tmp_path.iterdir())


def test_a_dataset_that_cannot_be_read_says_so_every_time(tmp_path: Path):
    class Unreadable(Tinted):
        def __getitem__(self, index: int) -> Clip:
            raise DatasetError(f"clip {index} is damaged")

    for _ in range(2):
        sources = {"tinted": Source(Unreadable, SIZE, 2)}
        module = ClipDataModule(sources, num_workers=0, strict=False)
        with pytest.raises(ValueError, match=r"got none of 5 \(the first: clip 0 is damaged\)"):
            cache(tmp_path).clips(module, "tinted", "valid", {})
    assert not list(tmp_path.iterdir())
