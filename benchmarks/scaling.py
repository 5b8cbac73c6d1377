"""Whether the search keeps many slots busy, and what a lag costs: `--part slots | ask | lag`.

- slots: a sweep of trials that sleep, each in a process of its own, with as much lag as slots,
  beside the time that they would take if nothing but the trials took any. Trials of a real sweep
  take minutes; these take `--seconds`.
- ask: one suggestion of the search in 18 dimensions after n results with n - 1 trials in flight,
  and from these times how busy 8, 64 and 512 slots would be: the loop of stages/search/ask_tell.py in
  simulated time, trials of 5 minutes on average that take between half and one and a half times as
  long. With as much lag as slots a short trial's slot waits for the longest one before it; with
  twice as much there is nearly always another trial.
- lag: median final regret with lag q beside lag 1 on the functions of benchmarks/search.py.

A ratio is the ideal's seconds over ours (the share of time in which slots work), or the regret with
lag 1 over that with lag q (below 1: the lag costs quality).
"""

from __future__ import annotations

import argparse
import heapq
import statistics
import tempfile
import time
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.measure import Row, cpu_seconds, main
from benchmarks.search import PROBLEMS, Problem, regret, regret_ratio
from stages.runtime.executors import Local
from stages.search.ask_tell import run
from stages.search.journal import Journal
from stages.search.propose import Settings, ask, sobol_point

PARTS = ("slots", "ask", "lag")
LAGS = (4, 8, 16)
TRIAL_SECONDS = 300.0
IDEAL = "trials alone"


def sleep(seconds: float, i: int, params: dict[str, Any], seed: int) -> dict[str, Any]:
    """A trial that only takes time."""
    time.sleep(seconds)
    return {"value": (seed % 1000) / 1000}


def slept(slots: int, trials: int, seconds: float) -> float:
    """Seconds that a sweep takes with so many slots and as much lag."""
    problem = PROBLEMS[1]
    with (
        tempfile.TemporaryDirectory() as folder,
        Local(slots, ["stages.search.ask_tell"]) as executor,
    ):
        # Until the server of the processes has its imports.
        for ready in [executor.submit(abs, 0) for _ in range(slots)]:
            ready.result()

        header = {"space": problem.space().fingerprint()}
        journal = Journal.open(Path(folder) / "journal.jsonl", header)
        begun = time.perf_counter()
        run(
            journal=journal,
            space=problem.space(),
            settings=Settings("gpyopt", max(12, slots), slots),
            seed=1,
            trials=trials,
            submit=partial(executor.submit, sleep, seconds),
            slots=slots,
        )
        return time.perf_counter() - begun


