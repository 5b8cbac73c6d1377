"""table_files: what is written can be read, in portions of any size."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from commands.models import table_files
from commands.models.table_files import check_replaceable, write_table

SCHEMA = pa.schema([("file", pa.string()), ("probability", pa.float32()), ("error", pa.string())])
FILES = ["a,b", 'q"', "line\nfeed", "return\r", "ü", "", "NA", "7"]


def batches(count: int) -> list[pa.RecordBatch]:
    made = np.random.default_rng(1).random((count, len(FILES)), np.float32)
    lacking = [None] * len(FILES)
    return [
        pa.record_batch({"file": FILES, "probability": row, "error": lacking}, schema=SCHEMA)
        for row in made
    ]


@pytest.mark.parametrize("at_once", [1, 1000, 1 << 24])
@pytest.mark.parametrize("count", [0, 1, 40])
def test_rows_come_back(
    count: int, at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_files, "AT_ONCE", at_once)
    wanted = pa.Table.from_batches(batches(count), SCHEMA)
    write_table(tmp_path / "t.parquet", SCHEMA, batches(count))
    write_table(tmp_path / "t.csv", SCHEMA, batches(count))

    found = pq.read_table(tmp_path / "t.parquet")
    assert found.equals(wanted)
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert head == SCHEMA.names and [row[0] for row in rows] == FILES * count
    shares = np.array([float(row[1]) for row in rows], np.float32)
    np.testing.assert_array_equal(shares, wanted["probability"].to_numpy())
    assert all(row[2] == "" for row in rows)

    read = pd.read_csv(tmp_path / "t.csv", keep_default_na=False, dtype={"file": str})
    assert read.file.tolist() == FILES * count
    for name in ("t.csv", "t.parquet"):
        check_replaceable(tmp_path / name, SCHEMA.names)
        with pytest.raises(ValueError, match="has other columns than this table"):
            check_replaceable(tmp_path / name, [*SCHEMA.names, "more"])


def test_a_table_that_a_spreadsheet_has_saved_is_known(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\ufefffile,probability,error\r\n", encoding="utf-8")
    check_replaceable(tmp_path / "t.csv", SCHEMA.names)


def test_what_fails_leaves_the_old_table(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(path, SCHEMA, batches(1))
    before = path.read_bytes()

    def failing():
        yield from batches(2)
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        write_table(path, SCHEMA, failing())
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
