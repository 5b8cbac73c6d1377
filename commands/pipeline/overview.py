"""Every stage and cell: what it has to do, and how far it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, get_args

from commands.pipeline.board import Board, BoardRow
from commands.pipeline.cache import Out, dvc_settings, lock_outs, read_lock
from commands.pipeline.entries import Record, Records, settle
from commands.pipeline.state import Pace, State, being_made, expected, state
from stages.nets.families import FAMILIES
from stages.runtime.engines import slots_of
from stages.settings import common, prepare, transfer
from stages.settings.budgets import parse_budget
from stages.settings.groups import FOLDER, SECTION, Target
from stages.settings.students import matrix, row
from stages.settings.teachers import teachers
from stages.store.atomic import read_json

METRICS, LOCK = Path("metrics"), Path("dvc.lock")


READ = (LOCK, Path("dvc.yaml"), Path("params.yaml"))


LAST = {
    "tabulate": METRICS / "tables.json",
    "assess": METRICS / "claims.json",
    "draw": Path("plots/figure1.svg"),
    "page": Path("plots/report.html"),
}


@dataclass(frozen=True)
class Wanted:
    """What a stage has to do.

    Attributes:
        name: of the stage, as its work folder is called.
        out: one of its outputs; what DVC makes tells which stage it runs.
        steps: trials and retrained nets, or epochs; 0 where it is done at once.
        slots: of these at a time.
        epochs: most epochs of a trial; None if nothing bounds them.
        kind, row, params: of its nets, see `Pace`; no kind for a stage without trials.
    """

    name: str
    out: Path
    steps: int = 0
    slots: int = 1
    epochs: int | None = None
    kind: str = ""
    row: str = ""
    params: int = 0


def wanted(params: dict[str, Any]) -> Iterator[Wanted]:
    """All stages, in the order in which they run."""
    execution, augmented = common.execution(params), transfer.augment(params)
    section = teachers(params, prepare.prepare(params).inputs)

    def slots(lag: int) -> int:
        return min(slots_of(execution), lag)

    yield Wanted("prepare", Path("data/prepared"))
    yield Wanted(
        "teachers",
        METRICS / "teachers.json",
        section.sweep.trials,
        slots(section.sweep.lag),
        section.training.max_epochs,
        "teacher",
        "teacher",
        1,
    )
    yield Wanted("ensemble", METRICS / "ensemble.json")
    yield Wanted("augment", Path("data/augmented"), augmented.epochs)
    yield Wanted("label", Path("data/logits"), augmented.epochs)
    for target in get_args(Target):
        cells = matrix(params, target)
        for name, budget in product(cells.rows, cells.budgets):
            family = row(params, target, name).net or name
            kind = "conv" if FAMILIES[family].layout else "mlp"
            yield Wanted(
                f"{SECTION[target]}/{name}-{budget}",
                METRICS / FOLDER[target] / f"{name}-{budget}.json",
                cells.sweep.trials + cells.final_seeds,
                slots(cells.sweep.lag),
                cells.training.max_epochs,
                kind,
                name,
                parse_budget(budget),
            )
    for name, out in LAST.items():
        yield Wanted(name, out)


def entry_of(name: str, lock: dict[str, Any]) -> str:
    """The stage as dvc.lock calls it; a cell may have more behind its name, of what it mimics."""
    stage = name.replace("/", "@")
    longer = (key for key in lock if "@" in stage and key.startswith(f"{stage}-"))
    return stage if stage in lock else next(longer, stage)


@lru_cache(maxsize=1)
def locked(when: tuple[tuple[int, int], ...]) -> tuple[dict[str, Any], list[Out]]:
    """The stages of dvc.lock and their outputs, as the files are since then: reading them takes the
    most time.
    """
    lock = read_lock(Path())
    return lock, lock_outs(Path(), lock)[0]


cache_and_remote = lru_cache(maxsize=1)(dvc_settings)
"""Where DVC's cache is, and whether there is a remote; asked once."""


def _lock_now() -> tuple[dict[str, Any], list[Out]]:
    if not LOCK.is_file():
        return {}, []
    settle(LOCK)
    return locked(
        tuple((status.st_mtime_ns, status.st_size) for status in (path.stat() for path in READ))
    )


def look(params: dict[str, Any]) -> list[tuple[Wanted, Record | None, State]]:
    """What every stage has to do, what dvc.lock has of it, and how far it is."""
    lock, outs = _lock_now()
    record_of, made, seen = (
        Records(Path(), lock, outs, params, lambda: cache_and_remote(Path())[0]),
        being_made(),
        [],
    )
    for want in wanted(params):
        record = record_of(entry_of(want.name, lock))
        # DVC holds what it only compares, too; before it runs a stage it removes what there is
        busy = want.out in made and not (record is not None and record.done and want.out.exists())
        seen.append((want, record, state(want.name, record, busy=busy)))
    return seen


