"""forecast: DVC's order, which stages are due, and seconds that agree with measured runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo
from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro
from ruamel.yaml import YAML

from commands.pipeline.cache import read_pipeline
from commands.running import forecast
from commands.sizing.cost import RATES
from commands.sizing.jobs import jobs
from stages.settings.read import read_params
from tests.commands.running.conftest import At, finish_all, made
from tests.helpers.pipeline import begin, finish
from tests.helpers.pocket import copy_of_the_repository
from tools.pocket import write_params

REPORT = ["extra", "tabulate", "assess", "draw", "page"]


def due(*words: str) -> list[str]:
    return forecast.plan(words)["due"]


def change(**values: object) -> None:
    """Other values in params.yaml: section -> value."""
    params = YAML(typ="safe").load(Path("params.yaml"))
    YAML().dump({**params, **values}, Path("params.yaml"))


def test_order_is_that_of_dvc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copy_of_the_repository(tmp_path / "repository")
    write_params(folder, {"ablations.rows": ["conv2-dropout"], "ablations.budgets": ["60k"]})
    monkeypatch.chdir(folder)

    repo = Repo(str(folder))
    graph = get_active_graph(repo.index.graph)
    order = [stage.addressing for stage in plan_repro(graph, collect_stages(repo, ["dvc.yaml"]))]

    planned = list(forecast.plan()["stages"])
    assert planned == [name for name in order if name != forecast.CODE]
    assert "ablations@conv2-dropout-60k" in planned


def test_who_needs_whom(at: At) -> None:
    at("smoke")
    after = forecast.downstream(read_pipeline(Path()))

    assert after["students"] == set(REPORT)
    assert after["draw"] == after["page"] == set()
    assert {"label", "students", "ablations", *REPORT} <= after["ensemble"]
    assert "hard" not in after["ensemble"] and "augment" not in after["teachers"]
    assert "students_2014" in after["teachers_2014"]


def test_what_lies_in_an_output_or_around_it_is_needed() -> None:
    pipeline = {
        "a": {"outs": ["data/a"]},
        "b": {"deps": ["data/a/part.json"], "metrics": [{"made/b/${item.row}.json": {}}]},
        "c": {"deps": ["made"], "plots": ["c.svg"]},
        "d": {"deps": ["data/another", "c.svg.txt"]},
    }
    assert forecast.downstream(pipeline) == {"a": {"b", "c"}, "b": {"c"}, "c": set(), "d": set()}


def test_all_is_due_without_a_lock_file_and_nothing_after_a_run(at: At) -> None:
    params = at("smoke")
    planned = forecast.plan()
    assert planned["due"] == list(planned["stages"])

    finish_all(params)
    assert due() == []


def test_outputs_that_only_git_knows_are_due(at: At) -> None:
    params = at("smoke")
    finish_all(params)
    for path in Path("made").iterdir():
        path.unlink()
    assert due() == list(forecast.plan()["stages"])


def test_changed_row_makes_its_cells_and_the_report_due(at: At) -> None:
    params = at("smoke")
    finish_all(params)
    change(rows={**params["rows"], "mlp2": {"ratios": [0.4, 1]}})
    assert due() == ["students@mlp2-60k", "students@mlp2-180k", *REPORT]


def test_changed_picture_is_due_alone(at: At) -> None:
    params = at("smoke")
    finish_all(params)
    made("draw").unlink()
    assert due() == ["draw"]


def test_stopped_run_leaves_the_rest_due(at: At) -> None:
    params = at("smoke")
    rest = [name for name in forecast.plan()["stages"] if name.startswith("hard@")]
    finish_all(params, but={*rest, *REPORT})
    assert due() == [*rest, *REPORT]


def test_other_inputs_than_recorded_are_due(at: At) -> None:
    """After a stop: dvc.lock still has the entries of the run before, and their outputs are here."""
    params = at("smoke")
    finish_all(params)
    lock = YAML(typ="safe").load(Path("dvc.lock"))
    lock["stages"]["augment"]["outs"][0]["md5"] = "0" * 32
    YAML().dump(lock, Path("dvc.lock"))

    listed = due()
    assert {"label", "students@conv1-60k", "hard@conv1-180k", *REPORT} <= set(listed)
    assert not {"prepare", "teachers", "ensemble", "augment"} & set(listed)


@pytest.mark.parametrize(
    ("words", "first", "last", "count"),
    [
        ((), "prepare", "page", 32),
        (("draw",), "prepare", "draw", 31),
        (("ensemble",), "prepare", "ensemble", 3),
        (("dvc.yaml:students",), "prepare", "students@conv4-180k", 5 + 18),
        (("students@conv1-60k",), "prepare", "students@conv1-60k", 6),
        (("-s", "students@conv1-60k"), "students@conv1-60k", "students@conv1-60k", 1),
        (("draw", "--single-item"), "draw", "draw", 1),
        (("--downstream", "assess"), "prepare", "page", 32),
        (("-f", "--dry"), "prepare", "page", 32),
    ],
)
def test_command_line_says_what_is_asked(
    at: At, words: tuple[str, ...], first: str, last: str, count: int
) -> None:
    at("smoke")
    names = list(forecast.plan(words)["stages"])
    assert (names[0], names[-1], len(names)) == (first, last, count)


def test_command_line_of_a_process() -> None:
    code = "import time; print(flush=True); time.sleep(60)"
    words = [sys.executable, "-c", code, "--cd", "x", "repro", "-s", "draw"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        said = forecast.command_line(process.pid)
        process.kill()

    assert said == ["-s", "draw"]
    assert forecast.command_line(process.pid) == []  # it has ended


def test_trials_that_are_finished_do_not_count(at: At, tmp_path: Path) -> None:
    params = at("cpu")
    before = forecast.plan()["stages"]["teachers"]["computing"]
    trials = params["teachers"]["sweep"]["trials"]

    try:
        with begin(Path("work"), "teachers") as folder:
            finish(folder, 0, 0.5, 10.0)
            finish(folder, 1, 0.5, 10.0)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass

    after = forecast.plan()["stages"]
    assert after["teachers"]["computing"] == pytest.approx(before * (trials - 2) / trials)
    with begin(Path("work"), "teachers"):
        pass
    assert forecast.plan()["stages"]["teachers"]["computing"] == pytest.approx(before)


def test_seconds_of_a_cell_by_hand(at: At) -> None:
    """Three trials of which two run at a time take two turns."""
    at("cpu")
    params = read_params()
    works, _ = jobs(params)
    cell = next(job for job in works if job.name == "students conv2 316k")
    rates = json.loads(RATES.read_text())[0]["rates"]

    assert cell.count == 3
    read_s = 16 * 10_000 * (3072 + 4 + 2 + 18 + 40) / rates["store read"]
    once = (
        16 * 10_000 / 32 * forecast.CORE_STEP_S
        + cell.flops / 3 / rates["train conv fp32"] / forecast.REACHED
        + read_s
    )
    assert forecast.seconds(params, works)["students@conv2-316k"] == pytest.approx(
        2 * once, rel=1e-6
    )


def test_run_at_the_cpu_scale_was_about_as_long(at: At) -> None:
    """docs/results: 55 min 33 s on two cores that were busy; cells took half of it when idle."""
    at("cpu")
    total = sum(sum(kinds.values()) for kinds in forecast.plan()["stages"].values())
    assert 0.5 < total / (55 * 60 + 33) < 1.0


def test_at_the_paper_scale_training_is_nearly_all(at: At) -> None:
    at("paper")
    stages = forecast.plan()["stages"]
    trained = sum(s["computing"] for name, s in stages.items() if "@" in name or name == "teachers")
    total = sum(sum(kinds.values()) for kinds in stages.values())
    assert trained / total > 0.98
    assert (
        stages["students@conv4-31.6M"]["computing"] > 10 * stages["students@conv4-1M"]["computing"]
    )


def test_device_is_the_one_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(forecast, "GPU", tmp_path / "none")
    core = forecast.device_of("cpu")
    assert core == forecast.device_of("auto") != forecast.device_of("cuda")

    monkeypatch.setattr(forecast, "GPU", tmp_path)
    assert forecast.device_of("auto") == forecast.device_of("cuda")
    assert forecast.device_of("cpu") == core
