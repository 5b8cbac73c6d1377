"""Has a stage run in a fork of the process that serves its `dvc repro`, if there is to be one."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from commands.running import identity, wire
from commands.running.anchor import DvcRun

FOLDER = Path("work/running")
ADDRESS = "socket"
LOG = "log"
PROCESS = "process"
FAILED = "failed"
"""There once a server did not start: it is tried once a run, and said once."""
FOLLOWED = ("prepare", "teachers", "ensemble", "augment", "label")
"""Stages after which cells have to run."""
START_SECONDS = 120.0
"""For importing torch on a slow disk."""
LOOK_SECONDS = 0.02
DEATH_SECONDS = 20.0
"""For a fork to notice that the server is dead."""


def served(run: DvcRun, words: Sequence[str]) -> int | None:
    """Exit status of a stage that was run in a fork; None if it has to be run by itself.

    The first stage of a run is, since a run of one stage needs no server. Later ones start the
    server where there is none, which takes as long as what they would import themselves. A first
    stage that others are sure to follow starts it, and does not wait for it.
    """
    folder = FOLDER / run.key
    try:
        if _first(folder):
            if words[0] in FOLLOWED:
                _start(run, folder)
            return None
        if (folder / FAILED).exists():
            return None
        connection = _connected(run, folder)
    except OSError as error:
        print(f"note: this stage runs by itself ({error})", file=sys.stderr)
        return None

    with connection:
        return _handed_over(run, connection, words)


def _first(folder: Path) -> bool:
    """Whether this is the first stage of its run; folders of former runs are removed then."""
    if folder.is_dir():
        return False

    for other in FOLDER.glob("*-*"):
        pid, _, start = other.name.partition("-")
        if not (pid.isdigit() and start.isdigit() and DvcRun(int(pid), int(start)).alive):
            shutil.rmtree(other, ignore_errors=True)

    folder.mkdir(parents=True, mode=0o700)
    return True


def _connected(run: DvcRun, folder: Path) -> socket.socket:
    """A connection to the server, which is started if there is none.

    Raises:
        OSError: it does not start.
    """
    started = False
    until = time.monotonic() + START_SECONDS

    while time.monotonic() < until:
        try:
            return _connect(folder / ADDRESS)
        except OSError:
            if not _there(_server(folder)):
                if started:
                    (folder / FAILED).touch()
                    raise OSError(f"no server: {_last_line(folder / LOG)}") from None
                _start(run, folder)
                started = True
        time.sleep(LOOK_SECONDS)

    os.kill(_server(folder), signal.SIGKILL)
    raise OSError(f"no server: it was not ready after {START_SECONDS:.0f} s")


def _server(folder: Path) -> int:
    """Process of the server that was started last; 0 if none was."""
    try:
        return int((folder / PROCESS).read_text())
    except (OSError, ValueError):
        return 0


def _last_line(path: Path) -> str:
    """What a server said last."""
    lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else "it has ended"


def _connect(address: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(os.fspath(address))
    except OSError:
        connection.close()
        raise
    return connection


def _start(run: DvcRun, folder: Path) -> None:
    """Start the server in a session of its own; it takes a while until it answers."""
    (folder / ADDRESS).unlink(missing_ok=True)
    words = [
        *(sys.executable, "-m", "commands.running.server"),
        *(str(run.pid), str(run.start), os.fspath(folder / ADDRESS)),
        identity.surroundings(os.environ),
    ]
    log = os.fspath(folder / LOG)
    create = os.O_WRONLY | os.O_CREAT | os.O_TRUNC

    pid = os.posix_spawn(
        sys.executable,
        words,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, create, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    (folder / PROCESS).write_text(str(pid))


def _handed_over(run: DvcRun, connection: socket.socket, words: Sequence[str]) -> int | None:
    """Wait for a stage in a fork, passing on requests to stop; None if it was refused or lost."""
    message = {
        "kind": "stage",
        "words": list(words),
        "surroundings": identity.surroundings(os.environ),
        "environ": dict(os.environ),
    }

    fork = None
    asked: list[int] = []
    try:
        wire.send(connection, message, descriptors=[0, 1, 2])
        answer, _, _ = wire.receive(connection)
        if "refused" in answer:
            return None

        fork = answer["pid"]
        with _passed_on(fork, asked):
            answer, _, _ = wire.receive(connection)
        status = answer["status"]
    except (OSError, EOFError):
        return 128 + asked[0] if asked else _lost(run, fork)

    return status if status >= 0 else 128 - status


@contextmanager
def _passed_on(pid: int, asked: list[int]) -> Iterator[None]:
    """Whatever asks this process to stop asks that one, and is noted; unless it is ignored here."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    heeded = [
        number
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]
    former = {number: signal.signal(number, pass_on) for number in heeded}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _lost(run: DvcRun, fork: int | None) -> int | None:
    """The server has died, and its forks with it: the stage goes on by itself, unless DVC is gone.

    Nothing that was finished is lost, but the work folder must be free.
    """
    if not run.alive:
        return 1

    until = time.monotonic() + DEATH_SECONDS
    while fork is not None and time.monotonic() < until and _there(fork):
        time.sleep(LOOK_SECONDS)
    return None


def _there(pid: int) -> bool:
    """Whether a process is there; one that is dead, and that nobody has waited for, is not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"
