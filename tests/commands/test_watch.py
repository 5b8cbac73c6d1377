"""watch: what dvc.lock has that is here, states of stages from work folders, paces, and the table
on a terminal.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from ruamel.yaml import YAML

from commands import watch
from commands.pipeline import overview
from commands.pipeline import state as states
from commands.pipeline.board import Board, BoardRow, grid
from commands.pipeline.cache import Out, listing_name, lock_outs
from commands.pipeline.entries import Record, Records, differing
from commands.pipeline.state import Pace, being_made, expected, held, state
from stages.runtime.work import work_folder
from stages.store.atomic import write_json
from stages.trials.folder import TrialFolder
from tests.helpers.pocket import ENVIRONMENT
from tools.pocket import ROOT, pocket_params

CELL = "students/mlp2-60k"
DONE, AWAY = Record(), Record(here=False, done=False)
CHANGED = Record(("seed",), False, True, False)


def begin(root: Path, name: str = CELL, settings: dict[str, Any] | None = None) -> Any:
    """The work folder of a stage, held while the context is open."""
    return work_folder(name, settings or {}, [], str(ROOT / "commands/watch.py"), root)


def finish(folder: Path, trial: int, value: float | None, seconds: float, epochs: int = 4) -> None:
    result = {"value": value, "errors": [0.5] * epochs, "losses": [1.0] * epochs}
    TrialFolder(folder, trial).finish({"lr": 0.1}, 1, result, seconds)


def test_states_of_a_cell(tmp_path: Path) -> None:
    """Waiting, running with its trials, stopped by an error, running again, finished; the record
    says what that is.
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
    """A work folder that is complete, of a stage that is to run again: its times count, its
    accuracies do not.
    """
    with begin(tmp_path) as folder:
        finish(folder, 0, 0.25, 8.0)
    found = state(CELL, record, tmp_path)
    assert found.status == ("changed" if record is CHANGED else "waiting")
    assert (found.finished, found.best, found.seconds, found.epochs) == (0, None, 8.0, 4)


def entry(
    outs: dict[str, str], deps: dict[str, str] | None = None, **params: Any
) -> dict[str, Any]:
    """What dvc.lock has of a stage with these outputs and dependencies: path -> md5."""
    lists = {
        key: [{"path": path, "md5": md5} for path, md5 in paths.items()]
        for key, paths in (("deps", deps or {}), ("outs", outs))
    }
    return {"cmd": "x", **lists, "params": {"params.yaml": params}}


