"""What matrix shows of cells: a table or a line each, what they cost, and of failed ones their last
lines.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from commands.pipeline import overview
from commands.pipeline.board import Board
from commands.pipeline.jobs import Ended, Running
from commands.pipeline.state import State
from commands.sizing import work

TABLE_SECONDS = 5.0
LAST_LINES = 15


@dataclass
class Progress:
    """What is said of cells: a live table on a terminal, else a line for each that begins or ends.

    Attributes:
        params: all of params.yaml.
        total: cells that are to be run.
        gpus: of the lanes, in turn.
        ended: those that are over.
    """

    params: dict[str, Any]
    total: int
    gpus: Sequence[str]
    console: Console
    ended: list[Ended] = field(default_factory=list)
    _board: Board | None = None
    _drawn: float = 0.0

    def line(self, event: Running | Ended) -> str:
        """A job that has begun or ended, as one line."""
        name, done = event.job.name, sum(end.code is not None for end in self.ended)
        if isinstance(event, Running):
            return f"{name} begins{self.place(event)}"
        if event.code is None:
            return f"{name} is left out: it needs {event.lacking}"
        lasted = f"{event.seconds / 60:.1f} min"
        if event.code:
            return f"[{done}/{self.total}] {name} FAILED after {lasted} (exit status {event.code}), see {event.job.log}"
        return f"[{done}/{self.total}] {name} is done after {lasted}{best(self.params, name)}"

    def place(self, running: Running) -> str:
        """On which GPU a job runs."""
        return f" on GPU {self.gpus[running.lane % len(self.gpus)]}" if self.gpus else ""

    def draw(self, live: Live, running: Sequence[Running], now: bool) -> None:
        """The table of all stages below the jobs under way; the table anew every few seconds."""
        if not now and time.monotonic() - self._drawn < TABLE_SECONDS:
            return
        try:
            self._board = overview.board(self.params)
        except (ValueError, OSError):  # a DVC is writing dvc.lock
            pass
        self._drawn = time.monotonic()
        failed = [end for end in self.ended if end.code != 0]
        lines = [
            f"{each.job.name}{self.place(each)}, {overview.duration(each.seconds)}"
            for each in running
        ]
        top = Text(f"{len(running)} at a time: {'; '.join(lines)}")
        bottom = [Text(self.line(end), style="red") for end in failed]
        taken = len(bottom) + 2 + len(live.console.render_lines(top))
        board = replace(self._board, taken=taken) if self._board else Text()
        live.update(Group(top, *bottom, Text(), board), refresh=True)


def best(params: dict[str, Any], name: str) -> str:
    """The accuracies that a finished cell has written; nothing where there are none to be read."""
    for want in overview.wanted(params):
        if is_cell(want, name):
            try:
                validation, test = overview.accuracies(want, State(want.name, "done"))
            except (OSError, ValueError):
                break
            return f": validation {validation}, test {test}" if validation else ""
    return ""


def is_cell(want: overview.Wanted, name: str) -> bool:
    """Whether DVC calls it so; it puts what a cell mimics behind its name."""
    return f"{name}-".startswith(f"{want.name.replace('/', '@')}-")


def costs(params: dict[str, Any], names: Sequence[str]) -> dict[str, float]:
    """Operations of each cell, see `scale --cost --cells`."""
    known = {
        job.name.replace(" ", "@", 1).replace(" ", "-"): job.flops for job in work.jobs(params)[0]
    }
    return {
        name: max(
            (f for cell, f in known.items() if f"{name}-".startswith(f"{cell}-")), default=0.0
        )
        for name in names
    }


def report(failed: Sequence[Ended], count: int) -> None:
    """The last lines of each failed cell, and how to run them again.

    Raises:
        ChildProcessError: always.
    """
    for end in failed:
        if end.code is not None and end.job.log is not None:
            lines = end.job.log.read_text(encoding="utf-8", errors="backslashreplace").splitlines()[
                -LAST_LINES:
            ]
            print("\n".join([f"--- last lines of {end.job.log}", *lines]), file=sys.stderr)
    names = " ".join(end.job.name for end in failed)
    raise ChildProcessError(
        f"{len(failed)} cells are not done: {names}; what is finished is kept, and they go on with "
        f"'python -m commands.matrix --jobs {count} --only {names}'"
    )
