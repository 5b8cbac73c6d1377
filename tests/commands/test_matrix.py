"""matrix: cells side by side, with a stand-in for DVC; and once with DVC, beside `dvc repro`."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from commands import matrix
from commands.pipeline.cells import costs
from stages.runtime import engines
from stages.runtime.engines import CHOSEN, chosen_gpus
from stages.runtime.executors import DEVICES
from tests.helpers import search_jobs
from tests.helpers.pocket import ENVIRONMENT, dvc
from tests.helpers.processes import PATIENCE, until
from tools.pocket import ROOT, git, make, pocket_params, write_params

OF_2014 = {
    "teachers_2014": {"rows": ["cnn-2014"], "budgets": ["60k"], "members": 2},
    "students_2014": {"rows": ["snn-2014"], "budgets": ["180k"]},
    "hard_rows.cnn-2014.boxes": {"60k": [[4, 6]]},
    "rows.snn-2014.boxes": {"180k": [[4, 6], [8, 16]]},
}
DATA = ["prepare", "teachers", "ensemble", "augment", "label"]
TEACHER = "teachers_2014@cnn-2014-60k"
STUDENT = "students_2014@snn-2014-180k-cnn-2014-60k"
MLP = "students@mlp2-60k"
CONV = "students@conv1-60k"
HARD = "hard@conv2-180k"
CELLS = [MLP, CONV, HARD, TEACHER, STUDENT]
NEEDS = {
    "prepare": [],
    "teachers": ["prepare"],
    "ensemble": ["teachers"],
    "augment": ["prepare"],
    "label": ["ensemble", "augment"],
    MLP: ["label"],
    CONV: ["label"],
    HARD: ["augment"],
    TEACHER: ["augment"],
    STUDENT: ["augment", TEACHER],
    "tabulate": CELLS,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pipeline of five cells that the stand-in runs, with all that they need done."""
    write_params(tmp_path, {**OF_2014, "execution.device": "cpu"})
    (tmp_path / "dvc.yaml").touch()
    shutil.copy(ROOT / "tests/helpers/stand_in_dvc.py", tmp_path / "dvc.py")
    plan(tmp_path)
    (tmp_path / "done").mkdir()
    for name in DATA:
        (tmp_path / "done" / name).touch()
    return tmp_path


def plan(
    folder: Path,
    seconds: float = 0.15,
    fail: dict[str, int] | None = None,
    writes: float = 0,
    together: int = 1,
) -> None:
    what = {
        "together": together,
        "needs": NEEDS,
        "seconds": dict.fromkeys(CELLS, seconds),
        "fail": fail or {},
        "writes": writes,
    }
    (folder / "plan.json").write_text(json.dumps(what))


def start(folder: Path, *words: str, **more: Any) -> subprocess.Popen[str]:
    """The command, as from a shell in which no virtual environment is active."""
    environment = {**ENVIRONMENT, "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen(
        [sys.executable, "-m", "commands.matrix", *words],
        cwd=folder,
        env=environment,
        text=True,
        **output,
    )


def run(folder: Path, *words: str) -> tuple[int, str, str]:
    """Exit status and both outputs."""
    process = start(folder, *words)
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def log(folder: Path) -> list[list[str]]:
    """What the stand-in did: time and words."""
    path = folder / "log.txt"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def begun(folder: Path) -> list[str]:
    """Cells in the order in which they began."""
    return [words[2] for words in log(folder) if words[1] == "begin" and "@" in words[2]]


def processes(folder: Path) -> list[int]:
    """DVC's and the trainers' of all that has begun."""
    return [
        int(number)
        for words in log(folder)
        if words[1] == "begin" and "@" in words[2]
        for number in words[3:5]
    ]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


# order, numbers, failures


