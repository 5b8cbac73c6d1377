"""Every stage and cell: what it has to do, and how far it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from commands.pipeline.board import Board, BoardRow
from commands.pipeline.cache import Out, dvc_settings, lock_outs, read_lock
from commands.pipeline.entries import Record, Records, settle
from commands.pipeline.state import Pace, State, being_made, expected, state
from stages.nets.families import FAMILIES
from stages.runtime.engines import slots_of
from stages.settings import common, prepare, transfer
from stages.settings.budgets import parse_budget
from stages.settings.groups import CellName
from stages.settings.students import cells, matrix, row
from stages.settings.teachers import teachers
from stages.store.atomic import read_json

METRICS = Path("metrics")
LOCK = Path("dvc.lock")
READ = (LOCK, Path("dvc.yaml"), Path("params.yaml"))
"""What tells whether the stages and outputs of dvc.lock have to be read again."""
REPORTS = {
    "extra": Path("data/extra"),
    "tabulate": METRICS / "tables.json",
    "assess": METRICS / "claims.json",
    "draw": Path("plots/figure1.svg"),
    "page": Path("plots/report.html"),
}
"""The stages after all cells, and one output of each."""


@dataclass(frozen=True)
class StageTask:
    """What a stage, or one of its cells, has to do.

    Attributes:
        stage: its name.
        out: one of its outputs; what DVC makes tells which stage it runs.
        cell: which cell it is, of a stage that has some.
        steps: trials and retrained nets, or epochs; 0 where it is done at once.
        slots: of these at a time.
        epochs: most epochs of a trial; None if nothing bounds them.
        kind, row, params: of its nets, see `Pace`; no kind for a stage without trials.
    """

    stage: str
    out: Path
    cell: CellName | None = None
    steps: int = 0
    slots: int = 1
    epochs: int | None = None
    kind: str = ""
    row: str = ""
    params: int = 0

    @property
    def dvc(self) -> str:
        """As DVC and dvc.lock call it."""
        return self.cell.dvc if self.cell else self.stage

    @property
    def work(self) -> str:
        """Name of its work folder."""
        return self.cell.work if self.cell else self.stage

    @property
    def title(self) -> str:
        """As the table shows it."""
        return self.cell.title if self.cell else self.stage


def tasks(params: dict[str, Any]) -> Iterator[StageTask]:
    """All stages and cells, in the order in which they run."""
    execution = common.execution(params)
    epochs = transfer.augment(params).epochs
    section = teachers(params, prepare.prepare(params).inputs)
    slots = slots_of(execution)

    # The code, the data and the teachers.
    yield StageTask("code", METRICS / "code/students.json")
    yield StageTask("prepare", Path("data/prepared"))
    if not transfer.ensemble(params).searched:
        yield StageTask("teachers", METRICS / "teachers.json")
    else:
        yield StageTask(
            "teachers",
            METRICS / "teachers.json",
            steps=section.sweep.trials,
            slots=min(slots, section.sweep.lag),
            epochs=section.training.max_epochs,
            kind="teacher",
            row="teacher",
            params=1,
        )
    yield StageTask("ensemble", METRICS / "ensemble.json")
    yield StageTask("augment", Path("data/augmented"), steps=epochs)
    yield StageTask("label", Path("data/logits"), steps=epochs)

    # The cells.
    for name in cells(params):
        group = matrix(params, name.group)
        family = row(params, name.group, name.row).net or name.row
        yield StageTask(
            name.stage,
            METRICS / f"{name.files}.json",
            name,
            steps=group.sweep.trials + group.final_seeds,
            slots=min(slots, group.sweep.lag),
            epochs=group.training.max_epochs,
            kind="conv" if FAMILIES[family].layout else "mlp",
            row=name.row,
            params=parse_budget(name.budget),
        )

    # The report.
    for stage, out in REPORTS.items():
        yield StageTask(stage, out)


@lru_cache(maxsize=1)
def locked(when: tuple[tuple[int, int], ...]) -> tuple[dict[str, Any], list[Out]]:
    """The stages of dvc.lock and their outputs; `when` tells the states of the files that are READ.

    Reading them takes the most time of a look.
    """
    lock = read_lock(Path())
    return lock, lock_outs(Path(), lock)[0]


cache_and_remote = lru_cache(maxsize=1)(dvc_settings)
"""Where DVC's cache is, and whether there is a remote; asked once."""


def _lock_now() -> tuple[dict[str, Any], list[Out]]:
    if not LOCK.is_file():
        return {}, []
    settle(LOCK)
    status = [path.stat() for path in READ]
    return locked(tuple((each.st_mtime_ns, each.st_size) for each in status))


