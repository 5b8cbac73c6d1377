"""The ask-and-tell loop of one search.

Trial i is proposed when the result of trial i - lag is known, whatever else has finished, and
journal lines are written in one order whatever the order of completion: start 0 .. lag - 1, then
done i, start i + lag, for i = 0, 1, .... So the journal's bytes depend on the trials, and not on
workers, timing or kills.

The trials that may run are a window of `lag` trials, which begins at the first one without a
journalled result and moves on by one trial with each result. With lag 4:

    trial    0     1     2     3     4     5     6     7     8
           done  done  done [ runs  over  runs  wait ]  -     -
                              first                       not proposed yet

    done   has a result in the journal
    runs   in flight: submitted, at most `slots` at a time
    over   has a result that waits until those of all trials before it are in the journal
    wait   proposed and in the journal, submitted when a slot is free

When trial 3 is done, trial 4 can be journalled at once, and trials 7 and 8 are proposed. A run that
is resumed finds `done` and the proposals in the journal and submits the rest of the window again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.search.journal import Journal
from stages.search.propose import Settings, Values, ask
from stages.search.space import Space

Submit = Callable[[int, Values, int], "Future[dict[str, Any]]"]
"""Starts a trial with (number, hyperparameters, seed)."""
OnEvent = Callable[[str, int, dict[str, Any]], None]
"""Called with ("start" | "done", number, hyperparameters or value and reason)."""


@dataclass(frozen=True)
class TrialRow:
    """One finished trial: `value` is its validation error, None if it failed for `reason`."""

    trial: int
    params: Values
    seed: int
    value: float | None
    reason: str | None
    result: dict[str, Any]


@dataclass(frozen=True)
class RankedRow(TrialRow):
    """A trial that did not fail: its value is a number."""

    value: float


def trial_seed(seed: int, i: int) -> int:
    """Seed of trial i, 0 .. 2**32 - 1."""
    return int(np.random.SeedSequence((seed, i)).generate_state(1)[0])


def retraining_seed(seed: int, k: int) -> int:
    """Seed of the k-th retraining, 0 .. 2**32 - 1; a trial has the same one only by chance."""
    return int(np.random.SeedSequence((seed, k, 1)).generate_state(1)[0])


def run(
    *,
    journal: Journal,
    space: Space,
    settings: Settings,
    seed: int,
    trials: int,
    submit: Submit,
    slots: int,
    on_event: OnEvent | None = None,
) -> list[TrialRow]:
    """All trials of the search, in order; resumes from what the journal holds.

    A longer search goes on where a shorter one has ended, and a shorter one is its beginning: what
    a trial is proposed from does not depend on how many come after it.

    Args:
        journal: open, with the header of this search.
        space, settings, seed: of the proposals.
        trials: how many in all.
        submit: starts a trial; its future gives a dict with `value`, `reason` and more JSON data.
            It must give the same result when the same trial is submitted again.
        slots: trials in flight; there are never more than `settings.lag`.
        on_event: called when a trial starts and when it is done.

    Raises:
        ValueError: every trial failed, or the journal lacks a result between others.
        Exception: whatever a trial raised; the journal stays as it is, and the next call resumes
            from there.
    """
    tell = on_event or _silent

    # What the journal holds: the start of every proposed trial, and the results.
    starts = {event["trial"]: event for event in journal.events if event["event"] == "start"}
    rows = _read_rows(journal, starts)[:trials]
    for row in rows:
        tell("done", row.trial, {"value": row.value, "reason": row.reason})

    in_flight: dict[int, Future[dict[str, Any]]] = {}
    try:
        while len(rows) < trials:
            first = len(rows)
            window = range(first, min(first + settings.lag, trials))

            _propose_missing(window, journal, space, settings, seed, rows, starts)
            _launch(window, starts, in_flight, submit, slots, tell)
            row_of_first = _collect_first(first, journal, starts, in_flight)

            if row_of_first is not None:
                rows.append(row_of_first)
                tell("done", first, {"value": row_of_first.value, "reason": row_of_first.reason})
    except BaseException:
        for future in in_flight.values():
            future.cancel()
        raise

    if all(row.value is None for row in rows):
        reasons = "; ".join(list(dict.fromkeys(str(row.reason) for row in rows))[:3])
        raise ValueError(
            f"all {trials} trials failed ({reasons}): "
            "lower space.lr or space.init_scale in params.yaml"
        )

    return rows


def first_window(
    space: Space, settings: Settings, seed: int, trials: int
) -> list[tuple[int, Values, int]]:
    """Number, hyperparameters and seed of the trials that `run` starts before it has a result."""
    found: list[tuple[int, Values, int]] = []
    for i in range(min(settings.lag, trials)):
        pending = [values for _, values, _ in found]
        found.append((i, ask(space, settings, seed, i, [], pending), trial_seed(seed, i)))
    return found


def _silent(what: str, trial: int, details: dict[str, Any]) -> None:
    """Takes an event and does nothing."""


def _read_rows(journal: Journal, starts: dict[int, dict[str, Any]]) -> list[TrialRow]:
    """The finished trials that a journal holds."""
    rows = [
        _row(starts[event["trial"]], event) for event in journal.events if event["event"] == "done"
    ]
    if [row.trial for row in rows] != list(range(len(rows))):
        raise ValueError(
            f"{journal.path} lacks or repeats a trial's result: move or delete it to start over"
        )
    return rows


def _propose_missing(
    window: range,
    journal: Journal,
    space: Space,
    settings: Settings,
    seed: int,
    rows: list[TrialRow],
    starts: dict[int, dict[str, Any]],
) -> None:
    """Propose the trials of the window that have no start yet, and write them to the journal."""
    for i in window:
        if i in starts:
            continue

        done = [(row.params, row.value) for row in rows[: max(0, i - settings.lag + 1)]]
        pending = [starts[j]["params"] for j in range(len(done), i)]
        params = ask(space, settings, seed, i, done, pending)

        event = {"event": "start", "trial": i, "params": params, "seed": trial_seed(seed, i)}
        journal.append(event)
        starts[i] = journal.events[-1]


def _launch(
    window: range,
    starts: dict[int, dict[str, Any]],
    in_flight: dict[int, Future[dict[str, Any]]],
    submit: Submit,
    slots: int,
    tell: OnEvent,
) -> None:
    """Submit trials of the window while slots are free.

    It stops when the first trial is over, which is to be journalled before anything else: with an
    executor that runs a trial when it is submitted, a kill would lose that result.
    """
    first = window[0]
    for i in window:
        if first in in_flight and in_flight[first].done():
            return

        running = sum(not future.done() for future in in_flight.values())
        if i not in in_flight and running < slots:
            params = starts[i]["params"]
            tell("start", i, params)
            in_flight[i] = submit(i, params, starts[i]["seed"])


def _collect_first(
    first: int,
    journal: Journal,
    starts: dict[int, dict[str, Any]],
    in_flight: dict[int, Future[dict[str, Any]]],
) -> TrialRow | None:
    """The first trial's row, written to the journal; None if another trial was over before it."""
    # An exception is a bug or a dead machine: it is raised at once, not when its turn comes.
    for future in in_flight.values():
        if future.done():
            future.result()

    if not in_flight[first].done():
        running = [future for future in in_flight.values() if not future.done()]
        wait(running, return_when=FIRST_COMPLETED)
        return None

    value, reason, rest = _checked(in_flight.pop(first).result())
    event = {"event": "done", "trial": first, "value": value, "reason": reason, "result": rest}
    journal.append(event)
    return _row(starts[first], journal.events[-1])


