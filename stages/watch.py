"""watch: how far is everything? A table of all stages and cells on the terminal: done, running, waiting, hours left.

`python -m stages.watch` looks every few seconds until Ctrl-C, beside a `dvc repro` in another terminal; `--once` prints
the table and ends. It reads work/, metrics/, dvc.lock and params.yaml, and writes nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.live import Live
from rich.table import Table

from stages.nets.budget import parse_budget
from stages.nets.families import FAMILIES
from stages.settings import common, prepare
from stages.settings.read import read_params
from stages.settings.students import FOLDER, SECTION, Target, matrix, row
from stages.settings.teachers import teachers
from stages.store import door
from stages.store.atomic import read_json
from stages.store.cache import read_lock
from stages.store.state import Pace, State, expected, state
from stages.workers.engines import slots_of

METRICS, LOCK = Path("metrics"), Path("dvc.lock")
COLOURS = {"done": "green", "running": "bold cyan", "stopped": "yellow", "changed": "yellow", "waiting": "dim"}
LAST = ("tabulate", "assess", "draw")


@dataclass(frozen=True)
class Wanted:
    """What a stage has to do.

    Attributes:
        name: of the stage, as its work folder is called.
        steps: trials and retrained nets, or epochs; 0 where it is done at once.
        slots: of these at a time.
        epochs: most epochs of a trial; None if nothing bounds them.
        kind, row, params: of its nets, see `Pace`; no kind for a stage without trials.
        metrics: its JSON file of accuracies, if it has one.
    """

    name: str
    steps: int = 0
    slots: int = 1
    epochs: int | None = None
    kind: str = ""
    row: str = ""
    params: int = 0
    metrics: Path | None = None


def wanted(params: dict[str, Any]) -> Iterator[Wanted]:
    """All stages, in the order in which they run."""
    execution, transfer = common.execution(params), prepare.augment(params)
    section = teachers(params, prepare.prepare(params).shape)

    def slots(lag: int) -> int:
        return min(slots_of(execution), lag)

    yield Wanted("prepare")
    yield Wanted("teachers", section.sweep.trials, slots(section.sweep.lag), section.training.max_epochs, "teacher",
                 "teacher", 1, METRICS / "teachers.json")  # fmt: skip
    yield Wanted("ensemble", metrics=METRICS / "ensemble.json")
    yield Wanted("augment", transfer.epochs)
    yield Wanted("label", transfer.epochs)
    for target in get_args(Target):
        cells = matrix(params, target)
        for name, budget in product(cells.rows, cells.budgets):
            family = row(params, target, name).net or name
            kind = "conv" if FAMILIES[family].layout else "mlp"
            yield Wanted(
                f"{SECTION[target]}/{name}-{budget}", cells.sweep.trials + cells.final_seeds, slots(cells.sweep.lag),
                cells.training.max_epochs, kind, name, parse_budget(budget),
                METRICS / FOLDER[target] / f"{name}-{budget}.json",
            )  # fmt: skip
    yield from map(Wanted, LAST)


def entry_of(name: str, lock: dict[str, Any]) -> dict[str, Any] | None:
    """The stage's entry in dvc.lock; that of a cell may have more behind its name, of what it mimics."""
    stage = name.replace("/", "@")
    return lock.get(stage) or next((lock[key] for key in lock if "@" in stage and key.startswith(f"{stage}-")), None)


@lru_cache(maxsize=1)
def lock_of(changed_ns: int, size: int) -> dict[str, Any]:
    """The stages of dvc.lock as it is since this moment: reading it takes longer than all the rest."""
    return read_lock(Path())


def look(params: dict[str, Any]) -> list[tuple[Wanted, State]]:
    """What every stage has to do, and how far it is."""
    lock = lock_of((status := LOCK.stat()).st_mtime_ns, status.st_size) if LOCK.is_file() else {}
    return [(want, state(want.name, entry_of(want.name, lock), params)) for want in wanted(params)]