def digest(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


class Chain:
    """a makes data/a, b makes metrics/b.json of it, and c makes data/c of the folder metrics."""

    def __init__(self, root: Path) -> None:
        self.root, self.params = root, {"seed": 1}
        self.listed = listing_name({"b.json": digest("b")})
        for name, text in {
            "data/a/one": "1",
            "data/a/two": "2",
            "metrics/b.json": "b",
            "data/c": "c",
        }.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        self.folder = listing_name({"one": digest("1"), "two": digest("2")})
        self.lock = {
            "a": entry({"data/a": self.folder}, seed=1),
            "b": entry(
                {"metrics/b.json": digest("b")}, {"data/a": self.folder, "code.py": digest("x")}
            ),
            "c": entry({"data/c": digest("c")}, {"metrics": self.listed}),
        }
        self.lock["a"]["outs"][0] |= {"size": 2, "nfiles": 2}

    def done(self, agrees: bool = False) -> str:
        """Names of the stages that are done, or that agree with what is before them."""
        outs = [
            Out(stage, out["path"], out["md5"], stage != "b")
            for stage in self.lock
            for out in self.lock[stage]["outs"]
        ]
        records = Records(self.root, self.lock, outs, self.params, lambda: self.root / "cache")
        return "".join(
            name for name in self.lock if getattr(records(name), "agrees" if agrees else "done")
        )


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(tmp_path)


def test_a_stage_is_done_if_all_before_it_is(chain: Chain) -> None:
    assert chain.done() == "abc"
    chain.params["seed"] = 2
    assert chain.done() == "", "a parameter of the first has changed: the others wait for it"


def test_a_stage_is_not_done_if_one_before_it_has_made_something_else(chain: Chain) -> None:
    """As when prepare has read another data set: the entries of the others are still of the old
    one.
    """
    chain.lock["a"]["outs"][0]["md5"] = listing_name({"one": digest("3")})
    assert chain.done() == "a"
    chain.lock["b"]["deps"][0]["md5"] = chain.lock["a"]["outs"][0]["md5"]
    chain.lock["b"]["outs"][0]["md5"] = digest("B")
    (chain.root / "metrics/b.json").write_text("B")
    assert chain.done() == "ab", "c was made from the folder as it was before"
    chain.lock["c"]["deps"][0]["md5"] = listing_name({"b.json": digest("B")})
    assert chain.done() == "abc"


def test_a_stage_is_not_done_without_its_outputs(chain: Chain) -> None:
    """In the workspace or in the cache, the list of a folder and its files; metrics only in the
    workspace.
    """
    (chain.root / "data/a/two").unlink()
    assert (chain.done(), chain.done(agrees=True)) == ("", "abc"), (
        "half of a folder, as of a stage that was stopped"
    )
    kept = chain.root / "cache/files/md5"
    files = {
        chain.folder: json.dumps(
            [{"relpath": n, "md5": digest(t)} for n, t in (("one", "1"), ("two", "2"))]
        )
    }
    for name, text in (files | {digest("1"): "1", digest("2"): "2"}).items():
        assert chain.done() == "", "not all of it is there yet"
        (kept / name[:2]).mkdir(parents=True, exist_ok=True)
        (kept / name[:2] / name[2:]).write_text(text)
    assert chain.done() == "abc"
    (chain.root / "data/c").unlink()
    assert chain.done() == "ab"
    (chain.root / "metrics/b.json").write_text("another one's")
    assert chain.done() == "a"


def test_dvc_says_what_it_makes(tmp_path: Path) -> None:
    """Of processes that live, of this repository, that run stages."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    alive, root = os.getpid(), tmp_path.resolve()
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


def test_params_are_compared_by_their_paths() -> None:
    entry = {"params": {"params.yaml": {"a.b": {"c": 1}, "x": [1, 2], "gone": None}}}
    assert differing(entry, {"a": {"b": {"c": 1}}, "x": [1, 2]}) == ()
    assert differing(entry, {"a": {"b": {"c": 2}}, "x": [1]}) == ("a.b", "x")
    assert differing({}, {}) == ()


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


def test_seconds_left_by_hand() -> None:
    want = overview.Wanted(
        CELL, Path("x.json"), steps=5, slots=2, epochs=10, kind="mlp", row="mlp2", params=60_000
    )
    now = states.State(CELL, "running", finished=2, seconds=40.0, epochs=16)
    now.flying = [
        states.Trial(2, False, 4, 0.5)
    ]  # 2 s an epoch, 8 epochs a trial: 40 - 16 - 4 of them are left
    assert overview.seconds_left(want, now, []) == (40 - 16 - 4) * 2.5 / 2
    assert overview.seconds_left(want, states.State(CELL, "done"), []) == 0
    assert overview.seconds_left(want, states.State(CELL), []) is None
    assert (
        overview.seconds_left(want, states.State(CELL), [Pace("mlp", "mlp1", 30_000, 3.0)])
        == 5 * 10 * 6.0 / 2
    )
    assert [overview.duration(s) for s in (20, 60, 3599, 3661)] == [
        "< 1 min",
        "1 min",
        "1 h 00 min",
        "1 h 01 min",
    ]


def shown(params: dict[str, Any]) -> str:
    text = io.StringIO()
    Console(file=text, width=200).print(overview.board(params).whole())
    return text.getvalue()


def rows_of(text: str) -> dict[str, str]:
    """Lines of the table by the stage they are of."""
    return {line.split("  ")[0].strip(): line for line in text.splitlines()}


VARIED = pocket_params(
    {
        "students_2014": {"rows": ["snn-2014"], "budgets": ["180k"]},
        "teachers_2014": {"rows": ["cnn-2014"], "budgets": ["60k"], "members": 2},
        "ablations": {"rows": ["conv2-dropout"], "budgets": ["60k"]},
    }
)
ACCURACIES = json.dumps({"validation_accuracy": 0.5, "test_accuracy": 0.25})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository without git, and with params.yaml of VARIED."""
    monkeypatch.chdir(tmp_path)
    overview.cache_and_remote.cache_clear()
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    (tmp_path / ".dvc").mkdir()
    YAML().dump(VARIED, tmp_path / "params.yaml")
    return tmp_path


def record(stages: dict[str, dict[str, Any]]) -> None:
    """A dvc.lock of these stages: name -> parameters. Each has the output by which watch knows it,
    which is written.
    """
    made = {overview.entry_of(want.name, stages): want.out for want in overview.wanted(VARIED)}
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
    wants = {
        overview.entry_of(want.name, dict.fromkeys(stages)): want
        for want in overview.wanted(VARIED)
    }
    assert sorted(wants) == stages
    pipeline = YAML(typ="safe").load((project / "dvc.yaml").read_text())["stages"]
    for stage, want in wants.items():
        name, _, key = stage.partition("@")
        listed = [
            out for kind in ("outs", "metrics", "plots") for out in pipeline[name].get(kind, [])
        ]
        paths = [next(iter(out)) if isinstance(out, dict) else out for out in listed]
        cell = "-".join(key.split("-")[:3]) if name == "students_2014" else key
        assert want.out.as_posix() in [re.sub(r"\$\{.*\}", cell, path) for path in paths], stage


def test_the_table_lists_every_cell(project: Path) -> None:
    text = shown(VARIED)
    assert "0 of 15 stages done; 7 cells without an estimate" in text and "%" not in text
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
    assert "4 of 15 stages done" in text and "recorded in dvc.lock" not in text
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
        "1 of 15 stages done" in text
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
        assert "starting, or DVC saves it" in rows["teachers"] and "epoch 1/3" in rows["augment"]
        assert "between trials" in rows["students mlp2-60k"]
        for trial in range(3):
            finish(folder, trial, 0.5, 1.0)
        assert "writes its outputs" in rows_of(shown(VARIED))["students mlp2-60k"]


def test_half_a_lock_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    path.touch()
    begun = watch.time.time()
    overview.settle(path)
    assert 0.3 <= watch.time.time() - begun + 0.01 < 5
    os.utime(path, (1e9, 1e9))
    begun = watch.time.time()
    overview.settle(path)
    assert watch.time.time() - begun < 0.1


def many(*statuses: str) -> Board:
    """A board with a row for each status."""
    now = {"running": "#12 epoch 12/160, #13 again epoch 3/160"}
    ends = {"done": ("70.0 %", "")}
    rows = [
        BoardRow(
            f"students conv{k}-31.6M",
            status,
            "10/24",
            now.get(status, ""),
            "71.2 %",
            *ends.get(status, ("", "12 h 02 min")),
        )
        for k, status in enumerate(statuses)
    ]
    return Board("12 of 44 stages done", tuple(rows), "--once lists them")


def on_terminal(board: Any, width: int = 80, height: int = 24) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=width, height=height).print(board)
    return text.getvalue().splitlines()


