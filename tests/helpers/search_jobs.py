"""Trials and drivers for tests of sweeps and executors: importable quickly in a trial's process."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any


def value_of(params: dict[str, Any]) -> float:
    """A smooth function of the hyperparameters."""
    return sum((float(v) - 0.3) ** 2 for v in params.values())


def square(x: float) -> float:
    return x * x


def refuse(x: float) -> float:
    raise ValueError(f"lr {x} is refused")


class Awkward(Exception):
    """Pickles, and cannot be unpickled: its constructor takes more than its message."""

    def __init__(self, what: str, number: int) -> None:
        super().__init__(f"{what} {number}")


def awkward() -> None:
    raise Awkward("layer", 7)


def unpicklable() -> Any:
    return lambda: None


def log(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text + "\n")


def die_at_first(folder: Path, deaths: int) -> int:
    """Killed like a process out of memory, the first `deaths` times; then the number of calls."""
    log(folder / "calls", "call")
    calls = len((folder / "calls").read_text().splitlines())
    if calls <= deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    return calls


def interval(seconds: float, begun: Path) -> tuple[float, float, int]:
    """When it began and ended, and in which process; it waits until two have begun."""
    begin = time.monotonic()
    log(begun, str(os.getpid()))
    while len(begun.read_text().splitlines()) < 2:
        time.sleep(0.01)
    time.sleep(seconds)
    return begin, time.monotonic(), os.getpid()


def for_an_hour(folder: Path) -> None:
    """A call that is to be ended, and its file in `folder`."""
    (folder / str(os.getpid())).touch()
    time.sleep(3600)


def trial(
    folder: Path, seconds: float, held: int | None, i: int, params: dict[str, Any], seed: int
) -> dict[str, Any]:
    """A trial that writes down that it was begun, by which process, and takes a while.

    Those from number `held` on last an hour.
    """
    log(folder / "begun", f"{i} {os.getpid()} {seed} {params}")
    time.sleep(seconds if held is None or i < held else 3600)
    return {"value": value_of(params), "reason": None, "curve": (1, 2.5)}


def execution(engine: str, slots: int) -> Any:
    """The section `execution` for trials on a CPU."""
    from stages.settings.common import Execution

    return Execution(
        device="cpu",
        engine=engine,
        slots=slots,
        devices=None,
        trials_per_gpu=1,
        address=None,
        scratch=None,
        checkpoint_seconds=60,
        cuda_graphs=True,
        log="none",
    )


def drive(
    folder: str,
    engine: str,
    seconds: float,
    slots: int = 2,
    trials: int = 10,
    held: int | None = None,
) -> None:
    """The whole sweep of a test, in a process that the test kills."""
    import functools

    from stages.runtime.engines import from_settings
    from stages.search.ask_tell import run
    from stages.search.journal import Journal
    from stages.search.propose import Settings
    from stages.search.space import Dimension, Space

    path = Path(folder)
    space = Space((Dimension("lr", 1e-4, 1e-1, log=True), Dimension("width", 4, 64, integer=True)))
    journal = Journal.open(path / "journal.jsonl", {"space": space.fingerprint()})
    with from_settings(execution(engine, slots), ["tests.helpers.search_jobs"]) as executor:
        submit = functools.partial(executor.submit, trial, path, seconds, held)
        run(
            journal=journal,
            space=space,
            settings=Settings("sobol", 4, 3),
            seed=11,
            trials=trials,
            submit=submit,
            slots=slots,
        )
    (path / "finished").touch()


def leave(status: int) -> None:
    """A trial that calls sys.exit."""
    raise SystemExit(status)


def four_gpus() -> list[str]:
    """In the place of what torch sees."""
    return ["GPU-a", "GPU-b", "GPU-c", "GPU-d"]


def gpus_of_an_old_driver() -> list[str]:
    """What trials are given where NVML lists two GPUs and CUDA can use none."""
    import torch

    from stages.runtime.engines import visible_gpus

    torch._C._cuda_getDeviceCount = lambda: 0
    torch.cuda._device_count_nvml = lambda: 2
    return visible_gpus()


def one_gpu() -> list[str]:
    """What torch sees of these where CUDA_VISIBLE_DEVICES is GPU-c."""
    return ["GPU-c"]


def seen_gpu(folder: Path | None = None) -> str | None:
    """The GPU of a process, as CUDA would see it; one with a folder waits there for `go`."""
    if folder is not None:
        (folder / f"begun-{os.getpid()}").touch()
        while not (folder / "go").exists():
            time.sleep(0.01)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def stopped_once(path: Path) -> str:
    """A trial whose process freezes the first time."""
    if path.exists():
        return "second"
    path.write_text(str(os.getpid()))
    os.kill(os.getpid(), signal.SIGSTOP)
    return "first"