def slots_rows(trials: int, seconds: float) -> list[Row]:
    """Efficiency at 1, 2, 4 and 8 slots."""
    rows = []
    for slots in (1, 2, 4, 8):
        ideal = -(-trials // slots) * seconds
        took = slept(slots, trials, seconds)
        share = ideal / took
        unit = f"trials of {seconds:g} s a minute"
        case = f"{trials} trials, {slots} {'slot' if slots == 1 else 'slots'}"
        rows.append(
            Row(case, IDEAL, share, share, share, unit, 1, 60 * trials / took, 60 * trials / ideal)
        )

    return rows


def suggestion(count: int, turns: int) -> list[float]:
    """CPU-seconds of a suggestion after `count` results, with count - 1 trials in flight."""
    problem = PROBLEMS[2]
    space = problem.space()
    settings = Settings("gpyopt", count, count)
    points = [sobol_point(space, 0, i) for i in range(2 * count - 1)]
    done = [
        (point, problem.observe(space.encode(point), 0, i))
        for i, point in enumerate(points[:count])
    ]

    found = []
    for turn in range(turns):
        before = cpu_seconds()
        ask(space, settings, turn, len(points), done, points[count:])
        found.append(cpu_seconds() - before)

    return found


def busy(slots: int, lag: int, trials: int, ask_seconds: float, rng: np.random.Generator) -> float:
    """Share of the time in which slots work: the loop of stages/search/ask_tell.py in simulated time.

    The loop asks for trial i when the result of trial i - lag is in, one at a time, and starts it
    when a slot is free. Counted from the first start until fewer trials are left than there are
    slots, so that the end does not count.
    """
    lengths = TRIAL_SECONDS * rng.uniform(0.5, 1.5, trials)
    free = [0.0] * slots
    ends = np.zeros(trials)
    asked = 0.0
    work = 0.0
    last = trials - slots

    for i in range(trials):
        told = ends[: i - lag + 1].max() if i >= lag else 0.0  # results are taken in order
        asked = max(asked, told) + (ask_seconds if i >= lag else 0.0)
        begin = max(asked, heapq.heappop(free))
        ends[i] = begin + lengths[i]
        heapq.heappush(free, ends[i])

    horizon = np.sort(ends)[last - 1]
    begins = ends - lengths
    work = float(np.clip(np.minimum(ends, horizon) - begins, 0, None).sum())
    return work / (slots * horizon)


def ask_rows(counts: tuple[int, ...], turns: int) -> list[Row]:
    """Time of a suggestion, and how busy so many slots are with it."""
    rows = []
    for slots in counts:
        # One suggestion, beside the time in which a slot becomes free.
        times = suggestion(slots, turns)
        taken = statistics.median(times)
        case = f"suggestion, {slots} results, {slots - 1} in flight"
        unit = "suggestions per CPU-second"
        ratios = [TRIAL_SECONDS / slots / each for each in (taken, max(times), min(times))]
        rows.append(
            Row(
                case,
                "slots of 5 min trials",
                *ratios,
                unit,
                turns,
                1 / taken,
                slots / TRIAL_SECONDS,
            )
        )

        # How busy the slots are with it.
        for factor in (1, 2):
            rng = np.random.default_rng(0)
            shares = [busy(slots, factor * slots, 8 * slots, taken, rng) for _ in range(5)]
            case = f"{slots} slots, lag {factor * slots} (simulated time)"
            middle = statistics.median(shares)
            rows.append(
                Row(
                    case,
                    IDEAL,
                    middle,
                    min(shares),
                    max(shares),
                    "trials of 5 min an hour",
                    5,
                    12 * slots * middle,
                    12.0 * slots,
                )
            )

    return rows


def searched(problem: Problem, lag: int, seed: int) -> float:
    """Final regret of a search through the real loop, every result known at once."""
    x = np.zeros((problem.budget, problem.d))
    y = np.zeros(problem.budget)
    space = problem.space()

    def submit(i: int, params: dict[str, Any], _: int) -> Future[dict[str, Any]]:
        x[i] = space.encode(params)
        y[i] = problem.observe(x[i], seed, i)
        future: Future[dict[str, Any]] = Future()
        future.set_result({"value": float(y[i])})
        return future

    with tempfile.TemporaryDirectory() as folder:
        journal = Journal.open(Path(folder) / "journal.jsonl", {"space": space.fingerprint()})
        settings = Settings("gpyopt", max(problem.start, lag), lag)
        run(
            journal=journal,
            space=space,
            settings=settings,
            seed=seed,
            trials=problem.budget,
            submit=submit,
            slots=1,
        )

    return regret(problem, x, y)


def lag_rows(problems: list[Problem], seeds: range) -> list[Row]:
    """Regret of each lag beside lag 1."""
    rows = []
    for problem in problems:
        ones = [searched(problem, 1, seed) for seed in seeds]
        for lag in LAGS:
            ours = [searched(problem, lag, seed) for seed in seeds]
            middle = statistics.median(ours), statistics.median(ones)
            ratios = regret_ratio(ours, ones)

            rows.append(
                Row(
                    f"{problem.name}, lag {lag}",
                    "lag 1",
                    *ratios,
                    "median final regret",
                    len(seeds),
                    *middle,
                )
            )

    return rows


def measure(arguments: argparse.Namespace) -> tuple[list[Row], dict[str, Any]]:
    """All parts, or one."""
    quick = arguments.quick
    rows = []
    parts = PARTS if arguments.part is None else (arguments.part,)
    chosen = [problem for problem in PROBLEMS if arguments.only in (None, problem.name)]
    problems = (
        [replace(problem, budget=problem.start + 3) for problem in chosen[:1]] if quick else chosen
    )
    seeds = range(2) if quick else range(arguments.seeds)

    with threadpool_limits(1):
        if "slots" in parts:
            rows += slots_rows(8 if quick else 32, 0.5 if quick else arguments.seconds)
        if "ask" in parts:
            rows += ask_rows((4, 8) if quick else (8, 64, 512), 2 if quick else 3)
        if "lag" in parts:
            rows += lag_rows(problems, seeds)

    return rows, {"trial seconds": TRIAL_SECONDS}


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--part", choices=PARTS, help="one part (default: all)")
    parser.add_argument(
        "--only", choices=[problem.name for problem in PROBLEMS], help="one function of `lag`"
    )
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="that a trial of `slots` sleeps (default 20)"
    )
    parser.add_argument(
        "--seeds", type=int, default=5, help="searches for each lag and function (default 5)"
    )


if __name__ == "__main__":
    main("scaling", __doc__ or "", measure, _options)
