"""What one waits for every day: a whole `dvc repro`, and a cell whose trials are finished.

Fresh clones of this repository take turns, of the present commit and of the one after `--against`.
In each of them `dvc repro` runs everything at the scale of the committed params.yaml (--quick: at
pocket size, one turn). Then the stages of all mimic cells run again, in one `dvc repro`: their
trials are in the work folders, so that what is left is starting processes, importing, testing,
writing, and what DVC does. The cost of a cell is a share of that.

Processor time is that of all processes that a command starts, also of those that outlive their
parent, as the servers do from which trials are forked: they come back to this process, which waits
for them. So it runs on Linux only. The metrics of both commits are compared, but for the commit in
metrics/environment.json: files that differ are listed.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, Cost, Row, compare, cpu_seconds, interleaved, main
from stages.settings.read import read_params
from stages.settings.students import cells
from tools.pocket import write_params

OURS = "this commit"
PR_SET_CHILD_SUBREAPER = 36
"""Of linux/prctl.h: orphans below this process become its children."""
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "DVC_NO_ANALYTICS": "1",
    "PYTHONPATH": "",
}


def adopt_orphans() -> None:
    """Make processes whose parents end children of this one.

    Raises:
        OSError: the system cannot do it.
    """
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if prctl is None or prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError("processor time of orphans can be counted on Linux only")


def wait_for_orphans() -> None:
    """Wait until no child is left, so that their times are counted."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def cost_of(words: list[str], folder: Path) -> Cost:
    """Time on the clock of a command, and processor time of all that it starts.

    Raises:
        RuntimeError: it ends with an error.
    """
    cpu = cpu_seconds()
    started = time.perf_counter()

    log = folder / "everyday.log"
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            words, cwd=folder, env=ENVIRONMENT, stdout=output, stderr=subprocess.STDOUT
        )
    wall = time.perf_counter() - started
    wait_for_orphans()

    if done.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        raise RuntimeError("\n".join([f"{' '.join(words)} in {folder} failed:", *lines]))
    return Cost(cpu_seconds() - cpu, wall)


def clone(commit: str, folder: Path, pocket: bool) -> Path:
    """A clone of this repository at a commit, with nothing computed."""
    for words in (
        ["clone", "-q", str(ROOT), str(folder)],
        ["-C", str(folder), "checkout", "-q", commit],
    ):
        subprocess.run(["git", *words], check=True)

    if pocket:
        write_params(folder)
    return folder


def fingerprints(folder: Path) -> dict[str, str]:
    """sha256 of every file of metrics/, of environment.json without commit and changed files."""
    hashes = {}
    for path in sorted((folder / "metrics").rglob("*")):
        if path.suffix not in (".json", ".csv", ".md") or path.name == "README.md":
            continue

        content = path.read_bytes()
        if path.name == "environment.json":
            entries = json.loads(content)
            kept = [
                {key: value for key, value in entry.items() if key not in ("commit", "changed")}
                for entry in entries
            ]
            content = json.dumps(kept).encode()
        hashes[path.relative_to(folder).as_posix()] = hashlib.sha256(content).hexdigest()

    return hashes


def all_cells_again(folder: Path) -> Cost:
    """A cell's share of `dvc repro` of all mimic cells, whose trials are finished."""
    names = [name.dvc for name in cells(read_params(folder / "params.yaml"), "mimic")]
    words = ["repro", "--force", "--single-item", *names]
    cost = cost_of([sys.executable, "-m", "dvc", *words], folder)
    return Cost(cost.cpu_s / len(names), cost.wall_s / len(names))


def measure(arguments: argparse.Namespace) -> tuple[list[Row], dict[str, Any]]:
    """Both commits in turn: everything, then finished cells; with `--parts` see parts.py."""
    if arguments.parts:
        from benchmarks import parts

        parts.main(arguments.quick, arguments.folder)
        raise SystemExit

    adopt_orphans()
    commits = {OURS: "HEAD", arguments.against: arguments.against}
    turns = 1 if arguments.quick else arguments.turns
    metrics: dict[str, dict[str, str]] = {}
    again: dict[str, list[Cost]] = {name: [] for name in commits}

    def everything(name: str) -> Cost:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            where = clone(commits[name], Path(folder) / "clone", arguments.quick)
            cost = cost_of([sys.executable, "-m", "dvc", "repro"], where)
            print(f"{name}: {cost.wall_s:.0f} s, {cost.cpu_s:.0f} CPU-s", flush=True)

            metrics[name] = fingerprints(where)
            again[name].append(all_cells_again(where))
            print(f"{name}: {again[name][-1].cpu_s:.2f} CPU-s a finished cell", flush=True)
            return cost

    costs = interleaved({name: partial(everything, name) for name in commits}, turns)

    ours, theirs = metrics.values()
    different = sorted(path for path in {*ours, *theirs} if ours.get(path) != theirs.get(path))
    if different:
        print(f"metrics that differ: {', '.join(different)}")

    unit = "runs per CPU-second"
    rows = [
        *compare("dvc repro from nothing", OURS, costs, unit),
        *compare("a cell whose trials are finished", OURS, again, unit),
    ]
    return rows, {"different_metrics": different}


def options(parser: argparse.ArgumentParser) -> None:
    """The other commit, how often, and where; or `--parts` instead."""
    parser.add_argument(
        "--parts",
        action="store_true",
        help="instead: where the time of one run goes; writes docs/everyday.md and its picture",
    )
    parser.add_argument("--against", default="HEAD", metavar="COMMIT", help="default HEAD")
    parser.add_argument("--turns", type=int, default=3, help="of each commit (default 3)")
    parser.add_argument("--folder", type=Path, help="for the clones; a temporary one by default")


if __name__ == "__main__":
    main("everyday", __doc__ or "", measure, options)
