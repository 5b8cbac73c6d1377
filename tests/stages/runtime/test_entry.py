"""entry: how a stage ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.processes import PATIENCE
from tests.helpers.stored import python
from tools.pocket import ROOT

DOOR = """
import sys, time
from stages.runtime import entry
def main():
    if sys.argv[1] == "wait":
        print("ready", flush=True)
        time.sleep(3600)
    if sys.argv[1] != "fine":
        raise {
            "value": ValueError("lr is 9:\\n  allowed is 0 .. 1 \\u00fc"),
            "file": FileNotFoundError("x.json not found"),
            "stop": KeyboardInterrupt(),
            "bug": KeyError("x"),
        }[sys.argv[1]]
entry.run(main)
"""


@pytest.mark.parametrize(
    ("what", "code", "line"),
    [
        ("fine", 0, ""),
        ("value", 1, "error: lr is 9: allowed is 0 .. 1 ü (details: work/last-error.txt)\n"),
        ("file", 1, "error: x.json not found (details: work/last-error.txt)\n"),
        ("stop", 130, "stopped; run 'dvc repro' to resume\n"),
    ],
)
def test_stage_ends_with_one_line(tmp_path: Path, what: str, code: int, line: str) -> None:
    done = python(DOOR, what, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (code, line)
    details = tmp_path / "work" / "last-error.txt"
    assert details.is_file() == (code == 1)
    if code == 1:
        assert (
            "Traceback" in details.read_text(encoding="utf-8") and "in main" in details.read_text()
        )


def test_stage_shows_tracebacks_of_bugs_and_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = python(DOOR, "bug", cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" in done.stderr
    monkeypatch.setenv("MIMICNETS_TRACEBACK", "1")
    done = python(DOOR, "value", cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" in done.stderr


def test_stage_in_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file is in the way")
    done = python(DOOR, "file", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "error: x.json not found\n")


def test_stage_exits_143_on_sigterm(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", DOOR, "wait"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    assert errors == "terminated; run 'dvc repro' to resume\n"
