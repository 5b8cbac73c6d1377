"""Where trials run: in this process, or each in a process of its own.

Both classes are a `concurrent.futures.Executor` with a number of `slots`, trials at a time. In the
standard ProcessPoolExecutor one killed worker breaks all futures. Here the trial of a worker that
was killed, or that has stopped giving signs of life, is run again, and no worker outlives its
parent.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Protocol

RETRIES = 2
BEAT_SECONDS = 5.0
"""Between two signs of life of a worker."""
PATIENCE_SECONDS = 120.0
"""Without a sign of life, after which a worker is killed and its trial run again."""

DEVICES = "CUDA_VISIBLE_DEVICES"
BEAT = "beat"

LONGEST_FOLDER = 70
"""Bytes of the path of the folder for temporary files: an address of a socket has at most 107."""
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")


class Worker(Protocol):
    """A process that has been started."""

    @property
    def exitcode(self) -> int | None:
        """Once joined: its exit status, below 0 the signal that ended it; None if not known."""

    def kill(self) -> None:
        """End it at once; nothing happens to one that is dead."""

    def join(self) -> None:
        """Wait until it is dead."""


class Starter(Protocol):
    """Starts `work(send, life, *arguments)` in a process that has imported `preload`."""

    def __call__(
        self,
        send: Connection,
        life: Connection,
        arguments: tuple[Any, ...],
        preload: Sequence[str],
        /,
    ) -> Worker: ...


def from_forkserver(
    send: Connection, life: Connection, arguments: tuple[Any, ...], preload: Sequence[str]
) -> Worker:
    """A fork of the standard library's fork server, which this process starts with the first one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))

    process = context.Process(target=work, args=(send, life, *arguments), daemon=True)
    with _short_temporary_folder():
        process.start()
    return process


@contextmanager
def _short_temporary_folder() -> Iterator[None]:
    """The fork server's socket lies in the folder for temporary files: a long path does not fit.

    Raises:
        ValueError: there is no other folder.
    """
    usual = tempfile.tempdir
    if len(os.fsencode(tempfile.gettempdir())) > LONGEST_FOLDER:
        folders = [each for each in SHORT_FOLDERS if os.access(each, os.W_OK | os.X_OK)]
        if not folders:
            raise ValueError(
                f"TMPDIR is {tempfile.gettempdir()}, too long for the address of a socket, and none "
                f"of {', '.join(SHORT_FOLDERS)} can be written to: set TMPDIR to a folder of at most "
                f"{LONGEST_FOLDER} letters"
            )
        tempfile.tempdir = folders[0]

    try:
        yield
    finally:
        tempfile.tempdir = usual


starter: Starter = from_forkserver
"""How processes are started; commands/running sets another one in a process that it has forked."""


