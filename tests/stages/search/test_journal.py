"""The journal of a sweep: its bytes, what a kill leaves, and damage that is noticed."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.search.journal import Journal, canonical

HEADER = {"space": "abc", "settings": {"seed": 1, "training": {"lr": 0.1, "sizes": (1, 2)}}}


def test_journal_bytes_are_canonical(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal.jsonl"
    Journal.open(path, {"b": 1, "a": [0.1, None]}).append({"z": 1e-07, "event": "start", "ä": True})
    assert path.read_bytes() == (
        b'{"check":"99272c12e9ef08ee","header":{"a":[0.1,null],"b":1}}\n'
        b'{"check":"7789ff74361a3ab0","event":"start","z":1e-07,"\\u00e4":true}\n'
    )


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.dictionaries(st.text(), FINITE | st.integers() | st.text()))
def test_canonical_json_does_not_depend_on_order_and_keeps_values(value: dict[str, Any]) -> None:
    assert canonical(dict(reversed(value.items()))) == canonical(value)
    assert json.loads(canonical(value)) == value
    assert "\n" not in canonical(value) and "\r" not in canonical(value)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_json_lacks_are_refused_before_anything_is_written(
    tmp_path: Path, value: float
) -> None:
    journal = Journal.open(tmp_path / "j", HEADER)
    before = journal.path.read_bytes()
    with pytest.raises(ValueError):
        journal.append({"value": value})
    assert journal.path.read_bytes() == before and journal.events == []


def test_events_in_memory_are_those_that_are_read_again(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j", HEADER)
    journal.append({"event": "done", "widths": (1, 2)})
    assert journal.events == [{"event": "done", "widths": [1, 2]}]
    assert journal.events == Journal.open(tmp_path / "j", HEADER).events


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_a_torn_last_line_is_dropped_before_the_next_append(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("torn") / "j"
    journal = Journal.open(path, HEADER)
    journal.append({"trial": 0})
    journal.append({"trial": 1})
    whole = path.read_bytes()
    kept = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:kept])
    again = Journal.open(path, HEADER)
    assert (
        path.read_bytes() == whole[: max(whole.rfind(b"\n", 0, kept) + 1, whole.index(b"\n") + 1)]
    )
    for trial in range(len(again.events), 2):
        again.append({"trial": trial})
    assert path.read_bytes() == whole


@pytest.mark.parametrize("damage", [b'{"tri', b"", b"[1]", b"\xff\xfe", b'{"trial":1}{"trial":1}'])
def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path, damage: bytes) -> None:
    journal = Journal.open(tmp_path / "j", HEADER)
    for trial in range(3):
        journal.append({"trial": trial})
    lines = journal.path.read_bytes().split(b"\n")
    journal.path.write_bytes(b"\n".join([*lines[:2], damage, *lines[3:]]))
    before = journal.path.read_bytes()
    with pytest.raises(ValueError, match=r"j, line 3 is damaged"):
        Journal.open(journal.path, HEADER)
    assert journal.path.read_bytes() == before


def test_another_header_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    path = tmp_path / "j"
    Journal.open(path, HEADER)
    Journal.open(path, json.loads(canonical(HEADER)))
    other = {"space": "abc", "settings": {"seed": 2, "training": {"lr": 0.2, "sizes": (1, 2)}}}
    with pytest.raises(ValueError, match=r"\(other settings\.seed, settings\.training\.lr\)"):
        Journal.open(path, other)
    with pytest.raises(ValueError, match=r"\(other settings\)"):
        Journal.open(path, {"space": "abc"})
    path.write_bytes(b'{"trial":0}\n')
    with pytest.raises(ValueError, match=r"\(other header\)"):
        Journal.open(path, HEADER)


def test_every_line_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    path, sync = tmp_path / "j", os.fsync

    def counting(descriptor: int) -> None:
        sizes.append(path.stat().st_size)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", counting)
    journal = Journal.open(path, HEADER)
    head = path.stat().st_size
    assert sizes == [head, head]  # the line, then the name in its folder
    journal.append({"trial": 0})
    assert sizes[2:] == [path.stat().st_size]
    with path.open("ab") as file:
        file.write(b"torn")
    Journal.open(path, HEADER)
    assert sizes[3:] == [sizes[2]]
