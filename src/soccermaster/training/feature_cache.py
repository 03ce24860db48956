"""Features of an encoder that is not trained: computed once, kept on disk.

    FOLDER/KEY/cache.json                 what was computed from what, and one entry per clip
    FOLDER/KEY/clips-00000.safetensors    features (16 bits) and labels of some clips

The key is made of the encoder's weights and configuration, the dataset's configuration and split,
and the frame settings. What the key cannot know is looked at whenever a cache is opened: stamps of
the dataset's files, and some of the clips, which are read and encoded again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader

from soccermaster.data.collate import collate_clips
from soccermaster.data.datasets.base import ClipDataset
from soccermaster.data.indexing.index import only_one_process
from soccermaster.data.label_arrays import from_arrays, to_arrays
from soccermaster.models.encoder import VideoEncoder, normalize_images
from soccermaster.models.weights import replaced_folder
from soccermaster.ops.cache_folder import cache_folder
from soccermaster.structures import Clip, Features
from soccermaster.training.datamodule import ClipDataModule, one_thread
from soccermaster.training.unreadable import Loaded, Unreadable

CACHE_NAME = "cache.json"
FORMAT_VERSION = 1
CLIPS_PER_FILE = 64
_AT_ONCE = 8  # clips that go through the encoder together
_LOOKED_AT = 3  # clips that are computed again when a cache is opened
_TOLERANCE = 0.02  # of the norm of their features; other hardware rounds differently
_LARGEST_HALF = 6e4


class StaleFeaturesError(ValueError):
    """What is in a cache is not what would be computed now."""


@dataclass(frozen=True)
class _Entry:
    """One clip of a cache."""

    index: int  # in its dataset
    clip_id: str
    event: str | None
    text: str | None
    digest: str  # of its frames and labels
    file: int  # which one it lies in
    row: int  # and where
    tensors: list[str]  # that it has


class FeatureCache:
    """Kept features of one encoder; runs and processes share the files.

    Args:
        encoder: in its final state; it is put into evaluation mode to compute.
        config: what the encoder was built from.
        outputs: of the encoder, which are kept.
        folder: of the caches; `features` in the cache folder when None.
        device: to compute on.

    Attributes:
        messages: what was found, computed or stale, one line each.
    """

    def __init__(
        self,
        encoder: VideoEncoder,
        config: Mapping[str, Any],
        outputs: Collection[str],
        folder: Path | str | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.encoder = encoder
        self.outputs = sorted(outputs)
        self.folder = cache_folder() / "features" if folder is None else Path(folder)
        self.device = torch.device(device)
        self.messages: list[str] = []
        self._described = {"config": dict(config), "weights": weights_hash(encoder)}

    def clips(
        self, data: ClipDataModule, source: str, split: str, described: Mapping[str, Any]
    ) -> CachedClips:
        """The clips of a dataset with their features, computed where there are none that fit.

        Args:
            data: knows the dataset.
            source: which one.
            split: of it.
            described: what decides its clips: the configuration, in JSON values.

        Raises:
            ValueError: none of its clips can be read.
        """
        key = self._key(data, source, split, described)
        text = json.dumps(key, sort_keys=True)
        directory = self.folder / hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
        where = f"features of {source}/{split}"
        with only_one_process(directory):
            reason = "there are none yet"
            if directory.exists():
                try:
                    cached = CachedClips(directory, key)
                    self._check_fresh(cached, data, source, split)
                    self.messages.append(f"{where}: {len(cached)} clips from {directory}")
                    return cached
                except StaleFeaturesError as error:
                    reason = f"those in {directory} are stale: {error}"
            self._compute(directory, key, data, source, split)
            cached = CachedClips(directory, key)
            self.messages.append(f"{where}: {len(cached)} clips computed, since {reason}")
            return cached

    def _key(
        self, data: ClipDataModule, source: str, split: str, described: Mapping[str, Any]
    ) -> dict[str, Any]:
        key = {
            "format_version": FORMAT_VERSION,
            "encoder": self._described,
            "outputs": self.outputs,
            "image_size": list(data.sources[source].image_size),
            "dataset": dict(described),
            "split": split,
        }
        return json.loads(json.dumps(key))  # as it is read again

    def _check_fresh(
        self, cached: CachedClips, data: ClipDataModule, source: str, split: str
    ) -> None:
        """Compare with the files and clips as they are now.

        Raises:
            StaleFeaturesError: they differ.
        """
        dataset = data.dataset(source, split)
        if cached.num_clips != len(dataset):
            raise StaleFeaturesError(
                f"the dataset has {len(dataset)} clips now, it had {cached.num_clips}"
            )
        if cached.fingerprint != getattr(dataset, "fingerprint", ""):
            raise StaleFeaturesError("files of the dataset have changed")
        clips = data.resized_clips(source, split)
        rows = np.unique(np.linspace(0, len(cached) - 1, _LOOKED_AT).astype(int)).tolist()
        for row in rows:
            entry = cached.entries[row]
            clip = clips[entry.index]
            if not isinstance(clip, Clip) or clip_digest(clip) != entry.digest:
                raise StaleFeaturesError(f"clip {entry.clip_id} is not what it was")
            (fresh,) = self._encode([clip], data, source, split)
            for name, tensor in fresh.named_tensors().items():
                kept = cached[row].features.named_tensors()[name]
                if (kept - tensor).norm() > _TOLERANCE * tensor.norm():
                    raise StaleFeaturesError(f"the encoder gives other {name} for {entry.clip_id}")

    def _compute(
        self, directory: Path, key: Mapping[str, Any], data: ClipDataModule, source: str, split: str
    ) -> None:
        loader = DataLoader(
            data.resized_clips(source, split),
            CLIPS_PER_FILE,
            collate_fn=list,
            num_workers=data.num_workers,
            worker_init_fn=one_thread if data.num_workers else None,
            generator=torch.Generator().manual_seed(data.seed),
        )
        entries: list[_Entry] = []
        sizes: list[int] = []
        grid, first, first_error = None, 0, ""
        with replaced_folder(directory, _is_cache, f"a folder without {CACHE_NAME}") as fresh:
            for items in track(loader, f"features of {source}/{split}", transient=True):
                errors = [item for item in items if not isinstance(item, Clip)]
                unreadable = tuple(Unreadable(source, i, str(error)) for i, error in errors)
                if unreadable and not first_error:
                    first_error = f" (the first: {unreadable[0].reason})"
                data.unreadable.add(Loaded(None, unreadable, len(items)), source)
                indices = [first + i for i, item in enumerate(items) if isinstance(item, Clip)]
                first += len(items)
                clips = [item for item in items if isinstance(item, Clip)]
                tensors: dict[str, Tensor] = {}
                for row, features in enumerate(self._encode(clips, data, source, split)):
                    clip, grid = clips[row], features.grid
                    named = _clip_tensors(clip, features)
                    tensors |= {f"{row}/{name}": tensor for name, tensor in named.items()}
                    entries.append(
                        _Entry(
                            indices[row],
                            clip.clip_id,
                            clip.annotations.event,
                            clip.annotations.text,
                            clip_digest(clip),
                            len(sizes),
                            row,
                            sorted(named),
                        )
                    )
                if tensors:
                    path = fresh / _file_name(len(sizes))
                    save_file(tensors, path)
                    sizes.append(path.stat().st_size)
            dataset = data.dataset(source, split)
            if not entries:
                raise ValueError(
                    f"expected clips of {source}/{split} that can be read, got none of "
                    f"{len(dataset)}{first_error}. Nothing was kept."
                )
            content = {
                "key": key,
                "source": source,
                "provides": sorted(dataset.provides),
                "fingerprint": getattr(dataset, "fingerprint", ""),
                "num_clips": len(dataset),
                "grid": grid,
                "file_sizes": sizes,
                "clips": [asdict(entry) for entry in entries],
            }
            (fresh / CACHE_NAME).write_text(json.dumps(content), encoding="utf-8")

    @torch.no_grad()
    def _encode(
        self, clips: Sequence[Clip], data: ClipDataModule, source: str, split: str
    ) -> Iterator[Features]:
        """Features of each clip, in float32 on the CPU."""
        provides = data.dataset(source, split).provides
        with _evaluating(self.encoder, self.device):
            for start in range(0, len(clips), _AT_ONCE):
                some = clips[start : start + _AT_ONCE]
                batch = collate_clips(some, provides, source).to(self.device)
                mask = None if bool(batch.frame_mask.all()) else batch.frame_mask
                features = self.encoder(normalize_images(batch.images), self.outputs, mask)
                for i, clip in enumerate(some):
                    own = {
                        name: (t[i : i + 1] if name == "clip" else t[i : i + 1, : len(clip.frames)])
                        for name, t in features.named_tensors().items()
                    }
                    own = {name: t.float().cpu() for name, t in own.items()}
                    yield Features.from_named_tensors(features.grid, own)


class CachedClips(ClipDataset):
    """Clips whose features were kept; their frames are black.

    Args:
        directory: of the cache.
        key: that it must have.

    Raises:
        StaleFeaturesError: it is damaged, or of another key.
    """

    def __init__(self, directory: Path, key: Mapping[str, Any]) -> None:
        self.directory = directory
        try:
            content = json.loads((directory / CACHE_NAME).read_text(encoding="utf-8"))
            if content["key"] != key:
                raise StaleFeaturesError("another encoder, dataset or frame setting made them")
            self.name = content["source"]
            self.provides = frozenset(content["provides"])
            self.fingerprint = content["fingerprint"]
            self.num_clips = int(content["num_clips"])
            self.grid = tuple(content["grid"])
            self.image_size = tuple(content["key"]["image_size"])
            self.entries = [_Entry(**entry) for entry in content["clips"]]
            for number, size in enumerate(content["file_sizes"]):
                if (directory / _file_name(number)).stat().st_size != size:
                    raise StaleFeaturesError(f"{_file_name(number)} is damaged")
        except (OSError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise StaleFeaturesError(f"not all of it can be read ({error})") from error
        self._files: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Clip:
        """Clip `index` with its features and labels.

        Raises:
            StaleFeaturesError: its file is damaged.
        """
        entry = self.entries[index]
        path = self.directory / _file_name(entry.file)
        try:
            if entry.file not in self._files:
                self._files[entry.file] = safe_open(path, framework="pt")
            file = self._files[entry.file]
            tensors = {name: file.get_tensor(f"{entry.row}/{name}") for name in entry.tensors}
        except (SafetensorError, OSError) as error:
            raise StaleFeaturesError(f"cannot read {path}: {error}") from error
        features = {
            name.removeprefix("features."): tensor.float()
            for name, tensor in tensors.items()
            if name.startswith("features.")
        }
        arrays = {n: t.numpy() for n, t in tensors.items() if not n.startswith("features.")}
        times_s = arrays["times_s"]
        shape = (len(times_s), *self.image_size, 3)
        return Clip(
            frames=np.zeros(shape, np.uint8),
            times_s=times_s,
            annotations=from_arrays(arrays, entry.event, entry.text),
            clip_id=entry.clip_id,
            source=self.name,
            frame_mask=arrays.get("frame_mask"),
            features=Features.from_named_tensors(self.grid, features),
        )

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_files": {}}


def weights_hash(encoder: VideoEncoder) -> str:
    """A name for the values of all weights and buffers."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def clip_digest(clip: Clip) -> str:
    """A name for the frames and labels of a clip."""
    digest = hashlib.blake2b(digest_size=12)
    annotations = clip.annotations
    digest.update(repr((clip.clip_id, annotations.event, annotations.text)).encode())
    arrays = {"frames": clip.frames, "times_s": clip.times_s, **to_arrays(annotations)}
    for name, array in arrays.items():
        digest.update(f"{name} {array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _clip_tensors(clip: Clip, features: Features) -> dict[str, Tensor]:
    arrays = {"times_s": clip.times_s, **to_arrays(clip.annotations)}
    if clip.frame_mask is not None:
        arrays["frame_mask"] = clip.frame_mask
    tensors = {name: torch.from_numpy(np.array(array, order="C")) for name, array in arrays.items()}
    for name, tensor in features.named_tensors().items():
        fits = bool(tensor.abs().max() < _LARGEST_HALF)
        tensors[f"features.{name}"] = tensor.half() if fits else tensor.clone()
    return tensors


@contextmanager
def _evaluating(encoder: VideoEncoder, device: torch.device) -> Iterator[None]:
    was_training, home = encoder.training, encoder.position_embedding.device
    encoder.eval().to(device)
    try:
        yield
    finally:
        encoder.train(was_training).to(home)


def _file_name(number: int) -> str:
    return f"clips-{number:05d}.safetensors"


def _is_cache(directory: Path) -> bool:
    return (directory / CACHE_NAME).is_file()