class Serial(Executor):
    """Runs a trial when it is submitted, in this process."""

    slots = 1
    gpus = 0
    """GPUs that were chosen for it; those that this process happens to see do not count."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(explained(error))
        return future


class Local(Executor):
    """One process per trial, at most `slots` at a time.

    Args:
        slots: processes at a time.
        preload: modules of the server from which the processes are forked, so that they are
            imported only once.
        devices: GPUs as CUDA_VISIBLE_DEVICES names them, of which each process sees the one with
            the fewest processes; none leaves that variable alone.
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
        self.slots = slots
        self._patience = patience
        self._beat = min(BEAT_SECONDS, patience / 4)

        # One thread for each slot waits for the process in it.
        self._threads = ThreadPoolExecutor(slots)
        self._preload = list(preload)

        # Shared by the threads, under the lock.
        self._lock = threading.Lock()
        self._load: dict[str | None, int] = dict.fromkeys(devices or (None,), 0)
        self._alive: set[Worker] = set()
        self._closing = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future of `fn(*args, **kwargs)` in a process; all of it must pickle."""
        return self._threads.submit(self._run, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Kill what still runs; nothing does when a sweep is over."""
        with self._lock:
            self._closing = True
            for process in self._alive:
                process.kill()

        self._threads.shutdown(wait=wait, cancel_futures=True)

    def _run(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a call gives or raises, in as many processes as it takes."""
        for _ in range(RETRIES + 1):
            device = self._take()
            try:
                code, answer = self._once(device, fn, args, kwargs)
            finally:
                self._release(device)

            if answer is not None:
                good, value = answer
                if good:
                    return value
                raise value

            if self._closing:
                break

        key = "slots" if device is None else "trials_per_gpu"
        raise ChildProcessError(
            f"a trial's process died {RETRIES + 1} times (exit code {code}; "
            f"-9 is often a lack of memory: lower execution.{key})"
        )

    def _take(self) -> str | None:
        """The device with the fewest processes, the first one if several have as few."""
        with self._lock:
            device = min(self._load, key=lambda each: self._load[each])
            self._load[device] += 1
        return device

    def _release(self, device: str | None) -> None:
        with self._lock:
            self._load[device] -= 1

    def _once(
        self, device: str | None, fn: Callable[..., Any], args: Any, kwargs: Any
    ) -> tuple[int | None, Any]:
        """Exit code of one process, and its answer: (good, value or exception), None if it died."""
        # One pipe for beats and the answer, and one that closes when this process dies.
        receive, send = multiprocessing.Pipe(duplex=False)
        life, hold = multiprocessing.Pipe(duplex=False)

        with self._lock:
            if self._closing:
                return None, None
            process = starter(send, life, (device, self._beat, fn, args, kwargs), self._preload)
            self._alive.add(process)

        send.close()
        life.close()

        # Its answer. EOFError: it died; OSError: it was killed in the middle of its answer.
        try:
            answer = self._next(receive)
            while answer == BEAT:
                answer = self._next(receive)
        except (EOFError, OSError):
            answer = None

        # One that is stopped or hangs is killed; nothing happens to one that is dead.
        if answer is None:
            process.kill()
        process.join()

        with self._lock:
            self._alive.discard(process)

        receive.close()
        hold.close()
        return process.exitcode, answer

    def _next(self, receive: Connection) -> Any:
        """What a process says next; None after too long a silence.

        The second look is for a silence of this side: if both were stopped for a while, the first
        look finds that the time is over.
        """
        if receive.poll(self._patience) or receive.poll(min(self._patience, 3 * self._beat)):
            return receive.recv()
        return None


def work(
    send: Connection,
    life: Connection,
    device: str | None,
    beat: float,
    fn: Callable[..., Any],
    args: Any,
    kwargs: Any,
) -> None:
    """The whole life of a trial's process: beats, the call, its answer."""
    # Before CUDA is asked for anything.
    if device is not None:
        os.environ[DEVICES] = device

    # Ctrl-C reaches the parent too, which decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, args=(life,), daemon=True).start()

    done = threading.Event()
    lock = threading.Lock()
    threading.Thread(target=_beat, args=(send, beat, done, lock), daemon=True).start()

    answer = answered(lambda: fn(*args, **kwargs))
    done.set()
    with lock:
        send.send(answer)
        send.close()


def answered(call: Callable[[], Any]) -> tuple[bool, Any]:
    """(True, result) or (False, error with its traceback as a note), in a form that can be sent."""
    try:
        return portable((True, call()))
    except (Exception, SystemExit) as error:
        # A SystemExit would be taken for a death, and run again.
        if isinstance(error, SystemExit):
            error = RuntimeError(f"SystemExit: {error}")
        error = explained(error)
        error.add_note(traceback.format_exc())
        return portable((False, error))


def _beat(send: Connection, seconds: float, done: threading.Event, lock: threading.Lock) -> None:
    """Send signs of life until the work is done."""
    while not done.wait(seconds):
        with lock:
            if not done.is_set():
                send.send(BEAT)


def explained(error: Exception) -> Exception:
    """The same error, or where memory ran out one line that says what to change.

    A lack of memory is never a result of the trial, since another machine has more. Torch has a
    class of its own for it on a GPU, and raises a RuntimeError on the host.
    """
    of_torch = type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)
    if not isinstance(error, MemoryError) and not of_torch:
        return error

    reason = " ".join(str(error).split())[:300] or "MemoryError"
    return OSError(
        f"a trial ran out of memory ({reason}): lower execution.slots (on a GPU trials_per_gpu), "
        "or training.batch_size or numerics.eval_batch in params.yaml; finished trials are kept"
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
    """Wait for the end of the parent, which holds the other end of the pipe and never writes."""
    life.poll(None)
    os.kill(os.getpid(), signal.SIGKILL)
