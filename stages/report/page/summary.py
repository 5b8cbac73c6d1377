"""What the report page says in sentences: a summary made of numbers, and its provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from stages.report.cells import CellResult
from stages.report.page.text import SPACE, counted, fixed, listed, percent, whole
from stages.report.paper import convolutions
from stages.report.words import FAILS, HOLDS, OPEN, UNTESTED

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
    """The cell whose best trial has the lowest validation error, the first of equal ones."""
    return min(cells, key=lambda cell: cell.shown["validation_error"].iloc[0])


def summary(
    data: str,
    tested: str,
    members: int,
    ensemble: float,
    mimic: Sequence[CellResult],
    answers: Mapping[str, Any],
) -> list[str]:
    """Three sentences: the best mimic net beside the ensemble, what convolution gives, the claims.

    Args:
        data: name of the data set.
        tested: 2,000 test images.
        members: of the ensemble.
        ensemble: its test accuracy, a fraction.
        mimic: all mimic cells.
        answers: metrics/claims.json.
    """
    top = best(mimic)
    first = (
        f"On {data} ({tested}) the ensemble of {members} reaches {percent(ensemble, 2)} test "
        f"accuracy; the best mimic net by validation error, {named(top)} with "
        f"{whole(top.params)} parameters, reaches {percent(top.test_accuracy, 2)}, "
        f"{_apart(top.test_accuracy, ensemble)} the ensemble."
    )

    return [first, _convolution(mimic), _claims(answers)]


def named(cell: CellResult) -> str:
    """conv3 at 180k."""
    return f"{cell.row} at {cell.budget}"


def _apart(value: float, other: float) -> str:
    gap = 100 * (value - other)
    if not gap:
        return "exactly as good as"
    return f"{fixed(abs(gap))}{SPACE}points {'above' if gap > 0 else 'below'}"


def _convolution(mimic: Sequence[CellResult]) -> str:
    """How far the best net with convolution is from the best without, each by validation error."""
    with_it = [cell for cell in mimic if convolutions(cell.family)]
    without = [cell for cell in mimic if not convolutions(cell.family)]
    cells = counted(len(mimic), "mimic cell")

    if not with_it or not without:
        kind, other = ("with", "without") if with_it else ("without", "with")
        spread = [cell.test_accuracy for cell in mimic]
        return (
            f"This run has {cells}, all {kind} convolution, so it says nothing about nets {other} "
            f"it; their best trials reach {percent(min(spread), 2)} to {percent(max(spread), 2)}."
        )

    conv = best(with_it)
    plain = best(without)

    gap = _apart(conv.test_accuracy, plain.test_accuracy)
    return (
        f"Of {cells}, the best one with convolution ({named(conv)}, "
        f"{percent(conv.test_accuracy, 2)}) is {gap} the best one without ({named(plain)}, "
        f"{percent(plain.test_accuracy, 2)})."
    )


def _claims(answers: Mapping[str, Any]) -> str:
    """How many of the paper's claims hold, and how many do not."""
    entries = list(answers["claims"].values())
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

    level = percent(answers["level"], 0)
    return (
        f"Of the paper’s {spelled(len(entries))} claims {listed(parts)} "
        f"(verdicts together at {level})."
    )


def spelled(count: int) -> str:
    """Small numbers as words."""
    return SMALL[count] if count < len(SMALL) else str(count)


def provenance(entries: Sequence[Mapping[str, Any]], current: Sequence[str]) -> str:
    """From which commits of the code this run's stages came; empty where nothing is recorded."""
    commits: dict[str, bool] = {}
    for entry in entries:
        if entry.get("commit") and set(entry.get("stages", [])) & set(current):
            commit = entry["commit"][:10]
            commits[commit] = commits.get(commit, False) or bool(entry.get("changed"))

    if not commits:
        return ""

    names = [
        f"{commit}{' with local changes' if changed else ''}" for commit, changed in commits.items()
    ]

    return f"{'commit' if len(names) == 1 else 'commits'} {listed(names)}"