def retrain(
    params: Values, seed: int, count: int, submit: Submit, on_event: OnEvent | None = None
) -> list[TrialRow]:
    """The same hyperparameters trained `count` times from different seeds, all submitted at once.

    Args:
        params: of the chosen trial.
        seed: of the search.
        submit, on_event: as for `run`; the number is that of the retraining.
    """
    tell = on_event or _silent
    seeds = [retraining_seed(seed, k) for k in range(count)]

    futures = []
    for k, seed_of_run in enumerate(seeds):
        tell("start", k, params)
        futures.append(submit(k, params, seed_of_run))

    rows = []
    for k, future in enumerate(futures):
        value, reason, rest = _checked(future.result())
        rows.append(TrialRow(k, params, seeds[k], value, reason, rest))
        tell("done", k, {"value": value, "reason": reason})

    return rows


def _checked(result: dict[str, Any]) -> tuple[float | None, str | None, dict[str, Any]]:
    """Value, reason and the rest of a trial's result; a value that is not finite counts as None."""
    value = result.get("value")
    reason = result.get("reason")

    if value is not None and not math.isfinite(value):
        reason = reason or f"value is {value}"
        value = None

    if value is None and reason is None:
        reason = "the trial gave no value"

    rest = {key: entry for key, entry in result.items() if key not in ("value", "reason")}
    return value, reason, rest


def _row(start: dict[str, Any], done: dict[str, Any]) -> TrialRow:
    """A finished trial from its two events."""
    return TrialRow(
        start["trial"],
        start["params"],
        start["seed"],
        done["value"],
        done["reason"],
        done["result"],
    )


def top(rows: list[TrialRow], count: int) -> list[RankedRow]:
    """The `count` rows of lowest value, lowest first; of equal ones the earlier trial first.

    Failed trials never count.
    """
    ranked = [
        RankedRow(row.trial, row.params, row.seed, row.value, row.reason, row.result)
        for row in rows
        if row.value is not None
    ]
    return sorted(ranked, key=lambda row: (row.value, row.trial))[:count]


def best(rows: list[TrialRow]) -> RankedRow:
    """The row of lowest value; one trial at least did not fail."""
    return top(rows, 1)[0]
