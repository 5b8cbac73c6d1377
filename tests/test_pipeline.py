"""The real dvc.yaml at pocket size: run, do nothing, run what an edit touches, survive kills."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pocket import ENVIRONMENT, ROOT, copy_of_the_repository, dvc, ran, write_params


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_of_the_repository(tmp_path_factory.mktemp("repository"))
    write_params(folder, {"execution.engine": "local", "execution.slots": 2})
    output = dvc(folder, "repro")
    assert ran(output) == {
        *("prepare", "teachers", "ensemble", "augment", "label", "tabulate", "assess", "draw"),
        *("students@mlp2-60k", "students@conv1-60k", "hard@conv2-180k"),
    }
    return folder


def test_a_second_run_does_nothing(repository: Path) -> None:
    assert ran(dvc(repository, "repro")) == set()
    assert "up to date" in dvc(repository, "status")


def test_an_edit_runs_what_it_touches_and_no_more(repository: Path) -> None:
    with (repository / "stages/draw.py").open("a") as file:
        file.write("\n# a remark\n")
    assert ran(dvc(repository, "repro")) == {"draw"}
    changes = {"execution.engine": "local", "execution.slots": 2}
    row = {"boxes": {"60k": [[6, 9], [30, 60]]}}
    write_params(repository, {**changes, "rows.conv1": row})
    assert ran(dvc(repository, "repro")) == {"students@conv1-60k", "tabulate", "assess", "draw"}
    write_params(repository, {**changes, "rows.conv1": row, "execution.slots": 1, "execution.device": "auto"})
    assert ran(dvc(repository, "repro")) == set()
    write_params(repository, {**changes, "rows.conv1": row, "students.rows": ["mlp2", "conv1", "conv3"]})
    output = dvc(repository, "repro")
    assert ran(output) == {"prepare", "students@conv3-60k", "tabulate", "assess", "draw"}
    write_params(repository, {**changes, "rows.conv1": row, "students.rows": ["mlp2"]})
    assert ran(dvc(repository, "repro")) == {"prepare", "tabulate", "assess", "draw"}
    assert "conv1" not in (repository / "metrics/table2.csv").read_text()


def test_a_bad_value_is_one_line_and_loses_nothing(repository: Path) -> None:
    write_params(repository)
    dvc(repository, "repro")
    before = (repository / "dvc.lock").read_bytes()
    write_params(repository, {"students.space.lr": -1.0})
    output = dvc(repository, "repro", check=False)
    assert "error: params.yaml: students.space.lr is -1.0" in output
    assert "Traceback" not in output
    assert (repository / "dvc.lock").read_bytes() == before


def run_door(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=folder,
        env={**ENVIRONMENT, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def results(folder: Path) -> dict[str, bytes]:
    paths = [*(folder / "metrics").rglob("*.*"), *(folder / "data/teachers").rglob("*.*")]
    (done,) = (folder / "work/teachers").glob("*/complete")
    return {str(p.relative_to(folder)): p.read_bytes() for p in [*paths, done.with_name("journal.jsonl")]}


@pytest.mark.slow
def test_kills_at_any_moment_change_no_byte(tmp_path: Path) -> None:
    """kill -9 of the sweep, between and inside trials; checkpoints after every epoch."""
    changes = {
        "execution.engine": "local",
        "execution.slots": 2,
        "execution.checkpoint_seconds": 0,
        "teachers.training.max_epochs": 5,
    }
    folders = [tmp_path / "whole", tmp_path / "killed"]
    for folder in folders:
        folder.mkdir()
        write_params(folder, changes)
        finish(run_door(folder, "stages.prepare"))
    finish(run_door(folders[0], "stages.teachers"))
    rng, kills = random.Random(4), 0
    while kills < 6:
        process = run_door(folders[1], "stages.teachers")
        time.sleep(rng.uniform(2.0, 4.5))
        if process.poll() is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        kills += 1
    assert kills >= 1, "the sweep ended before the first kill: make it longer"
    output = ""
    for _ in range(20):  # a dying trial may hold the lock for a moment
        process = run_door(folders[1], "stages.teachers")
        output, _ = process.communicate(timeout=300)
        if process.returncode == 0:
            break
        time.sleep(0.5)
    assert process.returncode == 0, output
    whole, killed = (results(folder) for folder in folders)
    assert whole.keys() == killed.keys()
    assert [name for name in whole if whole[name] != killed[name]] == []


def test_sigterm_stops_in_seconds_and_keeps_the_journal(tmp_path: Path) -> None:
    write_params(tmp_path, {"execution.engine": "local", "teachers.training.max_epochs": 500})
    finish(run_door(tmp_path, "stages.prepare"))
    process = run_door(tmp_path, "stages.teachers")
    deadline = time.monotonic() + 60
    while not list((tmp_path / "work").glob("teachers/*/trials/*/progress.json")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGTERM)
    started = time.monotonic()
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 143 and "Traceback" not in output, output
    assert time.monotonic() - started < 10
    lines = next((tmp_path / "work").rglob("journal.jsonl")).read_text().splitlines()
    assert sum('"event":"start"' in line for line in lines) == 2


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    write_params(tmp_path, {"execution.engine": "local", "teachers.training.max_epochs": 500})
    finish(run_door(tmp_path, "stages.prepare"))
    first = run_door(tmp_path, "stages.teachers")
    try:
        deadline = time.monotonic() + 60
        while not list((tmp_path / "work").glob("teachers/*/journal.jsonl")):
            assert time.monotonic() < deadline and first.poll() is None
            time.sleep(0.1)
        second = run_door(tmp_path, "stages.teachers")
        output, _ = second.communicate(timeout=60)
        assert second.returncode == 1
        assert f"in use by process {first.pid}" in output and "Traceback" not in output
    finally:
        first.kill()
        first.communicate()
