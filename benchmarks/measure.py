"""Interleaved timings of alternatives, a small table and a JSON file.

All alternatives of a case run in one process and take turns, so that a busy machine is busy for all
of them. A ratio is their cost divided by ours within one turn: above 1 we are ahead. Reported are
its median over the turns, the lowest and the highest.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from stages.runtime.environment import processor

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "dvc",
    "GPyOpt",
    "kornia",
    "optuna",
    "botorch",
    "scikit-image",
)


@dataclass(frozen=True)
class Cost:
    """What one turn of one alternative took, divided by the units of work it did.

    Attributes:
        cpu_s: seconds of processor time of this process and of its finished children.
        wall_s: seconds on the clock.
    """

    cpu_s: float
    wall_s: float


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        case: what was done, by us.
        peer: what a user would otherwise use.
        ratio, low, high: their cost over ours, the median, lowest and highest of n turns; above 1
        we are ahead.
        unit: what is compared, e.g. "images per CPU-second".
        n: turns.
        ours, theirs: medians of the two in `unit`.
        wall_ratio: the median ratio of seconds on the clock.
        note: what the peer computes differently, if anything.
    """

    case: str
    peer: str
    ratio: float
    low: float
    high: float
    unit: str
    n: int
    ours: float
    theirs: float
    wall_ratio: float | None = None
    note: str = ""


def cpu_seconds() -> float:
    """Processor time of this process and of those children that have ended."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def timed(work: Callable[[], int]) -> Cost:
    """Cost per unit of one call of `work`, which returns how many units it did."""
    cpu = cpu_seconds()
    wall = time.perf_counter()
    units = work()
    return Cost((cpu_seconds() - cpu) / units, (time.perf_counter() - wall) / units)


def interleaved(
    alternatives: Mapping[str, Callable[[], int | Cost]], turns: int
) -> dict[str, list[Cost]]:
    """Costs per unit of work of every alternative, `turns` of each, in turn; the order rotates.

    Args:
        alternatives: name to a function that does some work and returns how many units it did, or
            what it cost where it did the work elsewhere (see `processes`). Whatever an alternative
            needs before (a first run, imports) must be done before.
        turns: at least 1.
    """
    names = list(alternatives)
    found = {name: [] for name in alternatives}
    for turn in range(turns):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(_cost(alternatives[name]))
    return found


def _cost(work: Callable[[], int | Cost]) -> Cost:
    answers: list[Cost] = []

    def once() -> int:
        answer = work()
        if isinstance(answer, Cost):
            answers.append(answer)
            return 1
        return answer

    here = timed(once)
    return answers[0] if answers else here


@contextmanager
def processes(
    makers: Mapping[str, Callable[[], Callable[[], int]]],
    preload: Sequence[str] = (),
    cuda: bool = False,
    made: dict[str, Cost] | None = None,
) -> Iterator[dict[str, Callable[[], Cost]]]:
    """Alternatives that live in processes of their own, which may have children.

    Args:
        makers: name to a picklable function that makes the alternative in its process.
        preload: modules of the server from which the processes are forked.
        cuda: whether to wait for the device before the clock is read.
        made: gets the cost of making each alternative in its process, imports apart.

    Raises:
        ChildProcessError: a process has died; it names the alternative.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))

    pipes = {}
    workers = {}

    def answer(name: str) -> Cost:
        try:
            return pipes[name].recv()
        except (EOFError, OSError):
            workers[name].join()
            raise ChildProcessError(
                f"the process of {name!r} died with exit code {workers[name].exitcode} (-9 is "
                "often a lack of memory); what it said is above"
            ) from None

    try:
        for name, make in makers.items():
            pipes[name], other = context.Pipe()

            # not a daemon: a daemon may have no children, and a DataLoader has
            workers[name] = context.Process(target=_serve, args=(other, make, cuda))
            workers[name].start()
            other.close()

            # It is made; one after the other, so that they do not disturb each other.
            cost = answer(name)
            if made is not None:
                made[name] = cost

        def ask(name: str) -> Cost:
            with suppress(BrokenPipeError):  # it is dead, which the answer says
                pipes[name].send("go")
            return answer(name)

        yield {name: partial(ask, name) for name in makers}
    finally:
        for worker in workers.values():
            worker.kill()
        for worker in workers.values():
            worker.join()


