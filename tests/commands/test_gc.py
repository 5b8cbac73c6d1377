"""gc: what another clone or a running experiment needs stays in a cache that is shared."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from commands import gc
from commands.pipeline.cache import dvc_settings
from commands.pipeline.clones import register, registered, shared_cache
from tests.helpers.pocket import ENVIRONMENT, WHOLE_RUN, dvc
from tools.pocket import write_params


def clone(folder: Path, cache: Path | str | None, file: str = "config.local") -> Path:
    """A folder that looks like a clone with this cache."""
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / ".dvc/config").write_text(
        "[core]\n    analytics = false\n['remote \"x\"']\n    url = s\n"
    )
    if cache is not None:
        (folder / ".dvc" / file).write_text(f"[cache]\n    dir = {cache}\n    type = symlink\n")
    return folder


@pytest.fixture(autouse=True)
def no_configuration_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "system"))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Command lines of DVC instead of their effect."""
    made: list[list[str]] = []

    def called(words: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
        made.append(words[3:])
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(gc.subprocess, "run", called)
    return made


def collected(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["gc", *words])
    gc.main()


@pytest.mark.parametrize("file", ["config", "config.local"])
def test_a_clone_registers_in_the_cache_that_it_shares(tmp_path: Path, file: str) -> None:
    here = clone(tmp_path / "a", "../../cache", file)
    assert shared_cache(here) == tmp_path / "cache"
    register(here)
    register(here)
    register(clone(tmp_path / "b", tmp_path / "cache"))
    assert registered(tmp_path / "cache") == [tmp_path / "a", tmp_path / "b"]


@pytest.mark.parametrize("cache", [None, "cache", "ssh://server/cache"])
def test_a_cache_of_ones_own_has_no_list(tmp_path: Path, cache: str | None) -> None:
    here = clone(tmp_path / "a", cache)
    assert shared_cache(here) is None
    register(here)
    assert not list(tmp_path.rglob("clones"))


def test_a_cache_that_the_user_has_for_everything(tmp_path: Path) -> None:
    (tmp_path / "home/dvc").mkdir(parents=True)
    (tmp_path / "home/dvc/config").write_text(f"[cache]\n    dir = {tmp_path / 'all'}\n")
    here = clone(tmp_path / "a", None)
    assert shared_cache(here) == tmp_path / "all"
    (here / ".dvc/config.local").write_text("[cache]\ndir = cache\n")
    assert shared_cache(here) is None


@pytest.mark.parametrize("text", ["[cache\n", "dir = x\n", "\x00\xff"])
def test_a_damaged_configuration_is_left_to_dvc(tmp_path: Path, text: str) -> None:
    here = clone(tmp_path / "a", None)
    (here / ".dvc/config.local").write_bytes(text.encode("latin-1"))
    assert shared_cache(here) is None


def test_a_list_that_cannot_be_written_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").write_text("a file")
    register(clone(tmp_path / "a", tmp_path / "cache"))
    assert "cannot be written" in capsys.readouterr().out


def test_other_clones_and_running_experiments_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[list[str]]
) -> None:
    cache = tmp_path / "cache"
    here, there = (clone(tmp_path / name, cache) for name in "ab")
    gone, moved = (clone(tmp_path / name, cache) for name in "cd")
    for each in (there, gone, moved):
        register(each)
    (gone / ".dvc").rename(tmp_path / "away")
    (moved / ".dvc/config.local").unlink()
    copy = clone(there / ".dvc/tmp/exps/tmpx", cache)
    (there / ".dvc/tmp/exps/run").mkdir()

    collected(monkeypatch, here)
    collected(monkeypatch, here, "--remove", "--forget")
    what = ["gc", "--workspace", "--all-branches", "--all-tags", "--all-experiments", "--force"]
    kept = ["--projects", str(there), str(copy)]
    assert calls == [[*what, "--dry", *kept], [*what, *kept]]

    with pytest.raises(
        ValueError, match=f"{gone} has used this cache and is not to be seen: mount"
    ):
        collected(monkeypatch, here, "--remove")
    assert len(calls) == 2
    assert registered(cache) == [here, there, gone, moved]


