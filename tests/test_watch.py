"""watch: states of stages from work folders and dvc.lock, paces, and the table."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pocket import ENVIRONMENT, ROOT, pocket_params
from rich.console import Console
from ruamel.yaml import YAML

from stages import watch
from stages.store import state as states
from stages.store.atomic import write_json
from stages.store.state import Pace, differing, expected, held, state
from stages.store.trials import TrialFolder
from stages.store.work import work_folder

CELL = "students/mlp2-60k"


def begin(root: Path, name: str = CELL, settings: dict[str, Any] | None = None) -> Any:
    """The work folder of a stage, held while the context is open."""
    return work_folder(name, settings or {}, [], str(ROOT / "stages/watch.py"), root)


def finish(folder: Path, trial: int, value: float | None, seconds: float, epochs: int = 4) -> None:
    result = {"value": value, "errors": [0.5] * epochs, "losses": [1.0] * epochs}
    TrialFolder(folder, trial).finish({"lr": 0.1}, 1, result, seconds)


def test_states_of_a_cell(tmp_path: Path) -> None:
    """Waiting, running with its trials, stopped by an error, running again, finished; dvc.lock says what that is."""
    params, entry = {"seed": 1, "students": {"sweep": 3}}, {"params": {"params.yaml": {"students.sweep": 3, "seed": 1}}}
    assert state(CELL, None, params, tmp_path).status == "waiting"
    with pytest.raises(KeyboardInterrupt), begin(tmp_path) as folder:
        finish(folder, 0, 0.25, 8.0)
        finish(folder, 1, None, 4.0, epochs=2)
        TrialFolder(folder, 2).report(0, float("nan"), 0.5)
        TrialFolder(folder / "retrained", 0).report(6, 1.0, 0.25)
        found = state(CELL, None, params, tmp_path)
        assert (found.status, found.finished, found.seconds, found.epochs, found.best) == ("running", 2, 12.0, 6, 0.25)
        assert found.flying == [states.Trial(2, False, 1, 0.5), states.Trial(0, True, 7, 0.25)]
        raise KeyboardInterrupt
    found = state(CELL, None, params, tmp_path)
    assert (found.status, found.finished, found.flying) == ("stopped", 2, [])
    assert state(CELL, {"params": {"params.yaml": {"seed": 2}}}, params, tmp_path).status == "stopped"
    with begin(tmp_path) as folder:
        finish(folder / "retrained", 0, 0.01, 5.0)
    assert state(CELL, entry, params, tmp_path).status == "done"
    assert state(CELL, entry, params, tmp_path).best == 0.25, "a retrained net was not chosen"
    assert state(CELL, None, params, tmp_path).status == "waiting", "DVC does not know of it"
    other = state(CELL, entry, {**params, "seed": 2}, tmp_path)
    assert (other.status, other.differing) == ("changed", ("seed",))


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
    assert Path("/proc/locks").is_file() and not held(folder / "lock") and not held(tmp_path / "missing")
    with (folder / "lock").open("w") as file:
        file.write("1")  # somebody lives under that number, who holds nothing
    assert not held(folder / "lock")


def test_damaged_results_are_not_counted(tmp_path: Path) -> None:
    with begin(tmp_path) as folder:
        finish(folder, 0, 0.25, 8.0)
        (folder / "trials/000/result.json").write_text("{")
        (folder / "trials/001").mkdir()
        write_json(folder / "trials/001/result.json", {"result": []})
    assert state(CELL, None, {}, tmp_path).finished == 0


def test_epochs_are_counted(tmp_path: Path) -> None:
    with begin(tmp_path, "augment") as folder:
        for epoch in range(3):
            (folder / f"epoch-{epoch:03d}.safetensors").touch()
        assert state("augment", None, {}, tmp_path).finished == 3


def test_params_are_compared_by_their_paths() -> None:
    entry = {"params": {"params.yaml": {"a.b": {"c": 1}, "x": [1, 2], "gone": None}}}
    assert differing(entry, {"a": {"b": {"c": 1}}, "x": [1, 2]}) == ()
    assert differing(entry, {"a": {"b": {"c": 2}}, "x": [1]}) == ("a.b", "x")
    assert differing({}, {}) == ()


def test_times_come_from_the_nearest_budget() -> None:
    paces = [Pace("conv", "conv1", 100, 2.0), Pace("conv", "conv1", 400, 5.0), Pace("mlp", "mlp2", 100, 1.0)]
    assert expected(paces, "conv", "conv1", 380) == 5.0 * 380 / 400
    assert expected(paces, "conv", "conv2", 150) == 2.0 * 150 / 100
    assert expected(paces, "mlp", "mlp5", 1000) == 10.0
    assert expected(paces, "teacher", "teacher", 1) is None and expected([], "mlp", "mlp1", 5) is None


def test_seconds_left_by_hand() -> None:
    want = watch.Wanted(CELL, steps=5, slots=2, epochs=10, kind="mlp", row="mlp2", params=60_000)
    now = states.State(CELL, "running", finished=2, seconds=40.0, epochs=16)
    now.flying = [states.Trial(2, False, 4, 0.5)]  # 2 s an epoch, 8 epochs a trial: 40 - 16 - 4 of them are left
    assert watch.seconds_left(want, now, []) == (40 - 16 - 4) * 2.5 / 2
    assert watch.seconds_left(want, states.State(CELL, "done"), []) == 0
    assert watch.seconds_left(want, states.State(CELL), []) is None
    assert watch.seconds_left(want, states.State(CELL), [Pace("mlp", "mlp1", 30_000, 3.0)]) == 5 * 10 * 6.0 / 2
    assert [watch.duration(s) for s in (20, 60, 3599, 3661)] == ["< 1 min", "1 min", "1 h 00 min", "1 h 01 min"]


def shown(params: dict[str, Any]) -> str:
    text = io.StringIO()
    Console(file=text, width=200).print(watch.table(params))
    return text.getvalue()


def test_the_table_lists_every_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = pocket_params({"students_2014": {"rows": ["snn-2014"], "budgets": ["180k"]},
                            "teachers_2014": {"rows": ["cnn-2014"], "budgets": ["60k"], "members": 2}})  # fmt: skip
    text = shown(params)
    assert "0 of 13 stages done; 6 cells without an estimate" in text
    names = ["prepare", "teachers", "ensemble", "augment", "label", "students mlp2-60k", "students conv1-60k"]
    names += ["hard conv2-180k", "teachers_2014 cnn-2014-60k", "students_2014 snn-2014-180k"]
    names += ["tabulate", "assess", "draw"]
    lines = [line.strip() for line in text.splitlines()]
    assert [line.split("  ")[0] for line in lines[2:] if line] == names
    write_json(Path("metrics/students/mlp2-60k.json"), {"validation_accuracy": 0.5, "test_accuracy": 0.25})
    recorded = {"students@mlp2-60k": {"seed": 1}, "students@conv1-60k": {"seed": 2, "numerics": 1, "rows.conv1": 1},
                "students_2014@snn-2014-180k-cnn-2014-60k": {"seed": 1}}  # fmt: skip
    lock = {name: {"cmd": "x", "params": {"params.yaml": values}} for name, values in recorded.items()}
    YAML().dump({"schema": "2.0", "stages": lock}, Path("dvc.lock"))
    with begin(Path("work"), "hard/conv2-180k") as folder:
        finish(folder, 0, 0.5, 240.0, epochs=2)
        TrialFolder(folder, 1).report(0, 1.0, 0.5)
        rows = {line.split("  ")[0].strip(): line for line in shown(params).splitlines()}
    assert all(word in rows["students mlp2-60k"] for word in ("done", "3/3", "50.0 %", "25.0 %"))
    assert "changed" in rows["students conv1-60k"] and "seed, numerics and 1 more" in rows["students conv1-60k"]
    assert "done" in rows["students_2014 snn-2014-180k"]
    assert all(word in rows["hard conv2-180k"] for word in ("running", "1/2", "#1 epoch 1/2", "50.0 %", "2 min"))


def test_the_command_prints_once_where_there_is_no_terminal(tmp_path: Path) -> None:
    YAML().dump(pocket_params(), tmp_path / "params.yaml")
    environment = {**ENVIRONMENT, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "stages.watch"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "0 of 11 stages done" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"], "nothing is written"
    done = subprocess.run([*words, "--seconds", "0"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "allowed is more than 0" in done.stderr
