"""Tables as CSV and parquet files, written a few rows at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from stages.store.atomic import write_buffers

AT_ONCE = 1 << 24
"""Bytes of rows that are gathered before they are written."""


def check_replaceable(out: Path, columns: list[str]) -> None:
    """There is no such file, or one with the same columns, which a new table may replace.

    Raises:
        ValueError: there is something else.
    """
    if not out.exists():
        return

    try:
        found = _columns(out)
    except (OSError, ValueError, csv.Error):
        found = None
    if found != columns:
        raise ValueError(
            f"--out is {out}, which is there already and has other columns than this table: choose "
            "another name, or remove it"
        )


def _columns(path: Path) -> list[str]:
    """Names of the columns of a table."""
    if path.suffix.lower() == ".parquet":
        return list(pa.parquet.read_schema(path).names)
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file), [])


def write_table(out: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write rows to a file, which is there whole or not at all.

    Raises:
        OSError: no room, no permission; then `out` is as it was.
    """
    parts = _gathered(schema, batches)
    is_parquet = out.suffix.lower() == ".parquet"
    write_buffers(out, (_parquet if is_parquet else _csv)(schema, parts))


def _gathered(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Rows in portions of AT_ONCE bytes or somewhat more."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if size >= AT_ONCE:
            yield pa.Table.from_batches(held).cast(schema)
            held, size = [], 0
    if held:
        yield pa.Table.from_batches(held).cast(schema)


def _csv(schema: pa.Schema, parts: Iterable[pa.Table]) -> Iterator[bytes]:
    """UTF-8 with a head; texts in quotes, nothing for an empty field."""
    yield _csv_bytes(schema.empty_table(), head=True)
    for part in parts:
        yield _csv_bytes(part, head=False)


def _csv_bytes(part: pa.Table, head: bool) -> bytes:
    sink = io.BytesIO()
    pa.csv.write_csv(part, sink, pa.csv.WriteOptions(include_header=head))
    return sink.getvalue()


def _parquet(schema: pa.Schema, parts: Iterable[pa.Table]) -> Iterator[bytes]:
    """A row group for each portion."""
    sink = _Drained()
    with pa.parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for part in parts:
            writer.write_table(part)
            yield sink.drain()
    yield sink.drain()


class _Drained(io.RawIOBase):
    """A file of which only what was written last is in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._place = 0
        self._last: list[bytes] = []

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def write(self, data: object) -> int:
        self._last.append(bytes(data))  # type: ignore[call-overload]
        self._place += len(self._last[-1])
        return len(self._last[-1])

    def drain(self) -> bytes:
        """What was written since the last time."""
        data = b"".join(self._last)
        self._last = []
        return data
