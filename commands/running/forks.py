"""What forks of the server do: a stage, a trial of one, or a trial for which nobody waits yet."""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from commands.running import stage as running
from commands.running.anchor import DvcRun
from commands.running.early import offer
from commands.running.starter import from_server
from stages.runtime import executors
from stages.trials import sweep


def become(leave: Callable[[], None], call: Callable[[], None]) -> NoReturn:
    """Do this and nothing else, and end as an interpreter does."""
    status = 1
    try:
        leave()
        status = running.status_of(call)
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        atexit._run_exitfuncs()
    finally:
        os._exit(status & 0xFF)


def _streams(descriptors: list[int]) -> None:
    """Take these for standard input, output and errors."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)

    # The objects that wrapped the old ones may buffer otherwise; PYTHONUNBUFFERED is by lines here.
    line = 1 if os.isatty(1) or getattr(sys.stdout, "write_through", False) else -1
    encoding = sys.stdout.encoding
    sys.stdout = open(1, "w", line, encoding, sys.stdout.errors, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding, "backslashreplace", closefd=False)  # noqa: SIM115


def call_this(what: str) -> None:
    """Name this process, as `ps -o comm` and `top` show it; the system keeps 15 letters."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(f"mimicnets-{what}")


def stage(
    message: dict[str, Any], descriptors: list[int], life: int, run: DvcRun, address: Path
) -> None:
    """A stage, with the streams and variables of its launcher."""
    call_this("stage")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _streams(descriptors)
    os.environ.clear()
    os.environ.update(message["environ"])
    threading.Thread(target=_die_with, args=(life,), daemon=True).start()

    # Its trials are forks of the server too, and so are those for which it has no use.
    executors.starter = from_server(address)
    sweep.on_spare = partial(offer, run, address)
    running.run(message["words"], run.words)


def trial(payload: bytes, descriptors: list[int]) -> None:
    """A trial, or whatever else a stage runs in a process of its own."""
    call_this("trial")
    *streams, send, life = descriptors
    _streams(streams)
    arguments = pickle.loads(payload)
    executors.work(Connection(send, readable=False), Connection(life, writable=False), *arguments)


def early(function: Callable[..., Any], arguments: tuple[Any, ...], life: int) -> None:
    """A trial for which nobody waits; if it fails, its stage will say so when it runs it itself."""
    call_this("early")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_die_with, args=(life,), daemon=True).start()
    with suppress(Exception):
        function(*arguments)


def _die_with(life: int) -> None:
    """Wait for the end of the server, which never writes."""
    os.read(life, 1)
    os.kill(os.getpid(), signal.SIGKILL)
