"""One line when a stage begins: which of how many it is, how much is done, how long the rest takes.

`begin` and `end` are called around each stage that a `dvc repro` runs. What they know of that run
lies in work/progress/PROCESS-START.json: the forecast, made once, and when each stage ran. A line
costs a few milliseconds, and neither fails a stage.

Stages that DVC skips are never heard of. So those before the one that begins do not count, unless
they have run, and those after it count if they were due from the start or need one that has run.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from stages.runtime.durations import about

FOLDER = Path("work/progress")
CODE = "code"
"""The stage before all others. Which of them are due, DVC knows only after it."""
TRUST_S = {"stage": 4.0, "cell": 2.0, "computing": 12.0}
"""Kinds of time, and after how many seconds a measurement counts as much as the forecast."""
LEAST = 0.05
"""Of the factor that measurements may give a kind of time."""
SWEEPS = 100


def begin(stage: str, run: tuple[int, str]) -> None:
    """Print the line of a stage that begins.

    Args:
        stage: as DVC calls it in DVC_STAGE; a file before a colon is left out.
        run: the `dvc repro` that runs it: number of its process, and when that began.
    """
    try:
        name = stage.rpartition(":")[2]
        if name == CODE:
            print(f"{name}: which stages have to run is known after this one", flush=True)
            return

        course = Course.of(run)
        print(course.begin(name, time.monotonic()), flush=True)
        course.save()
    except (OSError, ValueError):  # no stage fails or waits for the sake of a line
        return


def end(stage: str, run: tuple[int, str]) -> None:
    """Note that a stage ended well."""
    try:
        path = path_of(run)
        if path.is_file():
            course = Course.read(path)
            course.end(stage.rpartition(":")[2])
            course.save()
    except (OSError, ValueError):
        return


def path_of(run: tuple[int, str]) -> Path:
    """Where that run is kept."""
    process, started = run
    return FOLDER / f"{process}-{started}.json"


class Course:
    """The course of one `dvc repro`.

    Attributes:
        path: of its file.
        stages: in DVC's order, for each the forecast of its seconds by kind.
        due: those that are expected to run.
        after: stage of dvc.yaml -> those that need it.
        ran: those that have begun, in that order: name, when, whether it ended well.
        share: of the whole, the largest that was shown.
    """

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.path = path
        try:
            self.stages = {
                name: {kind: float(seconds[kind]) for kind in TRUST_S if kind in seconds}
                for name, seconds in facts["stages"].items()
            }
            self.due = set(map(str, facts["due"]))
            self.after = {name: set(others) for name, others in facts["after"].items()}
            self.ran = [(str(name), float(at), bool(well)) for name, at, well in facts["ran"]]
            self.share = float(facts["share"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is damaged: {error!r}") from error

    @classmethod
    def of(cls, run: tuple[int, str]) -> Course:
        """The course of this run, from its file, or from the beginning.

        Raises:
            OSError, ValueError: the pipeline cannot be read.
        """
        path = path_of(run)
        if path.is_file():
            return cls.read(path)

        # Only here: it imports much, and reads all of DVC's files.
        from commands.running.forecast import command_line, plan

        forget_others(path)
        return cls(path, {**plan(command_line(run[0])), "ran": [], "share": 0.0})

    @classmethod
    def read(cls, path: Path) -> Course:
        """From its file.

        Raises:
            OSError, ValueError: it cannot be read, or is damaged.
        """
        return cls(path, json.loads(path.read_text(encoding="utf-8")))

    def save(self) -> None:
        """Write its file."""
        facts = {
            "stages": self.stages,
            "due": sorted(self.due),
            "after": {name: sorted(others) for name, others in self.after.items()},
            "ran": self.ran,
            "share": self.share,
        }

        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(facts), encoding="utf-8")
        part.replace(self.path)

    def begin(self, stage: str, now: float) -> str:
        """The line of a stage that begins.

        Args:
            now: seconds, of a clock that all processes share.
        """
        self.stages.setdefault(stage, {})
        self.ran.append((stage, now, False))
        self.due |= {
            name for name in self.stages if group(name) in self.after.get(group(stage), ())
        }

        # What is to come, in seconds as they have turned out so far.
        names = list(self.stages)
        rest = self.due - {name for name, _, _ in self.ran}
        later = [name for name in names[names.index(stage) :] if name in rest]
        factors = self.factors()
        left = sum(
            factors[kind] * seconds
            for name in [stage, *later]
            for kind, seconds in self.stages[name].items()
        )

        # The share of the whole never falls, whatever turns out.
        spent = max(now - self.ran[0][1], 0.0)
        self.share = max(self.share, spent / (spent + left) if spent else 0.0)

        count = f"[{len(self.ran)}/{len(self.ran) + len(later)}]"
        percent = min(int(100 * self.share), 99)
        return f"{count} {stage}: {percent} % done, {about(left)} left"

    def end(self, stage: str) -> None:
        """Note that a stage ended well."""
        if self.ran and self.ran[-1][0] == stage:
            self.ran[-1] = (*self.ran[-1][:2], True)

    def factors(self) -> dict[str, float]:
        """Kind of time -> by how much it takes longer than the forecast says.

        The least squares of what was measured, each stage weighted by 1 / its forecast, with the
        forecast itself as so many seconds of measurement (`TRUST_S`); that of cells is taken to
        fail as that of other stages does. A stage lasts until the next one begins, so that DVC's
        own work is counted.
        """
        # The normal equations.
        products = {(a, b): TRUST_S[a] * (a == b) for a in TRUST_S for b in TRUST_S}
        measured = dict.fromkeys(TRUST_S, 0.0)
        for (name, begun, well), (_, after, _) in zip(self.ran, self.ran[1:], strict=False):
            parts = self.stages[name]
            whole = sum(parts.values())
            if not well or whole <= 0:
                continue
            for a in parts:
                measured[a] += parts[a] * (after - begun) / whole
                for b in parts:
                    products[a, b] += parts[a] * parts[b] / whole

        # Solved for one factor after the other, again and again, none of them below `LEAST`.
        factors = dict.fromkeys(TRUST_S, 1.0)
        for _ in range(SWEEPS):
            for a in TRUST_S:
                expected = TRUST_S[a] * (factors["stage"] if a == "cell" else 1.0)
                others = sum(products[a, b] * factors[b] for b in TRUST_S if b != a)
                factors[a] = max((expected + measured[a] - others) / products[a, a], LEAST)

        return factors


def group(stage: str) -> str:
    """Its name in dvc.yaml: "students" of "students@conv1-1M"."""
    return stage.partition("@")[0]


def forget_others(path: Path) -> None:
    """Remove the files of runs whose process is no longer there."""
    for other in path.parent.glob("*"):
        process = other.name.partition("-")[0]
        if other != path and not (process.isdigit() and alive(int(process))):
            other.unlink(missing_ok=True)


def alive(process: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        pass
    return True