def look(params: dict[str, Any]) -> list[tuple[StageTask, Record | None, State]]:
    """What every stage has to do, its record in dvc.lock, and how far it is."""
    lock, outs = _lock_now()
    record_of = Records(Path(), lock, outs, params, lambda: cache_and_remote(Path())[0])
    writing = being_made()

    seen = []
    for task in tasks(params):
        record = record_of(task.dvc)
        # DVC also holds what it only compares; before it runs a stage it removes the outputs.
        compared = record is not None and record.done and task.out.exists()
        busy = task.out in writing and not compared
        seen.append((task, record, state(task.work, record, busy=busy)))

    return seen


def seconds_left(task: StageTask, now: State, paces: list[Pace]) -> float | None:
    """Of a stage with trials, at the pace of what was trained here; None if nothing like it was."""
    if now.status == "done":
        return 0.0

    # Seconds of an epoch, and epochs of a trial.
    if now.epochs:
        epoch: float | None = now.seconds / now.epochs
    else:
        epoch = expected(paces, task.kind, task.row, task.params)

    usual = now.epochs / now.finished if now.finished and now.epochs else task.epochs
    if epoch is None or usual is None:
        return None

    begun = 0.0
    if now.status != "changed":
        begun = now.finished * usual + sum(trial.epochs for trial in now.flying)
    return max(task.steps * usual - begun, 0) * epoch / task.slots


def line(task: StageTask, now: State, left: float | None) -> BoardRow:
    """One row of the table."""
    done = now.status == "done"
    count = f"{task.steps if done else now.finished}/{task.steps}" if task.steps else ""
    validation, test = accuracies(task, now)

    time_left = ""
    if task.kind and not done:
        time_left = "?" if left is None else duration(left)

    return BoardRow(
        task.title,
        now.status,
        count,
        doing(task, now),
        validation,
        test,
        time_left,
    )


def doing(task: StageTask, now: State) -> str:
    """What a stage does at this moment, or what has changed; empty if it does not run."""
    if now.status == "changed":
        return shortened(now.differing)
    if now.status != "running":
        return ""

    most = f"/{task.epochs}" if task.epochs else ""
    flying = [
        f"#{trial.number}{' again' if trial.again else ''} epoch {trial.epochs}{most}"
        for trial in now.flying
    ]

    if flying or not task.steps:
        return ", ".join(flying) or "at work"
    if not now.taken:
        return "starting, or being saved by DVC"
    if now.finished >= task.steps:
        return "writes its outputs"
    return "between trials" if task.kind else f"epoch {now.finished + 1}/{task.steps}"


def shortened(names: Sequence[str], most: int = 2) -> str:
    """The first names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def accuracies(task: StageTask, now: State) -> tuple[str, str]:
    """Best validation accuracy so far, and the test accuracy of what is done."""
    if now.status == "done" and (task.kind or task.stage == "ensemble"):
        facts = read_json(task.out)
        validation = facts["validation_accuracy"]
        test = facts["test_accuracy"]
        return f"{100 * validation:.1f} %", f"{100 * test:.1f} %"
    if now.best is None or not task.kind:  # an earlier search may have left its trials
        return "", ""
    return f"{100 * (1 - now.best):.1f} %", ""


def duration(seconds: float) -> str:
    """Hours and minutes, or minutes."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if minutes else "< 1 min"


def board(params: dict[str, Any]) -> Board:
    """Everything at this moment."""
    seen = look(params)
    paces = [
        Pace(task.kind, task.row, task.params, now.seconds / now.epochs)
        for task, _, now in seen
        if task.kind and now.epochs
    ]
    left = {task.dvc: seconds_left(task, now, paces) for task, _, now in seen if task.kind}

    # The title.
    done = {task.dvc for task, _, now in seen if now.status == "done"}
    known = [value for value in left.values() if value is not None]
    unknown = list(left.values()).count(None)
    ending = f"about {duration(sum(known))} of training left" if any(known) else "no training left"
    if unknown:
        ending = f"{ending + ', and ' if any(known) else ''}{unknown} cells without an estimate"
    title = f"{len(done)} of {len(seen)} stages done; {ending}"

    rows = tuple(line(task, now, left.get(task.dvc)) for task, _, now in seen)
    where = "accuracies in metrics/table2.md" if "tabulate" in done else "--once lists them"
    return Board(title, rows, where, absent(seen))


def absent(seen: Sequence[tuple[StageTask, Record | None, State]]) -> str:
    """A line on stages that git has brought without their data; empty while stages run."""
    count = sum(record is not None and record.agrees and not record.here for _, record, _ in seen)
    if not count or any(now.status == "running" for _, _, now in seen):
        return ""

    stages = "1 stage is" if count == 1 else f"{count} stages are"
    remedy = "dvc repro makes them again"
    if cache_and_remote(Path())[1]:
        remedy = f"dvc pull brings them, {remedy}"
    return f"{stages} recorded in dvc.lock, but their outputs are not here: {remedy}"
