"""Reading ahead and writing behind: files in a thread, while the computation runs.

Both hold one item besides the one in use, so that memory does not grow with the number of items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`map(function, items)`, the next call running in a thread while the last result is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        waiting: Future[Result] | None = None
        for item in items:
            coming = thread.submit(function, item)
            if waiting is not None:
                yield waiting.result()
            waiting = coming

        if waiting is not None:
            yield waiting.result()


class Behind:
    """Runs calls in a thread, in order and one at a time; leaving it waits for the last one.

    An error of a call is raised by the next `submit`, or on leaving. Nothing that was submitted is
    dropped if an error is the reason for leaving, so that what has been computed is on disk.
    """

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="behind")
        self.last: Future[Any] | None = None

    def __enter__(self) -> Behind:
        return self

    def submit(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Wait for the call before this one, then start this one."""
        last = self.last
        self.last = None  # its error is raised once
        if last is not None:
            last.result()

        self.last = self.thread.submit(function, *args, **kwargs)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.thread.shutdown(wait=True)
        if self.last is not None and error is None:
            self.last.result()
