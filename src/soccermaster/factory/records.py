"""What the stages of the factory write: typed tables, one per kind, sorted by time.

Every row says where it comes from (`source`), and a confidence is what a model said, NaN where none
said anything. Frames count from 0 within the clip, boxes are in continuous pixels of the clip's own
frame size, positions in metres of the centred pitch frame. Rows about one person in one frame are
joined over kinds by `detection_id`, rows about a tracklet by `track_id`.

Unknown: -1 in integer columns, NaN in numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Int

from soccermaster.vocabulary import UNKNOWN

_ID, _FRAME, _CLASS, _NUMBER = pa.int64(), pa.int32(), pa.int8(), pa.int16()
_FLOAT, _TEXT = pa.float32(), pa.string()
_OF_DETECTION = (("frame", _FRAME), ("detection_id", _ID))
_LAST = (("confidence", _FLOAT), ("source", _TEXT))


def _schema(*fields: tuple[str, pa.DataType]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields])


#: The columns of each kind of table.
SCHEMAS: dict[str, pa.Schema] = {
    # Runs of frames of one camera: first_frame..last_frame, both inclusive; camera "main" or not.
    "shots": _schema(("frame", _FRAME), ("last_frame", _FRAME), ("camera", _TEXT), *_LAST),
    # People found; category: index in vocabulary.ROLES where the detector knows it.
    "detections": _schema(
        *_OF_DETECTION,
        ("box_xyxy_px", pa.list_(_FLOAT, 4)),
        ("category", _CLASS),
        *_LAST,
    ),
    "embeddings": _schema(*_OF_DETECTION, ("vector", pa.list_(_FLOAT)), *_LAST),
    # Mean colour of the upper body without grass: L, a, b in 0..255 (OpenCV).
    "colours": _schema(*_OF_DETECTION, ("lab", pa.list_(_FLOAT, 3)), *_LAST),
    # Whose detection it is; a detection without a row belongs to nobody.
    "track_ids": _schema(*_OF_DETECTION, ("track_id", _FRAME), *_LAST),
    # A camera per frame. A camera that is not valid is NaN, never a neighbour's or an old one.
    # observed: the frame's own markings agree with it; error_px: mean reprojection error.
    "cameras": _schema(
        ("frame", _FRAME),
        ("K", pa.list_(pa.float64(), 9)),
        ("R", pa.list_(pa.float64(), 9)),
        ("position_m", pa.list_(pa.float64(), 3)),
        ("valid", pa.bool_()),
        ("observed", pa.bool_()),
        ("error_px", _FLOAT),
        *_LAST,
    ),
    # Where the lower edge of a box meets the ground: left, middle, right as x0 y0 x1 y1 x2 y2.
    "positions": _schema(*_OF_DETECTION, ("left_middle_right_m", pa.list_(_FLOAT, 6)), *_LAST),
    "legibility": _schema(*_OF_DETECTION, *_LAST),  # confidence: that a number can be read
    # number: 0..99, 100 has none to see, -1 was not understood; answer: of the reader, as it came.
    "numbers": _schema(*_OF_DETECTION, ("number", _NUMBER), ("answer", _TEXT), *_LAST),
    "roles": _schema(*_OF_DETECTION, ("role", _CLASS), ("answer", _TEXT), *_LAST),
    # One decision per tracklet; confidence: share of the votes.
    "track_numbers": _schema(("track_id", _FRAME), ("number", _NUMBER), ("votes", _FRAME), *_LAST),
    "track_roles": _schema(("track_id", _FRAME), ("role", _CLASS), ("votes", _FRAME), *_LAST),
    "track_clusters": _schema(("track_id", _FRAME), ("cluster", _CLASS), *_LAST),
    # team: index in vocabulary.TEAMS; per detection, for a rule may decide frame by frame.
    "teams": _schema(*_OF_DETECTION, ("team", _CLASS), *_LAST),
    # Files of the clip, relative to the output, without a hash where there are none; frame is 0.
    "files": _schema(("frame", _FRAME), ("path", _TEXT), ("sha256", _TEXT), *_LAST),
}
_SORT_KEYS = ("frame", "track_id", "detection_id")


class RecordsError(ValueError):
    """A table does not have the columns of its kind, or is not there."""


class Records(Mapping[str, pa.Table]):
    """The tables that a clip has so far, by kind. Never changed: `replace` gives new ones."""

    def __init__(self, tables: Mapping[str, pa.Table] | None = None) -> None:
        self._tables = dict(tables or {})
        for kind, table in self._tables.items():
            check_table(kind, table)

    def __getitem__(self, kind: str) -> pa.Table:
        if kind not in self._tables:
            raise RecordsError(
                f"expected records of kind {kind!r}, got {sorted(self._tables)}. "
                "Put a stage that provides them before the one that asks."
            )
        return self._tables[kind]

    def __contains__(self, kind: object) -> bool:
        return kind in self._tables

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def replace(self, **tables: pa.Table) -> Records:
        """The records with some kinds added or replaced."""
        return Records(self._tables | tables)

    def array(self, kind: str, column: str) -> np.ndarray:
        """A column of a table, see `array`."""
        return array(self[kind], column)


def make_table(kind: str, *, source: str | np.ndarray, **columns: Any) -> pa.Table:
    """A table of a kind, sorted by time.

    Args:
        kind: a key of `SCHEMAS`.
        source: what made the rows: one word for all, or one per row.
        **columns: every other column of the kind, as arrays with one row per record; confidence may
            be left out (NaN: nothing said how sure it is).

    Raises:
        RecordsError: unknown kind, other columns than the kind has, or different lengths.
    """
    schema = _schema_of(kind)
    names = [name for name in schema.names if name not in ("source", "confidence")]
    if set(columns) - {"confidence"} != set(names):
        raise RecordsError(f"{kind}: expected the columns {names}, got {sorted(columns)}")
    num_rows = len(columns[names[0]])
    columns.setdefault("confidence", np.full(num_rows, np.nan, np.float32))
    columns["source"] = np.full(num_rows, source, object) if isinstance(source, str) else source
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise RecordsError(f"{kind}: expected columns of one length, got {lengths}")
    order = _order(columns)
    arrays = [_arrow(columns[field.name], field, order, kind) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def empty_table(kind: str) -> pa.Table:
    """A table of a kind without rows."""
    return _schema_of(kind).empty_table()


def array(table: pa.Table, column: str) -> np.ndarray:
    """A column as a numpy array; a column of lists as (rows, length)."""
    values = table[column].combine_chunks()
    if pa.types.is_fixed_size_list(values.type):
        flat = values.flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(len(values), values.type.list_size)
    if pa.types.is_list(values.type):
        flat = values.flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(len(values), -1) if len(values) else np.zeros((0, 0), np.float32)
    return values.to_numpy(zero_copy_only=False)


def rows_of(table: pa.Table, ids: Int[np.ndarray, " n"], key: str = "detection_id") -> np.ndarray:
    """The row of each id in a table whose ids are unique, -1 where the table has none."""
    known = array(table, key)
    ids = np.asarray(ids)
    if not len(known):
        return np.full(len(ids), UNKNOWN)
    order = np.argsort(known, kind="stable")
    place = np.minimum(np.searchsorted(known, ids, sorter=order), len(known) - 1)
    rows = order[place]
    return np.where(known[rows] == ids, rows, UNKNOWN)


def values_of(
    table: pa.Table,
    column: str,
    ids: Int[np.ndarray, " n"],
    missing: Any,
    key: str = "detection_id",
) -> np.ndarray:
    """A column looked up by id; `missing` where the table has no such row."""
    rows, values = rows_of(table, ids, key), array(table, column)
    shape = (len(rows), *values.shape[1:])
    found = np.full(shape, missing, dtype=values.dtype)
    found[rows >= 0] = values[rows[rows >= 0]]
    return found


def check_table(kind: str, table: pa.Table) -> None:
    """Check columns, types and order of a table.

    Raises:
        RecordsError: the table is not what its kind says.
    """
    schema = _schema_of(kind)
    if not table.schema.equals(schema):
        raise RecordsError(f"{kind}: expected the columns\n{schema}\ngot\n{table.schema}")
    first = "frame" if "frame" in schema.names else "track_id"
    if table.num_rows > 1:
        values = array(table, first)
        if (np.diff(values) < 0).any():
            raise RecordsError(f"{kind}: expected rows sorted by {first}. Use make_table.")
    for key in ("detection_id", "track_id"):
        if key in schema.names and not (key == "track_id" and kind == "track_ids"):
            count = pc.count_distinct(table[key]).as_py()
            if count != table.num_rows:
                raise RecordsError(
                    f"{kind}: expected every {key} once, got {table.num_rows} rows for {count}"
                )


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table as Parquet."""
    pq.write_table(table, path, compression="zstd")


