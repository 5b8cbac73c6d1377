"""Where trials run: results come back, and a process that dies or freezes is replaced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path

import pytest

from stages.runtime.executors import DEVICES, Local, Serial
from tests.helpers import search_jobs
from tests.helpers.processes import PATIENCE, until


@pytest.fixture(scope="module")
def local() -> Iterator[Local]:
    with Local(2, preload=["pytest", "tests.helpers.search_jobs"]) as executor:
        yield executor


@pytest.mark.parametrize("which", ["local", "serial"])
def test_results_and_exceptions_come_back(which: str, local: Local) -> None:
    executor: Executor = local if which == "local" else Serial()
    assert executor.submit(search_jobs.square, x=3.0).result(PATIENCE) == 9.0
    with pytest.raises(ValueError, match="lr 2.0 is refused") as caught:
        executor.submit(search_jobs.refuse, 2.0).result(PATIENCE)
    assert which == "serial" or "in refuse" in caught.value.__notes__[0]


def test_what_cannot_be_sent_back_is_an_error_at_once(local: Local) -> None:
    with pytest.raises(RuntimeError, match="Awkward: layer 7"):
        local.submit(search_jobs.awkward).result(PATIENCE)
    with pytest.raises(RuntimeError, match="cannot be pickled"):
        local.submit(search_jobs.unpicklable).result(PATIENCE)


def test_a_killed_trial_is_run_again(local: Local, tmp_path: Path) -> None:
    assert local.submit(search_jobs.die_at_first, tmp_path, 1).result(PATIENCE) == 2


def test_a_trial_that_always_dies_is_given_up(local: Local, tmp_path: Path) -> None:
    with pytest.raises(ChildProcessError, match=r"died 3 times \(exit code -9.*execution.slots"):
        local.submit(search_jobs.die_at_first, tmp_path, 9).result(PATIENCE)
    assert (tmp_path / "calls").read_text().count("call") == 3


def test_a_trial_that_exits_is_told_apart_from_a_dead_one() -> None:
    with Local(1) as executor, pytest.raises(RuntimeError, match="SystemExit: 3"):
        executor.submit(search_jobs.leave, 3).result(PATIENCE)


def test_no_more_processes_than_slots(local: Local, tmp_path: Path) -> None:
    """And no fewer: no call ends before two have begun."""
    futures = [local.submit(search_jobs.interval, 0.3, tmp_path / "begun") for _ in range(4)]
    spans = [future.result(PATIENCE) for future in futures]
    assert len({pid for _, _, pid in spans} - {os.getpid()}) == 4
    together = [sum(a <= begin < b for a, b, _ in spans) for begin, _, _ in spans]
    assert max(together) == 2


def test_shutdown_ends_what_runs(tmp_path: Path) -> None:
    with Local(1) as executor:
        running, queued = (executor.submit(search_jobs.for_an_hour, tmp_path) for _ in range(2))
        assert until(lambda: list(tmp_path.iterdir()))
    assert isinstance(running.exception(PATIENCE), ChildProcessError) and queued.cancelled()


def test_each_process_sees_the_gpu_with_the_fewest(tmp_path: Path) -> None:
    with Local(4, devices=["a", "b"]) as executor:
        long = executor.submit(search_jobs.seen_gpu, tmp_path)
        assert until(lambda: list(tmp_path.glob("begun-*")))
        short = [executor.submit(search_jobs.seen_gpu).result(PATIENCE) for _ in range(3)]
        (tmp_path / "go").touch()
        assert long.result(PATIENCE) == "a" and short == ["b"] * 3
    assert DEVICES not in os.environ


def test_a_worker_that_is_stopped_is_killed_and_its_trial_run_again(tmp_path: Path) -> None:
    with Local(1, patience=5) as executor:
        running = executor.submit(search_jobs.stopped_once, tmp_path / "stopped")
        assert running.result(PATIENCE) == "second"
    first = int((tmp_path / "stopped").read_text())
    assert not Path(f"/proc/{first}").exists()
