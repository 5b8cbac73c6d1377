"""Table 1 and Table 2 as data frames and as Markdown, beside the paper's values; used by
tabulate.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pandas as pd

from stages.report.cells import CellResult

BUDGET_2014 = "70.9M"
"""At which `snn-2014` has the printed widths."""
ORDINALS = ("1st", "2nd", "3rd")


def paper_values() -> dict[str, Any]:
    """Table 1 and Table 2 as printed, accuracies in percent (Urban et al. 2017)."""
    return json.loads((resources.files("stages.report") / "paper.json").read_text())


def printed_rows() -> dict[str, Any]:
    """Row -> label and accuracies by budget, as Table 2 prints them; its last line is
    `snn-2014`.
    """
    table, last = paper_values()["table2"], paper_values()["table2"]["reference_row"]
    return {
        **table["rows"],
        "snn-2014": {"label": last["label"], "accuracy": {BUDGET_2014: last["accuracy"]}},
    }


def millions(params: float) -> str:
    """Parameters as the paper prints them: 5.3M; below a million as 30k."""
    return f"{params / 1e6:.3g}M" if params >= 1e6 else f"{params / 1e3:.3g}k"


def teacher_architecture(widths: str) -> str:
    """The paper's shorthand for space-separated widths: '76 126 148 1200' -> 76c²-mp-126c²-mp-....

    Teachers of vectors have fewer: '32 200' -> 32c-mp-200fc³, '200' -> 200fc³.
    """
    match str(widths).split():
        case [c1, c2, c3, fc]:
            return f"{c1}c²-mp-{c2}c²-mp-{c3}c⁴-mp-{fc}fc²"
        case [c1, fc]:
            return f"{c1}c-mp-{fc}fc³"
        case [fc]:
            return f"{fc}fc³"
    raise ValueError(
        f"a teacher has the widths {widths!r}, allowed are 4, 2 or 1: run 'dvc repro teachers'"
    )


LAYOUTS = {4: "c²-mp-c²-mp-c⁴-mp-fc²", 2: "c-mp-fc³", 1: "fc³"}
"""Of teachers, by their number of widths: of images, of vectors with frames, of other vectors."""


def teacher_layout(widths: str) -> str:
    """What teachers with as many space-separated widths have in common, in the shorthand."""
    return LAYOUTS[len(str(widths).split())]


def teacher_depth(widths: str) -> str:
    """The same in words."""
    return {4: "8 conv. layers", 2: "1 conv. layer", 1: "3 hidden layers"}[len(str(widths).split())]


def architecture_2014(widths: str, hidden: int) -> str:
    """The shorthand for the teacher of Ba and Caruana (2014): '128 128 128', 1000 ->
    128c-mp-128c-mp-128c-mp-1000fc.
    """
    return "".join(f"{width}c-mp-" for width in str(widths).split()) + f"{hidden}fc"


def hard_architecture(row: str) -> str:
    """Layers of a convolutional row, as Table 1 prints them (rows 3 and 4 as read, assumption
    1).
    """
    layouts = {
        "conv1": "c-mp-lfc-fc",
        "conv2": "c-mp-c-mp-fc",
        "conv3": "c-mp-c-mp-c-mp-fc",
        "conv4": "c-mp-c-c-mp-c-mp-fc",
        "conv1-plain": "c-mp-fc",
        "snn-2014": "c-mp-lfc-fc",
        "cnn-2014": "c-mp-c-mp-c-mp-fc",
    }
    return layouts.get(row, row)


def table1(
    hard: list[CellResult],
    teachers: pd.DataFrame,
    ensemble: dict[str, float],
    members: int,
    comparable: bool,
    earlier: list[CellResult] | tuple[()] = (),
) -> pd.DataFrame:
    """Accuracy of nets trained on the true labels, and of the ensemble.

    Args:
        hard: the hard-label cells.
        teachers: the teachers' trial table; the three best by validation error are shown.
        ensemble: `test_accuracy` (fraction) and `params`.
        members: nets in the ensemble.
        comparable: whether this run's data are the paper's; if so, `difference` is given.
        earlier: cells of the teacher of Ba and Caruana (2014), with what they say of their
        ensemble.

    Returns:
        columns model, architecture, params, accuracy_pct, paper_pct, difference_pct.
    """
    printed = {entry["model"]: entry for entry in paper_values()["table1"]}
    rows: list[tuple[str, str, float, float, dict[str, Any] | None]] = []
    for cell in hard:
        depth = cell.row.removeprefix("conv")
        name = f"{depth} conv. layer{'s' if depth != '1' else ''}" if depth.isdigit() else cell.row
        at = printed.get(f"{depth} conv. layer") if cell.budget == "10M" or not comparable else None
        label = name if at and comparable else f"{name}, {cell.budget}"
        rows.append((label, hard_architecture(cell.row), cell.params, cell.test_accuracy, at))
    best = teachers.dropna(subset=["validation_error"])
    best = best.sort_values(["validation_error", "trial"], kind="stable").head(len(ORDINALS))
    layout = teacher_layout(best["widths"].iloc[0])
    of_images = layout == LAYOUTS[4]  # others the paper does not have
    kind, kinds = ("Teacher CNN", "CNNs") if of_images else ("Teacher", "nets")
    for ordinal, (_, entry) in zip(ORDINALS, best.iterrows(), strict=False):
        name = f"{kind} {ordinal}"
        architecture = teacher_architecture(entry["widths"])
        rows.append(
            (name, architecture, entry["params"], entry["test_accuracy"], printed.get(name))
        )
    facts = (
        ensemble["params"],
        ensemble["test_accuracy"],
        printed["Ensemble of 16 CNNs"] if of_images else None,
    )
    rows.append((f"Ensemble of {members} {kinds}", layout, *facts))
    for cell in earlier:
        own, count = cell.facts, int(cell.facts["members"])
        architecture = architecture_2014(
            cell.shown["widths"].iloc[0], int(cell.shown["dependent"].iloc[0])
        )
        first, both = (
            printed["Teacher CNN (Ba & Caruana 2014)"],
            printed["Ensemble, 4 CNNs (Ba & Caruana 2014)"],
        )
        rows.append((first["model"], architecture, cell.params, cell.test_accuracy, first))
        name = f"Ensemble, {count} CNNs (Ba & Caruana 2014)"
        rows.append(
            (name, architecture, own["ensemble_params"], own["ensemble_test_accuracy"], both)
        )
    frame = pd.DataFrame(
        [
            (n, a, int(p), 100 * t, at["test_accuracy_pct"] if at else None)
            for n, a, p, t, at in rows
        ],
        columns=["model", "architecture", "params", "accuracy_pct", "paper_pct"],
    )
    return _difference(frame, comparable)


def table2(cells: list[CellResult], comparable: bool) -> pd.DataFrame:
    """Test accuracy of the mimic nets, one line a cell.

    Returns:
        columns row, label, budget, params, accuracy_pct, paper_pct, difference_pct; the paper's
        value is
        empty where the paper has no such row or budget.
    """
    printed = printed_rows()
    lines = []
    for cell in cells:
        at = printed.get(cell.row, {"label": cell.row, "accuracy": {}})
        paper = at["accuracy"].get(cell.budget)
        lines.append(
            (cell.row, at["label"], cell.budget, cell.params, 100 * cell.test_accuracy, paper)
        )
    columns = ["row", "label", "budget", "params", "accuracy_pct", "paper_pct"]
    return _difference(pd.DataFrame(lines, columns=columns), comparable)


def _difference(frame: pd.DataFrame, comparable: bool) -> pd.DataFrame:
    paper = pd.to_numeric(frame["paper_pct"])
    frame["accuracy_pct"] = frame["accuracy_pct"].round(2)
    frame["paper_pct"] = paper
    frame["difference_pct"] = (
        (frame["accuracy_pct"] - paper).round(2) if comparable else float("nan")
    )
    return frame


def nested(
    cells: list[CellResult],
    hard: list[CellResult],
    teachers: dict[str, float],
    ensemble: dict[str, float],
) -> dict[str, dict[str, float]]:
    """row -> budget -> test accuracy in per cent, the form in which `dvc exp diff` prints Table
    2.
    """
    out: dict[str, dict[str, float]] = {}
    for prefix, group in (("", cells), ("hard-", hard)):
        for cell in group:
            out.setdefault(prefix + cell.row, {})[cell.budget] = round(100 * cell.test_accuracy, 2)
    out["teacher"] = {"best": round(100 * teachers["test_accuracy"], 2)}
    out["ensemble"] = {"test": round(100 * ensemble["test_accuracy"], 2)}
    return out


def markdown1(frame: pd.DataFrame, caption: str, comparable: bool) -> str:
    """Table 1 as Markdown."""
    head = ["Model", "Architecture", "# parameters", "Accuracy", "Paper (CIFAR-10)"]
    lines = []
    for entry in frame.itertuples():
        line = [
            entry.model,
            entry.architecture,
            millions(entry.params),
            per_cent(entry.accuracy_pct),
        ]
        lines.append(
            [
                *line,
                per_cent(entry.paper_pct),
                *([_signed(entry.difference_pct)] if comparable else []),
            ]
        )
    return markdown(caption, [*head, *(["Difference"] if comparable else [])], lines, words=2)


def markdown2(frame: pd.DataFrame, caption: str, comparable: bool) -> str:
    """Table 2 as Markdown: a line a row, a column a budget, the paper's value and the difference
    beside it.

    Where no budget of the run is one of the paper's, one column gives the paper's range from 1M to
    31.6M.
    """
    printed = printed_rows()
    budgets = list(dict.fromkeys(frame["budget"]))
    shared = [
        budget for budget in budgets if frame.loc[frame.budget == budget, "paper_pct"].notna().any()
    ]
    head = [""]
    for budget in budgets:
        head.append(budget)
        if budget in shared:
            head += [f"paper {budget}", *(["difference"] if comparable else [])]
    if not shared:
        head.append("paper, 1M to 31.6M (CIFAR-10)")
    lines = []
    for row, group in frame.groupby("row", sort=False):
        line = [group["label"].iloc[0]]
        by_budget = group.set_index("budget")
        for budget in budgets:
            entry = by_budget.reindex([budget]).iloc[0]  # a row of 2014 has a budget of its own
            line.append(per_cent(entry.accuracy_pct))
            if budget in shared:
                line += [
                    per_cent(entry.paper_pct),
                    *([_signed(entry.difference_pct)] if comparable else []),
                ]
        if not shared:
            values = [
                f"{value:.1f}" for value in printed.get(row, {"accuracy": {}})["accuracy"].values()
            ]
            line.append(
                " to ".join(dict.fromkeys([*values[:1], *values[-1:]])) + "\u00a0%"
                if values
                else ""
            )
        lines.append(line)
    return markdown(caption, head, lines)


def markdown(caption: str, head: list[str], lines: list[list[str]], words: int = 1) -> str:
    """A Markdown table under its caption; the first `words` columns hold words, the others
    numbers.
    """
    rule = ["---"] * words + ["---:"] * (len(head) - words)
    body = "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines])
    return f"{caption}\n\n{body}\n"


def per_cent(value: float | None, digits: int = 2) -> str:
    """79.20 %, with a space at which no line breaks, from a number in per cent; empty where there
    is none.
    """
    return "" if value is None or pd.isna(value) else f"{value:.{digits}f}\u00a0%"


def _signed(value: float) -> str:
    return "" if pd.isna(value) else f"{value:+.2f}"
