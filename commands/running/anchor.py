"""Which DVC process a stage was started by."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROCESSES = Path("/proc")
START = 19
"""Place of a process's start time in /proc/PID/stat, counted behind its name (proc_pid_stat(5))."""


@dataclass(frozen=True)
class DvcRun:
    """One run of DVC: its process, and when that started, since numbers are used again.

    Attributes:
        pid: of the process.
        start: in ticks of the system since it was booted.
        words: of its command line.
    """

    pid: int
    start: int
    words: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """A name for files of this run."""
        return f"{self.pid}-{self.start}"

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        status = _status(self.pid)
        return status is not None and status[1] == self.start


def dvc_run() -> DvcRun | None:
    """The nearest DVC process above this one; None without one, and without /proc."""
    pid = os.getppid()

    while pid > 1:
        status = _status(pid)
        words = words_of(pid)
        if status is None:
            return None

        parent, start = status
        if is_dvc(words):
            return DvcRun(pid, start, words)
        pid = parent

    return None


def is_dvc(words: tuple[str, ...]) -> bool:
    """Whether a command line is one of DVC: its script, or `python -m dvc`."""
    script = any(os.path.basename(word) == "dvc" for word in words[:2])
    return script or ("-m", "dvc") in zip(words, words[1:], strict=False)


def _status(pid: int) -> tuple[int, int] | None:
    """Parent and start time of a process; None if there is none, or it is dead."""
    try:
        text = (PROCESSES / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None

    # Its name, in parentheses, may hold anything.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else (int(fields[1]), int(fields[START]))


def words_of(pid: int) -> tuple[str, ...]:
    """Command line of a process; empty if it cannot be read."""
    try:
        text = (PROCESSES / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(os.fsdecode(word) for word in text.split(b"\0")[:-1])
