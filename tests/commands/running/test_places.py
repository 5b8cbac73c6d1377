"""places: where DVC could not keep a result, a stage says so before it computes anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from commands.running.places import check_places
from tests.helpers.pocket import ENVIRONMENT
from tools.pocket import ROOT


@pytest.fixture(autouse=True)
def no_configuration_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "system"))


@pytest.fixture
def here(tmp_path: Path) -> Path:
    root = tmp_path / "here"
    for name in ("data/raw", "metrics", "plots", "work", ".dvc/cache"):
        (root / name).mkdir(parents=True)
    return root


@pytest.mark.parametrize("name", ["data", "metrics", "plots"])
def test_outputs_behind_a_link_are_refused(here: Path, name: str) -> None:
    shutil.rmtree(here / name)
    (here.parent / "there").mkdir()
    (here / name).symlink_to(here.parent / "there")
    with pytest.raises(ValueError, match=rf"{name} is a link to .*there: .*dvc cache dir"):
        check_places(here)


def test_links_that_dvc_takes_are_allowed(here: Path) -> None:
    check_places(here)
    (here.parent / "linked").symlink_to(here)
    check_places(here.parent / "linked")

    for name in ("data/raw", "work"):
        (here / name).rmdir()
        (here / name).symlink_to(here.parent)
    check_places(here)


@pytest.mark.parametrize("shared", [False, True])
def test_a_cache_that_cannot_be_written_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    """By its rights, or since its file system is read-only; root may write what has no rights."""
    cache = here / ".dvc/cache"
    if shared:
        cache = here.parent / "cache"
        cache.mkdir()
        (here / ".dvc/config.local").write_text(f"[cache]\n    dir = {cache}\n")

    check_places(here)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != cache)
    with pytest.raises(ValueError, match=f"{cache} cannot be written, .*dvc cache dir --local"):
        check_places(here)


def test_the_stage_ends_with_that_line(here: Path) -> None:
    """Below a process that looks like DVC."""
    shutil.rmtree(here / "data")
    (here / "data").symlink_to(here.parent)
    command = [sys.executable, "-m", "commands.stage", "prepare"]
    code = f"import subprocess, sys; sys.exit(subprocess.run({command!r}).returncode)"
    words = ["sh", "-c", f"exec -a dvc '{sys.executable}' -c \"$0\"", code]
    words[0] = shutil.which("bash") or "bash"
    done = subprocess.run(
        words,
        cwd=here,
        env={**ENVIRONMENT, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and len(lines) == 1
    assert lines[0].startswith("error: data is a link to ")
