"""How far each stage is, from its work folder, its record and what DVC runs; nothing is written.
Used by watch.

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
    """A trial in flight: its number, "again" for a retrained net, epochs that are over, and its
    last error.
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
        finished: trials or epochs that are over; 0 if they are those of another time, since the
        stage is to run again.
        seconds, epochs: of all finished trials together, of another time too.
        best: lowest validation error of the finished trials; None if they are those of another
        time.
        flying: trials in flight; empty unless running.
        differing: parameters that are others than in dvc.lock.
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
    found = State(name)
    if record is not None:
        found.differing = record.differing
        found.status = "done" if record.done else "changed" if record.differing else "waiting"
    folder = newest(root / name)
    found.taken = folder is not None and held(folder / "lock")
    complete = folder is not None and (folder / DONE).is_file()
    if busy or found.taken:
        found.status = "running"
    elif folder is not None and not complete and found.status != "done":
        found.status = "stopped"
    if folder is not None:
        add_trials(found, folder, again=False)
        add_trials(found, folder / "retrained", again=True)
        found.finished += len(list(folder.glob("epoch-*.safetensors")))
    if found.status in ("waiting", "changed") or (busy and complete and not found.taken):
        found.finished, found.best = 0, None
    return found


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
    """The work folder that is in use, or else the one that was begun last."""
    keys = [path for path in parent.glob("*/key.json") if path.parent.name != "trials"]
    ranked = sorted(keys, key=lambda path: (held(path.parent / "lock"), path.stat().st_mtime))
    return ranked[-1].parent if ranked else None


def held(lock: Path) -> bool:
    """Whether a process holds this lock. It is not tried out: a stage that begins at that moment
    would be refused.
    """
    try:
        inode, holder = lock.stat().st_ino, lock.read_text().strip()
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


def add_trials(found: State, root: Path, again: bool) -> None:
    """Count the finished trials of a work folder, and list those in flight."""
    for folder in sorted(root.glob("trials/*")):
        try:
            result, seconds = (
                read_json(folder / "result.json")["result"],
                float(read_json(folder / "seconds.json")),
            )
            value, epochs = result["value"], len(result["errors"])
        except FileNotFoundError:
            found.flying += [flying(folder, again)] if found.status == "running" else []
            continue
        except (ValueError, KeyError, TypeError):  # damaged: the stage will train it again
            continue
        found.finished += 1
        found.seconds, found.epochs = found.seconds + seconds, found.epochs + epochs
        if value is not None and not again:
            found.best = value if found.best is None else min(found.best, value)


def flying(folder: Path, again: bool) -> Trial:
    """What an unfinished trial says of itself."""
    try:
        said = read_json(folder / "progress.json")
        return Trial(int(folder.name), again, int(said["epoch"]) + 1, float(said["error"]))
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
    """Seconds an epoch will take, from the nearest budget of the same row, or else of the same
    kind; None without one.

    Time is taken to grow as the budget does.
    """
    for near in ([p for p in paces if p.row == row], [p for p in paces if p.kind == kind]):
        if near:
            best = min(near, key=lambda p: abs(p.params - params))
            return best.seconds * params / best.params
    return None
