"""state: how far a stage is, from its work folder, its record and what DVC runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from commands.pipeline import state as states
from commands.pipeline.entries import Record
from commands.pipeline.state import Pace, being_made, expected, held, state
from stages.store.atomic import write_json
from stages.trials.folder import TrialFolder
from tests.helpers.pipeline import CELL, begin, finish

DONE = Record()
AWAY = Record(here=False, done=False)
CHANGED = Record(("seed",), False, True, False)


def test_states_of_a_cell(tmp_path: Path) -> None:
    """Waiting, running with its trials, stopped by an error, running again, finished.

    The record says what that is.
    """
    assert state(CELL, None, tmp_path).status == "waiting"

    with pytest.raises(KeyboardInterrupt), begin(tmp_path) as folder:
        finish(folder, 0, 0.25, 8.0)
        finish(folder, 1, None, 4.0, epochs=2)
        TrialFolder(folder, 2).report(0, float("nan"), 0.5)
        TrialFolder(folder / "retrained", 0).report(6, 1.0, 0.25)
        found = state(CELL, None, tmp_path)

        assert (found.status, found.finished, found.seconds, found.epochs, found.best) == (
            "running",
            2,
            12.0,
            6,
            0.25,
        )
        assert found.flying == [states.Trial(2, False, 1, 0.5), states.Trial(0, True, 7, 0.25)]

        raise KeyboardInterrupt

    found = state(CELL, None, tmp_path)
    assert (found.status, found.finished, found.flying) == ("stopped", 2, [])
    assert state(CELL, CHANGED, tmp_path).status == "stopped"

    with begin(tmp_path) as folder:
        finish(folder / "retrained", 0, 0.01, 5.0)
    assert state(CELL, DONE, tmp_path).status == "done"
    assert state(CELL, DONE, tmp_path).best == 0.25, "a retrained net was not chosen"

    other = state(CELL, CHANGED, tmp_path)
    assert (other.status, other.differing) == ("changed", ("seed",))


@pytest.mark.parametrize("record", [None, AWAY, CHANGED])
def test_trials_of_another_time_are_no_progress(record: Record | None, tmp_path: Path) -> None:
    """A complete work folder of a stage that is to run again.

    Its times count, its accuracies do not.
    """
    with begin(tmp_path) as folder:
        finish(folder, 0, 0.25, 8.0)
    found = state(CELL, record, tmp_path)
    assert found.status == ("changed" if record is CHANGED else "waiting")
    assert (found.finished, found.best, found.seconds, found.epochs) == (0, None, 8.0, 4)


def test_dvc_says_what_it_makes(tmp_path: Path) -> None:
    """Of processes that live, of this repository, that run stages."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    alive = os.getpid()
    root = tmp_path.resolve()
    writers = {
        "data/a": (alive, "dvc repro"),
        "data/b": (gone.pid, "dvc repro"),
        "data/c": (alive, "dvc pull"),
    }
    write = {str(root / path): {"pid": pid, "cmd": cmd} for path, (pid, cmd) in writers.items()}

    assert being_made(tmp_path) == set()

    (tmp_path / states.BUSY).parent.mkdir(parents=True)
    write_json(
        tmp_path / states.BUSY,
        {"write": write | {"/elsewhere/x": {"pid": alive, "cmd": "dvc repro"}}},
    )

    assert being_made(tmp_path) == {Path("data/a")}

    (tmp_path / states.BUSY).write_text("{")
    assert being_made(tmp_path) == set()


def test_a_folder_in_use_counts_before_a_newer_one(tmp_path: Path) -> None:
    with begin(tmp_path, settings={"a": 1}) as used:
        with begin(tmp_path, settings={"a": 2}) as later:
            os.utime(later / "key.json", (2e9, 2e9))
        assert states.newest(tmp_path / CELL) == used
    assert states.newest(tmp_path / CELL) == later


def test_looking_takes_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With /proc/locks, and by the process in the file where there is none."""
    for source in (states.LOCKS, tmp_path / "none"):
        monkeypatch.setattr(states, "LOCKS", source)
        with begin(tmp_path / source.name) as folder:
            assert held(folder / "lock")

    monkeypatch.setattr(states, "LOCKS", Path("/proc/locks"))
    assert (
        Path("/proc/locks").is_file()
        and not held(folder / "lock")
        and not held(tmp_path / "missing")
    )

    with (folder / "lock").open("w") as file:
        file.write("1")  # somebody lives under that number, who holds nothing
    assert not held(folder / "lock")


def test_damaged_results_are_not_counted(tmp_path: Path) -> None:
    with begin(tmp_path) as folder:
        finish(folder, 0, 0.25, 8.0)
        (folder / "trials/000/result.json").write_text("{")
        (folder / "trials/001").mkdir()
        write_json(folder / "trials/001/result.json", {"result": []})
        assert state(CELL, None, tmp_path).finished == 0


def test_epochs_are_counted(tmp_path: Path) -> None:
    with begin(tmp_path, "augment") as folder:
        for epoch in range(3):
            (folder / f"epoch-{epoch:03d}.safetensors").touch()
        assert state("augment", None, tmp_path).finished == 3


def test_times_come_from_the_nearest_budget() -> None:
    paces = [
        Pace("conv", "conv1", 100, 2.0),
        Pace("conv", "conv1", 400, 5.0),
        Pace("mlp", "mlp2", 100, 1.0),
    ]

    assert expected(paces, "conv", "conv1", 380) == 5.0 * 380 / 400
    assert expected(paces, "conv", "conv2", 150) == 2.0 * 150 / 100
    assert expected(paces, "mlp", "mlp5", 1000) == 10.0
    assert (
        expected(paces, "teacher", "teacher", 1) is None and expected([], "mlp", "mlp1", 5) is None
    )
