"""Threads beside the computation, epochs shared among processes, and what a node must have."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stages.runtime.cluster import task as cluster_task
from stages.runtime.executors import Local, Serial
from stages.runtime.shares import run_shares, shared_among
from stages.runtime.threads import Behind, ahead


def test_ahead_gives_what_map_gives_and_reads_one_item_ahead() -> None:
    begun: list[int] = []

    def read(item: int) -> int:
        begun.append(item)
        return item * item

    found = []
    for result in ahead(read, range(5)):
        deadline = time.monotonic() + 5
        while len(begun) < min(len(found) + 2, 5) and time.monotonic() < deadline:
            time.sleep(0.001)  # the thread is on its way
        assert len(begun) == min(len(found) + 2, 5), "one item besides the one in use, and no more"
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


# what a node of a cluster must have


def checked(here: Path, **changes: Any) -> str | None:
    """What a node that is this machine says of a driver's project."""
    (here / "probe").touch()
    project = dataclasses.replace(cluster_task.project_here(), **changes)
    return cluster_task.check(project, "10.0.0.7", here / "probe")


def test_a_node_with_other_data_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    folders = [Path("data/prepared"), Path("data/logits")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(f'{{"folder": "{folder}"}}')
    data = cluster_task.project_here(folders).data
    assert list(data) == ["data/prepared", "data/logits"] and len(set(data.values())) == 2
    assert checked(tmp_path, data=data) is None
    (folders[1] / "manifest.json").write_text("{}")
    said = checked(tmp_path, data=data)
    assert said and said.startswith(
        f"node 10.0.0.7 has other data in {tmp_path}/data/logits than the driver"
    )
    (folders[1] / "manifest.json").unlink()
    said = checked(tmp_path, data=data)
    assert said and "digest is none there" in said


def test_a_node_that_cannot_use_scratch_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert (
        checked(tmp_path, scratch=str(tmp_path / "new/disk")) is None
        and (tmp_path / "new/disk").is_dir()
    )
    (tmp_path / "file").touch()
    said = checked(tmp_path, scratch=str(tmp_path / "file/disk"))
    assert said and "which node 10.0.0.7 cannot use" in said and said.endswith("or set it to null")
    monkeypatch.setattr("os.access", lambda *_: False)
    said = checked(tmp_path, scratch=str(tmp_path / "new"))
    assert said and "(it may not be written to)" in said
