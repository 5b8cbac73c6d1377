"""Locks, and file systems that have none."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.runtime.work import work_folder
from stages.store import locks
from stages.store.atomic import alone, sync_folder, write_text
from stages.teachers import __file__ as STAGE


def failing(number: int) -> Callable[..., None]:
    """A system call that gives this error."""

    def call(*arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    return call


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_said", [])


@pytest.mark.parametrize("number", locks.WITHOUT)
def test_without_locks_a_stage_works_and_says_so_once(
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(number))
    for seed in (1, 2):
        with work_folder("teachers", {"seed": seed}, [], STAGE, tmp_path) as folder:
            with alone(folder / "trial"):
                write_text(folder / "result", "x")
    said = capsys.readouterr().err
    assert said.count("note: ") == said.count("\n") == 1
    assert "without locks" in said and "local_lock=flock" in said
    assert not locks.available(tmp_path)


def test_another_error_is_not_swallowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"), alone(tmp_path / "trial"):
        pass
    with pytest.raises(OSError, match="Input/output"):
        with work_folder("teachers", {}, [], STAGE, tmp_path):
            pass


def test_with_locks_the_second_waits_or_is_refused(tmp_path: Path) -> None:
    assert locks.available(tmp_path / "new")
    with (tmp_path / "x").open("a") as one, (tmp_path / "x").open("a") as two:
        assert locks.lock(one)
        with pytest.raises(BlockingIOError):
            locks.lock(two, wait=False)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_folders_that_cannot_be_synced(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        plain(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "x", "y")
    assert (tmp_path / "x").read_text() == "y"


def test_a_folder_that_cannot_be_written_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        sync_folder(tmp_path)
