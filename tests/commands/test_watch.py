"""watch: the table on a terminal until Ctrl-C, and once where there is no terminal."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from ruamel.yaml import YAML

from commands import watch
from tests.helpers.pocket import ENVIRONMENT
from tools.pocket import ROOT, pocket_params


def test_ctrl_c_closes_the_viewer_only(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    text = io.StringIO()
    monkeypatch.setattr(
        watch, "Console", lambda: Console(file=text, force_terminal=True, width=80, height=24)
    )
    monkeypatch.setattr(watch.time, "sleep", interrupt)
    monkeypatch.setattr(sys, "argv", ["watch"])
    watch.entry.run(watch.main)

    assert "0 of 17 stages done" in text.getvalue()
    assert text.getvalue().splitlines()[-1].endswith("watch closed; the run continues")
    assert "stopped" not in capsys.readouterr().err


def test_the_command_prints_once_where_there_is_no_terminal(tmp_path: Path) -> None:
    YAML().dump(pocket_params(), tmp_path / "params.yaml")
    environment = {**ENVIRONMENT, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "commands.watch"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)

    assert done.returncode == 0 and "0 of 14 stages done" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"], "nothing is written"

    done = subprocess.run(
        [*words, "--seconds", "0"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2 and "allowed is more than 0" in done.stderr
