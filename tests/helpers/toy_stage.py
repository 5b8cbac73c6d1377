"""A stage for tests of how stages are run, as stages/toy.py of a copy of the repository."""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from stages.runtime import entry
from stages.runtime.executors import Local
from stages.store.atomic import alone

VERSION = 1
FAR_SECONDS = 300.0
"""After which nothing of a test that went wrong is left."""


def main() -> None:
    """What the first word says."""
    name, *words = sys.argv[1:]
    DOES[name](*words)


def facts(label: str, *more: str) -> None:
    """Say who this process is."""
    parent = Path(f"/proc/{os.getppid()}/cmdline").read_bytes()
    facts = {
        "label": label,
        "version": VERSION,
        "pid": os.getpid(),
        "parent": os.getppid(),
        "served": b"commands.running.server" in parent,
        "argv": sys.argv,
        "stage": os.environ.get("DVC_STAGE"),
        "other": os.environ.get("OTHER"),
        "open": sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in _open()),
    }
    print(json.dumps(facts), flush=True)


def _open() -> list[str]:
    """Descriptors of this process, without the one that lists them."""
    names = os.listdir("/proc/self/fd")
    return [name for name in names if os.path.exists(f"/proc/self/fd/{name}") or int(name) < 3]


def hold(label: str) -> None:
    """Say who this process is, and wait for a file of this name."""
    facts(label)
    _until(label)


def end(status: str) -> None:
    """End with a status, or a text."""
    raise SystemExit(int(status) if status.isdigit() else status)


def refuse() -> None:
    """What a stage says of bad input."""
    raise ValueError("nothing is right")


def crash() -> None:
    """What no stage should do."""
    raise KeyError("unforeseen")


def echo() -> None:
    """Standard input to standard output, and a word to the errors."""
    sys.stdout.write(sys.stdin.read())
    print("a word", file=sys.stderr)


def interrupts(label: str) -> None:
    """Count interrupts in the file LABEL.count until there is a file LABEL."""
    count = 0

    def counted(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        Path(f"{label}.count").write_text(str(count))

    signal.signal(signal.SIGINT, counted)
    facts(label)
    _until(label)
    raise KeyboardInterrupt


def murmur(label: str) -> None:
    """Say something that nobody asks to be seen at once, and wait for a file of this name."""
    print(json.dumps({"label": label}))
    _until(label)


def trials(label: str, count: str = "2", patience: str = "120") -> None:
    """Trials in processes of their own; each leaves its number in a file, and waits for one."""
    facts(label)
    with Local(2, patience=float(patience)) as executor:
        futures = [executor.submit(trial, label, number) for number in range(int(count))]
        print(json.dumps({"label": f"{label} results", "results": [f.result() for f in futures]}))


def trial(label: str, number: int) -> int:
    """Leave a file LABEL.NUMBER.PID, wait for the file LABEL, give the square."""
    Path(f"{label}.{number}.{os.getpid()}").touch()
    _until(label)
    return number * number


def locked(label: str) -> None:
    """Two trials of which one holds a lock until there is a file of this name."""
    facts(label)
    with Local(2) as executor:
        for future in [executor.submit(locked_trial, label) for _ in range(2)]:
            future.result()


def locked_trial(label: str) -> None:
    """Leave a file LABEL.trial.PID while no other trial does, and wait for a file of this name."""
    with alone(Path(label)):
        Path(f"{label}.trial.{os.getpid()}").touch()
        _until(label)


def offer(label: str, slots: str, count: str) -> None:
    """Hand early trials to the server, and wait for a file of this name."""
    facts(label)
    (address,) = Path("work/running").glob("*/socket")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(address))
        found = [(trial, (f"{label}.early", number)) for number in range(int(count))]
        payload = pickle.dumps(found)

        from commands.running import wire

        wire.send(connection, {"kind": "early", "slots": int(slots)}, payload)
    _until(label)


def _until(name: str) -> None:
    """Wait for a file."""
    end = time.monotonic() + FAR_SECONDS
    while not Path(name).exists() and time.monotonic() < end:
        time.sleep(0.02)


DOES: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (facts, hold, end, refuse, crash, echo, interrupts, murmur, trials, offer, locked)
}

if __name__ == "__main__":
    entry.run(main)
