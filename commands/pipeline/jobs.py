"""Commands side by side, each in a session of its own that never outlives this process.

A command starts when all that it needs has succeeded and a lane is free, in the order of the list.
When one fails, those that need it are left out, and all the others run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

GUARD = (sys.executable, "-m", "commands.pipeline.guard")
LOOK_SECONDS = 0.1
FIRM_SECONDS = 20.0
"""After a request to stop: when the command itself is interrupted too."""
KILL_SECONDS = 60.0
"""After a request to stop: when everything is killed."""
AGAIN_SECONDS = 5.0
"""After which a process is asked again: an import may swallow an interrupt."""
PROCESSES = Path("/proc")


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        name: of it.
        command: its words.
        log: file for its output, overwritten; None: this process's own output.
        needs: names of jobs that have to succeed before; any that is not among the jobs has.
    """

    name: str
    command: tuple[str, ...]
    log: Path | None = None
    needs: frozenset[str] = frozenset()


@dataclass
class Running:
    """A job under way: its lane, and its guard, whose process id is that of the session."""

    job: Command
    lane: int
    guard: subprocess.Popen[bytes]
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began


@dataclass(frozen=True)
class Ended:
    """A job that is over: its exit status, or None if it never ran, because of `lacking`."""

    job: Command
    code: int | None
    seconds: float = 0.0
    lacking: str = ""


class Jobs:
    """Runs jobs; a context, and when it is left nothing of them runs any more.

    Args:
        lanes: jobs at a time.
        environment: variables of a job in a lane, from 0.
    """

    def __init__(self, lanes: int, environment: Callable[[int], Mapping[str, str]]) -> None:
        self.running: list[Running] = []
        self._lanes = lanes
        self._environment = environment

    def __enter__(self) -> Jobs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: Any, traceback: TracebackType | None
    ) -> None:
        try:
            self._stop()
        except (KeyboardInterrupt, SystemExit):  # asked twice
            self._kill()
            if not isinstance(error, KeyboardInterrupt | SystemExit):
                raise
        finally:
            self._kill()

    def run(self, jobs: Sequence[Command]) -> Iterator[Running | Ended | None]:
        """What happens: jobs that have begun or are over, and None at the end of each look."""
        waiting = list(jobs)
        known = {job.name for job in jobs}
        good = set[str]()
        bad = set[str]()

        while waiting or self.running:
            for ended in self._reap():
                (bad if ended.code else good).add(ended.job.name)
                yield ended

            for job in list(waiting):
                needed = job.needs & known
                lacking = sorted(needed & bad)
                if lacking:
                    waiting.remove(job)
                    bad.add(job.name)
                    yield Ended(job, None, lacking=lacking[0])
                elif needed <= good and len(self.running) < self._lanes:
                    waiting.remove(job)
                    yield self._start(job)

            startable = any(job.needs & known <= good | bad for job in waiting)
            if waiting and not self.running and not startable:
                raise ValueError(f"{waiting[0].name} needs what needs it")

            yield None
            time.sleep(LOOK_SECONDS)

    def _start(self, job: Command) -> Running:
        taken = {each.lane for each in self.running}
        lane = next(lane for lane in range(self._lanes) if lane not in taken)

        output = None
        if job.log is not None:
            job.log.parent.mkdir(parents=True, exist_ok=True)
            output = job.log.open("wb")

        try:
            guard = subprocess.Popen(
                [*GUARD, *job.command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output and subprocess.STDOUT,
                env=dict(self._environment(lane)),
                start_new_session=True,
            )
            begun = Running(job, lane, guard)
            self.running.append(begun)
        finally:
            if output is not None:
                output.close()

        return begun

    def _reap(self) -> Iterator[Ended]:
        for each in list(self.running):
            # WNOWAIT: the guard stays a zombie while its group is killed, so that no other process
            # gets its number.
            status = os.waitid(os.P_PID, each.guard.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if status is not None:
                self._end(each)
                yield Ended(each.job, each.guard.returncode, each.seconds)

    def _end(self, each: Running) -> None:
        """Kill whatever a command has left running, and forget it."""
        _signal_group(each.guard.pid, signal.SIGKILL)
        each.guard.wait()
        if each.guard.stdin is not None:
            each.guard.stdin.close()
        self.running.remove(each)

    def _stop(self) -> None:
        """Interrupt what the commands have started, and wait.

        The commands themselves (DVC) end when what they have started has failed: interrupted while
        it writes dvc.lock, DVC would leave half of it. One that does not end in time is
        interrupted too.
        """
        asked = dict[int, float]()
        told = set[int]()
        begun = time.monotonic()

        while self.running:
            late = time.monotonic() - begun
            for each in self.running:
                below = None if late > FIRM_SECONDS else below_command(each.guard.pid)
                if below is not None:
                    for process in below:
                        if late - asked.get(process, -AGAIN_SECONDS) >= AGAIN_SECONDS:
                            asked[process] = late
                            _signal(process, signal.SIGINT)
                elif each.guard.pid not in told:
                    told.add(each.guard.pid)
                    _signal_group(each.guard.pid, signal.SIGINT)

            if late > KILL_SECONDS:
                return

            list(self._reap())
            time.sleep(LOOK_SECONDS)

    def _kill(self) -> None:
        for each in list(self.running):
            self._end(each)


def below_command(session: int) -> list[int] | None:
    """Processes of a session below its guard and the guard's command; None if nobody knows."""
    if not (PROCESSES / "self/stat").is_file():
        return None

    below = []
    for path in PROCESSES.glob("[0-9]*/stat"):
        try:
            _, parent, _, member = path.read_bytes().rpartition(b")")[2].split()[:4]
        except (OSError, ValueError):  # it has just ended
            continue
        number = int(path.parent.name)
        if int(member) == session and number != session and int(parent) != session:
            below.append(number)

    return below


def _signal(process: int, number: signal.Signals) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        pass


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        pass