def test_everything_in_order_and_two_at_a_time(folder: Path) -> None:
    shutil.rmtree(folder / "done")
    plan(folder, together=2)
    code, out, err = run(folder, "--jobs", "2")
    assert code == 0, err

    commands = [words[1:] for words in log(folder) if words[1] == "repro"]
    assert commands[0] == ["repro", *DATA] and commands[-1] == ["repro"] and len(commands) == 7
    assert all(words[1] == "--single-item" for words in commands[1:-1])
    assert (folder / "done/tabulate").exists()

    with_cells = [
        words for words in log(folder) if words[1] in ("begin", "end") and "@" in words[2]
    ]
    level = [0]
    for words in with_cells:
        level.append(level[-1] + (1 if words[1] == "begin" else -1))

    assert max(level) == 2

    place = {(words[1], words[2]): number for number, words in enumerate(with_cells)}
    assert place["end", TEACHER] < place["begin", STUDENT]
    assert {words[6] for words in log(folder) if words[1] == "begin"} == {
        str(Path(sys.executable).parent / "python")
    }
    assert (
        f"{HARD} begins\n" in out
        and "[5/5]" in out
        and "5 of 5 cells to run, at most 2 at a time" in out
    )
    assert (folder / f"work/matrix/{MLP}.log").read_text() == f"Running stage '{MLP}'\n"


def test_the_most_expensive_is_first(folder: Path) -> None:
    plan(folder, seconds=0)
    assert run(folder, "--jobs", "1")[0] == 0
    params = YAML(typ="safe").load(folder / "params.yaml")
    cost = costs(params, CELLS)
    assert min(cost.values()) > 0 and cost[CONV] > cost[MLP]
    rank = {**cost, TEACHER: max(cost[TEACHER], cost[STUDENT])}
    assert begun(folder) == sorted(CELLS, key=lambda name: (-rank[name], name == STUDENT))


def test_a_failed_cell_leaves_the_others_and_goes_on_by_the_command_that_is_named(
    folder: Path,
) -> None:
    plan(folder, fail={TEACHER: 3})
    code, out, err = run(folder, "--jobs", "2")
    assert code == 1 and len(err.strip().splitlines()) == 4, err
    failed = (
        rf"{TEACHER} FAILED after [\d.]+ min \(exit status 255\), see work/matrix/{TEACHER}.log"
    )
    assert re.search(failed, out), out
    assert f"{STUDENT} is left out: it needs {TEACHER}" in out
    assert (
        f"--- last lines of work/matrix/{TEACHER}.log" in err and f"failed to run: {TEACHER}" in err
    )
    assert set(begun(folder)) == {MLP, CONV, HARD, TEACHER} and log(folder)[-1][1:] != ["repro"]

    command = err.partition("'python -m ")[2].partition("'")[0].split()
    assert command[:3] == ["commands.matrix", "--jobs", "2"] and set(command[4:]) == {
        TEACHER,
        STUDENT,
    }

    plan(folder)
    (folder / "log.txt").unlink()
    code, out, err = run(folder, *command[1:])
    assert code == 0, err
    assert begun(folder) == [TEACHER, STUDENT] and not (folder / "done/tabulate").exists()

    (folder / "log.txt").unlink()
    code, out, err = run(folder)
    assert (
        code == 0
        and begun(folder) == []
        and "0 of 5 cells to run" in out
        and (folder / "done/tabulate").exists()
    )


def test_only_some_cells_and_what_they_need(folder: Path) -> None:
    code, out, err = run(folder, "--only", "hard@*", STUDENT)
    assert code == 0 and "'python -m commands.matrix' or 'dvc repro'" in out, err
    assert set(begun(folder)) == {HARD, TEACHER, STUDENT}
    assert log(folder)[0][1:] == ["repro", "prepare", "augment"], "labels are not needed"


def test_data_that_cannot_be_made_end_it(folder: Path) -> None:
    plan(folder, fail={"augment": 1})
    shutil.rmtree(folder / "done")
    code, out, err = run(folder)
    assert code == 1 and begun(folder) == []
    assert err.startswith(
        "error: 'dvc repro prepare teachers ensemble augment label' ends with exit status 255"
    )