def seconds_left(want: Wanted, now: State, paces: list[Pace]) -> float | None:
    """Of a stage with trials, at the pace of what has been trained here; None where nothing like it has been."""
    if now.status == "done":
        return 0.0
    epoch = now.seconds / now.epochs if now.epochs else expected(paces, want.kind, want.row, want.params)
    usual = now.epochs / now.finished if now.finished and now.epochs else want.epochs
    if epoch is None or usual is None:
        return None
    begun = 0 if now.status == "changed" else now.finished * usual + sum(trial.epochs for trial in now.flying)
    return max(want.steps * usual - begun, 0) * epoch / want.slots


def line(want: Wanted, now: State, left: float | None) -> tuple[str, ...]:
    """One row of the table."""
    again = {True: " again", False: ""}
    flying = ", ".join(
        f"#{trial.number}{again[trial.again]} epoch {trial.epochs}{f'/{want.epochs}' if want.epochs else ''}"
        for trial in now.flying
    )
    what = flying or (shortened(now.differing) if now.status == "changed" else "")
    count = f"{want.steps if now.status == 'done' else now.finished}/{want.steps}" if want.steps else ""
    validation, test = accuracies(want, now)
    time_left = "" if now.status == "done" or not want.kind else "?" if left is None else duration(left)
    status = f"[{COLOURS[now.status]}]{now.status}[/]"
    return want.name.replace("/", " "), status, count, what, validation, test, time_left


def shortened(names: Sequence[str], most: int = 2) -> str:
    """The first names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def accuracies(want: Wanted, now: State) -> tuple[str, str]:
    """Best validation accuracy so far, and the test accuracy of what is done."""
    if now.status == "done" and want.metrics is not None and want.metrics.is_file():
        found = read_json(want.metrics)
        return f"{100 * found['validation_accuracy']:.1f} %", f"{100 * found['test_accuracy']:.1f} %"
    return ("" if now.best is None else f"{100 * (1 - now.best):.1f} %"), ""


def duration(seconds: float) -> str:
    """Hours and minutes, or minutes."""
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min" if minutes else "< 1 min"


def table(params: dict[str, Any]) -> Table:
    """Everything at this moment."""
    seen = look(params)
    paces = [Pace(w.kind, w.row, w.params, s.seconds / s.epochs) for w, s in seen if w.kind and s.epochs]
    left = {want.name: seconds_left(want, now, paces) for want, now in seen if want.kind}
    done = sum(now.status == "done" for _, now in seen)
    known, unknown = [value for value in left.values() if value is not None], list(left.values()).count(None)
    ending = f"about {duration(sum(known))} of training left" if any(known) else "no training left"
    if unknown:
        ending = f"{ending + ', and ' if any(known) else ''}{unknown} cells without an estimate"
    made = Table(title=f"{done} of {len(seen)} stages done; {ending}", title_justify="left", box=None)
    for name in ("stage", "", "trials", "now", "validation", "test", "left"):
        made.add_column(name, justify="right" if name in ("trials", "validation", "test", "left") else "left")
    for want, now in seen:
        made.add_row(*line(want, now, left.get(want.name)))
    return made


def main() -> None:
    """Print the table, once or until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m stages.watch", description=__doc__.split("\n\n")[0])
    parser.add_argument("--once", action="store_true", help="print the table and end")
    parser.add_argument("--seconds", type=float, default=5.0, help="between two looks (default 5)")
    arguments = parser.parse_args()
    if not arguments.seconds > 0:
        parser.error(f"--seconds is {arguments.seconds:g}, allowed is more than 0")
    console = Console()
    if arguments.once or not console.is_terminal:
        console.print(table(read_params()))
        return
    with Live(table(read_params()), console=console, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(arguments.seconds)
            live.update(table(read_params()), refresh=True)


if __name__ == "__main__":
    door.run(main)