def seconds_left(want: Wanted, now: State, paces: list[Pace]) -> float | None:
    """Of a stage with trials, at the pace of what has been trained here; None where nothing like it
    has been.
    """
    if now.status == "done":
        return 0.0
    epoch = (
        now.seconds / now.epochs
        if now.epochs
        else expected(paces, want.kind, want.row, want.params)
    )
    usual = now.epochs / now.finished if now.finished and now.epochs else want.epochs
    if epoch is None or usual is None:
        return None
    begun = (
        0
        if now.status == "changed"
        else now.finished * usual + sum(trial.epochs for trial in now.flying)
    )
    return max(want.steps * usual - begun, 0) * epoch / want.slots


def line(want: Wanted, now: State, left: float | None) -> BoardRow:
    """One row of the table."""
    count = (
        f"{want.steps if now.status == 'done' else now.finished}/{want.steps}" if want.steps else ""
    )
    validation, test = accuracies(want, now)
    time_left = (
        "" if now.status == "done" or not want.kind else "?" if left is None else duration(left)
    )
    return BoardRow(
        want.name.replace("/", " "),
        now.status,
        count,
        doing(want, now),
        validation,
        test,
        time_left,
    )


def doing(want: Wanted, now: State) -> str:
    """What a stage that runs does at this moment, or what has changed; empty for the others."""
    if now.status == "changed":
        return shortened(now.differing)
    if now.status != "running":
        return ""
    again, most = {True: " again", False: ""}, f"/{want.epochs}" if want.epochs else ""
    flying = [
        f"#{trial.number}{again[trial.again]} epoch {trial.epochs}{most}" for trial in now.flying
    ]
    if flying or not want.steps:
        return ", ".join(flying) or "at work"
    if not now.taken:
        return "starting, or DVC saves it"
    if now.finished >= want.steps:
        return "writes its outputs"
    return "between trials" if want.kind else f"epoch {now.finished + 1}/{want.steps}"


def shortened(names: Sequence[str], most: int = 2) -> str:
    """The first names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def accuracies(want: Wanted, now: State) -> tuple[str, str]:
    """Best validation accuracy so far, and the test accuracy of what is done."""
    if now.status == "done" and (want.kind or want.name == "ensemble"):
        found = read_json(want.out)
        return (
            f"{100 * found['validation_accuracy']:.1f} %",
            f"{100 * found['test_accuracy']:.1f} %",
        )
    return ("" if now.best is None else f"{100 * (1 - now.best):.1f} %"), ""


def duration(seconds: float) -> str:
    """Hours and minutes, or minutes."""
    minutes = round(seconds / 60)
    return (
        f"{minutes // 60} h {minutes % 60:02d} min"
        if minutes >= 60
        else f"{minutes} min"
        if minutes
        else "< 1 min"
    )


def board(params: dict[str, Any]) -> Board:
    """Everything at this moment."""
    seen = look(params)
    paces = [
        Pace(w.kind, w.row, w.params, s.seconds / s.epochs)
        for w, _, s in seen
        if w.kind and s.epochs
    ]
    left = {want.name: seconds_left(want, now, paces) for want, _, now in seen if want.kind}
    done = {want.name for want, _, now in seen if now.status == "done"}
    known, unknown = (
        [value for value in left.values() if value is not None],
        list(left.values()).count(None),
    )
    ending = f"about {duration(sum(known))} of training left" if any(known) else "no training left"
    if unknown:
        ending = f"{ending + ', and ' if any(known) else ''}{unknown} cells without an estimate"
    rows = tuple(line(want, now, left.get(want.name)) for want, _, now in seen)
    where = "accuracies in metrics/table2.md" if "tabulate" in done else "--once lists them"
    return Board(f"{len(done)} of {len(seen)} stages done; {ending}", rows, where, absent(seen))


def absent(seen: Sequence[tuple[Wanted, Record | None, State]]) -> str:
    """A line on stages that git has brought without their data; empty if there are none, or while
    stages run.
    """
    count = sum(record is not None and record.agrees and not record.here for _, record, _ in seen)
    if not count or any(now.status == "running" for _, _, now in seen):
        return ""
    stages = "1 stage is" if count == 1 else f"{count} stages are"
    remote = cache_and_remote(Path())[1]
    remedy = (
        "dvc pull brings them, dvc repro makes them again"
        if remote
        else "dvc repro makes them again"
    )
    return f"{stages} recorded in dvc.lock, but their outputs are not here: {remedy}"
