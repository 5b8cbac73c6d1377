"""What the report page says in sentences: its title, the facts below it, and a summary made of
numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from stages.report.cells import CellResult
from stages.report.figures.style import CONVOLUTIONAL
from stages.report.page.text import SPACE, counted, fixed, listed, percent, whole
from stages.report.verdicts import FAILS, HOLDS, OPEN, UNTESTED

SMALL = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


def best(cells: Sequence[CellResult]) -> CellResult:
    """The cell whose best trial has the lowest validation error, the first of equal ones; one at
    least is needed.
    """
    return min(cells, key=lambda cell: cell.shown["validation_error"].iloc[0])


def summary(
    data: str,
    tested: str,
    members: int,
    ensemble: float,
    mimic: Sequence[CellResult],
    found: Mapping[str, Any],
) -> list[str]:
    """Three sentences: the ensemble and the best mimic net, nets with and without convolution, the
    claims.

    Args:
        tested: 2,000 test images.
        ensemble: its test accuracy, a fraction.
        mimic: all mimic cells.
        found: metrics/claims.json.
    """
    top = best(mimic)
    first = (
        f"On {data} ({tested}) the ensemble of {members} reaches {percent(ensemble, 2)} test "
        f"accuracy; the best mimic net by validation error, {named(top)} with {whole(top.params)} parameters, reaches "
        f"{percent(top.test_accuracy, 2)}, {_apart(top.test_accuracy, ensemble)} the ensemble."
    )
    return [first, _convolution(mimic), _claims(found)]


def named(cell: CellResult) -> str:
    """conv3 at 180k."""
    return f"{cell.row} at {cell.budget}"


def _apart(value: float, other: float) -> str:
    gap = 100 * (value - other)
    return (
        f"{fixed(abs(gap))}{SPACE}points {'above' if gap > 0 else 'below'}"
        if gap
        else "exactly as good as"
    )


def _convolution(mimic: Sequence[CellResult]) -> str:
    """How far the best net with convolution is from the best without, each by validation error."""
    convs = [cell for cell in mimic if cell.row.startswith(CONVOLUTIONAL)]
    plains = [cell for cell in mimic if not cell.row.startswith(CONVOLUTIONAL)]
    cells = f"{counted(len(mimic), 'mimic cell')}, "
    if not convs or not plains:
        kind, other = ("with", "without") if convs else ("without", "with")
        spread = [cell.test_accuracy for cell in mimic]
        return (
            f"This run has {cells}all {kind} convolution, so it says nothing about nets {other} it; their best trials "
            f"reach {percent(min(spread), 2)} to {percent(max(spread), 2)}."
        )
    conv, plain = best(convs), best(plains)
    gap = _apart(conv.test_accuracy, plain.test_accuracy)
    return (
        f"Of {cells}the best one with convolution ({named(conv)}, {percent(conv.test_accuracy, 2)}) is {gap} the best "
        f"one without ({named(plain)}, {percent(plain.test_accuracy, 2)})."
    )


def _claims(found: Mapping[str, Any]) -> str:
    """How many of the paper's claims hold, and how many do not."""
    entries = list(found["claims"].values())
    number = Counter(entry["verdict"] for entry in entries)
    forms = (
        (HOLDS, "holds", "hold"),
        (FAILS, "does not hold", "do not hold"),
        (OPEN, "is undecided at this scale", "are undecided at this scale"),
        (UNTESTED, "was not tested", "were not tested"),
    )
    parts = [
        f"{spelled(number[verdict])} {one if number[verdict] == 1 else many}"
        for verdict, one, many in forms
        if number[verdict]
    ]
    level = percent(found["level"], 0)
    return f"Of the paper’s {spelled(len(entries))} claims {listed(parts)} (verdicts together at {level})."


def spelled(count: int) -> str:
    """Small numbers as words."""
    return SMALL[count] if count < len(SMALL) else str(count)


def provenance(entries: Sequence[Mapping[str, Any]], current: Sequence[str]) -> str:
    """From which commits of the code this run's stages came; empty where nothing is recorded."""
    commits: dict[str, bool] = {}
    for entry in entries:
        if entry.get("commit") and set(entry.get("stages", [])) & set(current):
            commits[entry["commit"][:10]] = commits.get(entry["commit"][:10], False) or bool(
                entry.get("changed")
            )
    names = [
        f"{commit}{' with local changes' if changed else ''}" for commit, changed in commits.items()
    ]
    return f"{'commit' if len(names) == 1 else 'commits'} {listed(names)}" if names else ""