@pytest.mark.parametrize(
    "words, message",
    [
        (("--jobs", "0"), "--jobs is 0: allowed is 1 or more"),
        (
            ("--only", "conv9*"),
            f"--only conv9*: no such cell, allowed are {', '.join(CELLS)} and patterns",
        ),
    ],
)
def test_bad_arguments_are_refused_in_one_line(
    folder: Path, words: tuple[str, ...], message: str
) -> None:
    code, out, err = run(folder, *words)
    assert (
        code == 1
        and err.startswith(f"error: {message}")
        and err.count("\n") == 1
        and not log(folder)
    )


def test_other_folders_and_a_second_run_are_refused_in_one_line(folder: Path) -> None:
    (folder / "work/matrix").mkdir(parents=True)
    with (folder / "work/matrix/lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        code, _, err = run(folder)
        assert (
            code == 1
            and err.startswith("error: commands.matrix runs here already")
            and err.count("\n") == 1
        )

    (folder / "dvc.yaml").unlink()
    code, _, err = run(folder)
    assert code == 1 and err.startswith("error: no dvc.yaml here: run") and err.count("\n") == 1


def test_what_dvc_says_against_the_pipeline_is_passed_on(folder: Path) -> None:
    (folder / "dvc.py").write_text("import sys; sys.exit('ERROR: no such\\nkey')")
    code, _, err = run(folder)
    assert (
        code == 1
        and err.startswith("error: 'dvc dag --dot' fails: ERROR: no such key")
        and err.count("\n") == 1
    )


def test_the_table_on_a_terminal(folder: Path) -> None:
    controller, terminal = pty.openpty()
    process = start(folder, "--jobs", "2", stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = b""
    while chunk := _read(controller):
        shown += chunk
    os.close(controller)

    assert process.wait() == 0

    text = shown.decode()
    assert "2 at a time" in text and "stages done" in text, "the table of watch"
    assert text.rindex("[5/5]") > text.rindex("stages done"), "what ended is listed below"


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # how a terminal says that its other side is closed
        return b""


# stops and kills


@pytest.mark.parametrize(
    "number, status",
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGHUP, 143, marks=pytest.mark.middle),
    ],
)
def test_stopped_it_leaves_nothing_and_goes_on(
    folder: Path, number: signal.Signals, status: int
) -> None:
    """The trainers are asked to end; DVC, which may be writing dvc.lock, ends by itself."""
    plan(folder, seconds=3600, writes=0.5)
    process = start(folder, "--jobs", "2")
    assert until(lambda: len(begun(folder)) == 2)
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == status, err
    assert "0 of 5 cells are finished and kept; the same command continues with the others" in err
    assert not [each for each in processes(folder) if alive(each)] and len(begun(folder)) == 2

    ended = {words[2]: words[3] for words in log(folder) if words[1] == "end"}
    assert set(ended) == set(begun(folder)) and "0" not in ended.values(), "DVC was not interrupted"

    if number == signal.SIGINT:
        plan(folder, seconds=0)
        code, out, err = run(folder)
        assert code == 0 and "5 of 5 cells to run" in out, err


@pytest.mark.parametrize(
    "victim",
    ["matrix", *(pytest.param(each, marks=pytest.mark.middle) for each in ("dvc", "guard"))],
)
def test_kill_9_leaves_nothing(folder: Path, victim: str) -> None:
    """Killed itself it leaves no job; of one DVC or its guard only that cell ends."""
    plan(folder, seconds=3600)
    process = start(folder, "--jobs", "2")
    assert until(lambda: len(begun(folder)) == 2)
    first = processes(folder)[:2]

    assert all(map(alive, processes(folder)))

    if victim == "matrix":
        process.kill()
        assert until(lambda: not any(map(alive, processes(folder))))
    else:
        os.kill(first[0] if victim == "dvc" else os.getsid(first[0]), signal.SIGKILL)
        assert until(lambda: not any(map(alive, first)))
        assert process.poll() is None and all(map(alive, processes(folder)[2:4]))
        process.terminate()

    out, _ = process.communicate(timeout=PATIENCE)
    assert (victim == "matrix") == ("FAILED" not in out)
    assert not any(map(alive, processes(folder)))


