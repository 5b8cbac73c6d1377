"""The process that serves the stages of one `dvc repro`: it imports torch once and forks.

Importing libraries takes longer than most cells of a small run. So from the second stage of a run
on, a stage and its trials are forks of one process that has imported everything and computed
nothing. It is bound to

- one run of DVC: it ends when that ends, or when it has been idle for a while;
- one folder, interpreter and environment: others are refused and run by themselves;
- the code as it was imported: once a file of the project has changed, it serves nobody any more.

A fork dies with whoever has asked for it, and with this process. Results cannot come from here: a
stage does in a fork what it does by itself, in the same folders.

`python -m commands.running.server PID START SOCKET IDENTITY` is started by `client`.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import selectors
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from commands.running import forks, identity, wire
from commands.running.anchor import DvcRun, words_of
from stages.runtime.listings import listing, stage_names

PRELOAD = (
    "scipy.stats.qmc",
    "stages.students",
    "stages.teachers",
    "stages.ensemble",
    "stages.augment",
    "stages.label",
    "stages.trials.student_trial",
    "stages.trials.teacher_trial",
)
"""What is imported before anything is forked: all of the stages that train or use nets."""

LATER = ("stages.extra", "stages.tabulate", "stages.assess", "stages.draw", "stages.page")
"""What is imported when nothing has been asked for a while: what comes at the end of a run."""
QUIET_SECONDS = 0.5

IDLE_SECONDS = 120.0
REQUEST_SECONDS = 10.0
"""For a whole request: a client that is stopped in the middle of one must not stop the others."""


LOCKS = Path("/proc/locks")


def waiting_for_a_lock() -> set[int]:
    """Processes that do nothing until another one gives back a lock (proc_locks(5))."""
    lines = LOCKS.read_text(encoding="utf-8").splitlines() if LOCKS.is_file() else []
    words = [line.split() for line in lines]
    return {int(each[5]) for each in words if each[1] == "->"}


@dataclass
class Fork:
    """A process that was forked for somebody.

    Attributes:
        pid: of it.
        kind: "stage"; "trial", of a stage; "early", for which nobody waits.
        handle: a descriptor that becomes readable when it ends.
        connection: to whoever has asked for it; None for an early one.
    """

    pid: int
    kind: str
    handle: int
    connection: socket.socket | None


class Server:
    """Forks on request until its run of DVC is over.

    Args:
        run: of DVC.
        address: of its socket.
        surroundings: of those whom it serves.
        code: hash of the code that it has imported.
        idle: seconds without any fork after which it ends.
    """

    def __init__(
        self, run: DvcRun, address: Path, surroundings: str, code: str, idle: float = IDLE_SECONDS
    ) -> None:
        self.run = run
        self.address = address
        self.surroundings = surroundings
        self.code = code
        self.idle = idle
        self.forks: dict[int, Fork] = {}

        self.later = deque(LATER)

        # Calls for slots that fall idle, and how many slots there are.
        self.early: deque[Any] = deque()
        self.slots = 0

        # Its own end, by which forks notice that it is gone.
        self.life, self.hold = os.pipe()

        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.fspath(address))
        self.listener.listen(64)

        self.anchor = os.pidfd_open(run.pid)
        if not run.alive:
            raise ProcessLookupError(f"{run.pid} has ended")

        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self.selector.register(self.anchor, selectors.EVENT_READ, self._end)
        self.over = False

    def serve(self) -> None:
        """Until the run is over, or nothing has been asked for a while."""
        try:
            while not self.over:
                ready = self.selector.select(self._patience())
                for key, _ in ready:
                    key.data()

                if not ready and self.forks:
                    self._import_later()
                elif not ready:
                    break
        finally:
            self.address.unlink(missing_ok=True)
            for fork in self.forks.values():
                os.kill(fork.pid, signal.SIGKILL)

    def _patience(self) -> float | None:
        """Seconds to wait for something to happen; None for ever."""
        if not self.forks:
            return self.idle
        return QUIET_SECONDS if self.later else None

    def _import_later(self) -> None:
        """One module more, unless its file has changed."""
        name = self.later.popleft()
        if identity.code() != self.code:
            self.later.clear()
            return

        with suppress(Exception):  # what is wrong with it is for its own stage to say
            importlib.import_module(name)
        gc.freeze()

    def _end(self) -> None:
        self.over = True

    def _accept(self) -> None:
        """Fork for one request, or refuse it."""
        connection, _ = self.listener.accept()
        connection.settimeout(REQUEST_SECONDS)

        descriptors: list[int] = []
        try:
            message, payload, descriptors = wire.receive(connection)
            self._grant(connection, message, payload, descriptors)
        except Exception:  # whatever it was, others must be served
            connection.close()
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _grant(
        self,
        connection: socket.socket,
        message: dict[str, Any],
        payload: bytes,
        descriptors: list[int],
    ) -> None:
        """Do what a request asks for."""
        kind = message["kind"]
        if kind == "early":
            connection.close()
            # Trials are found by their code as it is on disk: it must be what forks have imported.
            if identity.code() == self.code:
                self.slots = message["slots"]
                self.early = deque(pickle.loads(payload))
                self._fill_slots()
            return

        reason = self._refusal(message)
        if reason:
            wire.send(connection, {"refused": reason})
            connection.close()
            return

        if kind == "stage":
            call = partial(forks.stage, message, descriptors, self.life, self.run, self.address)
        else:
            call = partial(forks.trial, payload, descriptors)
        self._fork(kind, call, connection)

    def _fill_slots(self) -> None:
        """Start early trials while fewer processes train than there are slots.

        When the turn of a trial's cell comes, the stage starts a process for it too, which waits
        for the result: that one has no slot. Of two for one trial the second finds the result.
        """
        while self.early:
            waiting = waiting_for_a_lock()
            training = [pid for pid, fork in self.forks.items() if fork.kind != "stage"]
            if sum(pid not in waiting for pid in training) >= self.slots:
                return
            function, arguments = self.early.popleft()
            self._fork("early", partial(forks.early, function, arguments, self.life))

    def _refusal(self, message: dict[str, Any]) -> str | None:
        """Why a request is not granted; trials are those of stages that were."""
        if message["kind"] != "stage":
            return None
        if message["surroundings"] != self.surroundings:
            return "it has other variables, another folder or another interpreter"
        if identity.code() != self.code:
            self.over = not self.forks
            return "the code has changed"
        return None

    def _fork(
        self, kind: str, call: Callable[[], None], connection: socket.socket | None = None
    ) -> None:
        """Fork, tell the process's number, and watch both ends."""
        pid = os.fork()
        if pid == 0:
            forks.become(partial(self._leave, connection), call)

        fork = Fork(pid, kind, os.pidfd_open(pid), connection)
        self.forks[pid] = fork
        self.selector.register(fork.handle, selectors.EVENT_READ, partial(self._reap, fork))

        if connection is not None:
            self.selector.register(connection, selectors.EVENT_READ, partial(self._abandon, fork))
            with suppress(OSError):
                wire.send(connection, {"pid": pid})

    def _leave(self, connection: socket.socket | None) -> None:
        """In a fork: close what is the server's."""
        self.selector.close()
        self.listener.close()
        os.close(self.hold)
        os.close(self.anchor)

        for fork in self.forks.values():
            os.close(fork.handle)
        for each in [connection, *(fork.connection for fork in self.forks.values())]:
            if each is not None:
                each.close()

    def _reap(self, fork: Fork) -> None:
        """Tell how a process has ended."""
        _, status = os.waitpid(fork.pid, 0)
        self.selector.unregister(fork.handle)
        os.close(fork.handle)
        del self.forks[fork.pid]

        if fork.connection is not None:
            self._unwatch(fork.connection)
            with suppress(OSError):
                wire.send(fork.connection, {"status": os.waitstatus_to_exitcode(status)})
            fork.connection.close()

        self._fill_slots()

    def _abandon(self, fork: Fork) -> None:
        """Whoever has asked for a process is gone: so must it be."""
        if self.forks.get(fork.pid) is not fork:  # both were seen at once, and it is reaped
            return
        if fork.connection is not None:
            self._unwatch(fork.connection)
        os.kill(fork.pid, signal.SIGKILL)

    def _unwatch(self, connection: socket.socket) -> None:
        with suppress(KeyError):
            self.selector.unregister(connection)


def main() -> None:
    """Import, then serve."""
    pid, start, address, surroundings = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    forks.call_this("serve")

    # What is imported is what was there before and is there after.
    before = identity.code()
    for module in PRELOAD:
        importlib.import_module(module)
    for name in stage_names():
        listing(name)  # what its files import stays known
    if identity.code() != before:
        sys.exit("the code has changed while it was imported")

    # Forks share these pages as long as nobody writes to them, as the collector would.
    gc.collect()
    gc.freeze()

    with suppress(ProcessLookupError):
        run = DvcRun(int(pid), int(start), words_of(int(pid)))
        Server(run, Path(address), surroundings, before).serve()


if __name__ == "__main__":
    main()
