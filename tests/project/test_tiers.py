"""The tiers of the tests: which test is in which, and what their processes share."""

from __future__ import annotations

import re
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.processes import until
from tests.helpers.shared import made_once
from tests.project.test_project import make
from tools.pocket import ROOT

SLOW = ("faults", "walks", "benchmarks", "others")


def paths_of(*words: str) -> list[str]:
    """Where `make slow WORDS` runs tests."""
    return make("--dry-run", "slow", *words).partition("-m slow ")[2].split()


def test_every_slow_test_is_in_one_part_of_the_slow_tier() -> None:
    parts = {part: paths_of(f"PART={part}") for part in SLOW}
    assert all(parts.values()) and paths_of() == [path for part in SLOW for path in parts[part]]

    marked = [path for path in (ROOT / "tests").rglob("*.py") if "mark.slow" in path.read_text()]
    assert len(marked) > 10
    for path in marked:
        name = path.relative_to(ROOT)
        found = [part for part in SLOW if any(map(name.is_relative_to, parts[part]))]
        assert len(found) == 1 or path == Path(__file__), f"{name} is in the parts {found}"


def test_the_page_of_tests_lists_the_middle_tier() -> None:
    page = (ROOT / "docs/tests.md").read_text()
    listed = re.findall(r"^\| `(tests/\S+)::(\w+)` \|", page, re.M)

    found = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        name, text = str(path.relative_to(ROOT)), path.read_text()
        for mark in re.finditer(r"\bpytest\.mark\.middle\b", text):
            test = re.search(r"^def (test_\w+)", text[mark.end() :], re.M)
            assert test, name
            found.add((name, test[1]))

    assert found and sorted(listed) == sorted(found)


def worker(root: Path, name: str) -> Any:
    """In the place of the factory of folders of a process of tests."""
    (root / name).mkdir()
    return types.SimpleNamespace(getbasetemp=lambda: root / name)


def test_what_processes_share_is_made_once_and_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    workers = [worker(tmp_path, f"popen-gw{i}") for i in range(2)]
    begun: list[Path] = []

    def make(folder: Path) -> None:
        begun.append(folder)
        assert until(lambda: (tmp_path / "go").exists())
        (folder / "made").touch()

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(made_once, each, "run", make) for each in workers]
        assert until(lambda: begun)
        (tmp_path / "go").touch()
        folders = [each.result() for each in both]

    assert folders[0] == folders[1] and folders[0].parent == tmp_path
    assert (folders[1] / "made").exists() and begun == folders[:1]


def test_what_was_not_finished_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    alone = worker(tmp_path, "alone")

    def fails(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        made_once(alone, "run", fails)

    folder = made_once(alone, "run", lambda folder: (folder / "whole").touch())
    assert folder.parent == tmp_path / "alone"
    assert [path.name for path in folder.iterdir()] == ["whole"]
