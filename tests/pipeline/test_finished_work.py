"""Finished training is found again, and a result belongs to the code and parameters of its start."""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.harness import start
from tests.helpers.pocket import WHOLE_RUN, dvc, ran
from tests.helpers.processes import until
from tools.pocket import write_params

CELL = "students@conv1-60k"
LOSSES = "stages/fit/losses.py"
OLD, NEW = "(outputs - logits).square()", "0.5 * (outputs - logits).square()"


@pytest.fixture
def repository(undisturbed: Path, tmp_path: Path) -> Iterator[Path]:
    """A finished pocket pipeline."""
    folder = Path(shutil.copytree(undisturbed, tmp_path / "repository", symlinks=True))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def trained(folder: Path) -> dict[str, int]:
    """Trial of the cell -> when its result was written."""
    paths = folder.glob("work/students/conv1-60k/*/trials/*/result.json")
    return {path.parent.name: path.stat().st_mtime_ns for path in paths}


def rows(folder: Path) -> list[dict[str, str]]:
    """The cell's table of trials."""
    with (folder / "metrics/students/conv1-60k.csv").open() as file:
        return list(csv.DictReader(file))


def changed(folder: Path, **more: Any) -> None:
    """Parameters of the shared run with some changes: section__key."""
    changes = {name.replace("__", "."): value for name, value in more.items()}
    write_params(folder, {**WHOLE_RUN, **changes})


def test_a_longer_search_goes_on_and_a_shorter_one_is_its_beginning(repository: Path) -> None:
    before, three = trained(repository), rows(repository)
    search = {"start": 2, "lag": 2, "engine": "sobol"}
    hyperparameters = [name for name in three[0] if name not in ("test_accuracy", "test_sha256")]

    def values(table: list[dict[str, str]]) -> list[list[str]]:
        return [[row[name] for name in hyperparameters] for row in table]

    changed(repository, students__sweep={"trials": 5, **search})
    dvc(repository, "repro", CELL)
    after = trained(repository)
    assert len(after) == 5 and {trial: after[trial] for trial in before} == before
    assert values(rows(repository))[:3] == values(three) and len(rows(repository)) == 5

    changed(repository, students__sweep={"trials": 2, **search})
    dvc(repository, "repro", CELL)
    assert trained(repository) == after
    assert values(rows(repository)) == values(three)[:2]


@pytest.mark.middle
def test_the_box_of_another_budget_trains_nothing(repository: Path) -> None:
    before, table = trained(repository), rows(repository)
    boxes = {"60k": [[6, 12], [30, 80]], "100k": [[6, 12], [30, 80]], "180k": [[8, 16], [60, 160]]}
    changed(repository, rows__conv1__boxes=boxes)
    dvc(repository, "repro", CELL)
    assert (trained(repository), rows(repository)) == (before, table)

    boxes["60k"] = [[6, 11], [30, 80]]
    changed(repository, rows__conv1__boxes=boxes)
    dvc(repository, "repro", CELL)
    assert not set(before.items()) & set(trained(repository).items())


def test_going_back_trains_nothing(repository: Path) -> None:
    """DVC's run cache has all cells, since it has no output that is neither cached nor a metric."""
    table = rows(repository)
    changed(repository, students__training__max_epochs=1)
    assert CELL in ran(dvc(repository, "repro", CELL))
    assert rows(repository) != table
    shutil.rmtree(repository / "work")

    changed(repository)
    output = dvc(repository, "repro")
    assert f"Stage '{CELL}' is cached" in output
    assert rows(repository) == table
    assert {name.partition("@")[0] for name in ran(output)} <= {
        "tabulate",
        "assess",
        "draw",
        "page",
    }


@pytest.mark.middle
def test_teachers_are_found_again(repository: Path) -> None:
    before = (repository / "metrics/teachers.csv").read_bytes()
    changed(repository, teachers__training__max_epochs=1)
    dvc(repository, "repro", "teachers")
    changed(repository)
    output = dvc(repository, "repro", "ensemble")
    assert "Stage 'teachers' is cached" in output and not ran(output)
    assert (repository / "metrics/teachers.csv").read_bytes() == before


def edited(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def while_it_runs(folder: Path, edit: Any, server: str) -> tuple[subprocess.Popen[str], str]:
    """`dvc repro` of the cell, with an edit once its first new trial has been trained."""
    search = {"trials": 4, "start": 2, "lag": 2, "engine": "sobol"}
    changed(folder, students__training__max_epochs=25, students__sweep=search)
    before = trained(folder)
    process = start(folder, "dvc", "repro", CELL, before=("env", f"MIMICNETS_SERVER={server}"))
    assert until(lambda: trained(folder) != before or process.poll() is not None)
    assert process.poll() is None
    edit()
    output, _ = process.communicate()
    return process, output


@pytest.mark.parametrize("server", ["on", pytest.param("off", marks=pytest.mark.middle)])
def test_code_that_is_edited_while_a_cell_runs_is_not_put_down_as_its_code(
    repository: Path, server: str
) -> None:
    lock = (repository / "dvc.lock").read_text()
    losses = repository / LOSSES
    process, output = while_it_runs(repository, lambda: edited(losses, OLD, NEW), server)

    assert process.returncode != 0
    lines = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and LOSSES in lines[0] and "kept in work/" in lines[0]
    assert "up to date" not in dvc(repository, "status", CELL)
    of_cell = lock[lock.index(f"  {CELL}:") :].partition("\n    outs:")[0]
    assert of_cell in (repository / "dvc.lock").read_text(), "the cell's entry is that of before"

    # Put back, nothing is trained again.
    edited(losses, NEW, OLD)
    done = trained(repository)
    dvc(repository, "repro", CELL)
    assert trained(repository) == done and len(rows(repository)) == 4
    assert "up to date" in dvc(repository, "status", CELL)


@pytest.mark.middle
def test_parameters_that_are_edited_while_a_cell_runs_are_not_put_down_as_its_own(
    repository: Path,
) -> None:
    params = repository / "params.yaml"
    before = params.read_text().count("max_epochs: 25")
    assert before == 0
    process, output = while_it_runs(
        repository, lambda: edited(params, "max_epochs: 25", "max_epochs: 26"), "on"
    )
    assert process.returncode != 0
    assert "error: params.yaml: students.training changed while the stage ran" in output

    edited(params, "max_epochs: 26", "max_epochs: 25")
    done = trained(repository)
    dvc(repository, "repro", CELL)
    assert trained(repository) == done


@pytest.mark.middle
def test_what_a_cell_does_not_depend_on_may_be_edited_while_it_runs(repository: Path) -> None:
    def edit() -> None:
        edited(repository / "params.yaml", "slots: 2", "slots: 1")
        (repository / "stages/report/words.py").open("a").write("# more\n")

    process, output = while_it_runs(repository, edit, "on")
    assert process.returncode == 0, output
