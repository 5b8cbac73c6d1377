"""Independent epochs of one stage shared among processes; used by augment and label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, wait
from typing import Any

POLL_SECONDS = 0.5


def processes_for(work: int, least: int, slots: int) -> int:
    """How many processes: as many as there are slots, but none for less than `least` units of work."""
    return max(1, min(slots, work // least))


def run_shares(
    executor: Executor, function: Callable[..., Any], job: Any, epochs: Sequence[int], processes: int,
    on_progress: Callable[[], None],
) -> None:  # fmt: skip
    """`function(job, share)` for `processes` shares of `epochs`, every k-th epoch to the same one.

    What is made of an epoch must depend on that epoch alone. The first error is raised at once.

    Args:
        executor: where the shares run; function and job must pickle.
        function: makes the epochs of one share, and nothing that is there already.
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