def test_asked_twice_it_kills(folder: Path) -> None:
    plan(folder, seconds=3600, writes=3600)
    process = start(folder, "--jobs", "1")
    assert until(lambda: begun(folder))
    process.send_signal(signal.SIGINT)
    dvc, trainer = processes(folder)
    assert until(lambda: not alive(trainer))

    assert process.poll() is None and alive(dvc), "DVC is given time"

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and not any(map(alive, processes(folder)))


# devices


def test_how_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(64))
    params = pocket_params(
        {
            "execution.engine": "local",
            "execution.slots": 8,
            "execution.device": "cpu",
            "numerics.threads": 2,
            "students.sweep.lag": 2,
            "hard.sweep.lag": 1,
        }
    )

    assert matrix.lanes(params, None, []) == 64 // (2 * 2), (
        "no cell has more than its lag in flight"
    )
    assert matrix.lanes(params, None, ["0", "1", "2"]) == 3 and matrix.lanes(params, 5, ["0"]) == 5

    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(2))
    assert matrix.lanes(params, None, []) == 1


def test_each_job_sees_one_of_the_chosen_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "visible_gpus", search_jobs.four_gpus)
    wanted = dataclasses.replace(search_jobs.execution("local", 1), device="cuda", devices=(2, 0))
    gpus = chosen_gpus(wanted)
    assert gpus == ["GPU-c", "GPU-a"]

    own = [matrix.variables(gpus)(lane) for lane in range(3)]
    assert [each[DEVICES] for each in own] == ["GPU-c", "GPU-a", "GPU-c"]
    assert own[0]["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)

    monkeypatch.delenv(DEVICES, raising=False)
    assert DEVICES not in matrix.variables([])(0)

    monkeypatch.setattr(engines, "visible_gpus", search_jobs.one_gpu)
    with pytest.raises(ValueError, match="torch sees 1 GPUs"):
        chosen_gpus(wanted)
    monkeypatch.setenv(CHOSEN, own[0][CHOSEN])

    assert chosen_gpus(wanted) == ["GPU-c"], "the numbers were those of all GPUs"


# with DVC


@pytest.mark.slow
def test_with_dvc_it_ends_as_a_plain_repro(tmp_path: Path) -> None:
    side = make(tmp_path / "side")
    plain = tmp_path / "plain"
    write_params(side, OF_2014)
    git(side, "commit", "-qam", "The systems of 2014 too")
    shutil.copytree(side, plain)
    environment = {**ENVIRONMENT, "PATH": "/usr/bin:/bin"}
    words = [sys.executable, "-m", "commands.matrix", "--jobs", "2"]
    done = subprocess.run(words, cwd=side, env=environment, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 of 5 cells to run, at most 2 at a time" in done.stdout

    ran = [
        line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("Running stage")
    ]
    first = {"code", *DATA}
    assert set(ran[: len(first)]) == first, "nothing is trained again"
    assert ran[len(first) :] == ["extra", "tabulate", "assess", "draw", "page"]
    assert dvc(side, "status").strip() == "Data and pipelines are up to date."

    dvc(plain, "repro")
    files = {path.relative_to(plain) for path in (plain / "metrics").rglob("*") if path.is_file()}
    assert files == {
        path.relative_to(side) for path in (side / "metrics").rglob("*") if path.is_file()
    }
    assert {
        name for name in files if (side / name).read_bytes() != (plain / name).read_bytes()
    } == set()

    one, other = (YAML(typ="safe").load(root / "dvc.lock") for root in (side, plain))
    assert one == other and set(one["stages"]) == {
        *first,
        *CELLS,
        "extra",
        "tabulate",
        "assess",
        "draw",
        "page",
    }
