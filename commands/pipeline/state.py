"""How far each stage is, from its work folder, its record and what DVC runs; nothing is written.

A stage is `done` if its record says so, `changed` if params.yaml has other parameters than
dvc.lock, `running` if a process holds its work folder or DVC runs it, `stopped` if there is an
unfinished work folder that nobody holds, else `waiting`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from commands.pipeline.entries import Record
from stages.runtime.work import DONE
from stages.store.atomic import read_json

LOCKS = Path("/proc/locks")
BUSY = Path(".dvc/tmp/rwlock")
"""Where DVC says which outputs are being made."""


@dataclass(frozen=True)
class Trial:
    """A trial in flight.

    Attributes:
        number: of the trial, or of the run of a retrained net.
        again: whether it is a retrained net.
        epochs: that are over.
        error: its last validation error; None before the first.
    """

    number: int
    again: bool
    epochs: int
    error: float | None


@dataclass
class State:
    """How far a stage is.

    Attributes:
        name: of the stage, with its cell.
        status: done, changed, running, stopped or waiting.
        finished: trials or epochs that are over; 0 if they are of an earlier run, since the stage
            is to run again.
        seconds, epochs: of all finished trials together, also of an earlier run.
        best: lowest validation error of the finished trials; None if they are of an earlier run.
        flying: trials in flight; empty unless running.
        differing: parameters that have other values in dvc.lock.
        taken: a process holds its work folder.
    """

    name: str
    status: str = "waiting"
    finished: int = 0
    seconds: float = 0.0
    epochs: int = 0
    best: float | None = None
    flying: list[Trial] = field(default_factory=list)
    differing: tuple[str, ...] = ()
    taken: bool = False


def state(name: str, record: Record | None, root: Path = Path("work"), busy: bool = False) -> State:
    """The state of one stage.

    Args:
        name: of the stage, as its work folder is called: "teachers", "students/conv2-180k".
        record: of the stage in dvc.lock; None if it has none.
        root: where work folders are kept.
        busy: whether DVC runs it.
    """
    now = State(name)
    if record is not None:
        now.differing = record.differing
        now.status = "done" if record.done else "changed" if record.differing else "waiting"

    # The work folder: whether a process holds it, and whether it is finished.
    folder = newest(root / name)
    now.taken = folder is not None and held(folder / "lock")
    complete = folder is not None and (folder / DONE).is_file()
    if busy or now.taken:
        now.status = "running"
    elif folder is not None and not complete and now.status != "done":
        now.status = "stopped"

    # What is in it; trials of an earlier run do not count as progress.
    if folder is not None:
        add_trials(now, folder, again=False)
        add_trials(now, folder / "retrained", again=True)
        now.finished += len(list(folder.glob("epoch-*.safetensors")))

    if now.status in ("waiting", "changed") or (busy and complete and not now.taken):
        now.finished = 0
        now.best = None
    return now


def being_made(root: Path = Path()) -> set[Path]:
    """Outputs, relative to `root`, that a `dvc repro` or `dvc exp run` makes at this moment."""
    try:
        writers = read_json(root / BUSY).get("write", {})
    except (OSError, ValueError):  # there is none, or DVC is writing it
        return set()

    top = root.resolve()
    return {
        Path(path).relative_to(top)
        for path, by in writers.items()
        if {"repro", "exp"} & set(by["cmd"].split())
        and Path(path).is_relative_to(top)
        and _alive(by["pid"])
    }


def newest(parent: Path) -> Path | None:
    """The work folder that is in use, or else the last that was started."""
    keys = [path for path in parent.glob("*/key.json") if path.parent.name != "trials"]
    ranked = sorted(keys, key=lambda path: (held(path.parent / "lock"), path.stat().st_mtime))
    return ranked[-1].parent if ranked else None


def held(lock: Path) -> bool:
    """Whether a process holds this lock. Nobody takes it to see: a stage that begins would fail."""
    try:
        inode = lock.stat().st_ino
        holder = lock.read_text().strip()
        lines = LOCKS.read_text().splitlines() if LOCKS.is_file() else None
    except OSError:
        return False

    if lines is not None:
        return any(
            words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode)
            for words in map(str.split, lines)
        )

    return holder.isdigit() and _alive(int(holder))


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        pass
    return True


def add_trials(now: State, root: Path, again: bool) -> None:
    """Count the finished trials of a work folder, and list those in flight."""
    for folder in sorted(root.glob("trials/*")):
        try:
            result = read_json(folder / "result.json")["result"]
            taken = read_json(folder / "seconds.json")
            seconds = None if taken is None else float(taken)
            value = result["value"]
            epochs = len(result["errors"])
        except FileNotFoundError:
            if now.status == "running":
                now.flying.append(flying(folder, again))
            continue
        except (ValueError, KeyError, TypeError):
            # It is damaged: the stage will train it again.
            continue

        now.finished += 1
        if seconds is not None:
            now.seconds += seconds
            now.epochs += epochs
        if value is not None and not again:
            now.best = value if now.best is None else min(now.best, value)


def flying(folder: Path, again: bool) -> Trial:
    """An unfinished trial, as its progress file describes it."""
    try:
        progress = read_json(folder / "progress.json")
        epochs = int(progress["epoch"]) + 1
        return Trial(int(folder.name), again, epochs, float(progress["error"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Trial(int(folder.name), again, 0, None)


@dataclass(frozen=True)
class Pace:
    """Seconds an epoch takes, of the nets of one row at one budget.

    Attributes:
        kind: of nets that take about as long per parameter: "conv", "mlp".
        row: its name.
        params: the budget.
    """

    kind: str
    row: str
    params: int
    seconds: float


def expected(paces: Sequence[Pace], kind: str, row: str, params: int) -> float | None:
    """Seconds an epoch will take, from the nearest budget of the same row, or else of its kind.

    Time is assumed to grow as the budget does. None without a net of the kind.
    """
    same_row = [pace for pace in paces if pace.row == row]
    same_kind = [pace for pace in paces if pace.kind == kind]
    for near in (same_row, same_kind):
        if near:
            best = min(near, key=lambda pace: abs(pace.params - params))
            return best.seconds * params / best.params
    return None
