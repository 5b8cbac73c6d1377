"""Where trials run: in this process, or each in a process of its own; used by `engines` and
`cluster`.

Both are `concurrent.futures.Executor` with a number of `slots`, trials at a time. The standard
ProcessPoolExecutor is not used: one worker killed breaks all of its futures. Here the trial of a
worker that was killed, or that has stopped giving signs of life, is run again, and no worker
outlives its parent.
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
BEAT_SECONDS = 5.0
"""Between two signs of life of a worker."""
PATIENCE_SECONDS = 120.0
"""Without a sign of life, after which a worker is killed and its trial run again."""
DEVICES = "CUDA_VISIBLE_DEVICES"
BEAT = "beat"


class Serial(Executor):
    """Runs a trial when it is submitted, in this process."""

    slots = 1
    gpus = 0
    """Those that were given; what is seen by this process is not counted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(said(error))
        return future


class Local(Executor):
    """One process per trial, at most `slots` at a time.

    Args:
        slots: processes at a time.
        preload: modules of the server from which the processes are forked: their imports are paid
        once.
        devices: GPUs as CUDA_VISIBLE_DEVICES names them, of which each process sees the one that
            has the fewest; none leaves that variable alone.
        patience: seconds without a sign of life after which a process is taken for dead.
    """

    def __init__(
        self,
        slots: int,
        preload: Sequence[str] = (),
        devices: Sequence[str] = (),
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        if slots < 1:
            raise ValueError(f"execution.slots is {slots}: allowed is 1 or more")
        self.gpus = len(devices)
        self.slots, self._patience, self._beat = slots, patience, min(BEAT_SECONDS, patience / 4)
        self._load: dict[str | None, int] = dict.fromkeys(devices or (None,), 0)
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
            device = self._take()
            try:
                code, answer = self._once(device, fn, args, kwargs)
            finally:
                self._give(device)
            if answer is not None:
                good, value = answer
                if good:
                    return value
                raise value
            if self._closing:
                break
        raise ChildProcessError(
            f"a trial's process died {RETRIES + 1} times (exit code {code}; -9 is often a lack of memory: "
            f"lower execution.{'slots' if device is None else 'trials_per_gpu'})"
        )

    def _take(self) -> str | None:
        """The device with the fewest processes, the first of equal ones."""
        with self._lock:
            device = min(self._load, key=lambda each: self._load[each])
            self._load[device] += 1
        return device

    def _give(self, device: str | None) -> None:
        with self._lock:
            self._load[device] -= 1

    def _once(
        self, device: str | None, fn: Callable[..., Any], args: Any, kwargs: Any
    ) -> tuple[int | None, Any]:
        """Exit code of one process, and (good, value or exception), None if it died before it
        answered.
        """
        receive, send = self._context.Pipe(duplex=False)
        life, hold = self._context.Pipe(duplex=False)
        own = (send, life, device, self._beat, fn, args, kwargs)
        process = self._context.Process(target=_work, args=own, daemon=True)
        with self._lock:
            if self._closing:
                return None, None
            process.start()
            self._alive.add(process)
        send.close()
        life.close()
        try:
            while (answer := self._next(receive)) == BEAT:
                pass
        except (EOFError, OSError):  # OSError: killed in the middle of its answer
            answer = None
        if answer is None:
            process.kill()  # one that is stopped or hangs; nothing happens to one that is dead
        process.join()
        with self._lock:
            self._alive.discard(process)
        receive.close()
        hold.close()
        return process.exitcode, answer

    def _next(self, receive: Connection) -> Any:
        """What a process says next; None after too long a silence.

        The second look is for silence that was ours: after a stop of both sides the first one finds
        the time over.
        """
        if receive.poll(self._patience) or receive.poll(min(self._patience, 3 * self._beat)):
            return receive.recv()
        return None


def _work(
    send: Connection,
    life: Connection,
    device: str | None,
    beat: float,
    fn: Callable[..., Any],
    args: Any,
    kwargs: Any,
) -> None:
    """Run in the trial's process."""
    if device is not None:
        os.environ[DEVICES] = device  # before CUDA is asked for anything
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, args=(life,), daemon=True).start()
    done, lock = threading.Event(), threading.Lock()
    threading.Thread(target=_beat, args=(send, beat, done, lock), daemon=True).start()
    answer = answered(lambda: fn(*args, **kwargs))
    done.set()
    with lock:
        send.send(answer)
        send.close()


def answered(call: Callable[[], Any]) -> tuple[bool, Any]:
    """(True, what it gives) or (False, its error, with where it came from as a note), as it can be
    sent elsewhere.
    """
    try:
        return portable((True, call()))
    except (Exception, SystemExit) as error:
        if isinstance(error, SystemExit):  # else taken for a death, and run again
            error = RuntimeError(f"SystemExit: {error}")
        error = said(error)
        error.add_note(traceback.format_exc())
        return portable((False, error))


def _beat(send: Connection, seconds: float, done: threading.Event, lock: threading.Lock) -> None:
    """Signs of life until the work is done."""
    while not done.wait(seconds):
        with lock:
            if not done.is_set():
                send.send(BEAT)


def said(error: Exception) -> Exception:
    """The same error, or one line on what to change where memory ran out.

    That is never a result of the trial, since another machine has more. torch has a class of its
    own for a GPU's memory, and a RuntimeError for the host's.
    """
    of_torch = type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)
    if not isinstance(error, MemoryError) and not of_torch:
        return error
    reason = " ".join(str(error).split())[:300] or "MemoryError"
    return OSError(
        f"a trial ran out of memory ({reason}): lower execution.slots (on a GPU trials_per_gpu), or "
        "training.batch_size or numerics.eval_batch in params.yaml; finished trials are kept"
    )


def portable(answer: tuple[bool, Any]) -> tuple[bool, Any]:
    """The answer, or a RuntimeError in its place if the parent could not unpickle it."""
    try:
        pickle.loads(pickle.dumps(answer))
        return answer
    except Exception as error:
        good, value = answer
        what = (
            f"a result that cannot be pickled ({error})"
            if good
            else f"{type(value).__name__}: {value}"
        )
        substitute = RuntimeError(f"a trial gave {what}")
        for note in getattr(value, "__notes__", []):
            substitute.add_note(note)
        return False, substitute


def _die_with_parent(life: Connection) -> None:
    """The parent holds the other end and never writes: the pipe is readable when the parent is
    gone.
    """
    life.poll(None)
    os.kill(os.getpid(), signal.SIGKILL)
