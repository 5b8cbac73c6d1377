"""Which files a stage runs, and the refusal of files that are not those of its list."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.runtime import code, listings
from stages.runtime.listings import check_code, list_of, listing, stage_names

FILES = {
    "stages/__init__.py": "",
    "stages/toy.py": "from stages.room import a\n",
    "stages/other.py": "x = 1\n",
    "stages/room/a.py": "def f():\n    import stages.room.b\n",
    "stages/room/b.py": "",
    "stages/room/c.py": "",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two stages, with the list of one of them."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(code, "ROOT", tmp_path)
    monkeypatch.setattr(listings, "ROOT", tmp_path)
    list_of("toy").parent.mkdir(parents=True)
    list_of("toy").write_text(json.dumps(listing("toy")))
    return tmp_path


def test_stages_are_the_files_and_not_the_folders(root: Path) -> None:
    assert stage_names() == ["other", "toy"]


def test_a_list_has_what_is_imported_directly_or_not(root: Path) -> None:
    assert list(listing("toy")) == ["stages/room/a.py", "stages/room/b.py", "stages/toy.py"]
    assert list(listing("other")) == ["stages/other.py"]


def test_files_that_are_read_go_with_the_file_that_reads_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listings, "READ", {"stages/room/b.py": ["stages/room/*.txt"]})
    (root / "stages/room/x.txt").touch()
    assert "stages/room/x.txt" in listing("toy") and "stages/room/x.txt" not in listing("other")


def test_no_such_stage(root: Path) -> None:
    with pytest.raises(OSError, match="none.py"):
        listing("none")


EDITS: dict[str, tuple[Callable[[Path], object], str]] = {
    "edited": (
        lambda root: (root / "stages/room/b.py").write_text("# remark\n"),
        "stages/room/b.py changed",
    ),
    "one more": (
        lambda root: (root / "stages/room/b.py").write_text("import stages.room.c\n"),
        "stages/room/b.py and 1 more changed",
    ),
    "one less": (
        lambda root: (root / "stages/room/a.py").write_text(""),
        "stages/room/a.py and 1 more changed",
    ),
}


@pytest.mark.parametrize("edit", list(EDITS))
def test_a_stage_whose_files_differ_is_refused(root: Path, edit: str) -> None:
    check_code("toy")
    change, said = EDITS[edit]
    change(root)
    with pytest.raises(ValueError, match=f"^{said} after the stage code .*'dvc repro code'"):
        check_code("toy")


def test_an_edit_elsewhere_is_no_reason(root: Path) -> None:
    (root / "stages/other.py").write_text("x = 2\n")
    (root / "stages/room/c.py").write_text("x = 2\n")
    check_code("toy")


def test_without_a_list_nothing_runs(root: Path) -> None:
    with pytest.raises(ValueError, match=r"metrics/code/other.json is missing.*'dvc repro code'"):
        check_code("other")


def test_a_damaged_list_is_named(root: Path) -> None:
    list_of("toy").write_text('{"stages/toy.py"')
    with pytest.raises(ValueError, match="metrics/code/toy.json is not valid JSON"):
        check_code("toy")
