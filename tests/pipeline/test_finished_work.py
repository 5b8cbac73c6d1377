"""Finished training is found again, and a result belongs to the code and parameters of its start."""

from __future__ import annotations

import copy
import csv
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

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
        "extra",
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


def trained_nets(folder: Path, stage: str) -> list[str]:
    """Which nets were trained for a stage since its work folder was removed, as "trials/001"."""
    return sorted(
        "/".join(path.parts[path.parts.index(stage.rpartition("/")[2]) + 2 : -1])
        for path in (folder / "work" / stage).rglob("seconds.json")
        if path.read_text().strip() != "null"
    )


@pytest.mark.parametrize("server", ["on", pytest.param("off", marks=pytest.mark.middle)])
def test_a_clone_that_has_pulled_a_cell_begins_with_its_trials(
    repository: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    """It has no work folder: retraining trains the new nets only, and a longer search the new trials."""
    monkeypatch.setenv("MIMICNETS_SERVER", server)
    before = (repository / "metrics/students/conv1-60k.csv").read_bytes()
    again = (repository / "metrics/students/conv1-60k.retrained.csv").read_text()
    shutil.rmtree(repository / "work")

    changed(repository, students__final_seeds=3)
    output = dvc(repository, "repro", CELL)
    assert "students conv1-60k: 5 trials are taken from its earlier outputs" in output
    assert trained_nets(repository, "students/conv1-60k") == ["retrained/trials/002"]
    assert (repository / "metrics/students/conv1-60k.csv").read_bytes() == before
    now = (repository / "metrics/students/conv1-60k.retrained.csv").read_text()
    assert now.startswith(again) and len(now.splitlines()) == 4

    shutil.rmtree(repository / "work")
    search = {"trials": 4, "start": 2, "lag": 2, "engine": "sobol"}
    changed(repository, students__final_seeds=3, students__sweep=search)
    dvc(repository, "repro", CELL)
    assert "trials/003" in trained_nets(repository, "students/conv1-60k")
    assert not {"trials/000", "trials/001", "trials/002"} & set(
        trained_nets(repository, "students/conv1-60k")
    )


def test_a_search_that_was_taken_over_is_made_shorter(repository: Path) -> None:
    """Its results are here and its nets are not: the one that is needed now is trained again."""
    shutil.rmtree(repository / "work")
    changed(repository, students__final_seeds=1)
    dvc(repository, "repro", CELL)
    errors = [float(row["validation_error"]) for row in rows(repository)]
    best = errors.index(min(errors))

    search = {"trials": best or 1, "start": 2, "lag": 2, "engine": "sobol"}
    changed(repository, students__final_seeds=1, students__sweep={**search, "start": 2})
    dvc(repository, "repro", CELL)
    now = [float(row["validation_error"]) for row in rows(repository)]
    assert now == errors[: best or 1]
    folder = "work/students/conv1-60k/*/trials/*/weights.safetensors"
    assert f"{now.index(min(now)):03d}" in {path.parent.name for path in repository.glob(folder)}


@pytest.mark.middle
def test_who_forces_a_run_in_such_a_clone_gets_all_trials_anew(repository: Path) -> None:
    before = (repository / "metrics/students/conv1-60k.csv").read_bytes()
    shutil.rmtree(repository / "work")
    dvc(repository, "repro", "--force", "--single-item", CELL)
    assert len(trained_nets(repository, "students/conv1-60k")) == 5
    assert (repository / "metrics/students/conv1-60k.csv").read_bytes() == before


@pytest.mark.middle
def test_a_longer_search_for_teachers_in_such_a_clone(repository: Path) -> None:
    before = (repository / "metrics/teachers.csv").read_text().splitlines()
    shutil.rmtree(repository / "work")
    changed(repository, teachers__sweep={"trials": 5, "start": 3, "lag": 2, "engine": "gpyopt"})
    dvc(repository, "repro", "teachers")
    assert trained_nets(repository, "teachers") == ["trials/004"]
    assert len(before) == 5
    columns = [line.split(",")[:2] for line in before]
    now = (repository / "metrics/teachers.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in now][:5] == columns and len(now) == 6


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


def test_tables_of_a_former_row_do_not_count(repository: Path) -> None:
    """They would give the tables' inputs another hash than in a clone that never had the row."""
    # Another clone that has had a row: DVC keeps its entry.
    entries = YAML(typ="safe").load(repository / "dvc.lock")
    before = copy.deepcopy(entries["stages"]["tabulate"])
    old = copy.deepcopy(entries["stages"][CELL])
    for out in old["outs"]:
        out["path"] = out["path"].replace("conv1", "old")
    entries["stages"]["students@old-60k"] = old
    with (repository / "dvc.lock").open("w") as file:
        YAML().dump(entries, file)
    former = repository / "metrics/students/old-60k.json"
    former.write_text("{}")

    output = dvc(repository, "repro", "tabulate")
    assert "removed metrics/students/old-60k.json" in output and not former.exists()
    assert YAML(typ="safe").load(repository / "dvc.lock")["stages"]["tabulate"] == before
    assert "up to date" in dvc(repository, "status")


def test_a_search_that_was_resumed_with_another_torch_says_so(repository: Path) -> None:
    """Both environments stand in the record; the trials are not trained again."""
    search = {"trials": 4, "start": 2, "lag": 2, "engine": "sobol"}
    changed(repository, students__sweep=search)
    before = trained(repository)
    for path in repository.glob("work/students/conv1-60k/*/trials/*/environment.json"):
        edited(path, '"torch": "', '"torch": "1.')
    output = dvc(repository, "repro", CELL)
    assert "students conv1-60k: note: its trials were trained in 2 environments" in output
    after = trained(repository)
    assert {trial: after[trial] for trial in before} == before

    record = json.loads((repository / "metrics/environment.json").read_text())
    versions = [entry["torch"] for entry in record if CELL in entry["stages"]]
    assert len(versions) == 2
    assert sorted(version.startswith("1.") for version in versions) == [False, True]