def _serve(pipe: Connection, make: Callable[[], Callable[[], int]], cuda: bool) -> None:
    made: list[Callable[[], int]] = []
    cost = timed(lambda: made.append(make()) or 1)
    work = made[0]

    def synchronised() -> int:
        units = work()
        if cuda:
            import torch

            torch.cuda.synchronize()
        return units

    pipe.send(cost)
    while True:
        pipe.recv()
        pipe.send(timed(synchronised))


def compare(
    case: str,
    ours: str,
    costs: Mapping[str, list[Cost]],
    unit: str,
    *,
    wall: bool = False,
    notes: Mapping[str, str] | None = None,
) -> list[Row]:
    """One row for each peer of `ours`, by processor time, or by the clock if `wall` (on a GPU)."""

    def of(name: str, clock: bool) -> list[float]:
        return [cost.wall_s if clock else cost.cpu_s for cost in costs[name]]

    rows = []
    for peer in costs:
        if peer == ours:
            continue

        # Turn by turn, by what counts and by the clock.
        ratios = [b / a for a, b in zip(of(ours, wall), of(peer, wall), strict=True)]
        clocks = [b / a for a, b in zip(of(ours, True), of(peer, True), strict=True)]
        rows.append(
            Row(
                case,
                peer,
                statistics.median(ratios),
                min(ratios),
                max(ratios),
                unit,
                len(ratios),
                1 / statistics.median(of(ours, wall)),
                1 / statistics.median(of(peer, wall)),
                statistics.median(clocks),
                (notes or {}).get(peer, ""),
            )
        )

    return rows


def environment(**more: Any) -> dict[str, Any]:
    """Where and with what it was measured."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue

    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": versions,
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed_files": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "load_before": os.getloadavg()[0],
        **more,
    }


def _git(*words: str) -> str:
    try:
        return subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    head = ("case", "beside", "ratio", "low .. high", "ours", "theirs", "unit", "n")
    cells = [
        (
            r.case,
            r.peer,
            f"{r.ratio:.3g}",
            f"{r.low:.3g} .. {r.high:.3g}",
            f"{r.ours:.4g}",
            f"{r.theirs:.4g}",
            r.unit,
            str(r.n),
        )
        for r in rows
    ]

    widths = [max(len(line[k]) for line in [head, *cells]) for k in range(len(head))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in [head, *cells]
    ]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    notes = dict.fromkeys(f"- {r.peer}: {r.note}" for r in rows if r.note)

    return "\n".join([*lines, *([""] if notes else []), *notes])


def main(
    name: str,
    about: str,
    measure: Callable[[argparse.Namespace], tuple[list[Row], dict[str, Any]]],
    options: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
) -> None:
    """The command line of a benchmark.

    Args:
        name: of the module in `benchmarks`.
        about: its docstring; the first paragraph is shown by --help.
        measure: takes the arguments; returns rows, and what belongs into "environment" besides.
        options: adds arguments of this benchmark's own.
    """
    # The arguments.
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=about.split("\n\n")[0]
    )
    parser.add_argument(
        "--quick", action="store_true", help="end within a minute: fewer turns, less work"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write environment and rows there"
    )
    options(parser)
    arguments = parser.parse_args()

    # The measurement.
    before = environment()
    try:
        rows, more = measure(arguments)
    except ModuleNotFoundError as error:
        print(
            f"error: {error}: install the benchmarks' peers with pip install '.[bench]'",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
    except ChildProcessError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None

    # The results.
    print(table(rows))
    if arguments.json:
        content = {"environment": {**before, **more}, "rows": [asdict(row) for row in rows]}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")
