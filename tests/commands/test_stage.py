"""How a stage is called: names that are refused, exit statuses, one line for what is wrong."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from commands import stage as command
from commands.running import client, stage
from commands.running.anchor import DvcRun
from stages.runtime.listings import stage_names


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Calls the command with these words, as a child of DVC or not: its exit status."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str, run: DvcRun | None = None) -> int:
        monkeypatch.setattr(sys, "argv", ["stage", *words])
        monkeypatch.setattr(command, "dvc_run", lambda: run)
        before = signal.getsignal(signal.SIGTERM)
        try:
            return command.main()
        finally:
            signal.signal(signal.SIGTERM, before)

    return call


@pytest.mark.parametrize("words, got", [((), "missing"), (("student",), "student"), (("",), "")])
def test_another_name_is_refused_with_those_that_are_allowed(
    words: tuple[str, ...], got: str, called: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(*words) == 2
    said = capsys.readouterr().err
    assert f"NAME is {got}, allowed are {', '.join(stage_names())}\n" in said


def test_code_that_was_never_listed_is_one_line(
    called: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called("draw") == 1
    said = capsys.readouterr().err
    assert said.startswith("error: metrics/code/draw.json is missing") and said.count("\n") == 1


def test_the_status_of_a_fork_is_that_of_the_stage(
    called: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(client, "served", lambda run, words: asked.append((run, words)) or 7)
    run = DvcRun(1, 2)
    assert called("draw", "more", run=run) == 7 and asked == [(run, ["draw", "more"])]


def test_the_stage_code_is_never_served(called: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "served", lambda run, words: 7)
    monkeypatch.setattr(stage, "run", lambda words, dvc: sys.exit(5))
    assert called("code", run=DvcRun(1, 2)) == 5 and called("draw", run=DvcRun(1, 2)) == 7


def test_an_interrupt_while_the_server_starts_is_one_line(
    called: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(run: DvcRun, words: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(client, "served", interrupted)
    assert called("draw", run=DvcRun(1, 2)) == 130
    assert capsys.readouterr().err == "stopped; run 'dvc repro' to resume\n"


def test_without_room_for_a_server_the_stage_runs_by_itself(
    called: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder cannot be made, as on a full disk."""
    (tmp_path / "work").write_text("a file")
    assert called("draw", run=DvcRun(os.getpid(), 1)) == 1
    said = capsys.readouterr().err
    assert said.startswith("note: this stage runs by itself (") and "draw.json is missing" in said


@pytest.mark.parametrize("end, status", [(None, 0), (0, 0), (3, 3), ("why", 1)])
def test_statuses_are_those_of_the_interpreter(
    end: object, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def call() -> None:
        raise SystemExit(end)

    assert stage.status_of(call) == status and stage.status_of(lambda: None) == 0
    assert capsys.readouterr().err == ("why\n" if end == "why" else "")
