"""What matrix shows of cells: a table or a line each, costs, the last lines of failed ones."""

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
from commands.sizing import jobs

TABLE_SECONDS = 5.0
LAST_LINES = 15


@dataclass
class Progress:
    """What is said of cells: a live table on a terminal, else a line where one begins or ends.

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
        name = event.job.name
        if isinstance(event, Running):
            return f"{name} begins{self.place(event)}"
        if event.code is None:
            return f"{name} is left out: it needs {event.lacking}"

        done = sum(end.code is not None for end in self.ended)
        lasted = f"{event.seconds / 60:.1f} min"
        if event.code:
            how = f"FAILED after {lasted} (exit status {event.code}), see {event.job.log}"
        else:
            how = f"is done after {lasted}{best(self.params, name)}"

        return f"[{done}/{self.total}] {name} {how}"

    def place(self, running: Running) -> str:
        """On which GPU a job runs."""
        return f" on GPU {self.gpus[running.lane % len(self.gpus)]}" if self.gpus else ""

    def draw(self, live: Live, running: Sequence[Running], now: bool) -> None:
        """The table of all stages below the jobs under way; the table is read every few seconds."""
        if not now and time.monotonic() - self._drawn < TABLE_SECONDS:
            return

        # The table, or the one before it while DVC writes dvc.lock.
        try:
            self._board = overview.board(self.params)
        except (ValueError, OSError):
            pass

        self._drawn = time.monotonic()

        # The jobs above it, and those that have failed.
        lines = [
            f"{each.job.name}{self.place(each)}, {overview.duration(each.seconds)}"
            for each in running
        ]
        top = Text(f"{len(running)} at a time: {'; '.join(lines)}")
        bottom = [Text(self.line(end), style="red") for end in self.ended if end.code != 0]

        taken = len(bottom) + 2 + len(live.console.render_lines(top))
        board = replace(self._board, taken=taken) if self._board else Text()
        live.update(Group(top, *bottom, Text(), board), refresh=True)


def best(params: dict[str, Any], name: str) -> str:
    """The accuracies that a finished cell has written; nothing where there are none to be read.

    Args:
        name: of the cell, as DVC calls it.
    """
    for task in overview.tasks(params):
        if task.dvc == name:
            try:
                validation, test = overview.accuracies(task, State(task.work, "done"))
            except (OSError, ValueError):
                break
            return f": validation {validation}, test {test}" if validation else ""
    return ""


def costs(params: dict[str, Any], names: Sequence[str]) -> dict[str, float]:
    """Operations of each cell, see `scale --cost --cells`; `names` are DVC's, as the keys are."""
    known = {job.cell.dvc: job.flops for job in jobs.jobs(params)[0] if job.cell}
    return {name: known.get(name, 0.0) for name in names}


def report(failed: Sequence[Ended], count: int) -> None:
    """The last lines of each failed cell, and how to run them again.

    Raises:
        ChildProcessError: always.
    """
    for end in failed:
        if end.code is not None and end.job.log is not None:
            text = end.job.log.read_text(encoding="utf-8", errors="backslashreplace")
            lines = [f"--- last lines of {end.job.log}", *text.splitlines()[-LAST_LINES:]]
            print("\n".join(lines), file=sys.stderr)

    names = " ".join(end.job.name for end in failed)
    raise ChildProcessError(
        f"{len(failed)} cells are not done: {names}; what is finished is kept, and they continue with "
        f"'python -m commands.matrix --jobs {count} --only {names}'"
    )