def test_what_runs_is_always_visible(tmp_path: Path) -> None:
    """Done rows are folded first, then waiting ones, then the others; none if there is room."""
    board = many(
        *["done"] * 20, *["running"] * 4, *["stopped"] * 2, *["changed"] * 3, *["waiting"] * 15
    )
    assert len(on_terminal(board, 120, 60)) == 46 == len(on_terminal(board.whole(), 120, 24))
    lines = on_terminal(board, 120, 40)
    assert len(lines) == 2 + 24 + 1 and lines[-1].rstrip() == "20 stages done: --once lists them"
    lines = on_terminal(board)
    assert [line.rstrip() for line in lines[-2:]] == [
        "20 stages done: --once lists them",
        "15 stages waiting",
    ]
    assert (
        sum("running" in line for line in lines) == 4
        and sum("stopped" in line for line in lines) == 2
    )
    lines = on_terminal(many(*["running"] * 30, "done", "done"), height=24)
    assert (
        len(lines) == 24
        and lines[-1].startswith("10 more")
        and sum("running" in line for line in lines) == 20
    )
    assert len(on_terminal(many("done", *["running"] * 4), height=7)) == 7, (
        "one row is not folded into one line"
    )


@pytest.mark.parametrize("width", [50, 60, 80, 100, 120])
def test_no_row_wraps(width: int) -> None:
    board = many("done", "running", "waiting")
    lines = on_terminal(board, width)
    assert len(lines) == 5 and max(map(len, lines)) <= width
    names = [
        f"students conv{k}-31.6M  {status}"
        for k, status in enumerate(("done", "running", "waiting"))
    ]
    assert all(line.startswith(name) for name, line in zip(names, lines[2:], strict=True))
    assert "#12 epoch" in lines[3]
    if width == 80:
        assert "test" not in lines[1] and "12 h 02 min" in lines[3] and "71.2 %" in lines[3]
    heads = [str(column.header) for column in grid(board.rows, 200).columns]
    assert heads == ["stage", "", "trials", "now", "validation", "test", "left"]


def test_ctrl_c_closes_the_viewer_only(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    text = io.StringIO()
    monkeypatch.setattr(
        watch, "Console", lambda: Console(file=text, force_terminal=True, width=80, height=24)
    )
    monkeypatch.setattr(watch.time, "sleep", interrupt)
    monkeypatch.setattr(sys, "argv", ["watch"])
    watch.entry.run(watch.main)
    assert "0 of 15 stages done" in text.getvalue()
    assert text.getvalue().splitlines()[-1].endswith("watch closed; the run goes on")
    assert "stopped" not in capsys.readouterr().err


def test_the_command_prints_once_where_there_is_no_terminal(tmp_path: Path) -> None:
    YAML().dump(pocket_params(), tmp_path / "params.yaml")
    environment = {**ENVIRONMENT, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "commands.watch"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "0 of 12 stages done" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"], "nothing is written"
    done = subprocess.run(
        [*words, "--seconds", "0"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2 and "allowed is more than 0" in done.stderr
