"""What makes a server another one: variables, folder, interpreter, code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from commands.running import identity

PLAIN = {"PATH": "/bin", "HOME": "/root"}


@pytest.mark.parametrize(
    "other",
    [
        {**PLAIN, "HOME": "/"},
        {**PLAIN, "OMP_NUM_THREADS": "1"},
        {"PATH": "/bin"},
        {**PLAIN, "DVC_ROOT": "/x"},
    ],
)
def test_another_variable_is_another_identity(other: dict[str, str]) -> None:
    assert identity.surroundings(other) != identity.surroundings(PLAIN)


def test_the_name_of_the_stage_is_not_part_of_it() -> None:
    stage = {**PLAIN, "DVC_STAGE": "students@conv1-60k", "SHLVL": "2", "_": "/bin/python"}
    assert identity.surroundings(stage) == identity.surroundings(PLAIN)
    assert identity.surroundings(dict(reversed(PLAIN.items()))) == identity.surroundings(PLAIN)


def test_variables_that_are_not_text_are_compared_too() -> None:
    first, second = ({**PLAIN, "X": os.fsdecode(value)} for value in (b"\xff", b"\xfe"))
    assert identity.surroundings(first) != identity.surroundings(second)


def test_the_folder_and_the_interpreter_are_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identity.surroundings(PLAIN)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/usr/bin/other")
        assert identity.surroundings(PLAIN) != before
    monkeypatch.chdir(tmp_path)
    assert identity.surroundings(PLAIN) != before


EDITS: dict[str, Callable[[Path], object]] = {
    "edited": lambda root: (root / "stages/a.py").write_text("x = 2\n"),
    "new": lambda root: (root / "commands/deep/new.py").touch(),
    "gone": lambda root: (root / "commands/deep/b.py").unlink(),
    "renamed": lambda root: (root / "stages/a.py").rename(root / "stages/c.py"),
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two files."""
    for name in ("stages/a.py", "commands/deep/b.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.setattr(identity, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize("how", list(EDITS))
def test_every_edit_is_other_code(root: Path, how: str) -> None:
    before = identity.code()
    EDITS[how](root)
    assert identity.code() != before


def test_code_is_python_files_of_the_project_by_their_bytes(root: Path) -> None:
    before = identity.code()
    (root / "stages/a.py").touch()
    (root / "stages/notes.txt").touch()
    (root / "other.py").touch()
    assert identity.code() == before
