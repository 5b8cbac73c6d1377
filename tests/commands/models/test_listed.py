"""listed: every file of a folder, in one order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from commands.models import listed
from commands.models.listed import all_below, all_labelled


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def test_pictures_at_any_depth_in_the_order_of_their_paths(tmp_path: Path) -> None:
    folder = made(tmp_path / "f", "b.PNG", "a/z.jpg", "a/b/c.webp", "a.png", "x.npy", ".d/e.png")
    (folder / "link.png").symlink_to("nowhere")
    (folder / "folder.png").mkdir()
    (folder / "again").symlink_to(folder)
    found = all_below(folder, False, folder / "t.csv")
    assert found.names == ["a/b/c.webp", "a/z.jpg", "a.png", "b.PNG", "link.png"]
    assert found.labels is None and found.notes == [
        "passed over 1 folders that are links: again",
        "passed over 1 files with other endings: x.npy",
    ]
    assert [file.name for file in all_below(folder, True, Path("t.csv")).files] == ["x.npy"]


def test_a_folder_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its pictures would be lacking in silence."""
    folder = made(tmp_path, "a.png", "closed/b.png")
    scan = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(PermissionError, match="closed"):
        all_below(folder, False, Path("t.csv"))


def test_the_hash_changes_with_names_labels_and_content(tmp_path: Path) -> None:
    folder = made(tmp_path / "f", "a/1.png", "b/2.png")
    first = all_labelled(folder, ["a", "b"]).hash()
    assert all_labelled(folder, ["a", "b"]).hash() == first
    assert all_labelled(folder, ["b", "a"]).hash() != first
    assert all_below(folder, False, Path("t.csv")).hash() != first
    (folder / "a/1.png").write_bytes(b"longer than before")
    assert all_labelled(folder, ["a", "b"]).hash() != first


def test_notes_name_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listed, "NAMED", 2)
    folder = made(tmp_path, "p.png", "c.txt", "a.txt", "b.txt")
    (note,) = all_below(folder, False, Path("t.csv")).notes
    assert note == "passed over 3 files with other endings: a.txt, b.txt and 1 more"
