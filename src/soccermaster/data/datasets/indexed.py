"""What every dataset on disk shares: it is read from an index, which is built where it is stale."""

from __future__ import annotations

import functools
import hashlib
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from soccermaster.data.datasets.base import ClipDataset
from soccermaster.data.download import Download
from soccermaster.data.indexing.index import (
    Index,
    IndexedPart,
    Part,
    Scan,
    build_index,
    explain_stale,
    index_path,
    is_index_of,
    stale_parts,
)
from soccermaster.data.indexing.problems import Problems

SPLITS: tuple[str, ...] = ("train", "valid", "test")


@dataclass
class Summary:
    """What a report says about an index, in plain values.

    Attributes:
        splits: by split: clips, and how many annotations of each field and class there are.
        lists: of clip lists, by "source/split".
        problems: those that show when all parts are seen together.
    """

    splits: dict[str, dict[str, Any]]
    lists: dict[str, dict[str, int]] | None = None
    problems: Problems = field(default_factory=Problems)


class IndexedClips(ClipDataset):
    """A dataset on disk.

    Attributes:
        version: of `scan` and `schema`; a change makes all indexes stale.
        schema: columns of the index.
        options: arguments of the dataset that matter to `summarize`.
        download: where the files come from.
    """

    version: ClassVar[str]
    schema: ClassVar[pa.Schema]
    options: ClassVar[tuple[str, ...]] = ()
    download: ClassVar[Download | None] = None

    @classmethod
    @abstractmethod
    def parts(cls, root: Path | str, split: str | None = None) -> list[Part]:
        """The pieces of a split, or of all splits that are there.

        Raises:
            DatasetError: nothing is there.
        """

    @classmethod
    @abstractmethod
    def scan(cls, part: Part, root: Path, check_media: bool) -> Scan:
        """Read a part for the index.

        Args:
            part: of `parts`.
            root: of the dataset, absolute.
            check_media: also open every picture or video.
        """

    @classmethod
    @abstractmethod
    def summarize(cls, index: Index, **options: Any) -> Summary:
        """Counts for a report; `options` are the arguments of the dataset in the configuration."""

    @classmethod
    @abstractmethod
    def own_folders(cls, root: Path) -> list[Path]:
        """The folders that nothing is ever written to."""

    @classmethod
    def build(
        cls,
        root: Path | str,
        split: str | None = None,
        output: Path | str | None = None,
        *,
        check_media: bool = False,
        **options: Any,
    ) -> Index:
        """Writes the index of a split or of all, or what has changed of it.

        Args:
            root: of the dataset.
            split: None takes all that are there.
            output: folder or Parquet file of the index; None: the cache folder.
            check_media: also open every picture or video.
            **options: see `build_index`.
        """
        root = Path(root).resolve()
        return build_index(
            cls.index_file(root, output),
            cls.parts(root, split),
            functools.partial(cls.scan, root=root, check_media=check_media),
            cls.schema,
            cls.version,
            keep=lambda part: split is not None and part.split != split,
            is_enough=lambda part: part.facts["checked_media"] or not check_media,
            **options,
        )

    @classmethod
    def index_file(cls, root: Path | str, output: Path | str | None = None) -> Path:
        """The index file in a folder, or in the cache folder; `output` may be the file itself."""
        if output is not None and Path(output).suffix == ".parquet":
            return Path(output)
        return index_path(cls.name, root, output)

    def _open_index(
        self,
        root: Path | str,
        split: str,
        index: Path | str | None,
        reading: tuple[Any, ...] = (),
        wanted: Callable[[IndexedPart], bool] = lambda part: True,
    ) -> tuple[Index, list[IndexedPart]]:
        """The index and its wanted parts of a split; built if no path was given and it is stale.

        Their files and `reading`, the arguments that change what a clip holds, make the
        fingerprint.

        Raises:
            DatasetError: the given index is not of the files as they are now, or the labels break
                the format.
        """
        parts = self.parts(Path(root).resolve(), split)
        file = self.index_file(root, index)
        if index is not None:
            opened = Index(file, self.version)
            stale = stale_parts(opened, parts, split)
            if stale:
                raise explain_stale(opened, stale)
        elif is_index_of(file, self.version):
            opened = Index(file, self.version)
            if stale_parts(opened, parts, split):
                opened = self.build(root, split)
        else:
            opened = self.build(root, split)
        of_split = [part for part in opened.split(split) if wanted(part)]
        problems = Problems()
        for part in of_split:
            problems.merge(part.problems)
        problems.raise_if_refused()
        problems.warn_if_corrected()
        read = repr((self.version, reading, [(part.key, part.stamps) for part in of_split]))
        self.fingerprint = hashlib.blake2b(
            read.encode("utf-8", "surrogateescape"), digest_size=16
        ).hexdigest()
        return opened, of_split


def count_by(values: Sequence[str | None] | pa.ChunkedArray) -> dict[str, int]:
    """How often each value occurs, most frequent first; null is not counted."""
    values = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
    counts = values.drop_null().value_counts().to_pylist()
    return {
        str(entry["values"]): entry["counts"]
        for entry in sorted(counts, key=lambda entry: (-entry["counts"], str(entry["values"])))
    }
