"""What a check of the repository found: problems with their remedies, what could not be checked."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Remedy:
    """Files to remove, then commands to run, in this order."""

    remove: tuple[str, ...] = ()
    run: tuple[str, ...] = ()

    def __str__(self) -> str:
        commands = list(self.run)
        if self.remove:
            commands.insert(0, f"rm -rf {' '.join(map(shlex.quote, self.remove))}")
        return " && ".join(commands)


def join(remedies: Iterable[Remedy]) -> Remedy:
    """All remedies in one: first everything that is removed, then each command once.

    `dvc commit` comes before what makes files again.
    """
    remedies = list(remedies)
    remove = dict.fromkeys(path for remedy in remedies for path in remedy.remove)
    run = dict.fromkeys(command for remedy in remedies for command in remedy.run)
    return Remedy(tuple(remove), tuple(sorted(run, key=_rank)))


def _rank(command: str) -> int:
    order = ("dvc commit", "dvc checkout", "dvc pull", "dvc repro -f", "dvc repro ")
    places = (place for place, start in enumerate(order) if command.startswith(start))
    return next(places, len(order))


@dataclass
class Findings:
    """Problems by file, each with all that was found about it and the first remedy given for it."""

    problems: dict[str, tuple[list[str], Remedy]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def problem(self, path: Path | str, what: str, remedy: Remedy) -> None:
        """Note what is wrong with `path`, and its remedy, unless it has one already."""
        whats, _ = self.problems.setdefault(str(path), ([], remedy))
        if what not in whats:
            whats.append(what)

    def checked(self) -> str:
        """What was looked at, in words; empty if nothing was."""
        return ", ".join(
            f"{count} {name}" for name, count in self.counts.items() if count and name != "bytes"
        )

    def summary(self, seconds: float) -> str:
        """The last line."""
        if not self.checked():
            return (
                "verify: nothing was checked; 'dvc repro' makes the data, 'dvc pull' fetches them"
            )

        count = len(self.problems)
        verdict = f"{count or 'no'} problem{'' if count == 1 else 's'} found"
        megabytes = self.counts["bytes"] / 1e6
        return (
            f"verify: {verdict}; checked {self.checked()}; "
            f"{megabytes:.1f} MB hashed, {seconds:.1f} s"
        )

    def lines(self) -> list[str]:
        """One line for each problem and each note, then one that fixes everything."""
        lines = [
            f"problem: {path}: {'; '.join(whats)} | fix: {remedy}"
            for path, (whats, remedy) in self.problems.items()
        ]
        lines += [f"note: {note}" for note in self.notes]
        if len(self.problems) > 1:
            lines.append(f"fix all: {join(remedy for _, remedy in self.problems.values())}")
        return lines
