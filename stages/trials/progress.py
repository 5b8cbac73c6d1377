"""Progress of a sweep: a bar on a terminal; in a log a line every few minutes."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

from stages.runtime.durations import about

LOOK_S = 1.0
LEAST_S = 60.0
"""Seconds to the first line in a log, and at least between two."""
MOST_S = 300.0
"""Seconds between two lines if no trial ends."""


class SweepProgress:
    """How far the trials of one sweep are; a part of a trial counts as its epochs do.

    On a terminal a bar moves once a second. Where standard error is a log, a line goes there after
    `LEAST_S`, then every `MOST_S` and when a trial has ended, but not before `LEAST_S` have passed.

    Args:
        name: what runs, e.g. "students conv2 1M".
        trials: number of trials.
        max_epochs: bound on the epochs of a trial, or None (then whole trials count).
        progress_file: trial number -> the file in which that trial says how far it is.
        clock: seconds from any moment on.
    """

    def __init__(
        self,
        name: str,
        trials: int,
        max_epochs: int | None,
        progress_file: Callable[[int], Path],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.trials = trials
        self.max_epochs = max_epochs
        self.progress_file = progress_file
        self.clock = clock

        # What the events of the sweep have said so far.
        self.running: set[int] = set()
        self.finished = 0
        self.best: float | None = None

        # When the last line went into the log, and how many trials it counted; when this began, and
        # how much was there from an earlier run.
        self.said: float | None = None
        self.counted = 0
        self.began = clock()
        self.found: float | None = None

        # A thread looks once a second.
        self.quiet = not sys.stderr.isatty()
        form = "{desc}: {percentage:3.0f}%|{bar:20}| [{elapsed}<{remaining}]{postfix}"
        self.bar = tqdm(total=trials, desc=name, disable=self.quiet, bar_format=form, leave=True)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> SweepProgress:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
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
        while not self._stop.wait(LOOK_S):
            self._look()

    def _look(self) -> None:
        """Move the bar, or write a line if it is time."""
        if not self.quiet:
            self._show()
            return

        now = self.clock()
        if self.found is None:
            self.found = self._done(self._flying())
        if self._is_time(now):
            print(self._line(now), file=sys.stderr, flush=True)
            self.said = now
            self.counted = self.finished

    def _is_time(self, now: float) -> bool:
        waited = now - (self.began if self.said is None else self.said)
        news = self.said is None or self.finished > self.counted
        return waited >= (LEAST_S if news else MOST_S)

    def _line(self, now: float) -> str:
        """Trials, the best of them, epochs of those in flight, and the time left at this pace."""
        words = [f"{self.finished} of {self.trials} trials done"]
        if self.best is not None:
            words.append(f"best validation accuracy {1 - self.best:.4f}")

        flying = self._flying()
        epochs = sorted({epoch for _, epoch, _ in flying})
        if epochs:
            first, last = epochs[0], epochs[-1]
            at = f"epoch {first}" if first == last else f"epochs {first} to {last}"
            bound = f" of {self.max_epochs}" if self.max_epochs else ""
            words.append(f"{len(flying)} running, at {at}{bound}")

        # What an earlier run has left says nothing of the pace.
        done = self._done(flying)
        gained = done - (self.found or 0.0)
        if gained > 0:
            left = (now - self.began) * (self.trials - done) / gained
            words.append(f"{about(left)} left in this search")

        return f"{self.name}: {', '.join(words)}"

    def _flying(self) -> list[tuple[int, int, float]]:
        """Trials in flight that have said how far they are: number, epochs, validation error."""
        seen = []
        for trial in sorted(self.running):
            try:
                state = json.loads(self.progress_file(trial).read_text())
                seen.append((trial, int(state["epoch"]) + 1, float(state["error"])))
            except (OSError, ValueError, KeyError, TypeError):  # it is being written
                continue
        return seen

    def _done(self, flying: list[tuple[int, int, float]]) -> float:
        """Trials that are done, with parts of those in flight."""
        if not self.max_epochs:
            return float(self.finished)
        parts = sum(epochs / self.max_epochs for _, epochs, _ in flying)
        return min(self.finished + parts, float(self.trials))

    def _show(self) -> None:
        """Move the bar."""
        flying = self._flying()
        bound = f"/{self.max_epochs}" if self.max_epochs else ""
        parts = [
            f"#{trial} epoch {epoch}{bound} error {error:.3f}" for trial, epoch, error in flying
        ]

        best = "" if self.best is None else f", best {self.best:.3f}"
        self.bar.n = self._done(flying)
        self.bar.set_postfix_str(f"trial {self.finished}/{self.trials}{best}; {'; '.join(parts)}")
