"""Trials that are trained before their cell's turn are those that its search begins with."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stages import students
from stages.runtime.work import DONE
from stages.store.atomic import alone
from stages.trials.folder import TrialFolder
from tests.helpers.hard_cells import CHANGES, FIRST, make_data
from tests.helpers.pocket import run_cell

CELL = ("hard", FIRST.row, FIRST.budget)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of the cell; nothing is trained."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_data(folder, CHANGES)
    return folder


@pytest.fixture(scope="module")
def plain(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cell, run without early trials."""
    folder = Path(shutil.copytree(data, tmp_path_factory.mktemp("plain") / "run"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_cell(*CELL)
    return folder


@pytest.fixture
def here(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In a copy of the data."""
    folder = Path(shutil.copytree(data, tmp_path / "here"))
    monkeypatch.chdir(folder)
    return folder


def work(folder: Path) -> Path:
    """The cell's one work folder."""
    (found,) = folder.glob("work/hard/conv2-180k/*")
    return found


def results(folder: Path) -> dict[str, bytes]:
    """Journal, tables and outputs."""
    paths = [
        work(folder) / "journal.jsonl",
        *folder.glob("metrics/hard/*"),
        *folder.glob("data/hard/*/*"),
    ]
    assert len(paths) > 5
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_they_are_what_the_search_starts_with(here: Path, plain: Path) -> None:
    lines = (work(plain) / "journal.jsonl").read_text().splitlines()
    events = [event for event in map(json.loads, lines) if event.get("event") == "start"]
    starts = [(each["trial"], each["params"], each["seed"]) for each in events]

    calls = students.early(FIRST)
    assert [arguments[1:] for _, arguments in calls] == starts[:3] and len(starts) == 4
    assert {function for function, _ in calls} == {students.remote_train}

    cell = calls[0][1][0]
    assert cell.work == work(plain).relative_to(plain) and cell.name == FIRST
    assert (work(here) / "key.json").read_bytes() == (work(plain) / "key.json").read_bytes()


def test_the_stage_trains_them_no_more_and_leaves_the_same_bytes(
    here: Path, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for function, arguments in students.early(FIRST):
        function(*arguments)

    trained: list[int] = []
    plain_finish = TrialFolder.finish

    def finish(self: TrialFolder, *more: Any) -> None:
        trained.append(self.trial)
        plain_finish(self, *more)

    monkeypatch.setattr(TrialFolder, "finish", finish)
    run_cell(*CELL)
    assert trained == [3]
    assert results(here) == results(plain)


def test_finished_trials_are_left_out(here: Path) -> None:
    calls = students.early(FIRST)
    function, arguments = calls[1]
    function(*arguments)
    left = students.early(FIRST)
    assert [arguments[1] for _, arguments in left] == [0, 2]


def test_a_finished_cell_has_none(here: Path) -> None:
    students.early(FIRST)
    (work(here) / DONE).touch()
    (work(here) / "key.json").unlink()
    assert students.early(FIRST) == []
    assert not (work(here) / "key.json").exists()


def test_a_cell_that_cannot_be_trained_raises_what_its_stage_raises(here: Path) -> None:
    shutil.rmtree("data/augmented")
    with pytest.raises(OSError, match="augmented"):
        students.early(FIRST)


def test_a_trial_that_another_process_trains_is_waited_for(here: Path) -> None:
    _, (cell, trial, values, seed) = students.early(FIRST)[0]
    cell = replace(cell, execution=replace(cell.execution, engine="local"))
    folder = TrialFolder(cell.work, trial)
    answers: list[dict[str, Any]] = []
    waiter = threading.Thread(
        target=lambda: answers.append(students.remote_train(cell, trial, values, seed)), daemon=True
    )

    with alone(folder.folder / "trial"):
        waiter.start()
        end = time.monotonic() + 120
        while openings(folder.folder) < 2 and waiter.is_alive() and time.monotonic() < end:
            time.sleep(0.01)
        folder.finish(values, seed, {"value": 0.125, "reason": "of the other one"}, 1.0)

    waiter.join(120)
    assert answers == [{"value": 0.125, "reason": "of the other one"}]


def openings(folder: Path) -> int:
    """How often the lock of a trial is open in this process."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            target = Path(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
        found += target.parent == folder.resolve() and target.suffix == ".lock"
    return found
