"""matrix: run the cells of the pipeline side by side, which `dvc repro` runs one after the other;
then all the rest.

First `dvc repro` of what the cells need (data, teachers, labels), then `dvc repro --single-item` of
every cell that has changed, the most expensive first, several at a time, then `dvc repro`, which
makes tables, figures and the page. Each cell still runs as many trials at a time as `execution`
says (slots on CPUs, trials_per_gpu on its GPU). With GPUs each of these jobs sees one. Ctrl-C stops
all of it, and the same command goes on. Each cell's output: work/matrix/CELL.log.
"""

from __future__ import annotations

import argparse
import fcntl
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

LOGS = Path("work/matrix")


def chosen(cells: Sequence[str], patterns: Sequence[str] | None) -> list[str]:
    """The cells that match one of the patterns; all without patterns.

    Raises:
        ValueError: a pattern matches none.
    """
    for pattern in patterns or ():
        if not any(fnmatchcase(cell, pattern) for cell in cells):
            raise ValueError(
                f"--only {pattern}: no such cell, allowed are {', '.join(cells)} and patterns as 'hard@*'"
            )
    return [
        cell
        for cell in cells
        if patterns is None or any(fnmatchcase(cell, pattern) for pattern in patterns)
    ]


def jobs_of(
    stale: Sequence[str], direct: Mapping[str, set[str]], cost: Mapping[str, float]
) -> list[Command]:
    """One job for each cell, the most expensive first; a cell that others need counts as the most
    expensive of them.
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


def lanes(params: dict[str, Any], wanted: int | None, gpus: Sequence[str]) -> int:
    """Jobs at a time: those asked for, or one for each GPU, or as many as the cores have room for.

    Raises:
        ValueError: fewer than one are asked for.
    """
    if wanted is not None:
        if wanted < 1:
            raise ValueError(f"--jobs is {wanted}: allowed is 1 or more")
        return wanted
    if gpus or common.execution(params).engine == "ray":
        return len(gpus) or 1
    trials = max((want.slots for want in overview.wanted(params) if "/" in want.name), default=1)
    return max(1, len(os.sched_getaffinity(0)) // (trials * common.numerics(params).threads))


def variables(gpus: Sequence[str]) -> Any:
    """For each lane the variables of its job: with GPUs it sees one."""

    def of(lane: int) -> dict[str, str]:
        own = {DEVICES: gpus[lane % len(gpus)], CHOSEN: "1"} if gpus else {}
        return {**environment(), **own}

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
                    f"'{what}' ends with exit status {event.code}, see above; what is finished is kept"
                )


def side_by_side(listed: Sequence[Command], count: int, progress: Progress) -> None:
    """Run cells, and say so.

    Raises:
        ChildProcessError: some failed.
    """
    console = progress.console
    live = Live(console=console, screen=True, auto_refresh=False) if console.is_terminal else None
    said: list[str] = []
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
            f"{good} of {len(listed)} cells are finished and kept; the same command goes on with the others",
            file=sys.stderr,
        )
        raise
    finally:
        if live is not None:
            print("\n".join(said))
    if failed := [end for end in progress.ended if end.code != 0]:
        report(failed, count)


@contextmanager
def alone() -> Iterator[None]:
    """Refuse a second run of this door in the same folder."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError("commands.matrix runs here already: wait for it, or stop it") from None
        yield


def run(only: Sequence[str] | None, asked_jobs: int | None) -> None:
    """What the cells need, the cells, and unless only some are asked for all the rest."""
    params = read_params()
    if asked_jobs is not None:
        lanes(params, asked_jobs, ())
    direct, known = needs(), stages()
    all_cells = [name for name in known if "@" in name]
    some = chosen(all_cells, only)
    needed = set(some).union(*(all_needs(cell, direct) for cell in some))
    cells = [cell for cell in all_cells if cell in needed]
    execution = common.execution(params)
    gpus = [] if execution.engine == "ray" else chosen_gpus(execution)
    count = lanes(params, asked_jobs, gpus)
    if before := [name for name in known if name in needed and name not in cells]:
        repro(*before)
    modified = changed(cells)
    stale = [cell for cell in cells if cell in modified or all_needs(cell, direct) & modified]
    print(
        f"> {len(stale)} of {len(cells)} cells to run, at most {count} at a time; logs in {LOGS}",
        flush=True,
    )
    begun = time.monotonic()
    listed = jobs_of(stale, direct, costs(params, stale))
    side_by_side(listed, count, Progress(params, len(stale), gpus, Console()))
    print(f"> {len(stale)} cells in {(time.monotonic() - begun) / 60:.1f} min", flush=True)
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
        help="cells at a time, each of which runs several trials "
        "itself; without it one a GPU, or on CPUs as many as there is room for (cores / (trials at a "
        "time in one cell x numerics.threads))",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="GLOB",
        help="only these cells and what they need, as 'hard@*' "
        "or students@conv2-1M; tables and figures are left for later",
    )
    arguments = parser.parse_args()
    if not Path("dvc.yaml").is_file():
        raise ValueError(
            "no dvc.yaml here: run python -m commands.matrix in the root of the repository"
        )
    if (
        signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    ):  # the terminal is closed; nohup ignores it
        signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))
    with alone():
        run(arguments.only, arguments.jobs)


if __name__ == "__main__":
    entry.run(main)
