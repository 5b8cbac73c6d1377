"""How far each stage is, from its work folder, dvc.lock and params.yaml; nothing is written. Used by watch.

A stage is `done` if dvc.lock has it with the parameters that params.yaml has now, `changed` if with others, `running`
if a process holds its work folder, `stopped` if there is an unfinished one that nobody holds, else `waiting`. That code
or data changed only `dvc status` knows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.store.atomic import read_json
from stages.store.work import DONE

LOCKS = Path("/proc/locks")


@dataclass(frozen=True)
class Trial:
    """A trial in flight: its number, "again" for a retrained net, epochs that are over, and its last error."""

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
        finished: trials or epochs that are over.
        seconds, epochs: of all finished trials together.
        best: lowest validation error of the finished trials.
        flying: trials in flight; empty unless running.
        differing: parameters that are others than in dvc.lock.
    """

    name: str
    status: str = "waiting"
    finished: int = 0
    seconds: float = 0.0
    epochs: int = 0
    best: float | None = None
    flying: list[Trial] = field(default_factory=list)
    differing: tuple[str, ...] = ()


def state(name: str, entry: Mapping[str, Any] | None, params: Mapping[str, Any], root: Path = Path("work")) -> State:
    """The state of one stage.

    Args:
        name: of the stage, as its work folder is called: "teachers", "students/conv2-180k".
        entry: of the stage in dvc.lock; None if it has none.
        params: all of params.yaml.
        root: where work folders are kept.
    """
    found = State(name)
    if entry is not None:
        found.differing = differing(entry, params)
        found.status = "changed" if found.differing else "done"
    folder = newest(root / name)
    if folder is None:
        return found
    if (busy := held(folder / "lock")) or not (folder / DONE).is_file():
        found.status = "running" if busy else "stopped" if found.status != "done" else "done"
    add_trials(found, folder, again=False)
    add_trials(found, folder / "retrained", again=True)
    found.finished += len(list(folder.glob("epoch-*.safetensors")))
    return found


def differing(entry: Mapping[str, Any], params: Mapping[str, Any]) -> tuple[str, ...]:
    """Parameters of an entry of dvc.lock whose values params.yaml does not have."""
    recorded = (entry.get("params") or {}).get("params.yaml") or {}
    return tuple(name for name, value in recorded.items() if lookup(params, name) != value)


def lookup(params: Any, name: str) -> Any:
    """The value of "students.sweep" and the like; None where there is none."""
    for key in name.split("."):
        params = params.get(key) if isinstance(params, Mapping) else None
    return params


def newest(parent: Path) -> Path | None:
    """The work folder that is in use, or else the one that was begun last."""
    keys = [path for path in parent.glob("*/key.json") if path.parent.name != "trials"]
    ranked = sorted(keys, key=lambda path: (held(path.parent / "lock"), path.stat().st_mtime))
    return ranked[-1].parent if ranked else None


def held(lock: Path) -> bool:
    """Whether a process holds this lock. It is not tried out: a stage that begins at that moment would be refused."""
    try:
        inode, holder = lock.stat().st_ino, lock.read_text().strip()
        lines = LOCKS.read_text().splitlines() if LOCKS.is_file() else None
    except OSError:
        return False
    if lines is not None:
        return any(words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode) for words in map(str.split, lines))
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
            result, seconds = read_json(folder / "result.json")["result"], float(read_json(folder / "seconds.json"))
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
    """Seconds an epoch will take, from the nearest budget of the same row, or else of the same kind; None without one.

    Time is taken to grow as the budget does.
    """
    for near in ([p for p in paces if p.row == row], [p for p in paces if p.kind == kind]):
        if near:
            best = min(near, key=lambda p: abs(p.params - params))
            return best.seconds * params / best.params
    return None
