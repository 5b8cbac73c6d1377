"""Epochs shared among processes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from stages.runtime.executors import Local, Serial
from stages.runtime.shares import run_shares, shared_among


@pytest.mark.parametrize(
    ("work", "slots", "gpus", "expected"),
    [
        (0, 8, [], 1),
        (9, 8, [], 1),
        (19, 8, [], 1),
        (25, 8, [], 2),
        (1000, 8, [], 6),
        (1000, 1, [], 1),
        (1000, 4, [], 4),
        (0, 4, ["0", "1"], 2),
        (0, 8, ["0"], 1),
        (1000, 16, list("01234567"), 6),
        (0, 1, ["2"], 1),
    ],
)
def test_processes_are_worth_their_start(
    work: int, slots: int, gpus: list[str], expected: int
) -> None:
    """Ten units of work are; each GPU that was chosen gets one. Of six epochs no more than six."""
    with Local(slots, devices=gpus) as given:
        engine, processes = shared_among(given, work, 10, 6)
        assert processes == expected
        assert engine is given if gpus or processes > 1 else isinstance(engine, Serial)
    serial = Serial()
    assert shared_among(serial, 1000, 10, 6) == (serial, 1)


class Recorded(Executor):
    """Threads that note what they were given."""

    def __init__(self) -> None:
        self.pool, self.shares = ThreadPoolExecutor(8), []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.shares.append(args[1])
        return self.pool.submit(fn, *args, **kwargs)


@pytest.mark.parametrize("processes", [1, 2, 3, 7, 20])
def test_every_epoch_is_in_one_share(processes: int) -> None:
    made: list[int] = []
    executor = Recorded()
    run_shares(
        executor, lambda job, share: made.extend(share), None, range(10), processes, lambda: None
    )
    assert sorted(made) == list(range(10))
    assert len(executor.shares) == min(processes, 10)
    sizes = [len(share) for share in executor.shares]
    assert max(sizes) - min(sizes) <= 1


def test_an_error_in_a_share_is_raised_and_progress_is_told() -> None:
    def make(job: str, share: list[int]) -> None:
        raise ValueError(f"{job} failed")

    told: list[int] = []
    with pytest.raises(ValueError, match="augment failed"):
        run_shares(Serial(), make, "augment", range(3), 1, lambda: told.append(1))
    assert told
