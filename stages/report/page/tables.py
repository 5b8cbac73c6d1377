"""Tables of the report page as plain lines of text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from stages.report.cells import CellResult
from stages.report.page.text import DASH, fixed, percent, signed, whole
from stages.report.paper import paper_values
from stages.report.tables import millions, printed_accuracies
from stages.settings.groups import CellName

Row = dict[str, Any]


def first(frame: pd.DataFrame, comparable: bool) -> Row:
    """Table 1: `head` and `lines` of text, with differences if this run's data are the paper's."""
    difference = ["Difference"] if comparable else []
    head = ["Model", "Accuracy", "Paper", *difference, "Parameters", "Architecture"]

    lines = []
    for entry in frame.itertuples():
        numbers = [fixed(entry.accuracy_pct), fixed(entry.paper_pct)]
        if comparable:
            numbers.append(signed(entry.difference_pct))
        lines.append([entry.model, *numbers, millions(entry.params), entry.architecture])

    return {"head": head, "lines": lines, "last": len(head) - 1}


def second(frame: pd.DataFrame, comparable: bool) -> Row:
    """Table 2: a line a row, this run's budgets and then the paper's.

    `lines` have `name`, `own` (accuracy, and the difference to the paper where there is one) and
    `paper`.
    """
    budgets = list(dict.fromkeys(frame["budget"]))
    printed = {
        row: printed_accuracies(str(row), group["label"].iloc[0])
        for row, group in frame.groupby("row", sort=False)
    }

    of_rows = [budget for accuracies in printed.values() for budget in accuracies]
    paper = list(dict.fromkeys([*paper_values()["table2"]["budgets"], *of_rows]))

    lines = []
    for row, group in frame.groupby("row", sort=False):
        by_budget = group.set_index("budget")
        lines.append(
            {
                "name": group["label"].iloc[0],
                "own": [_accuracy(by_budget, budget, comparable) for budget in budgets],
                "paper": [fixed(printed[row].get(budget), 1) for budget in paper],
            }
        )

    return {"budgets": budgets, "paper": paper, "lines": lines}


def _accuracy(by_budget: pd.DataFrame, budget: str, comparable: bool) -> dict[str, str]:
    """One accuracy of Table 2 and its difference to the paper, both as text."""
    if budget not in by_budget.index:
        return {"text": DASH, "difference": ""}

    entry = by_budget.loc[budget]
    known = comparable and not pd.isna(entry["difference_pct"])
    return {
        "text": fixed(entry["accuracy_pct"]),
        "difference": signed(entry["difference_pct"]) if known else "",
    }


def cost(stages: Mapping[str, Sequence[CellResult]], examples: int) -> list[list[str]]:
    """What the trial tables say that each stage did: a line a stage.

    Args:
        stages: stage -> its cells; the teachers are one.
        examples: of the training split.
    """

    lines = []
    for stage, cells in stages.items():
        trials = pd.concat([cell.trials for cell in cells], ignore_index=True)
        runs = [cell.retrained for cell in cells]
        again = sum(run["epochs"].sum() for run in runs if "epochs" in run)
        epochs = trials["epochs"].sum() + again

        failed = int(trials["validation_error"].isna().sum())

        counts = [len(cells), len(trials), failed, sum(map(len, runs)), epochs]
        passed = f"{epochs * examples / 1e6:,.2f} million"
        lines.append([stage, *map(whole, counts), passed])

    return lines


def environments(entries: Sequence[Mapping[str, Any]], current: Sequence[str]) -> list[Row]:
    """metrics/environment.json: `stages`, and `facts` of name and text.

    Args:
        current: names of this run's stages; others are left out.
    """
    rows = []
    for entry in entries:
        stages = [str(name) for name in entry.get("stages", []) if name in current]
        if stages:
            rows.append({"stages": stages, "facts": _facts(entry)})
    return rows


def _facts(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    changed = ", with changes to code or parameters" if entry.get("changed") else ""
    commit = f"{entry['commit']}{changed}" if entry.get("commit") else "not known"

    facts = {"commit": commit}
    facts |= {
        name: _text(value)
        for name, value in entry.items()
        if name not in ("stages", "changed", "commit")
    }

    # A switch for GPUs; "no" alone reads as results that vary.
    if entry.get("device") == "cpu" and entry.get("deterministic_algorithms") is False:
        facts["deterministic_algorithms"] = "no (a CPU needs none)"

    return list(facts.items())


def _text(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case Mapping():
            return ", ".join(f"{name} {entry}" for name, entry in value.items())

    return str(value)


def parameters(params: Mapping[str, Any]) -> list[Row]:
    """Sections of params.yaml: `name`, and `lines` of a value's path and text.

    Paths are those that `dvc exp run -S` takes.
    """
    return [{"name": name, "lines": _flat(name, section)} for name, section in params.items()]


def _flat(path: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping) and set(value) >= {"low", "high"}:
        more = [name for name in ("log", "integer") if value.get(name)]
        return [(path, ", ".join([f"{value['low']} to {value['high']}", *more]))]

    if isinstance(value, Mapping) and value:
        return [line for name, entry in value.items() for line in _flat(f"{path}.{name}", entry)]
    return [(path, value if isinstance(value, str) else json.dumps(value))]


def numbers(frame: pd.DataFrame) -> Row:
    """The numbers of Figure 1 as text."""
    head = [
        "Net",
        "Parameters",
        "Trials shown",
        "Mean",
        "Best by validation",
        "Fifth, or last of fewer",
    ]

    lines = [
        [
            CellName(e.target, e.row, e.budget).words,
            whole(e.params),
            whole(e.trials_shown),
            percent2(e.mean),
            percent2(e.best),
            percent2(e.fifth),
        ]
        for e in frame.itertuples()
    ]

    return {"head": head, "lines": lines, "words": 1}


def fidelity(frame: pd.DataFrame) -> Row:
    """metrics/fidelity.csv as text; `net` is a column of names."""
    head = [
        "Net",
        "Parameters",
        "Accuracy",
        "Same class as the ensemble",
        "KL, nats",
        "Logit L2",
        "NLL, nats",
        "ECE",
    ]

    lines = [
        [
            e.net,
            whole(e.params),
            percent2(e.accuracy),
            percent2(e.agreement),
            fixed(e.kl, 3),
            fixed(e.logit_l2),
            fixed(e.nll, 3),
            percent2(e.ece),
        ]
        for e in frame.itertuples()
    ]

    return {"head": head, "lines": lines, "words": 1}


def calibration(frame: pd.DataFrame) -> Row:
    """metrics/calibration.csv as text."""
    bins = frame.rename(columns={"count": "images"})
    lines = [
        [e.net, percent2(e.confidence), percent2(e.accuracy), whole(e.images)]
        for e in bins.itertuples()
    ]

    return {
        "head": ["Net", "Mean confidence", "Accuracy", "Test images"],
        "lines": lines,
        "words": 1,
    }


def percent2(share: float | None) -> str:
    """A fraction in per cent with two decimals."""
    return percent(share, 2)
