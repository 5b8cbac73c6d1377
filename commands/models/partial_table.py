"""A table under way: rows are appended, and a stop or a kill loses none that are there.

The file is an Arrow stream beside the table that it becomes. Its schema carries what the rows are
of; rows of something else are never put together with them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.compute as pc

from stages.store.locks import lock

KEY = b"mimicnets.table"


class PartialTable:
    """Rows that are there already, and those that are appended.

    A context manager; within it no other process can open the same file.

    Attributes:
        path: its file.
        files: how many files its rows are of.
    """

    def __init__(self, path: Path, schema: pa.Schema, key: Mapping[str, str]) -> None:
        """
        Args:
            path: see `table_names.partial_path`.
            schema: of the rows, which has a column `file`.
            key: what the rows are of, by the word that an error calls it.

        Raises:
            ValueError: another process writes it, or it is of something else.
            OSError: it cannot be written.
        """
        self.path = path
        self.files = 0
        self._key = dict(key)
        self._schema = schema.with_metadata({KEY: json.dumps(self._key)})

        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        try:
            lock(self._file, wait=False)
            self._open()
        except BlockingIOError:
            self._file.close()
            raise ValueError(f"{path}: another process writes this table: wait for it") from None
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> None:
        """Find the last whole rows, and go on after them."""
        head = self._schema.serialize().to_pybytes()
        with self.path.open("rb") as file:
            start = file.read(len(head))

        # A kill may have come before the head was written.
        if len(start) < len(head) and head.startswith(start):
            end = 0
        else:
            self._check_head()
            for stop, batch in self._whole():
                end = stop
                self.files += pc.count_distinct(batch["file"]).as_py() if batch else 0

        self._file.truncate(end)
        if not end:
            self._write(head)

    def _check_head(self) -> None:
        """The file is of the same rows.

        Raises:
            ValueError: it is not.
        """
        try:
            with pa.OSFile(str(self.path)) as file:
                found = pa.ipc.open_stream(file).schema
            key = json.loads((found.metadata or {})[KEY])
            other = [name for name, value in self._key.items() if key.get(name) != value]
        except (pa.ArrowException, OSError, KeyError, ValueError, AttributeError) as error:
            raise ValueError(
                f"{self.path} is no table that predict has begun: choose another --out, or remove it"
            ) from error

        if other or not found.equals(self._schema):
            raise ValueError(
                f"{self.path} has the rows of a command that was stopped, with another "
                f"{' and '.join(other) or 'form'}: repeat that command to finish it, or remove the file "
                "to begin anew"
            )

    def _whole(self) -> Iterator[tuple[int, pa.RecordBatch | None]]:
        """After the head and each of the batches that are whole: where they end, and the batch."""
        with pa.OSFile(str(self.path)) as file:
            stream = pa.ipc.open_stream(file)
            yield file.tell(), None
            while True:
                try:
                    batch = stream.read_next_batch()
                except (StopIteration, pa.ArrowInvalid):
                    return
                except OSError as error:
                    if error.errno is not None:  # of the disk; else the last rows are torn
                        raise
                    return
                yield file.tell(), batch

    def append(self, batch: pa.RecordBatch, files: int) -> None:
        """Add the rows of some more files, all rows of each.

        Raises:
            OSError: no room.
        """
        self._write(batch.serialize().to_pybytes())
        self.files += files

    def _write(self, data: bytes) -> None:
        self._file.buffer.write(data)
        self._file.flush()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows from the first, a few at a time."""
        return (batch for _, batch in self._whole() if batch is not None)

    def remove(self) -> None:
        """The table is whole elsewhere, or there are no rows."""
        self.path.unlink()

    def __enter__(self) -> PartialTable:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file; one without rows is removed."""
        if not self.files:
            self.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a full disk has been said before
            self._file.close()
