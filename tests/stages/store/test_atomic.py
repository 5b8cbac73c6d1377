"""atomic: a file is whole or absent, also when writing fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stages.store import atomic


@pytest.mark.parametrize("broken", ["replace", "fsync", "chmod"])
def test_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = tmp_path / "file.json"
    atomic.write_text(path, "old")

    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, broken, fail)
    with pytest.raises(OSError, match="No space"):
        atomic.write_text(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_interrupted_write_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic.os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        atomic.write_bytes(tmp_path / "file", b"new")
    assert list(tmp_path.iterdir()) == []


def test_buffers_are_joined_and_a_failing_one_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    atomic.write_buffers(path, (b"a", memoryview(b"bc"), b"", b"d" * 100_000))
    assert path.read_bytes() == b"abc" + b"d" * 100_000

    def broken() -> Iterator[bytes]:
        yield b"new"
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        atomic.write_buffers(path, broken())
    assert path.stat().st_size == 100_003 and list(path.parent.iterdir()) == [path]


def test_write_replaces_read_only_links_and_not_what_they_point_to(tmp_path: Path) -> None:
    """DVC's outputs may be read-only hard links into its cache."""
    cached, path = tmp_path / "cache", tmp_path / "deep" / "file"
    cached.write_bytes(b"old")
    cached.chmod(0o444)
    atomic.link_or_copy(cached, path)
    assert path.samefile(cached)
    atomic.write_bytes(path, b"new")
    assert (cached.read_bytes(), path.read_bytes()) == (b"old", b"new")
    assert path.stat().st_mode & 0o777 == 0o644


def test_link_or_copy_copies_where_links_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"x")
    target.write_bytes(b"old")
    monkeypatch.setattr(
        atomic.os, "link", lambda *a: (_ for _ in ()).throw(OSError("cross-device"))
    )
    atomic.link_or_copy(source, target)
    assert target.read_bytes() == b"x" and not target.samefile(source)


def test_json_round_trip_and_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    atomic.write_json(path, {"b": 0.1, "a": [1, None, "ü"]})
    assert list(atomic.read_json(path)) == ["b", "a"]
    assert atomic.read_json(path) == {"b": 0.1, "a": [1, None, "ü"]}
    with pytest.raises(ValueError, match="JSON compliant"):
        atomic.write_json(path, float("nan"))
    assert atomic.read_json(path)["b"] == 0.1
    for bad in (b"{", b"\xff", b""):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match="x.json is not valid JSON"):
            atomic.read_json(path)
    with pytest.raises(FileNotFoundError, match="y.json"):
        atomic.read_json(tmp_path / "y.json")
