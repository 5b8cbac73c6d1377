"""Progress of a sweep on a terminal: trial, epoch, validation error, time left; else silent."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm


class SweepProgress:
    """A bar over the trials of one sweep, which moves with the epochs of the trials in flight.

    Args:
        name: what runs, e.g. "students conv2 1M".
        trials: number of trials.
        max_epochs: bound on the epochs of a trial, or None (the bar then moves by whole trials).
        progress_file: trial number -> the file in which that trial says how far it is.
    """

    def __init__(
        self, name: str, trials: int, max_epochs: int | None, progress_file: Callable[[int], Path]
    ) -> None:
        self.trials = trials
        self.max_epochs = max_epochs
        self.progress_file = progress_file

        # What the events of the sweep have said so far.
        self.running: set[int] = set()
        self.finished = 0
        self.best: float | None = None

        # A thread moves the bar once a second.
        quiet = not sys.stderr.isatty()
        form = "{desc}: {percentage:3.0f}%|{bar:20}| [{elapsed}<{remaining}]{postfix}"
        self.bar = tqdm(total=trials, desc=name, disable=quiet, bar_format=form, leave=True)
        self._stop = threading.Event()
        self._thread = None if quiet else threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> SweepProgress:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

        self._show()
        self.bar.close()

    def event(self, what: str, trial: int, details: dict[str, Any]) -> None:
        """Take an event of the sweep: "start", or "done" with the trial's value."""
        if what == "start":
            self.running.add(trial)
            return

        self.running.discard(trial)
        self.finished += 1
        value = details.get("value")
        if value is not None:
            self.best = value if self.best is None else min(self.best, value)

    def _watch(self) -> None:
        while not self._stop.wait(1.0):
            self._show()

    def _show(self) -> None:
        # The trials in flight, each a part of a trial that is done.
        parts = []
        fraction = 0.0
        for trial in sorted(self.running):
            try:
                state = json.loads(self.progress_file(trial).read_text())
            except (OSError, json.JSONDecodeError):
                continue

            bound = f"/{self.max_epochs}" if self.max_epochs else ""
            parts.append(f"#{trial} epoch {state['epoch'] + 1}{bound} error {state['error']:.3f}")
            fraction += (state["epoch"] + 1) / self.max_epochs if self.max_epochs else 0.0

        best = "" if self.best is None else f", best {self.best:.3f}"
        self.bar.n = min(self.finished + fraction, self.trials)
        self.bar.set_postfix_str(f"trial {self.finished}/{self.trials}{best}; {'; '.join(parts)}")
