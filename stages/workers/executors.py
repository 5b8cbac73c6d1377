"""Where trials run: in this process, or each in a process of its own; used by the doors that sweep.

Both are `concurrent.futures.Executor`. The standard ProcessPoolExecutor is not used: one worker killed breaks
all of its futures. Here a killed worker's trial is run again, and no worker outlives its parent.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

RETRIES = 2


class Serial(Executor):
    """Runs a trial when it is submitted, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(_said(error))
        return future


class Local(Executor):
    """One process per trial, at most `slots` at a time.

    Args:
        slots: processes at a time.
        preload: modules of the server from which the processes are forked: their imports are paid once.
    """

    def __init__(self, slots: int, preload: Sequence[str] = ()) -> None:
        if slots < 1:
            raise ValueError(f"execution.slots is {slots}: allowed is 1 or more")
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))
        self._threads = ThreadPoolExecutor(slots)
        self._lock = threading.Lock()
        self._alive: set[Any] = set()
        self._closing = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future of `fn(*args, **kwargs)` in a process; all of it must pickle."""
        return self._threads.submit(self._run, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Kill what still runs; a sweep that is over has nothing running."""
        with self._lock:
            self._closing = True
            for process in self._alive:
                process.kill()
        self._threads.shutdown(wait=wait, cancel_futures=True)

    def _run(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for _ in range(RETRIES + 1):
            code, answer = self._once(fn, args, kwargs)
            if answer is not None:
                good, value = answer
                if good:
                    return value
                raise value
            if self._closing:
                break
        raise ChildProcessError(
            f"a trial's process died {RETRIES + 1} times (exit code {code}; -9 is often a lack of memory: "
            "lower execution.slots)"
        )

    def _once(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> tuple[int | None, Any]:
        """Exit code of one process, and (good, value or exception), None if it died before it answered."""
        receive, send = self._context.Pipe(duplex=False)
        life, hold = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_work, args=(send, life, fn, args, kwargs), daemon=True)
        with self._lock:
            if self._closing:
                return None, None
            process.start()
            self._alive.add(process)
        send.close()
        life.close()
        try:
            answer = receive.recv()
        except (EOFError, OSError):  # OSError: killed in the middle of its answer
            answer = None
        process.join()
        with self._lock:
            self._alive.discard(process)
        receive.close()
        hold.close()
        return process.exitcode, answer


def _work(send: Connection, life: Connection, fn: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """Run in the trial's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, args=(life,), daemon=True).start()
    try:
        answer = (True, fn(*args, **kwargs))
    except (Exception, SystemExit) as error:
        if isinstance(error, SystemExit):  # else taken for a death, and run again
            error = RuntimeError(f"SystemExit: {error}")
        error = _said(error)
        error.add_note(traceback.format_exc())
        answer = (False, error)
    send.send(_portable(answer))
    send.close()


def _said(error: Exception) -> Exception:
    """The same error, or one line on what to change where memory ran out.

    That is never a result of the trial, since another machine has more. torch has a class of its own for a GPU's
    memory, and a RuntimeError for the host's.
    """
    of_torch = type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)
    if not isinstance(error, MemoryError) and not of_torch:
        return error
    reason = " ".join(str(error).split())[:300] or "MemoryError"
    return OSError(
        f"a trial ran out of memory ({reason}): lower execution.slots, or training.batch_size or numerics.eval_batch "
        "in params.yaml; finished trials are kept"
    )


def _portable(answer: tuple[bool, Any]) -> tuple[bool, Any]:
    """The answer, or a RuntimeError in its place if the parent could not unpickle it."""
    try:
        pickle.loads(pickle.dumps(answer))
        return answer
    except Exception as error:
        good, value = answer
        what = f"a result that cannot be pickled ({error})" if good else f"{type(value).__name__}: {value}"
        substitute = RuntimeError(f"a trial gave {what}")
        for note in getattr(value, "__notes__", []):
            substitute.add_note(note)
        return False, substitute


def _die_with_parent(life: Connection) -> None:
    """The parent holds the other end and never writes: the pipe is readable when the parent is gone."""
    life.poll(None)
    os.kill(os.getpid(), signal.SIGKILL)


def from_settings(engine: str, slots: int, preload: Sequence[str] = ()) -> Executor:
    """The executor of `execution.engine`, "serial" or "local".

    Raises:
        ValueError: another name.
    """
    if engine == "serial":
        return Serial()
    if engine == "local":
        return Local(slots, preload)
    raise ValueError(f"execution.engine is {engine!r}: allowed are 'serial' and 'local'")
