"""The ask-and-tell loop: its journal depends on the trials, not on timing, slots or kills."""

from __future__ import annotations

import functools
import json
import math
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stages.runtime.executors import Serial
from stages.search.ask_tell import TrialRow, best, run, top, trial_seed
from stages.search.journal import Journal
from stages.search.propose import Settings, Values, ask, sobol_point
from stages.search.space import Space
from tests.helpers import search_jobs
from tests.helpers.processes import PATIENCE, gone, python, until
from tests.helpers.search_cases import MIXED

LAG, TRIALS = 3, 10


def search(
    path: Path,
    submit: Callable[[int, Values, int], Future[dict[str, Any]]],
    slots: int = 1,
    engine: str = "sobol",
    **more: Any,
) -> list[TrialRow]:
    journal = Journal.open(path, {"space": MIXED.fingerprint()})
    how = Settings(engine, 4, LAG)
    return run(
        journal=journal,
        space=MIXED,
        settings=how,
        seed=11,
        submit=submit,
        slots=slots,
        **{"trials": TRIALS, **more},
    )


def quick(i: int, params: Values, seed: int) -> dict[str, Any]:
    if i == 2:
        return {"value": None, "reason": "loss is nan in epoch 1", "curve": []}
    return {"value": search_jobs.value_of(params), "reason": None, "curve": (i, seed)}


def serial(trial: Callable[..., dict[str, Any]]) -> Callable[..., Future[dict[str, Any]]]:
    return functools.partial(Serial().submit, trial)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[TrialRow], bytes]:
    """Rows and journal of the serial sweep."""
    path = tmp_path_factory.mktemp("reference") / "journal.jsonl"
    rows = search(path, serial(quick))
    return rows, path.read_bytes()


def test_journal_order_and_rows(reference: tuple[list[TrialRow], bytes]) -> None:
    rows, journal = reference
    events = [json.loads(line) for line in journal.splitlines()[1:]]
    expected = [("start", i) for i in range(LAG)]
    for i in range(TRIALS):
        expected += [("done", i)] + ([("start", i + LAG)] if i + LAG < TRIALS else [])
    assert [(e["event"], e["trial"]) for e in events] == expected
    assert [row.trial for row in rows] == list(range(TRIALS))
    assert [row.params for row in rows] == [sobol_point(MIXED, 11, i) for i in range(TRIALS)]
    assert [row.seed for row in rows] == [trial_seed(11, i) for i in range(TRIALS)]
    assert len({row.seed for row in rows}) == TRIALS
    assert (rows[2].value, rows[2].reason) == (None, "loss is nan in epoch 1")
    assert rows[3].result == {"curve": [3, rows[3].seed]}


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_timing_and_slots_do_not_change_the_journal(
    reference: tuple[list[TrialRow], bytes], tmp_path: Path, slots: int
) -> None:
    rng, lock, flying, most = random.Random(slots), threading.Lock(), 0, 0

    def slow(delay: float, i: int, params: Values, seed: int) -> dict[str, Any]:
        nonlocal flying, most
        with lock:
            flying += 1
            most = max(most, flying)
        time.sleep(delay)
        with lock:
            flying -= 1
        return quick(i, params, seed)

    with ThreadPoolExecutor(2 * LAG) as pool:
        submit = lambda i, params, seed: pool.submit(slow, rng.random() * 0.05, i, params, seed)  # noqa: E731
        rows = search(tmp_path / "j", submit, slots)
    assert (rows, (tmp_path / "j").read_bytes()) == reference
    assert most == slots


def test_a_trial_is_proposed_from_the_results_up_to_the_lag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int, int]] = []

    def spy(
        space: Space, how: Settings, seed: int, i: int, done: list[Any], pending: list[Any]
    ) -> Values:
        asked.append((i, len(done), len(pending)))
        assert [p for p, _ in done] + list(pending) == [
            sobol_point(space, seed, k) for k in range(i)
        ]
        return ask(space, how, seed, i, done, pending)

    monkeypatch.setattr("stages.search.ask_tell.ask", spy)
    search(tmp_path / "j", serial(quick), slots=LAG)
    assert asked == [(i, max(0, i - LAG + 1), min(i, LAG - 1)) for i in range(TRIALS)]


@pytest.mark.parametrize("engine", ["sobol", "gpyopt"])
def test_a_longer_search_goes_on_and_a_shorter_one_is_its_beginning(
    tmp_path: Path, engine: str
) -> None:
    """Whatever the number of trials, the first ones are the same, and none runs twice."""
    whole = search(tmp_path / "whole", serial(quick), engine=engine)
    ran: list[int] = []

    def noted(i: int, params: Values, seed: int) -> dict[str, Any]:
        ran.append(i)
        return quick(i, params, seed)

    for trials in (2, 6, TRIALS, 4, TRIALS):
        rows = search(tmp_path / "j", serial(noted), engine=engine, trials=trials)
        assert rows == whole[:trials]
    assert ran == list(range(TRIALS))


