"""matrix: runs the cells of the pipeline side by side, then the rest of it.

`dvc repro` runs cells one after the other. This command runs `dvc repro` of what the cells need
(data, teachers, labels), then `dvc repro --single-item` of every cell that has changed, the most
expensive first, several at a time, then `dvc repro`, which makes tables, figures and the page. Each
cell still runs as many trials at a time as `execution` says (slots on CPUs, trials_per_gpu on its
GPU). With GPUs each of these jobs sees one. Ctrl-C stops everything, and the same command resumes.
Each cell's output: work/matrix/CELL.log.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from commands.pipeline import overview
from commands.pipeline.cells import Progress, costs, report
from commands.pipeline.dvc import DVC, all_needs, changed, environment, needs, stages
from commands.pipeline.jobs import Command, Ended, Jobs
from stages.runtime import entry
from stages.runtime.engines import CHOSEN, chosen_gpus
from stages.runtime.executors import DEVICES
from stages.settings import common
from stages.settings.read import read_params
from stages.settings.students import cells
from stages.store.locks import lock, say_once

LOGS = Path("work/matrix")


def chosen(names: Sequence[str], patterns: Sequence[str] | None) -> list[str]:
    """The cells that match one of the patterns; all without patterns.

    Raises:
        ValueError: a pattern matches none.
    """
    if patterns is None:
        return list(names)

    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(
                f"--only {pattern}: no such cell, allowed are {', '.join(names)} "
                "and patterns as 'hard@*'"
            )

    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def jobs_of(
    stale: Sequence[str], direct: Mapping[str, set[str]], cost: Mapping[str, float]
) -> list[Command]:
    """One job for each cell, the most expensive first.

    A cell that others need is as expensive as the most expensive of them.
    """
    above = {name: all_needs(name, direct) for name in stale}
    rank = {
        name: max(cost[other] for other in stale if other == name or name in above[other])
        for name in stale
    }

    return [
        Command(
            name,
            (*DVC, "repro", "--single-item", name),
            LOGS / f"{name}.log",
            frozenset(above[name]),
        )
        for name in sorted(stale, key=lambda each: (-rank[each], each))
    ]


def lanes(params: dict[str, Any], jobs: int | None, gpus: Sequence[str]) -> int:
    """Jobs at a time: those asked for, or one for each GPU, or as many as the cores have room for.

    Raises:
        ValueError: fewer than one are asked for.
    """
    if jobs is not None:
        if jobs < 1:
            raise ValueError(f"--jobs is {jobs}: allowed is 1 or more")
        return jobs
    if gpus or common.execution(params).engine == "ray":
        return len(gpus) or 1

    trials = max((task.slots for task in overview.tasks(params) if task.cell), default=1)
    return max(1, len(os.sched_getaffinity(0)) // (trials * common.numerics(params).threads))


def variables(gpus: Sequence[str]) -> Any:
    """For each lane the variables of its job, which sees one GPU where there are some."""

    def of(lane: int) -> dict[str, str]:
        gpu = {DEVICES: gpus[lane % len(gpus)], CHOSEN: "1"} if gpus else {}
        return {**environment(), **gpu}

    return of


def repro(*targets: str) -> None:
    """`dvc repro` in the foreground.

    Raises:
        ValueError: it fails.
    """
    what = " ".join(["dvc repro", *targets])
    print(f"> {what}", flush=True)
    with Jobs(1, lambda lane: environment()) as jobs:
        for event in jobs.run([Command(what, (*DVC, "repro", *targets))]):
            if isinstance(event, Ended) and event.code:
                raise ValueError(
                    f"'{what}' ends with exit status {event.code}, see above; "
                    "what is finished is kept"
                )


def side_by_side(listed: Sequence[Command], count: int, progress: Progress) -> None:
    """Run cells and show how far they are.

    Raises:
        ChildProcessError: some failed.
    """
    console = progress.console
    live = Live(console=console, screen=True, auto_refresh=False) if console.is_terminal else None
    said: list[str] = []

    # On a terminal a live table, and the lines at the end; else each line at once.
    try:
        with live or nullcontext(), Jobs(count, variables(progress.gpus)) as jobs:
            for event in jobs.run(listed):
                if isinstance(event, Ended):
                    progress.ended.append(event)
                if event is not None:
                    said.append(progress.line(event))
                    if live is None:
                        print(said[-1], flush=True)

                if live is not None:
                    progress.draw(live, jobs.running, event is not None)
    except (KeyboardInterrupt, SystemExit):
        good = sum(end.code == 0 for end in progress.ended)
        print(
            f"{good} of {len(listed)} cells are finished and kept; "
            "the same command continues with the others",
            file=sys.stderr,
        )
        raise
    finally:
        if live is not None:
            print("\n".join(said))

    failed = [end for end in progress.ended if end.code != 0]
    if failed:
        report(failed, count)


@contextmanager
def alone() -> Iterator[None]:
    """Refuse a second run of this command in the same folder."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / "lock").open("a") as file:
        try:
            if not lock(file, wait=False):
                say_once(LOGS)
        except BlockingIOError:
            raise ValueError("commands.matrix runs here already: wait for it, or stop it") from None
        yield


