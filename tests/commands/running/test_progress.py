"""progress: the line of each stage, on recorded runs and on what users do every day."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from commands.running import forecast, progress
from commands.running.progress import Course
from tests.commands.running.conftest import At, finish_all
from tools.pocket import ROOT

RUN = (os.getpid(), "77")
LINE = re.compile(r"\[(\d+)/(\d+)\] (\S+): (\d+) % done, (less than|about) (.+) left")

SMOKE = {
    **{"prepare": 4.0, "augment": 1.7, "teachers": 41.1, "ensemble": 2.3, "label": 5.2},
    **{"students@mlp1-60k": 4.4, "students@mlp1-180k": 4.3, "students@mlp2-60k": 2.2},
    **{"students@mlp2-180k": 2.5, "students@mlp3-60k": 2.2, "students@mlp3-180k": 2.0},
    **{"students@mlp4-60k": 2.2, "students@mlp4-180k": 2.2, "students@mlp5-60k": 3.9},
    **{"students@mlp5-180k": 3.2, "students@conv1-60k": 4.2, "students@conv1-180k": 5.3},
    **{"students@conv2-60k": 10.4, "students@conv2-180k": 9.8, "students@conv3-60k": 8.0},
    **{"students@conv3-180k": 10.4, "students@conv4-60k": 6.9, "students@conv4-180k": 9.4},
    **{"hard@conv1-180k": 2.8, "hard@conv2-180k": 2.7, "hard@conv3-180k": 4.2},
    **{
        "hard@conv4-180k": 9.1,
        "extra": 1.3,
        "tabulate": 1.3,
        "assess": 2.5,
        "draw": 7.2,
        "page": 2.5,
    },
}
"""Seconds from the beginning of a stage to that of the next, DVC's own work included.

