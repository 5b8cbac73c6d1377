"""overview: every stage and cell of dvc.yaml, what is done of them, and how long the rest takes."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from typing import Any

from rich.console import Console
from ruamel.yaml import YAML

from commands.pipeline import overview
from commands.pipeline import state as states
from commands.pipeline.cache import lock_outs
from commands.pipeline.state import Pace
from stages.store.atomic import write_json
from stages.trials.folder import TrialFolder
from tests.helpers.pipeline import CELL, VARIED, begin, digest, entry, finish

ACCURACIES = json.dumps({"validation_accuracy": 0.5, "test_accuracy": 0.25})


def test_seconds_left_by_hand() -> None:
    task = overview.StageTask(
        "students",
        Path("x.json"),
        steps=5,
        slots=2,
        epochs=10,
        kind="mlp",
        row="mlp2",
        params=60_000,
    )
    now = states.State(CELL, "running", finished=2, seconds=40.0, epochs=16)
    now.flying = [states.Trial(2, False, 4, 0.5)]

    # 2 s an epoch, 8 epochs a trial: 40 - 16 - 4 of them are left.
    assert overview.seconds_left(task, now, []) == (40 - 16 - 4) * 2.5 / 2
    assert overview.seconds_left(task, states.State(CELL, "done"), []) == 0
    assert overview.seconds_left(task, states.State(CELL), []) is None
    assert (
        overview.seconds_left(task, states.State(CELL), [Pace("mlp", "mlp1", 30_000, 3.0)])
        == 5 * 10 * 6.0 / 2
    )
    assert [overview.duration(s) for s in (20, 60, 3599, 3661)] == [
        "< 1 min",
        "1 min",
        "1 h 00 min",
        "1 h 01 min",
    ]


def test_without_a_search_the_teachers_have_no_trials_and_no_accuracy() -> None:
    params = {**VARIED, "ensemble": {"members": 1, "source": "files"}}
    (task,) = [task for task in overview.tasks(params) if task.stage == "teachers"]
    assert (task.steps, task.kind) == (0, "")
    left = states.State("teachers", "done", best=0.2)  # trials of a search before
    assert overview.accuracies(task, left) == ("", "")


def shown(params: dict[str, Any]) -> str:
    text = io.StringIO()
    Console(file=text, width=200).print(overview.board(params).whole())
    return text.getvalue()


def rows_of(text: str) -> dict[str, str]:
    """Lines of the table by the stage they are of."""
    return {line.split("  ")[0].strip(): line for line in text.splitlines()}


def record(stages: dict[str, dict[str, Any]]) -> None:
    """A dvc.lock of these stages: name -> parameters.

    Each has the output by which watch knows it, which is written.
    """
    made = {task.dvc: task.out for task in overview.tasks(VARIED)}
    for name in stages:
        made[name].parent.mkdir(parents=True, exist_ok=True)
        made[name].write_text(ACCURACIES)

    lock = {
        name: entry({made[name].as_posix(): digest(ACCURACIES)}, **values)
        for name, values in stages.items()
    }
    YAML().dump({"schema": "2.0", "stages": lock}, Path("dvc.lock"))
    os.utime("dvc.lock", (1e9, 1e9 + len(lock)))  # else watch waits for DVC to have written it


def test_all_stages_of_dvc_yaml_are_listed(project: Path) -> None:
    """Each with one of its outputs."""
    stages = lock_outs(project, {})[2]
    tasks = {task.dvc: task for task in overview.tasks(VARIED)}
    assert sorted(tasks) == stages

    pipeline = YAML(typ="safe").load((project / "dvc.yaml").read_text())["stages"]
    for task in tasks.values():
        listed = [
            out
            for kind in ("outs", "metrics", "plots")
            for out in pipeline[task.stage].get(kind, [])
        ]
        paths = [next(iter(out)) if isinstance(out, dict) else out for out in listed]
        key = task.cell.key if task.cell else ""

        assert task.out.as_posix() in [re.sub(r"\$\{.*\}", key, path) for path in paths], task.dvc


def test_the_table_lists_every_cell(project: Path) -> None:
    text = shown(VARIED)
    assert "0 of 17 stages done; 7 cells without an estimate" in text and "%" not in text

    record(
        {
            "students@mlp2-60k": {"seed": 1},
            "students@conv1-60k": {"seed": 2, "numerics": 1, "rows.conv1": 1},
            "students_2014@snn-2014-180k-cnn-2014-60k": {"seed": 1},
        }
    )

    with begin(Path("work"), "hard/conv2-180k") as folder:
        finish(folder, 0, 0.5, 240.0, epochs=2)
        TrialFolder(folder, 1).report(0, 1.0, 0.5)
        rows = rows_of(shown(VARIED))

    assert "students mlp2-60k" in rows
    assert all(
        word in rows["hard conv2-180k"]
        for word in ("running", "1/2", "#1 epoch 1/2", "50.0 %", "2 min")
    )
    assert (
        "changed" in rows["students conv1-60k"]
        and "seed, numerics and 1 more" in rows["students conv1-60k"]
    )


def test_a_clone_without_data_has_nothing_done(project: Path) -> None:
    """dvc.lock and metrics/ come by git; data/ does not."""
    names = ("prepare", "teachers", "students@mlp2-60k", "students_2014@snn-2014-180k-cnn-2014-60k")
    record({name: {"seed": 1} for name in names})
    text = shown(VARIED)
    assert "4 of 17 stages done" in text and "recorded in dvc.lock" not in text
    assert all(
        word in rows_of(text)["students mlp2-60k"] for word in ("done", "3/3", "50.0 %", "25.0 %")
    )
    assert "done" in rows_of(text)["students_2014 snn-2014-180k"]

    lock = YAML(typ="safe").load(Path("dvc.lock").read_text())
    for name in names[1:]:
        lock["stages"][name]["deps"] = [{"path": "data/prepared", "md5": digest(ACCURACIES)}]
        lock["stages"][name]["outs"].append({"path": f"data/{name}", "md5": digest("x")})

    YAML().dump(lock, Path("dvc.lock"))
    text = shown(VARIED)
    assert (
        "1 of 17 stages done" in text
        and "%" not in text
        and "waiting" in rows_of(text)["students mlp2-60k"]
    )

    told = "3 stages are recorded in dvc.lock, but their outputs are not here"
    assert f"{told}: dvc repro makes them again" in text, "there is no remote to pull from"

    Path(".dvc/config").write_text(
        "[core]\n    remote = r\n['remote \"r\"']\n    url = /tmp/nowhere\n"
    )
    overview.cache_and_remote.cache_clear()

    assert f"{told}: dvc pull brings them, dvc repro makes them again" in shown(VARIED)

    with begin(Path("work"), "teachers"):
        assert "recorded in dvc.lock" not in shown(VARIED), "they are just being made"


def test_what_runs_says_so(project: Path) -> None:
    """Without a work folder, by what DVC makes; with one, also between two trials."""
    record({"prepare": {"seed": 1}, "ensemble": {}})
    made = ("data/prepared", "metrics/ensemble.json", "plots/report.html", "metrics/teachers.json")
    (project / states.BUSY).parent.mkdir()
    write = {str(Path(path).resolve()): {"pid": os.getpid(), "cmd": "dvc repro"} for path in made}
    write_json(project / states.BUSY, {"write": write})
    Path("metrics/ensemble.json").unlink()

    with begin(Path("work"), "students/mlp2-60k") as folder, begin(Path("work"), "augment"):
        rows = rows_of(shown(VARIED))
        assert "done" in rows["prepare"], "DVC only compares what is there"
        assert "running" in rows["ensemble"] and "at work" in rows["ensemble"]
        assert "running" in rows["page"] and "at work" in rows["page"]
        assert (
            "starting, or being saved by DVC" in rows["teachers"] and "epoch 1/3" in rows["augment"]
        )
        assert "between trials" in rows["students mlp2-60k"]

        for trial in range(3):
            finish(folder, trial, 0.5, 1.0)
        assert "writes its outputs" in rows_of(shown(VARIED))["students mlp2-60k"]