def run(only: Sequence[str] | None, asked_jobs: int | None) -> None:
    """Run what the cells need, the cells, and all the rest unless only some are asked for.

    Raises:
        ValueError: arguments, params.yaml or dvc.yaml are wrong, or what the cells need fails.
        ChildProcessError: some cells failed.
    """
    params = read_params()
    if asked_jobs is not None:
        lanes(params, asked_jobs, ())

    # The cells, and those that they need; by their names in DVC, in its order.
    direct = needs()
    known = stages()
    named = {name.dvc for name in cells(params)}
    every = [name for name in known if name in named]
    some = chosen(every, only)
    needed = set(some).union(*(all_needs(name, direct) for name in some))
    listed = [name for name in every if name in needed]

    execution = common.execution(params)
    gpus = [] if execution.engine == "ray" else chosen_gpus(execution)
    count = lanes(params, asked_jobs, gpus)

    # What they need besides.
    before = [name for name in known if name in needed and name not in named]
    if before:
        repro(*before)

    # Those that have changed, or need one that has.
    modified = changed(listed)
    stale = [name for name in listed if name in modified or all_needs(name, direct) & modified]
    print(
        f"> {len(stale)} of {len(listed)} cells to run, at most {count} at a time; logs in {LOGS}",
        flush=True,
    )
    begun = time.monotonic()
    jobs = jobs_of(stale, direct, costs(params, stale))
    side_by_side(jobs, count, Progress(params, len(stale), gpus, Console()))
    print(f"> {len(stale)} cells in {(time.monotonic() - begun) / 60:.1f} min", flush=True)

    # Tables and figures.
    if only is None:
        repro()
    else:
        print("> tables, figures and all other cells: 'python -m commands.matrix' or 'dvc repro'")


def main() -> None:
    """Run everything, or some cells."""
    text = __doc__.split("\n\n")

    parser = argparse.ArgumentParser(
        prog="python -m commands.matrix", description=text[0], epilog=text[1]
    )
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="cells at a time, each of which runs several trials itself; without it one a GPU, "
        "or on CPUs as many as there is room for (cores / (trials at a time in one cell x "
        "numerics.threads))",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="GLOB",
        help="only these cells and what they need, as 'hard@*' or students@conv2-1M; tables and "
        "figures are left for later",
    )
    arguments = parser.parse_args()

    if not Path("dvc.yaml").is_file():
        raise ValueError(
            "no dvc.yaml here: run python -m commands.matrix in the root of the repository"
        )

    # A closed terminal ends it as a request to stop does, unless nohup ignores that.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))

    with alone():
        run(arguments.only, arguments.jobs)


if __name__ == "__main__":
    entry.run(main)