def test_every_prefix_of_a_journal_goes_on_to_the_same_bytes(
    reference: tuple[list[TrialRow], bytes], tmp_path: Path
) -> None:
    rows, journal = reference
    for cut in range(0, len(journal), 83):
        path = tmp_path / str(cut)
        path.write_bytes(journal[:cut])
        assert search(path, serial(quick)) == rows
        assert path.read_bytes() == journal
    assert search(path, lambda *_: pytest.fail("nothing is left to run")) == rows


def test_gpyopt_sweep_is_the_same_when_resumed_and_in_parallel(tmp_path: Path) -> None:
    whole = search(tmp_path / "whole", serial(quick), engine="gpyopt", trials=7)
    journal = (tmp_path / "whole").read_bytes()
    assert whole[5].params != sobol_point(MIXED, 11, 5)
    lines = journal.splitlines(keepends=True)
    (tmp_path / "part").write_bytes(b"".join(lines[:9]) + lines[9][:7])
    with ThreadPoolExecutor(3) as pool:
        rows = search(
            tmp_path / "part", functools.partial(pool.submit, quick), 3, "gpyopt", trials=7
        )
    assert rows == whole
    assert (tmp_path / "part").read_bytes() == journal


def test_a_serial_sweep_writes_each_result_before_the_next_trial(tmp_path: Path) -> None:
    """So that a kill loses one trial, not `lag` of them."""

    def trial(i: int, params: Values, seed: int) -> dict[str, Any]:
        done = [json.loads(line) for line in (tmp_path / "j").read_bytes().splitlines()]
        assert sum(e.get("event") == "done" for e in done) == i
        return quick(i, params, seed)

    search(tmp_path / "j", serial(trial), slots=LAG)


def test_an_exception_propagates_and_the_sweep_can_go_on(
    reference: tuple[list[TrialRow], bytes], tmp_path: Path
) -> None:
    def broken(i: int, params: Values, seed: int) -> dict[str, Any]:
        if i == 5:
            raise ValueError("no space left")
        return quick(i, params, seed)

    for _ in range(2):
        with pytest.raises(ValueError, match="no space left"):
            search(tmp_path / "j", serial(broken))
        assert reference[1].startswith((tmp_path / "j").read_bytes())
    assert b'"event":"done","reason":null,"result":{"curve":[4' in (tmp_path / "j").read_bytes()
    seen: list[int] = []
    rows = search(
        tmp_path / "j", lambda i, *rest: seen.append(i) or Serial().submit(quick, i, *rest)
    )
    assert (rows, (tmp_path / "j").read_bytes()) == reference
    assert seen == list(range(5, TRIALS))