def read_table(path: Path, kind: str) -> pa.Table:
    """Read what `write_table` wrote.

    Raises:
        RecordsError: it does not have the columns of its kind.
    """
    table = pq.read_table(path).cast(_schema_of(kind))
    check_table(kind, table)
    return table


def _schema_of(kind: str) -> pa.Schema:
    if kind not in SCHEMAS:
        raise RecordsError(f"expected a kind of {', '.join(SCHEMAS)}, got {kind!r}")
    return SCHEMAS[kind]


def _order(columns: Mapping[str, Any]) -> np.ndarray:
    keys = [np.asarray(columns[key]) for key in _SORT_KEYS if key in columns]
    return np.lexsort(keys[::-1])


def _arrow(column: Any, field: pa.Field, order: np.ndarray, kind: str) -> pa.Array:
    if pa.types.is_string(field.type):
        return pa.array([str(column[i]) for i in order], field.type)
    if pa.types.is_fixed_size_list(field.type) or pa.types.is_list(field.type):
        values = np.asarray(column)
        width = field.type.list_size if pa.types.is_fixed_size_list(field.type) else None
        values = values.reshape(len(order), width or -1) if len(order) else values.reshape(0, 1)
        if width is not None and len(order) and values.shape[1] != width:
            raise RecordsError(f"{kind}.{field.name}: expected {width} values per row")
        flat = pa.array(np.ascontiguousarray(values[order]).ravel(), field.type.value_type)
        if width is not None:
            return pa.FixedSizeListArray.from_arrays(flat, type=field.type)
        offsets = np.arange(len(order) + 1, dtype=np.int32) * (values.shape[1] if len(order) else 0)
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat, type=field.type)
    values = np.asarray(column)[order] if len(order) else np.zeros(0)
    try:
        return pa.array(values.astype(field.type.to_pandas_dtype()), field.type)
    except (pa.ArrowInvalid, ValueError, TypeError) as error:
        raise RecordsError(f"{kind}.{field.name}: expected {field.type}, got {error}") from error
