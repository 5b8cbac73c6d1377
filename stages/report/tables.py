"""Table 1 and Table 2 as data frames and as Markdown, beside the paper's values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from stages.nets.families import FAMILIES
from stages.report.cells import CellResult, origin_words
from stages.report.paper import convolutions, of_the_paper, paper_values, printed_rows

ORDINALS = ("1st", "2nd", "3rd")


def millions(params: float) -> str:
    """Parameters as the paper prints them: 5.3M; below a million as 30k; empty where none are known."""
    if not params:
        return ""
    return f"{params / 1e6:.3g}M" if params >= 1e6 else f"{params / 1e3:.3g}k"


def teacher_architecture(widths: str) -> str:
    """The paper's shorthand for space-separated widths: '76 126 148 1200' -> 76c²-mp-126c²-mp-....

    Fast teachers have three, bn stands for batch norm and gmp for a global max-pool:
    '64 256 256' -> 64c-mp-64c-256c-mp-256c-256c-mp-256c-gmp, bn. Teachers of vectors have fewer:
    '32 200' -> 32c-mp-200fc³, '200' -> 200fc³.
    """
    match str(widths).split():
        case [c1, c2, c3, fc]:
            return f"{c1}c²-mp-{c2}c²-mp-{c3}c⁴-mp-{fc}fc²"
        case [_, _, _] as blocks:
            return "-".join(f"{width}c-mp-{width}c" for width in blocks) + "-gmp, bn"
        case [c1, fc]:
            return f"{c1}c-mp-{fc}fc³"
        case [fc]:
            return f"{fc}fc³"

    raise ValueError(
        f"a teacher has the widths {widths!r}, allowed are 1 to 4: run 'dvc repro teachers'"
    )


LAYOUTS = {
    4: "c²-mp-c²-mp-c⁴-mp-fc²",
    3: "(c-mp-c)³-gmp, bn",
    2: "c-mp-fc³",
    1: "fc³",
}
"""Of teachers, by their number of widths: of images, fast ones, of vectors with frames, of others."""
KINDS = {LAYOUTS[4]: "Teacher CNN", LAYOUTS[3]: "Fast teacher CNN"}
"""What teachers of images are called in Table 1, by their layout."""
DEPTHS = {
    4: "8 conv. layers",
    3: "6 conv. layers, batch norm",
    2: "1 conv. layer",
    1: "3 hidden layers",
}
"""Of teachers in words, by their number of widths."""


def teacher_layout(widths: str) -> str:
    """What teachers with as many space-separated widths have in common, in the shorthand."""
    return LAYOUTS[len(str(widths).split())]


def teacher_depth(widths: str) -> str:
    """Of teachers in words, by their number of widths."""
    return DEPTHS[len(str(widths).split())]


def architecture_2014(widths: str, hidden: int) -> str:
    """The shorthand for a net of Ba and Caruana (2014): '128 64', 1000 -> 128c-mp-64c-mp-1000fc."""
    return "".join(f"{width}c-mp-" for width in str(widths).split()) + f"{hidden}fc"


def architecture(family: str) -> str:
    """Layers of a family with convolution, in the shorthand; of others the family's name.

    Table 1 prints rows 3 and 4 otherwise; they are as read (assumption 1).
    """
    net = FAMILIES[family]
    if not net.layout:
        return family

    layers = [{"c": "c", "p": "mp"}[letter] for letter in net.layout]
    if net.bottleneck:
        layers.append("lfc")

    return "-".join([*layers, *["fc"] * net.hidden])


def table1(
    hard: list[CellResult],
    teachers: pd.DataFrame | None,
    ensemble: Mapping[str, Any],
    members: int,
    comparable: bool,
    earlier: list[CellResult] | tuple[()] = (),
) -> pd.DataFrame:
    """Accuracy of nets trained on the true labels, and of the ensemble.

    Args:
        hard: the hard-label cells.
        teachers: the teachers' trial table; the three best by validation error are shown. None
            where nothing was searched.
        ensemble: `test_accuracy` (fraction) and `params`; `nets` where some are of files.
        members: nets in the ensemble.
        comparable: whether this run's data are the paper's; if so, `difference` is given.
        earlier: cells of the teacher of Ba and Caruana (2014), with what they say of their
            ensemble.

    Returns:
        columns model, architecture, params, accuracy_pct, paper_pct, difference_pct.
    """
    printed = {entry["model"]: entry for entry in paper_values()["table1"]}
    rows: list[tuple[str, str, float, float, dict[str, Any] | None]] = []

    # Students on hard labels; the paper's values are those of 10M parameters.
    for cell in hard:
        depth = _depth(cell)
        name = f"{depth} conv. layer{'s' if depth > 1 else ''}" if depth else cell.row
        at = None
        if cell.budget == "10M" or not comparable:
            at = printed.get(f"{depth} conv. layer")
        label = name if at and comparable else f"{name}, {cell.budget}"
        rows.append((label, architecture(cell.family), cell.params, cell.test_accuracy, at))

    # The best teachers and their ensemble; the paper has no fast ones, nor any of vectors or files.
    layout = ""
    if teachers is not None:
        best = teachers.dropna(subset=["validation_error"])
        best = best.sort_values(["validation_error", "trial"], kind="stable").head(len(ORDINALS))
        layout = teacher_layout(best["widths"].iloc[0])

        kind = KINDS.get(layout, "Teacher")
        for ordinal, (_, entry) in zip(ORDINALS, best.iterrows(), strict=False):
            name = f"{kind} {ordinal}"
            shape = teacher_architecture(entry["widths"])
            rows.append((name, shape, entry["params"], entry["test_accuracy"], printed.get(name)))

    outside = [net for net in ensemble.get("nets", []) if "name" in net]
    for net in outside:
        what = "Logits from elsewhere" if net["format"] == "logits" else "Teacher from a file"
        name = f"{what}: {net['name']}"
        rows.append((name, net["format"], net["params"], net["test_accuracy"], None))

    of_images = layout in KINDS and not outside
    name = f"Ensemble of {members} {'CNNs' if of_images else 'nets'}"
    at = printed["Ensemble of 16 CNNs"] if layout == LAYOUTS[4] and not outside else None
    layout = origin_words(ensemble) or layout
    rows.append((name, layout, ensemble["params"], ensemble["test_accuracy"], at))

    # The teacher of 2014 and its ensemble.
    for cell in earlier:
        hidden = int(cell.shown["dependent"].iloc[0])
        shape = architecture_2014(cell.shown["widths"].iloc[0], hidden)
        at = printed["Teacher CNN (Ba & Caruana 2014)"]
        rows.append((at["model"], shape, cell.params, cell.test_accuracy, at))

        scores = cell.facts
        name = f"Ensemble, {int(scores['members'])} CNNs (Ba & Caruana 2014)"
        at = printed["Ensemble, 4 CNNs (Ba & Caruana 2014)"]
        params = scores["ensemble_params"]
        rows.append((name, shape, params, scores["ensemble_test_accuracy"], at))

    # Accuracies in per cent.
    lines = [
        (name, shape, int(params), 100 * accuracy, at["test_accuracy_pct"] if at else None)
        for name, shape, params, accuracy, at in rows
    ]
    columns = ["model", "architecture", "params", "accuracy_pct", "paper_pct"]
    return _difference(pd.DataFrame(lines, columns=columns), comparable)


def _depth(cell: CellResult) -> int:
    """Convolutional layers of a row that is named after them, as `conv2`; 0 for other rows."""
    depth = convolutions(cell.family)
    return depth if cell.row == f"conv{depth}" else 0


def table2(cells: list[CellResult], comparable: bool) -> pd.DataFrame:
    """Test accuracy of the mimic nets, one line a cell.

    Returns:
        columns row, label, budget, params, accuracy_pct, paper_pct, difference_pct; the paper's
            value is empty where the paper has no such row or budget.
    """
    printed = printed_rows()

    lines = []
    for cell in cells:
        label = printed[cell.row]["label"] if of_the_paper(cell.row, cell.family) else cell.row
        paper = printed_accuracies(cell.row, label).get(cell.budget)
        lines.append((cell.row, label, cell.budget, cell.params, 100 * cell.test_accuracy, paper))

    columns = ["row", "label", "budget", "params", "accuracy_pct", "paper_pct"]
    return _difference(pd.DataFrame(lines, columns=columns), comparable)


def printed_accuracies(row: str, label: str) -> dict[str, float]:
    """The paper's line of Table 2 for a line of `table2`, by budget; empty if it has none."""
    entry = printed_rows().get(row)
    return entry["accuracy"] if entry and entry["label"] == label else {}


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
    teachers: Mapping[str, float] | None,
    ensemble: Mapping[str, Any],
) -> dict[str, dict[str, float]]:
    """row -> budget -> test accuracy in per cent, the form of Table 2 in `dvc exp diff`."""
    out: dict[str, dict[str, float]] = {}
    for prefix, group in (("", cells), ("hard-", hard)):
        for cell in group:
            out.setdefault(prefix + cell.row, {})[cell.budget] = round(100 * cell.test_accuracy, 2)

    if teachers is not None:
        out["teacher"] = {"best": round(100 * teachers["test_accuracy"], 2)}
    out["ensemble"] = {"test": round(100 * ensemble["test_accuracy"], 2)}
    return out


