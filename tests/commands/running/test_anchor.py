"""The DVC process above a stage, told by its command line and its start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from commands.running.anchor import DvcRun, dvc_run, is_dvc, words_of
from tests.helpers.processes import until
from tools.pocket import ROOT

ASK = "import sys; sys.path.insert(0, {root!r}); from commands.running.anchor import dvc_run; print({what})"


@pytest.mark.parametrize(
    "words, dvc",
    [
        ("dvc repro", True),
        ("/usr/bin/python3 /opt/env/bin/dvc repro -f", True),
        ("python -m dvc repro", True),
        ("python -X dev -m dvc exp run", True),
        ("/usr/lib/dvc/dvc repro", True),
        ("python -m commands.stage students", False),
        ("python -m dvclive", False),
        ("/bin/sh -c dvc repro", False),
        ("vi metrics/code/dvc.json", False),
        ("grep -r dvc", False),
        ("", False),
    ],
)
def test_a_command_line_of_dvc(words: str, dvc: bool) -> None:
    assert is_dvc(tuple(words.split())) is dvc


def script(path: Path, inner: list[str]) -> list[str]:
    """Command of a program at `path` that runs another one, and says its own number first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"import os, subprocess\nprint(os.getpid(), flush=True)\nsubprocess.run({inner!r})\n"
    )
    return [sys.executable, str(path), "repro"]


def asking(what: str) -> list[str]:
    """Command that prints something of the DVC process above it."""
    return [sys.executable, "-c", ASK.format(root=str(ROOT), what=what)]


def output(words: list[str]) -> list[str]:
    """Lines that a command prints."""
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\n")[:-1]


def test_the_nearest_one_is_found_through_a_shell(tmp_path: Path) -> None:
    ask = asking("dvc_run().pid, dvc_run().words[-1], dvc_run().alive")
    inner = script(tmp_path / "inner/dvc", ["sh", "-c", '"$@"; true', "sh", *ask])
    outer = script(tmp_path / "outer/dvc", inner)
    first, second, found = output(outer)
    assert found == f"{second} repro True" and first != second


def test_names_may_hold_anything(tmp_path: Path) -> None:
    """The name of a process stands in the file that is read, between parentheses."""
    odd = tmp_path / "a) Z 1 (b"
    odd.symlink_to("/bin/sh")
    ask = asking("dvc_run().pid")
    first, found = output(script(tmp_path / "dvc", [str(odd), "-c", '"$@"; true', "x", *ask]))
    assert first == found


def test_without_dvc_there_is_none() -> None:
    alone = subprocess.run(asking("dvc_run()"), capture_output=True, text=True, check=True)
    assert alone.stdout == "None\n"


def test_without_proc_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("commands.running.anchor.PROCESSES", tmp_path)
    assert dvc_run() is None and words_of(os.getpid()) == ()


def of_this_process() -> DvcRun:
    """This process, as if it were DVC."""
    start = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return DvcRun(os.getpid(), start)


def test_a_number_that_was_used_again_is_another_run() -> None:
    run = of_this_process()
    assert run.alive and not replace(run, start=run.start - 1).alive
    assert run.key == f"{run.pid}-{run.start}"


def test_a_dead_process_is_not_alive_though_nobody_has_waited_for_it() -> None:
    process = subprocess.Popen(["sleep", "300"])
    start = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19])
    run = DvcRun(process.pid, start)
    assert run.alive

    process.send_signal(signal.SIGKILL)
    assert until(lambda: " Z " in Path(f"/proc/{process.pid}/stat").read_text(), 120)
    assert not run.alive
    process.wait()
    assert not run.alive
