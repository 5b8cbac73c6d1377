"""manifest: every file of a data folder, by its sha256."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.store.manifest import folder_hash, fresh_folder, read_manifest, write_manifest
from tests.helpers.stored import data_folder, sha256


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return data_folder(tmp_path)


def test_manifest_lists_every_file(data: Path) -> None:
    held = read_manifest(data)
    assert held["images"] == 2
    assert held["files"] == {
        "a.bin": sha256(data / "a.bin"),
        "deep/b.bin": sha256(data / "deep" / "b.bin"),
    }
    before = folder_hash(data)
    write_manifest(data, {"images": 2})
    assert folder_hash(data) == before
    (data / "a.bin").write_bytes(b"c")
    write_manifest(data, {"images": 2})
    assert folder_hash(data) != before
    with pytest.raises(FileNotFoundError, match="missing/manifest.json.*dvc repro"):
        read_manifest(data / "missing")


def test_fresh_folder_is_empty(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    (fresh_folder(folder) / "x").write_text("x")
    assert list(fresh_folder(folder).iterdir()) == []