def markdown1(frame: pd.DataFrame, caption: str, comparable: bool) -> str:
    """Table 1 as Markdown."""
    head = ["Model", "Architecture", "# parameters", "Accuracy", "Paper (CIFAR-10)"]
    if comparable:
        head.append("Difference")

    lines = []
    for entry in frame.itertuples():
        line = [entry.model, entry.architecture, millions(entry.params)]
        line += [per_cent(entry.accuracy_pct), per_cent(entry.paper_pct)]
        if comparable:
            line.append(_signed(entry.difference_pct))
        lines.append(line)

    return markdown(caption, head, lines, words=2)


def markdown2(frame: pd.DataFrame, caption: str, comparable: bool) -> str:
    """Table 2 as Markdown: a line a row, a column a budget, the paper's value and the difference.

    Where no budget of the run is one of the paper's, one column gives the paper's range from 1M to
    31.6M.
    """
    budgets = list(dict.fromkeys(frame["budget"]))
    shared = [
        budget for budget in budgets if frame.loc[frame.budget == budget, "paper_pct"].notna().any()
    ]

    # The head.
    head = [""]
    for budget in budgets:
        head.append(budget)
        if budget in shared:
            head += [f"paper {budget}", *(["difference"] if comparable else [])]

    if not shared:
        head.append("paper, 1M to 31.6M (CIFAR-10)")

    # A line a row; a row of 2014 has a budget that the others do not have.
    lines = []
    for row, group in frame.groupby("row", sort=False):
        label = group["label"].iloc[0]
        line = [label]
        by_budget = group.set_index("budget")

        for budget in budgets:
            entry = by_budget.reindex([budget]).iloc[0]
            line.append(per_cent(entry.accuracy_pct))
            if budget in shared:
                line.append(per_cent(entry.paper_pct))
                line += [_signed(entry.difference_pct)] if comparable else []

        if not shared:
            line.append(_range(printed_accuracies(str(row), label)))

        lines.append(line)

    return markdown(caption, head, lines)


def _range(accuracies: dict[str, float]) -> str:
    """65.8 to 70.2 %, the first and the last; empty where there are none."""
    if not accuracies:
        return ""
    values = [f"{value:.1f}" for value in accuracies.values()]
    return " to ".join(dict.fromkeys([values[0], values[-1]])) + "\u00a0%"


def markdown(caption: str, head: list[str], lines: list[list[str]], words: int = 1) -> str:
    """A Markdown table under its caption; its first `words` columns are words, the rest numbers."""
    rule = ["---"] * words + ["---:"] * (len(head) - words)
    body = "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines])
    return f"{caption}\n\n{body}\n"


def per_cent(value: float | None, digits: int = 2) -> str:
    """79.20 %, with a no-break space, from a number in per cent; empty where there is none."""
    return "" if value is None or pd.isna(value) else f"{value:.{digits}f}\u00a0%"


def _signed(value: float) -> str:
    return "" if pd.isna(value) else f"{value:+.2f}"
