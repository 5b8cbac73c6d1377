"""kill -9 of every process that `dvc repro` has besides DVC: the same bytes after the next run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.harness import repro, repro_until_done, results, start, undone, until
from tests.helpers.pocket import ENVIRONMENT, WHOLE_RUN, copy_of_the_repository, dvc
from tests.helpers.toy_run import below, servers
from tools.pocket import write_params

pytestmark = pytest.mark.slow
CHANGES = {
    **WHOLE_RUN,
    "students.rows": ["mlp1", "mlp2", "conv1"],
    "students.final_seeds": 0,  # or nothing is trained early
    "students.training.max_epochs": 8,
}
CELLS = [f"students@{row}-60k" for row in CHANGES["students.rows"]]  # type: ignore[attr-defined]
UNDONE = ("label", *CELLS, "hard@conv2-180k", "tabulate")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished pocket pipeline with cells after each other; tests copy it."""
    folder = copy_of_the_repository(tmp_path_factory.mktemp("served") / "repository")
    write_params(folder, CHANGES)
    dvc(folder, "repro")
    return folder


def files(pid: int) -> list[str]:
    """What a process has open, its standard output at place 1."""
    numbers = sorted(map(int, os.listdir(f"/proc/{pid}/fd")))
    return [os.readlink(f"/proc/{pid}/fd/{number}") for number in numbers]


def of_kind(folder: Path, wanted: Callable[[list[str]], bool]) -> list[int]:
    """Forks of the server whose open files are as wanted."""
    leaders = servers(folder)
    found = []
    for pid in below(folder):
        try:
            if pid not in leaders and os.getsid(pid) in leaders and wanted(files(pid)):
                found.append(pid)
        except OSError:  # it has ended
            continue
    return found


def is_stage(opened: list[str]) -> bool:
    """It holds the lock of a work folder."""
    return any(name.endswith("/lock") for name in opened)


def is_trial(opened: list[str]) -> bool:
    """It holds the lock of a trial, and somebody reads what it says."""
    return not is_early(opened) and any(name.endswith(".lock") for name in opened)


def is_early(opened: list[str]) -> bool:
    """Its words go into the server's log."""
    return opened[1].endswith("/log") and any(name.endswith(".lock") for name in opened)


def launchers(folder: Path) -> list[int]:
    """Processes of DVC's session that wait for a fork, so there is one of a stage."""
    found = []
    for pid in below(folder) if of_kind(folder, is_stage) else []:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"commands.stage" in words and b"students" in words:
            found.append(pid)
    return found


def in_a_cell(folder: Path) -> list[int]:
    """The server, while a cell is trained."""
    return servers(folder) if of_kind(folder, is_trial) else []


KINDS: dict[str, tuple[Callable[[Path], list[int]], bool]] = {
    # who is killed, whether the run goes on
    "the server": (in_a_cell, True),
    "a stage's fork": (lambda folder: of_kind(folder, is_stage), False),
    "a launcher": (launchers, False),
    "a trial": (lambda folder: of_kind(folder, is_trial), True),
    "an early trial": (lambda folder: of_kind(folder, is_early), True),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_killed_and_run_again(served: Path, tmp_path: Path, kind: str) -> None:
    folder = undone(served, tmp_path / "repository", *UNDONE)
    victims, goes_on = KINDS[kind]
    process = start(folder)

    found: list[int] = []
    until(lambda: found.extend(victims(folder)) or found, process)
    os.kill(found[0], signal.SIGKILL)
    output, _ = process.communicate()

    assert (process.returncode == 0) == goes_on, output
    repro_until_done(folder)
    assert results(folder) == results(served)
    assert repro(folder)[1].count("Running stage") == 0


def test_dvc_is_killed_and_run_again(served: Path, tmp_path: Path) -> None:
    folder = undone(served, tmp_path / "repository", *UNDONE)
    process = start(folder)
    until(lambda: in_a_cell(folder), process)
    process.kill()
    process.communicate()
    repro_until_done(folder)
    assert results(folder) == results(served)


def test_without_a_server_the_bytes_are_the_same(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = undone(served, tmp_path / "repository", *UNDONE)
    monkeypatch.setitem(ENVIRONMENT, "MIMICNETS_SERVER", "off")
    code, output = repro(folder)
    assert code == 0, output
    assert results(folder) == results(served)
