"""jobs: commands side by side, and that nothing of them is left."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from commands.pipeline.jobs import Command, Ended, Jobs, below_command
from tests.helpers.processes import gone, until
from tools.pocket import ROOT

LONG = (
    "import os, pathlib, time; pathlib.Path({pid!r}).write_text(str(os.getpid())); time.sleep(3600)"
)
KILLED = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


def job(name: str, code: str, *needed: str) -> Command:
    return Command(name, (sys.executable, "-c", code), needs=frozenset(needed))


def test_exit_statuses_and_what_is_left_behind(capfd: pytest.CaptureFixture[str]) -> None:
    leave = (
        "import subprocess, sys; "
        f"p = subprocess.Popen([{sys.executable!r}, '-c', 'import time; time.sleep(3600)']);"
    )
    listed = [
        job("good", "print('hello')"),
        job("bad", "raise SystemExit(7)"),
        job("killed", KILLED),
        job("leaves", f"{leave} print(p.pid)"),
        job("after", "", "bad", "elsewhere"),
    ]
    with Jobs(2, lambda lane: {**os.environ, "PYTHONPATH": str(ROOT)}) as jobs:
        ended = [event for event in jobs.run(listed) if isinstance(event, Ended)]

    assert {end.job.name: end.code for end in ended} == {
        "good": 0,
        "bad": 7,
        "killed": 137,
        "leaves": 0,
        "after": None,
    }

    out, _ = capfd.readouterr()
    assert "hello" in out

    (left,) = (int(line) for line in out.splitlines() if line.isdigit())
    assert until(lambda: gone(left))


def test_jobs_that_need_each_other_are_refused() -> None:
    with (
        Jobs(1, lambda lane: os.environ) as jobs,
        pytest.raises(ValueError, match="a needs what needs it"),
    ):
        list(jobs.run([job("a", "", "b"), job("b", "", "a")]))


def test_without_a_list_of_processes_the_whole_group_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("commands.pipeline.jobs.PROCESSES", tmp_path)
    assert below_command(os.getsid(0)) is None

    with Jobs(1, lambda lane: {**os.environ, "PYTHONPATH": str(ROOT)}) as jobs:
        next(
            event
            for event in jobs.run([job("long", LONG.format(pid=str(tmp_path / "pid")))])
            if event is not None
        )
        assert until(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text())

    assert not jobs.running and until(lambda: gone(int((tmp_path / "pid").read_text())))