def test_the_rest_is_cancelled_when_a_trial_raises(tmp_path: Path) -> None:
    futures = [Future(), Future(), Future()]
    futures[0].set_exception(ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        search(tmp_path / "j", lambda i, *_: futures[2 - i] if i else futures[0], slots=3)
    waiting: list[Future[Any]] = []

    def late(i: int, *_: Any) -> Future[Any]:
        waiting.append(Future())
        if i == 2:
            threading.Timer(0.05, waiting[0].set_exception, [ValueError("late")]).start()
        return waiting[-1]

    with pytest.raises(ValueError, match="late"):
        search(tmp_path / "j", late, slots=3)
    assert [future.cancelled() for future in waiting] == [False, True, True]


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_value_that_is_not_finite_is_a_failed_trial(tmp_path: Path, value: float | None) -> None:
    def trial(i: int, params: Values, seed: int) -> dict[str, Any]:
        return {"value": value, "reason": None} if i == 1 else quick(i, params, seed)

    rows = search(tmp_path / "j", serial(trial))
    assert rows[1].value is None
    assert rows[1].reason == ("the trial gave no value" if value is None else f"value is {value}")
    assert search(tmp_path / "j", serial(trial)) == rows


def test_all_failed_is_an_error_with_the_reasons(tmp_path: Path) -> None:
    def trial(i: int, params: Values, seed: int) -> dict[str, Any]:
        return {
            "value": None,
            "reason": "loss is nan in epoch 3" if i < 6 else "loss is inf in epoch 1",
        }

    reasons = r"all 10 trials failed \(loss is nan in epoch 3; loss is inf in epoch 1\)"
    with pytest.raises(ValueError, match=reasons):
        search(tmp_path / "j", serial(trial))


def test_a_journal_without_one_of_its_results_is_refused(
    reference: tuple[list[TrialRow], bytes], tmp_path: Path
) -> None:
    lines = reference[1].splitlines(keepends=True)
    assert b'"done"' in lines[4]
    (tmp_path / "j").write_bytes(b"".join([*lines[:4], *lines[5:]]))
    with pytest.raises(ValueError, match="line 5 is damaged"):
        search(tmp_path / "j", serial(quick))


def test_events_are_told(tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []
    tell = lambda what, trial, facts: told.append((what, trial))  # noqa: E731
    search(tmp_path / "j", serial(quick), on_event=tell, trials=3)
    assert told == [(what, i) for i in range(3) for what in ("start", "done")]
    told.clear()
    search(tmp_path / "j", serial(quick), on_event=tell, trials=3)
    assert told == [("done", 0), ("done", 1), ("done", 2)]


def test_top_and_best() -> None:
    values = [0.3, None, 0.1, 0.2, 0.1, None]
    rows = [TrialRow(i, {}, 0, v, None, {}) for i, v in enumerate(values)]
    assert [row.trial for row in top(rows[::-1], 3)] == [2, 4, 3]
    assert [row.trial for row in top(rows, 9)] == [2, 4, 3, 0]
    assert best(rows).trial == 2


def test_a_failing_trial_is_noticed_while_an_earlier_one_runs(tmp_path: Path) -> None:
    first: Future[dict[str, Any]] = Future()  # never finishes

    def submit(trial: int, params: dict[str, Any], seed: int) -> Future[dict[str, Any]]:
        if trial == 0:
            return first
        broken: Future[dict[str, Any]] = Future()
        broken.set_exception(OSError("no room"))
        return broken

    space = Space.from_params({"x": {"low": 0.0, "high": 1.0}})
    journal = Journal.open(tmp_path / "journal.jsonl", {})
    with pytest.raises(OSError, match="no room"):
        run(
            journal=journal,
            space=space,
            settings=Settings("sobol", 2, 2),
            seed=1,
            trials=4,
            submit=submit,
            slots=2,
        )


# kills, in processes of their own


def start(
    folder: Path, engine: str, seconds: float, held: int | None = None
) -> subprocess.Popen[str]:
    words = f"{str(folder)!r}, {engine!r}, {seconds}, held={held}"
    return python(f"from tests.helpers import search_jobs; search_jobs.drive({words})")


def begun(folder: Path) -> list[list[str]]:
    """[trial, pid, seed, params] of every begin of a trial."""
    path = folder / "begun"
    return [line.split(" ", 3) for line in path.read_text().splitlines()] if path.is_file() else []


def finish(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    return errors


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep of `search_jobs.drive`, never killed, in this process."""
    folder = tmp_path_factory.mktemp("driven")
    search_jobs.drive(str(folder), "serial", 0.0)
    return folder


def test_killed_at_random_moments_and_resumed(driven: Path, tmp_path: Path) -> None:
    rng, journal = random.Random(0), tmp_path / "journal.jsonl"
    for held in (3, 6, 9):  # a trial that lasts an hour: the sweep cannot be over before the kill
        size = journal.stat().st_size if journal.is_file() else 0
        process = start(tmp_path, "local", 0.2, held)
        assert until(lambda: journal.is_file() and journal.stat().st_size > size)  # noqa: B023
        time.sleep(rng.random() * 0.5)
        assert process.poll() is None
        process.kill()
        process.communicate()
    finish(start(tmp_path, "local", 0.0))
    assert (tmp_path / "finished").is_file()
    assert journal.read_bytes() == (driven / "journal.jsonl").read_bytes()
    runs = begun(tmp_path)
    assert len(runs) > 10
    once = {(trial, seed, params) for trial, _, seed, params in begun(driven)}
    assert {(trial, seed, params) for trial, _, seed, params in runs} == once


@pytest.mark.parametrize("how", ["kill", "ctrl-c", "interrupt of the parent"])
@pytest.mark.parametrize("engine", ["local", pytest.param("serial", marks=pytest.mark.middle)])
def test_no_process_outlives_the_driver(
    engine: str, how: str, driven: Path, tmp_path: Path
) -> None:
    """Ctrl-C goes to the whole group, as from a terminal; the sweep resumes from its journal."""
    process = start(tmp_path, engine, 3600.0)
    assert until(lambda: len(begun(tmp_path)) == (2 if engine == "local" else 1))
    pids = {int(pid) for _, pid, _, _ in begun(tmp_path)}
    assert (process.pid in pids) == (engine == "serial")
    assert not any(gone(pid) for pid in pids)
    if how == "kill":
        process.kill()
    elif how == "ctrl-c":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0 and (
        how == "kill" or errors.strip().endswith("KeyboardInterrupt")
    )
    assert "ForkServerProcess" not in errors  # trials end without a traceback of their own
    assert until(lambda: all(gone(pid) for pid in pids))
    if how == "ctrl-c":
        finish(start(tmp_path, "serial", 0.0))
        assert (tmp_path / "journal.jsonl").read_bytes() == (driven / "journal.jsonl").read_bytes()