def test_a_clone_whose_own_cache_others_use_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[list[str]]
) -> None:
    """It has never registered: its cache is where DVC puts it."""
    owner = clone(tmp_path / "a", None)
    here = clone(tmp_path / "b", owner / ".dvc/cache")
    collected(monkeypatch, here, "--remove")
    assert calls[0][-2:] == ["--projects", str(owner)]

    # And what the others need is kept if the owner collects.
    collected(monkeypatch, owner, "--remove")
    assert calls[1][-2:] == ["--projects", str(here)]


@pytest.mark.parametrize(
    ("told", "place"),
    [("~/all", "home/all"), ("'/x/all'", "/x/all"), ("/x/all  # for everybody", "/x/all")],
)
def test_a_cache_is_read_as_dvc_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, place: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    here = clone(tmp_path / "a", None)
    (here / ".dvc/config.local").write_text(f"[cache]\n    dir = {told}\n")
    assert shared_cache(here) == tmp_path / place
    assert dvc_settings(here)[0].resolve() == tmp_path / place


def test_the_list_has_the_rights_of_the_cache(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o2775)
    register(clone(tmp_path / "a", tmp_path / "cache"))
    assert (tmp_path / "cache/clones").stat().st_mode & 0o7777 == 0o2775


def test_a_cache_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[list[str]]
) -> None:
    collected(monkeypatch, clone(tmp_path / "a", None), "--remove")
    assert "--projects" not in calls[0]


def test_without_git_the_workspaces_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[list[str]]
) -> None:
    here, there = (clone(tmp_path / name, tmp_path / "cache") for name in "ab")
    register(there)
    (there / ".git").rmdir()
    with pytest.raises(ValueError, match=f"{there} has no git, and other repositories"):
        collected(monkeypatch, here)

    (here / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    collected(monkeypatch, here)
    assert calls == [["gc", "--workspace", "--force", "--dry", "--projects", str(there)]]


def test_a_clone_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[list[str]]
) -> None:
    here, there = (clone(tmp_path / name, tmp_path / "cache") for name in "ab")
    collected(monkeypatch, here, "--clones", "../b")
    assert calls[0][-2:] == ["--projects", str(there)]

    with pytest.raises(ValueError, match=r"--clones ../c: no repository of DVC"):
        collected(monkeypatch, here, "--clones", "../c")
    clone(tmp_path / "d", None)
    with pytest.raises(ValueError, match=r"--clones ../d: it uses the cache .* and not"):
        collected(monkeypatch, here, "--clones", "../d")


def test_a_failure_of_dvc_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        gc.subprocess, "run", lambda words, **more: subprocess.CompletedProcess(words, 3)
    )
    with pytest.raises(ValueError, match="'dvc gc' failed"):
        collected(monkeypatch, clone(tmp_path / "a", None))


@pytest.mark.middle
def test_a_real_clone_with_the_same_cache_loses_nothing(undisturbed: Path, tmp_path: Path) -> None:
    """It has a row that no commit has; the other one collects garbage."""
    here, there = (
        Path(shutil.copytree(undisturbed, tmp_path / name, symlinks=True)) for name in "ab"
    )
    cache = Path(shutil.copytree(undisturbed / ".dvc/cache", tmp_path / "cache"))
    for each in (here, there):
        dvc(each, "cache", "dir", "--local", str(cache))
        dvc(each, "config", "--local", "cache.type", "symlink")
        dvc(each, "checkout", "--relink")

    changes = {"students.final_seeds": 0, "students.training.max_epochs": 1}
    write_params(there, {**WHOLE_RUN, **changes})
    dvc(there, "repro", "students@conv1-60k")

    words = [sys.executable, "-m", "commands.gc", "--remove"]
    said = subprocess.run(words, cwd=here, env=ENVIRONMENT, capture_output=True, text=True)
    assert said.returncode == 0 and f"kept: what {there} needs" in said.stdout, said
    assert not [path for path in (there / "data").rglob("*") if not path.exists()]

    # What nobody needs any more goes.
    shutil.rmtree(there)
    before = len(list(cache.glob("files/md5/??/*")))
    said = subprocess.run(words, cwd=here, env=ENVIRONMENT, capture_output=True, text=True)
    assert said.returncode == 1 and "is not to be seen" in said.stderr

    words = [*words, "--forget"]
    said = subprocess.run(words, cwd=here, env=ENVIRONMENT, capture_output=True, text=True)
    assert said.returncode == 0
    assert len(list(cache.glob("files/md5/??/*"))) < before
    assert "up to date" in dvc(here, "status")