Measured at commit 84942f4 on two cores of an Intel Xeon, from the lines of `dvc repro`, the first
two from its files; n = 1.
"""


def longer(seconds: dict[str, float]) -> dict[str, float]:
    """The same run if a cell took two seconds more to start and to test."""
    return {name: lasts + 2.0 * ("@" in name) for name, lasts in seconds.items()}


def slower(seconds: dict[str, float], times: float) -> dict[str, float]:
    return {name: times * lasts for name, lasts in seconds.items()}


def course(stages: dict[str, dict[str, float]], **more: Any) -> Course:
    facts = {"stages": stages, "due": list(stages), "after": {}, "ran": [], "share": 0.0}
    return Course(Path("course.json"), {**facts, **more})


def replayed(planned: dict[str, Any], seconds: dict[str, float]) -> list[tuple[int, float]]:
    """A run that takes these seconds: for each stage the percent shown, and estimated / true."""
    now = Course(Path("course.json"), {**planned, "ran": [], "share": 0.0})
    clock = 0.0
    seen = []
    for name, lasts in seconds.items():
        line = now.begin(name, clock)
        match = LINE.fullmatch(line)
        assert match is not None, line

        later = list(seconds)[list(seconds).index(name) :]
        factors = now.factors()
        left = sum(factors[k] * s for other in later for k, s in now.stages[other].items())
        seen.append((int(match[4]), left / sum(seconds[other] for other in later)))

        clock += lasts
        now.end(name)

    return seen


def said(capsys: pytest.CaptureFixture[str]) -> list[tuple[int, int, str]]:
    """Number, count and stage of the lines since the last look."""
    lines = capsys.readouterr().out.splitlines()
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found), lines
    return [(int(match[1]), int(match[2]), match[3]) for match in found if match]


def ran(stages: Iterable[str], run: tuple[int, str] = RUN) -> None:
    for stage in stages:
        progress.begin(stage, run)
        progress.end(stage, run)


@pytest.mark.parametrize("seconds", [SMOKE, longer(SMOKE)], ids=["measured", "longer"])
def test_smoke_run_is_estimated_within_a_factor_of_1_6(at: At, seconds: dict[str, float]) -> None:
    at("smoke")
    planned = forecast.plan()
    assert list(seconds) == list(planned["stages"])

    shown = replayed(planned, seconds)
    assert all(1 / 1.6 < ratio < 1.6 for _, ratio in shown[1:])
    percents = [percent for percent, _ in shown]
    assert percents == sorted(percents) and percents[0] == 0 and 90 < percents[-1] < 100


def test_slower_machine_is_found_out_by_the_first_cell(at: At) -> None:
    at("smoke")
    shown = replayed(forecast.plan(), slower(SMOKE, 3.0))
    assert shown[0][1] < 0.4
    assert all(1 / 1.5 < ratio < 1.5 for _, ratio in shown[6:])


@pytest.mark.parametrize("scale", ["cpu", "paper"])
@pytest.mark.parametrize(("times", "start"), [(3.0, 2.0), (0.3, 1.0)])
def test_training_dominates_large_scales(at: At, scale: str, times: float, start: float) -> None:
    """Made-up durations: nets take so many times as long as the forecast, and MLPs twice that."""
    at(scale)
    planned = forecast.plan()
    seconds = {
        name: start * sum(s for kind, s in kinds.items() if kind != "computing")
        + times * (1 + ("mlp" in name)) * kinds["computing"]
        for name, kinds in planned["stages"].items()
    }

    shown = replayed(planned, seconds)
    report = 5
    assert all(1 / 1.5 < ratio < 1.5 for _, ratio in shown[3:-report])


def test_whole_run_counts_all_stages(at: At, capsys: pytest.CaptureFixture[str]) -> None:
    at("smoke")
    names = list(forecast.plan()["stages"])
    ran(names)
    assert said(capsys) == [(k, 32, name) for k, name in enumerate(names, start=1)]


def test_changed_row_counts_its_cells_and_the_report(
    at: At, capsys: pytest.CaptureFixture[str]
) -> None:
    params = at("smoke")
    finish_all(params)
    rows = {
        **params["rows"],
        "conv2": {"boxes": {"60k": [[8, 9], [8, 9]], "180k": [[8, 9], [8, 9]]}},
    }
    YAML().dump({**params, "rows": rows}, Path("params.yaml"))

    ran(["students@conv2-60k", "students@conv2-180k", "tabulate", "draw"])
    assert said(capsys) == [
        (1, 7, "students@conv2-60k"),
        (2, 7, "students@conv2-180k"),
        (3, 6, "tabulate"),  # extra was skipped
        (4, 5, "draw"),  # assess was skipped
    ]


def test_changed_picture_is_one_of_one(at: At, capsys: pytest.CaptureFixture[str]) -> None:
    params = at("smoke")
    finish_all(params, but={"draw"})
    progress.begin("draw", RUN)
    assert capsys.readouterr().out == "[1/1] draw: 0 % done, less than 1 min left\n"


def test_resumed_run_counts_what_is_left(at: At, capsys: pytest.CaptureFixture[str]) -> None:
    params = at("smoke")
    names = list(forecast.plan()["stages"])
    finish_all(params, but=set(names[20:]))
    ran(names[20:22])
    assert said(capsys) == [(1, 12, names[20]), (2, 12, names[21])]


def test_what_needs_a_stage_that_ran_is_expected(
    at: At, capsys: pytest.CaptureFixture[str]
) -> None:
    """Changes of code are seen in no file: the forecast has nothing of them to be due."""
    params = at("smoke")
    finish_all(params)
    ran(["hard@conv1-180k", "tabulate"])
    assert said(capsys) == [(1, 6, "hard@conv1-180k"), (2, 5, "tabulate")]


def test_stage_of_changed_code_has_no_share(at: At, capsys: pytest.CaptureFixture[str]) -> None:
    """It runs although little else may; what is due is known when the next stage begins."""
    params = at("smoke")
    ran([progress.CODE])
    assert "known after" in capsys.readouterr().out
    assert not progress.FOLDER.exists()

    finish_all(params, but={"draw"})
    ran(["draw"])
    assert said(capsys) == [(1, 1, "draw")]


def test_stage_may_be_named_with_its_file(at: At, capsys: pytest.CaptureFixture[str]) -> None:
    at("smoke")
    ran(["../dvc.yaml:prepare", "../dvc.yaml:augment"])
    assert said(capsys) == [(1, 32, "prepare"), (2, 32, "augment")]


def test_factors_without_other_kinds_are_sums_with_the_forecast() -> None:
    now = course({"a": {"computing": 10.0}, "b": {"computing": 30.0}, "c": {"computing": 5.0}})
    trust = progress.TRUST_S["computing"]
    assert now.factors() == dict.fromkeys(progress.TRUST_S, 1.0)

    now.begin("a", 100.0)
    now.end("a")
    now.begin("b", 150.0)
    now.end("b")
    assert now.factors()["computing"] == pytest.approx((trust + 50) / (trust + 10))
    assert now.begin("c", 180.0) == f"[3/3] c: {int(100 * 80 / (80 + left(now, 5)))} % done, " + (
        "less than 1 min left"
    )
    assert now.factors()["computing"] == pytest.approx((trust + 80) / (trust + 40))


def left(now: Course, seconds: float) -> float:
    trust = progress.TRUST_S["computing"]
    return seconds * (trust + 80) / (trust + 40)


def test_cells_are_told_apart_from_other_stages_and_from_training() -> None:
    """Enough of each kind: the factors are the true ones."""
    true = {"stage": 3.0, "cell": 0.5, "computing": 2.0}
    stages = {f"s{k}": {"stage": 100.0 + k, "computing": 10.0 * k} for k in range(20)}
    stages |= {f"c{k}": {"cell": 90.0 + k, "computing": 7.0 * k} for k in range(20)}
    now = course({**stages, "last": {"stage": 1.0}})

    clock = 0.0
    for name, kinds in stages.items():
        now.begin(name, clock)
        now.end(name)
        clock += sum(true[kind] * s for kind, s in kinds.items())
    now.begin("last", clock)
    assert now.factors() == pytest.approx(true, rel=0.05)


def test_failed_stage_teaches_nothing() -> None:
    now = course({"a": {"computing": 10.0}, "b": {"computing": 30.0}})
    now.begin("a", 0.0)
    now.begin("b", 500.0)
    assert now.factors()["computing"] == 1.0
    now.end("a")  # no longer the last: another process of the same run must not mix them up
    assert now.ran == [("a", 0.0, False), ("b", 500.0, False)]


def test_stage_without_a_forecast_is_shown_and_teaches_nothing() -> None:
    now = course({"a": {"computing": 0.0}})
    now.begin("a", 0.0)
    now.end("a")
    assert now.begin("own", 50.0) == "[2/2] own: 99 % done, less than 1 min left"
    assert now.factors() == dict.fromkeys(progress.TRUST_S, 1.0)


def test_share_never_falls() -> None:
    now = course({"a": {"stage": 50.0}, "b": {"stage": 50.0}}, after={"b": ["c"]}, due=["a", "b"])
    now.stages["c"] = {"stage": 1000.0}
    now.begin("a", 0.0)
    now.end("a")
    assert now.begin("b", 50.0) == "[2/3] b: 4 % done, about 18 min left"
    now.share = 0.4
    now.end("b")
    assert now.begin("c", 100.0).startswith("[3/3] c: 40 % done")


def test_later_stage_reads_what_the_first_has_written(
    at: At, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at("smoke")
    ran(["prepare"])
    monkeypatch.setattr(forecast, "plan", lambda words: pytest.fail("made a second time"))
    ran(["teachers"])
    assert [number for number, _, _ in said(capsys)] == [1, 2]


@pytest.mark.parametrize(
    "text", ["", "[1", "[]", "{}", '{"stages": 1, "due": [], "after": {}, "ran": [], "share": 0}']
)
def test_damaged_file_costs_only_the_line(
    at: At, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    at("smoke")
    progress.FOLDER.mkdir(parents=True)
    progress.path_of(RUN).write_text(text)
    ran(["prepare"])
    assert capsys.readouterr() == ("", "")


def test_nothing_is_said_or_raised_without_a_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ran(["prepare"])
    assert capsys.readouterr() == ("", "")


def test_line_comes_also_where_nothing_can_be_written(
    at: At, capsys: pytest.CaptureFixture[str]
) -> None:
    at("smoke")
    Path("work").write_text("a file")
    ran(["prepare"])
    assert said(capsys) == [(1, 32, "prepare")]


def test_errors_of_the_program_are_not_hidden(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    at("smoke")
    monkeypatch.setattr(Course, "begin", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        progress.begin("prepare", RUN)


def test_files_of_runs_that_are_over_are_removed(at: At) -> None:
    at("smoke")
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    progress.FOLDER.mkdir(parents=True)
    old = [progress.FOLDER / name for name in (f"{ended.pid}-1.json", f"{ended.pid}-1.9.part", "x")]
    alive = progress.FOLDER / f"{os.getppid()}-5.json"
    for path in (*old, alive):
        path.write_text("{}")

    ran(["prepare"])
    assert set(progress.FOLDER.iterdir()) == {alive, progress.path_of(RUN)}


def test_line_of_a_later_stage_imports_little(at: At) -> None:
    at("smoke")
    ran(["prepare"])
    code = f"""
import sys
from commands.running import progress
progress.begin("teachers", {RUN!r})
print(sorted(name for name in sys.modules if name.startswith(("commands", "stages"))))
heavy = {{"torch", "pandas", "pydantic", "ruamel", "numpy", "dvc"}}
print(heavy & {{name.split(".")[0] for name in sys.modules}})
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    line, ours, heavy = done.stdout.splitlines()
    assert LINE.fullmatch(line)
    assert heavy == "set()"
    assert json.loads(ours.replace("'", '"')) == [
        "commands",
        "commands.running",
        "commands.running.progress",
        "stages",
        "stages.runtime",
        "stages.runtime.durations",
    ]
