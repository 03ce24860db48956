"""Vectors of texts from a tower that is not trained: computed once, kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from soccermaster.models.text import TextEncoder
from soccermaster.ops.cache_folder import cache_folder

#: Texts that go through the tower at once.
_AT_ONCE = 64


class TextCache:
    """The vectors of one text tower; processes and runs share the file.

    The file is named after the tower's weights and what else decides a vector, so that another
    tower has another file. Vectors are computed and kept in float32, whatever the precision of the
    training.

    Args:
        folder: of the files; `texts` in the cache folder when None.

    Raises:
        OSError: on use, where the file cannot be read or written.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = cache_folder() / "texts" if folder is None else Path(folder)
        self.computed = 0  # texts that went through the tower
        self._vectors: dict[str, Tensor] = {}
        self._path: Path | None = None
        self._state: tuple[int, ...] = ()

    def __call__(self, tower: TextEncoder, texts: Sequence[str]) -> Float[Tensor, "n D"]:
        """Vectors as `tower.encode` gives them, detached, on the device of the tower."""
        self._follow(tower)
        missing = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if missing:
            self._vectors |= self._read(missing)
            missing = [text for text in missing if text not in self._vectors]
        for start in range(0, len(missing), _AT_ONCE):
            some = missing[start : start + _AT_ONCE]
            vectors = _encode(tower, some)
            self.computed += len(some)
            self._vectors |= dict(zip(some, vectors, strict=True))
            self._write(some)
        rows = [self._vectors[text] for text in texts]
        device = tower.position_embedding.device
        if not rows:
            return torch.empty(0, tower.project.out_features, device=device)
        return torch.stack(rows).to(device)

    def _follow(self, tower: TextEncoder) -> None:
        """Take the file of the tower's present weights."""
        state = tuple(n for p in tower.parameters() for n in (id(p), p._version, p.data_ptr()))
        if self._path is None or state != self._state:
            self._path = self.folder / f"{fingerprint(tower)}.sqlite"
            self._state = state
            self._vectors = {}

    def _read(self, texts: Sequence[str]) -> dict[str, Tensor]:
        if self._path is None or not self._path.is_file():
            return {}
        with self._opened() as file:
            found = {
                text: row
                for text in texts
                if (row := file.execute("SELECT v FROM texts WHERE k = ?", (text,)).fetchone())
            }
        return {
            t: torch.from_numpy(np.frombuffer(v, np.float32).copy()) for t, (v,) in found.items()
        }

    def _write(self, texts: Iterable[str]) -> None:
        assert self._path is not None
        rows = [(text, self._vectors[text].numpy().tobytes()) for text in texts]
        with self._opened() as file, file:
            file.execute("CREATE TABLE IF NOT EXISTS texts (k TEXT PRIMARY KEY, v BLOB NOT NULL)")
            file.executemany("INSERT OR IGNORE INTO texts VALUES (?, ?)", rows)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        assert self._path is not None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(sqlite3.connect(self._path, timeout=60)) as file:
                yield file
        except (sqlite3.Error, OSError) as error:
            raise OSError(
                f"expected a database of text vectors that can be read and written, got "
                f"{self._path}: {error}. Name a local folder with $SOCCERMASTER_CACHE, or "
                "delete the file if it is damaged."
            ) from error


def fingerprint(tower: TextEncoder) -> str:
    """A name for everything that decides the vector of a text."""
    digest = hashlib.blake2b(digest_size=16)
    tokenizer = tower.tokenizer(["[PLAYER] scores: 2-1, Größe!"], tower.max_length)
    heads = [block.attention.num_heads for block in tower.blocks]
    digest.update(repr((tokenizer.tolist(), tower.lowercase, tower.pool, heads)).encode())
    for name, tensor in tower.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().data)
    return digest.hexdigest()


@torch.no_grad()
def _encode(tower: TextEncoder, texts: Sequence[str]) -> Float[Tensor, "n D"]:
    with torch.autocast(tower.position_embedding.device.type, enabled=False):
        return tower.encode(texts).float().cpu()
