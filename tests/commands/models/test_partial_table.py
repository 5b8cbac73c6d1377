"""partial_table: rows that are there stay there, and rows of something else are not taken."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from commands.models.partial_table import PartialTable

SCHEMA = pa.schema([("file", pa.string()), ("index", pa.int32())])
KEY = {"net": "a", "options": "b", "files": "c"}


def rows(*files: str) -> pa.RecordBatch:
    return pa.record_batch({"file": [*files], "index": [len(f) for f in files]}, schema=SCHEMA)


def filled(path: Path) -> list[int]:
    """Where each of three batches ends, after the head."""
    ends = []
    with PartialTable(path, SCHEMA, KEY) as table:
        ends.append(path.stat().st_size)
        for batch in (rows("a", "b"), rows("c", "c", "c"), rows("ü")):
            table.append(batch, 1)
            ends.append(path.stat().st_size)
    return ends


def test_torn_anywhere_the_whole_batches_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.part"
    ends = filled(path)
    data = path.read_bytes()
    for length in range(len(data) + 1):
        path.write_bytes(data[:length])
        whole = max(0, sum(length >= end for end in ends) - 1)
        with PartialTable(path, SCHEMA, KEY) as table:
            assert table.files == [0, 2, 3, 4][whole], length
            assert path.stat().st_size == ends[whole], length
            table.append(rows("z"), 1)
            found = [name for batch in table.batches() for name in batch["file"].to_pylist()]
            assert found == [*"abcccü"[: [0, 2, 5, 6][whole]], "z"], length


def test_without_rows_nothing_is_left(tmp_path: Path) -> None:
    with PartialTable(tmp_path / "made/t.part", SCHEMA, KEY):
        assert (tmp_path / "made/t.part").is_file()
    assert not list((tmp_path / "made").iterdir())


@pytest.mark.parametrize("word", KEY)
def test_rows_of_something_else_are_refused_and_kept(word: str, tmp_path: Path) -> None:
    path = tmp_path / "t.part"
    filled(path)
    data = path.read_bytes()
    with pytest.raises(ValueError, match=f"stopped, with another {word}: repeat that command"):
        PartialTable(path, SCHEMA, {**KEY, word: "other"})
    with pytest.raises(ValueError, match="stopped, with another form"):
        PartialTable(path, SCHEMA.append(pa.field("more", pa.string())), KEY)
    assert path.read_bytes() == data


@pytest.mark.parametrize("data", [b"x", b"a, table\n" * 99, b"\xff\xff\xff\xff" + b"\0" * 400])
def test_files_of_others_are_refused_and_kept(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "t.part"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="t.part is no table that predict has begun"):
        PartialTable(path, SCHEMA, KEY)
    assert path.read_bytes() == data


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with PartialTable(tmp_path / "t.part", SCHEMA, KEY) as table:
        table.append(rows("a"), 1)
        with pytest.raises(ValueError, match="another process writes this table"):
            PartialTable(tmp_path / "t.part", SCHEMA, KEY)
    with PartialTable(tmp_path / "t.part", SCHEMA, KEY) as table:
        assert table.files == 1
