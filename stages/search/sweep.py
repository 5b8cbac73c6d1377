"""The ask and tell loop of one search; used by the doors that sweep.

Trial i is proposed when the result of trial i - lag is known, whatever else has finished, and
journal lines are written in one order whatever the order of completion: start 0 .. lag - 1, then
done i, start i + lag, for i = 0, 1, .... So the journal's bytes depend on the trials and not on
workers, timing or kills.
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
OnEvent = Callable[[str, int, dict[str, Any]], None]


@dataclass(frozen=True)
class TrialRow:
    """One finished trial: `value` is its validation error, None if it failed for `reason`."""

    trial: int
    params: Values
    seed: int
    value: float | None
    reason: str | None
    result: dict[str, Any]


def trial_seed(seed: int, i: int) -> int:
    """Seed of trial i, 0 .. 2**32 - 1."""
    return int(np.random.SeedSequence((seed, i)).generate_state(1)[0])


def retraining_seed(seed: int, k: int) -> int:
    """Seed of the k-th retraining of a chosen configuration, 0 .. 2**32 - 1; no trial has it but by
    chance.
    """
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
    """All trials of the search, in order; goes on from what the journal holds.

    Args:
        journal: open, with the header of this search.
        space, settings, seed: of the proposals.
        trials: how many in all.
        submit: starts a trial; its future gives a dict with `value`, `reason` and more JSON data.
            It must give the same result when the same trial is submitted again.
        slots: trials in flight, at most `settings.lag` are.
        on_event: called with ("start" | "done", trial, facts).

    Raises:
        ValueError: every trial failed, or the journal lacks a result between others.
        Exception: whatever a trial raised; the journal stays as it is, and the next call goes on
        from there.
    """
    tell = on_event or (lambda what, trial, facts: None)
    started = {e["trial"]: e for e in journal.events if e["event"] == "start"}
    rows = [_row(started[e["trial"]], e) for e in journal.events if e["event"] == "done"]
    if [row.trial for row in rows] != list(range(len(rows))):
        raise ValueError(
            f"{journal.path} lacks or repeats a trial's result: move or delete it to begin anew"
        )
    for row in rows:
        tell("done", row.trial, {"value": row.value, "reason": row.reason})
    flying: dict[int, Future[dict[str, Any]]] = {}
    try:
        while len(rows) < trials:
            first = len(rows)
            window = range(first, min(first + settings.lag, trials))
            for i in window:
                if i not in started:
                    started[i] = _start(journal, space, settings, seed, i, rows, started)
            for i in window:
                if first in flying and flying[first].done():
                    break  # journal it before anything else: a serial executor would lose it in a kill
                if i not in flying and sum(not future.done() for future in flying.values()) < slots:
                    tell("start", i, started[i]["params"])
                    flying[i] = submit(i, started[i]["params"], started[i]["seed"])
            for future in flying.values():
                if future.done():
                    future.result()  # an exception is a bug or a dead machine: do not wait for its turn
            if not flying[first].done():
                wait([f for f in flying.values() if not f.done()], return_when=FIRST_COMPLETED)
                continue
            row = _row(started[first], _finish(journal, first, flying.pop(first).result()))
            rows.append(row)
            tell("done", first, {"value": row.value, "reason": row.reason})
    except BaseException:
        for future in flying.values():
            future.cancel()
        raise
    if all(row.value is None for row in rows):
        reasons = "; ".join(list(dict.fromkeys(str(row.reason) for row in rows))[:3])
        raise ValueError(
            f"all {trials} trials failed ({reasons}): lower space.lr or space.init_scale in params.yaml"
        )
    return rows


def retrain(
    params: Values, seed: int, count: int, submit: Submit, on_event: OnEvent | None = None
) -> list[TrialRow]:
    """The same hyperparameters trained `count` times, each time from another seed; a row's `trial`
    counts them.

    Args:
        params: of the chosen trial.
        seed: of the search.
        submit, on_event: as for `run`; all are submitted at once.
    """
    tell = on_event or (lambda what, trial, facts: None)
    seeds = [retraining_seed(seed, k) for k in range(count)]
    futures = []
    for k, own in enumerate(seeds):
        tell("start", k, params)
        futures.append(submit(k, params, own))
    rows = []
    for k, future in enumerate(futures):
        value, reason, rest = _checked(future.result())
        rows.append(TrialRow(k, params, seeds[k], value, reason, rest))
        tell("done", k, {"value": value, "reason": reason})
    return rows


def _start(
    journal: Journal,
    space: Space,
    settings: Settings,
    seed: int,
    i: int,
    rows: list[TrialRow],
    started: dict[int, dict[str, Any]],
) -> dict[str, Any]:
    done = [(row.params, row.value) for row in rows[: max(0, i - settings.lag + 1)]]
    pending = [started[j]["params"] for j in range(len(done), i)]
    params = ask(space, settings, seed, i, done, pending)
    journal.append({"event": "start", "trial": i, "params": params, "seed": trial_seed(seed, i)})
    return journal.events[-1]


def _finish(journal: Journal, i: int, result: dict[str, Any]) -> dict[str, Any]:
    value, reason, rest = _checked(result)
    journal.append({"event": "done", "trial": i, "value": value, "reason": reason, "result": rest})
    return journal.events[-1]


def _checked(result: dict[str, Any]) -> tuple[float | None, str | None, dict[str, Any]]:
    """Value, reason and the rest of a trial's result; a value that is not finite is none."""
    value, reason = result.get("value"), result.get("reason")
    if value is not None and not math.isfinite(value):
        value, reason = None, reason or f"value is {value}"
    if value is None and reason is None:
        reason = "the trial gave no value"
    return value, reason, {k: v for k, v in result.items() if k not in ("value", "reason")}


def _row(start: dict[str, Any], done: dict[str, Any]) -> TrialRow:
    return TrialRow(
        start["trial"],
        start["params"],
        start["seed"],
        done["value"],
        done["reason"],
        done["result"],
    )


def top(rows: list[TrialRow], count: int) -> list[TrialRow]:
    """The `count` rows of lowest value, lowest first; ties go to the earlier; failed ones never
    count.
    """
    finite = [row for row in rows if row.value is not None]
    return sorted(finite, key=lambda row: (row.value, row.trial))[:count]


def best(rows: list[TrialRow]) -> TrialRow:
    """The row of lowest value."""
    return top(rows, 1)[0]
