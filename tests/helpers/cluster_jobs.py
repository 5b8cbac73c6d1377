"""Trials and drivers that nodes of a cluster can import and a test can kill."""

from __future__ import annotations

import functools
import os
import random
import time
from pathlib import Path
from typing import Any

from tests.helpers import search_jobs

SPACE = {
    "lr": {"low": 1e-4, "high": 1e-1, "log": True},
    "width": {"low": 4, "high": 64, "integer": True},
}


def sweep(folder: Path, submit: Any, slots: int, trials: int = 8) -> None:
    """The whole sweep of a test; resumes from its journal."""
    from stages.search.ask_tell import run
    from stages.search.journal import Journal
    from stages.search.propose import Settings
    from stages.search.space import Space

    space = Space.from_params(SPACE)
    journal = Journal.open(folder / "journal.jsonl", {"space": space.fingerprint()})
    run(
        journal=journal,
        space=space,
        settings=Settings("sobol", 4, 4),
        seed=11,
        trials=trials,
        submit=submit,
        slots=slots,
    )


def trial(
    folder: Path, seconds: float, faults: dict[int, int], i: int, params: dict[str, Any], seed: int
) -> dict[str, Any]:
    """A trial of random length; `faults` has what a trial meets the first time."""
    search_jobs.log(folder / "begun", f"{i} {os.getpid()} {node()}")
    met = folder / f"met-{i}"
    if i in faults and not met.exists():
        met.write_text(f"{time.monotonic()}", encoding="utf-8")
        os.kill(os.getpid(), faults[i])
    time.sleep(random.random() * seconds)
    write(folder, i, params, seed)
    search_jobs.log(folder / "ended", f"{i} {os.getpid()} {time.monotonic()}")
    return {"value": search_jobs.value_of(params), "reason": None, "curve": (1, 2.5), "seed": seed}


def write(folder: Path, i: int, params: dict[str, Any], seed: int) -> None:
    """A trial's output: bytes that follow from its parameters and seed, and from nothing else."""
    name = folder / "outputs" / f"{i}"
    name.parent.mkdir(exist_ok=True)
    whole = name.with_suffix(f".{os.getpid()}")
    whole.write_bytes(random.Random(f"{seed}{sorted(params.items())}").randbytes(100_000))
    whole.replace(name)


def node() -> str:
    """Of the cluster, on which this process runs; "" without one."""
    import sys

    if (
        "ray" not in sys.modules or not sys.modules["ray"].is_initialized()
    ):  # else it would start a cluster
        return ""
    return str(sys.modules["ray"].get_runtime_context().get_node_id())


def wait_for(folder: Path, i: int, params: dict[str, Any], seed: int) -> dict[str, Any]:
    """A trial that writes down its process and lasts until the test says so."""
    search_jobs.log(folder / "begun", f"{i} {os.getpid()} {node()}")
    while not (folder / "go").exists():
        time.sleep(0.05)
    write(folder, i, params, seed)
    search_jobs.log(folder / "ended", f"{i} {os.getpid()} {time.monotonic()}")
    return {"value": search_jobs.value_of(params), "reason": None, "seed": seed}


def drive(folder: str, address: str, waits: bool) -> None:
    """A sweep on a cluster, in a driver that the test kills."""
    from stages.runtime.cluster.executor import Cluster

    path = Path(folder)
    os.chdir(path)
    with Cluster(address, 2, patience=4) as executor:
        fn = functools.partial(executor.submit, wait_for, path) if waits else None
        sweep(path, fn or functools.partial(executor.submit, trial, path, 0.0, {}), 2)
    (path / "finished").touch()


def state(name: str) -> tuple[Any, ...]:
    """What must not pass from trial to trial, and is changed for the next one."""
    import sys

    seen = (os.environ.get(name), name in sys.modules, os.getpid(), Path.cwd())
    os.environ[name], sys.modules[name] = "set", sys
    return seen


def no_memory() -> None:
    raise MemoryError("2 TiB")


def die(folder: Path, number: int) -> None:
    """Write down the process, and send it a signal."""
    search_jobs.log(folder / "begun", f"0 {os.getpid()}")
    os.kill(os.getpid(), number)
