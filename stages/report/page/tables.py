"""Tables of the report page as plain lines of text: Table 1, Table 2, Figure 1, fidelity, cost,
environment, params.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from stages.report.cells import CellResult
from stages.report.page.text import DASH, fixed, percent, signed, whole
from stages.report.tables import millions, paper_values, printed_rows

Row = dict[str, Any]


def first(frame: pd.DataFrame, comparable: bool) -> Row:
    """Table 1: `head` and `lines` of text, differences only where this run's data are the
    paper's.
    """
    head = [
        "Model",
        "Accuracy",
        "Paper",
        *(["Difference"] if comparable else []),
        "Parameters",
        "Architecture",
    ]
    lines = []
    for entry in frame.itertuples():
        numbers = [fixed(entry.accuracy_pct), fixed(entry.paper_pct)]
        numbers += [signed(entry.difference_pct)] if comparable else []
        lines.append([entry.model, *numbers, millions(entry.params), entry.architecture])
    return {"head": head, "lines": lines, "last": len(head) - 1}


def second(frame: pd.DataFrame, comparable: bool) -> Row:
    """Table 2: a line a row, this run's budgets and then the paper's.

    `lines` have `name`, `own` (accuracy, and the difference to the paper where there is one) and
    `paper`.
    """
    printed, lines = printed_rows(), []
    budgets = list(dict.fromkeys(frame["budget"]))
    own_rows = [_printed(printed, row) for row in dict.fromkeys(frame["row"])]
    paper = list(
        dict.fromkeys(
            [*paper_values()["table2"]["budgets"], *(budget for row in own_rows for budget in row)]
        )
    )
    for row, group in frame.groupby("row", sort=False):
        found = group.set_index("budget")
        own = []
        for budget in budgets:
            entry = found.loc[budget] if budget in found.index else None
            difference = None if entry is None or not comparable else entry["difference_pct"]
            own.append(
                {
                    "text": DASH if entry is None else fixed(entry["accuracy_pct"]),
                    "difference": ""
                    if difference is None or pd.isna(difference)
                    else signed(difference),
                }
            )
        values = _printed(printed, str(row))
        lines.append(
            {
                "name": group["label"].iloc[0],
                "own": own,
                "paper": [fixed(values.get(b), 1) for b in paper],
            }
        )
    return {"budgets": budgets, "paper": paper, "lines": lines}


def _printed(printed: Mapping[str, Any], row: str) -> dict[str, float]:
    return printed[row]["accuracy"] if row in printed else {}


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
        epochs = trials["epochs"].sum() + sum(
            run["epochs"].sum() for run in runs if "epochs" in run
        )
        failed = int(trials["validation_error"].isna().sum())
        passed = f"{epochs * examples / 1e6:,.2f} million"
        counts = [len(cells), len(trials), failed, sum(map(len, runs)), epochs]
        lines.append([stage, *map(whole, counts), passed])
    return lines


def environments(entries: Sequence[Mapping[str, Any]], current: Sequence[str]) -> list[Row]:
    """metrics/environment.json, without stages that this run no longer has: `stages`, and `facts`
    of name and text.

    Args:
        current: names of this run's stages.
    """
    found = []
    for entry in entries:
        stages = [str(name) for name in entry.get("stages", []) if name in current]
        if stages:
            rest = {
                name: value
                for name, value in entry.items()
                if name not in ("stages", "changed", "commit")
            }
            facts = [(name, _text(value)) for name, value in rest.items()]
            if entry.get("device") == "cpu" and entry.get("deterministic_algorithms") is False:
                spare = "deterministic_algorithms"  # a switch for GPUs; "no" alone reads as results that vary
                facts = [
                    (name, "no (a CPU needs none)" if name == spare else text)
                    for name, text in facts
                ]
            changed = ", with changes to code or parameters" if entry.get("changed") else ""
            commit = f"{entry['commit']}{changed}" if entry.get("commit") else "not known"
            found.append({"stages": stages, "facts": [("commit", commit), *facts]})
    return found


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {entry}" for name, entry in value.items())
    return (
        "none"
        if value is None
        else str(value)
        if not isinstance(value, bool)
        else "yes"
        if value
        else "no"
    )


def parameters(params: Mapping[str, Any]) -> list[Row]:
    """Sections of params.yaml: `name`, and `lines` of a value's path, as `dvc exp run -S` takes it,
    and its text.
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
            f"{e.target} {e.row} {e.budget}",
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
