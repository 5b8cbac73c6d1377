"""Independent epochs of one stage, shared among processes or nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, wait
from typing import Any, Protocol

from tqdm import tqdm

from stages.runtime.engines import Engine
from stages.runtime.executors import Local, Serial

POLL_SECONDS = 0.5


class Epochs(Protocol):
    """Makes the epochs of one share that are not there yet; calls `on_epoch` after each."""

    def __call__(
        self, job: Any, epochs: list[int], on_epoch: Callable[[], None] | None = None, /
    ) -> None: ...


def shared_among(engine: Engine, work: int, least: int, epochs: int) -> tuple[Engine, int]:
    """Where epochs are made, and in how many processes: at most one for each epoch.

    Each GPU gets one process, which fills it; on CPUs a process must have at least `least` units of
    work to do. Where a single other process would gain nothing, this one does the work itself.
    """
    wanted = engine.gpus or min(engine.slots, work // least)
    processes = max(1, min(wanted, epochs))
    alone = isinstance(engine, Local) and processes == 1 and not engine.gpus
    return (Serial() if alone else engine), processes


def make_epochs(
    engine: Engine,
    function: Epochs,
    job: Any,
    epochs: int,
    processes: int,
    *,
    name: str,
    images: int,
    there: Callable[[int], bool],
) -> None:
    """Call `function(job, share)` for shares of all epochs, with a progress bar.

    The result of an epoch must depend on that epoch alone. The first error is raised at once.

    Args:
        engine: where the shares run; function and job must pickle.
        processes: as from `shared_among`.
        name: of the stage.
        images: in one epoch.
        there: whether an epoch is made already.
    """
    with tqdm(total=epochs * images, desc=name, unit="image", unit_scale=True, disable=None) as bar:
        if isinstance(engine, Serial):
            function(job, list(range(epochs)), lambda: bar.update(images) and None)
            return

        def progress() -> None:
            bar.update(sum(map(there, range(epochs))) * images - bar.n)

        run_shares(engine, function, job, range(epochs), processes, progress)


def run_shares(
    executor: Executor,
    function: Callable[..., Any],
    job: Any,
    epochs: Sequence[int],
    processes: int,
    on_progress: Callable[[], None],
) -> None:
    """Call `function(job, share)` for `processes` shares, each of every k-th epoch.

    Args:
        on_progress: called twice a second.
    """
    shares = [list(epochs[first::processes]) for first in range(processes)]
    futures = [executor.submit(function, job, share) for share in shares if share]

    waiting = set(futures)
    while waiting:
        finished, waiting = wait(waiting, POLL_SECONDS, return_when=FIRST_EXCEPTION)
        on_progress()
        for future in finished:
            future.result()
