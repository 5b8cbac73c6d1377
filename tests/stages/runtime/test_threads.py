"""Reading ahead and writing behind, in threads."""

from __future__ import annotations

import threading
import time

import pytest

from stages.runtime.threads import Behind, ahead
from tests.helpers.processes import until


def test_ahead_gives_what_map_gives_and_reads_one_item_ahead() -> None:
    begun: list[int] = []

    def read(item: int) -> int:
        begun.append(item)
        return item * item

    found = []
    for result in ahead(read, range(5)):
        reached = min(len(found) + 2, 5)
        assert until(lambda: len(begun) >= reached)  # noqa: B023
        assert len(begun) == reached, "one item besides the one in use, and no more"
        found.append(result)
    assert found == [0, 1, 4, 9, 16]
    assert list(ahead(read, [])) == []


def test_ahead_raises_the_error_of_the_item_that_failed() -> None:
    def read(item: int) -> int:
        if item == 2:
            raise OSError("no third file")
        return item

    items = ahead(read, range(4))
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(OSError, match="no third file"):
        next(items)


def test_behind_runs_calls_in_order_one_at_a_time_and_waits_for_the_last() -> None:
    done, running = [], threading.Lock()

    def write(item: int) -> None:
        assert running.acquire(blocking=False), "two calls at once"
        time.sleep(0.01)
        done.append(item)
        running.release()

    with Behind() as writer:
        for item in range(6):
            writer.submit(write, item)
            assert len(done) >= item, (
                "at most one call waits besides the one that was just submitted"
            )
    assert done == list(range(6))


def test_behind_raises_what_a_call_raised() -> None:
    def write(item: int) -> None:
        raise OSError(f"disk full at {item}")

    with pytest.raises(OSError, match="disk full at 0"), Behind() as writer:
        writer.submit(write, 0)
        writer.submit(write, 1)
    with pytest.raises(OSError, match="disk full at 7"), Behind() as writer:
        writer.submit(write, 7)


def test_behind_keeps_the_first_error_and_finishes_what_was_submitted() -> None:
    done: list[int] = []
    with pytest.raises(ValueError, match="elsewhere"), Behind() as writer:
        writer.submit(done.append, 1)
        raise ValueError("elsewhere")
    assert done == [1]
