"""Figure 1 of the report page: accuracy against parameters, each cell with all that it is.

The paper's values (Urban et al. 2017, Table 1 and Table 2) are further lines, hidden until they are
switched on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from stages.report.cells import CellResult
from stages.report.figures.colors import REACH
from stages.report.page.charts import INK, MUTED, Chart, axis, key, layout, series, styles
from stages.report.page.searches import hyperparameters
from stages.report.page.text import SPACE, brief, counted, drawn, fixed, percent, whole
from stages.report.paper import label, paper_values
from stages.settings.budgets import parse_budget
from stages.settings.groups import CellName

HARD = "hard"
ENSEMBLE = "ensemble"
PAPER = "paper"
"""Groups of the legend besides the rows."""
DOTTED = {"color": MUTED, "dash": "dot", "width": 1.6}
"""The line of an ensemble."""

Cells = Mapping[CellName, CellResult]
Form = Mapping[str, tuple[str, str]]
"""Row -> colour and symbol."""


def chosen(cell: CellResult) -> list[tuple[str, str]]:
    """What a cell is, name and value as text: its trials, and the best trial's hyperparameters."""
    best = cell.shown.iloc[0]
    failed = int(cell.trials["validation_error"].isna().sum())

    facts = [
        ("test accuracy", percent(best["test_accuracy"], 2)),
        ("validation error", percent(best["validation_error"], 2)),
        ("trials", f"{whole(len(cell.trials))}{f', {failed} failed' if failed else ''}"),
        ("parameters", whole(cell.params)),
        ("widths", widths(best)),
    ]

    # Widths and their ratios are given above.
    names = [
        name
        for name in hyperparameters(cell.trials)
        if not (name[0] in "CHr" and name[-1].isdigit())
    ]
    return facts + [(name, brief(best[name])) for name in names if pd.notna(best[name])]


def widths(trial: Any) -> str:
    """A trial's widths as the search chose them, and the dependent one that fills the budget."""
    searched = str(trial["widths"]).replace(" ", ", ")

    dependent = trial.get("dependent")
    if dependent is None or pd.isna(dependent):
        return searched
    return f"{searched}; dependent: {' '.join(str(dependent).removesuffix('.0').split())}"


def hover(entry: Any, cell: CellResult, where: str) -> str:
    """What stands beside a point."""
    name = drawn(label(entry.row, cell.family))
    trials = counted(entry.trials_shown, "best trial")

    lines = [
        f"<b>{name}, {drawn(entry.budget)}</b>{where}",
        f"mean of the {trials}: {percent(entry.mean, 2)}",
        "best trial by validation error:",
        *(f"{drawn(name)}: {drawn(value)}" for name, value in chosen(cell)),
    ]
    return "<br>".join(lines)


def figure1(
    numbers: pd.DataFrame,
    cells: Cells,
    families: Mapping[str, str],
    ensemble: float,
    members: int,
) -> Chart:
    """Mean, best and last of each cell's best trials; hard labels; the ensemble; the paper.

    Args:
        numbers: metrics/figure1.csv.
        cells: those of the figure.
        families: row -> the family of its nets.
        ensemble: its test accuracy, a fraction.
        members: of the ensemble.
    """
    mimic = numbers[numbers["target"] == "mimic"]
    hard = numbers[numbers["target"] == "hard"]
    form = styles([*mimic["row"], *hard["row"]], families)
    centre = mimic.groupby("budget", sort=False)["params"].median()

    # Solid and dashed lines of the mimic nets.
    data: list[dict[str, Any]] = []
    keys: list[dict[str, Any]] = []
    for row in dict.fromkeys(mimic["row"]):
        part = mimic[mimic["row"] == row].sort_values("params", kind="stable")
        data += _student(part, cells, centre, form[row])
        keys.append(key(row, label(row, families[row]), *form[row]))

    # Short lines of nets on hard labels.
    sizes = list(centre)
    for entry in hard.itertuples():
        at = centre.get(entry.budget, entry.params)
        sizes.append(at)

        name = CellName("hard", entry.row, entry.budget)
        words = [hover(entry, cells[name], " on hard labels")] * 3
        ids = [name.words] * 3

        data += short(HARD, at, entry.best, form[entry.row][0], words, customdata=ids)

    if len(hard):
        keys.append(key(HARD, "trained on hard labels (best trial)", INK))

    # The ensemble, from one end to the other.
    ends = reach(sizes)
    words = [f"<b>ensemble of {members}</b><br>test accuracy {percent(ensemble, 2)}"] * 2
    data.append(series(ENSEMBLE, ends, [ensemble] * 2, words, mode="lines", line=DOTTED))
    keys.append(key(ENSEMBLE, f"ensemble of {members} (teacher)", MUTED, dash="dot"))

    # The axes.
    x = axis("number of parameters (log scale)", type="log", tickangle=0, **ticks(dict(centre)))
    x["range"] = [math.log10(end) for end in ends]

    shown = layout(520, x, axis("test accuracy", tickformat=".0%"))
    return with_paper({"data": data, "layout": shown, "legend": keys}, dict(centre), form)


def _student(
    part: pd.DataFrame, cells: Cells, centre: pd.Series, form: tuple[str, str]
) -> list[dict[str, Any]]:
    """One row of mimic nets: dashed lines at the best and last trials, a solid one at the mean."""
    row = part["row"].iloc[0]
    color, symbol = form
    x = [centre[budget] for budget in part["budget"]]
    names = [CellName("mimic", row, budget) for budget in part["budget"]]

    # Dashed lines, without a text beside them.
    data = []
    for edge in ("best", "fifth"):
        line = {"color": color, "dash": "5px,4px", "width": 1.1}
        data.append(series(row, x, part[edge], (), mode="lines", line=line, opacity=0.75))

    # The solid line.
    words = [
        hover(entry, cells[name], "") for entry, name in zip(part.itertuples(), names, strict=True)
    ]

    marker = {
        "color": color,
        "symbol": symbol,
        "size": 11,
        "line": {"color": "white", "width": 1},
    }

    data.append(
        series(
            row,
            x,
            part["mean"],
            words,
            mode="lines+markers",
            marker=marker,
            line={"color": color, "width": 2.2},
            customdata=[name.words for name in names],
        )
    )

    return data


def short(
    group: str, x: float, y: float, color: str, words: Sequence[str], **form: Any
) -> list[dict[str, Any]]:
    """A short line in a row's colour with a black core."""
    ends = [x / REACH, x, x * REACH]
    level = [y] * 3

    broad = series(
        group, ends, level, words, mode="lines", line={"color": color, "width": 6}, **form
    )
    core = series(group, ends, level, (), mode="lines", line={"color": INK, "width": 1.4})
    return [broad, core]


def reach(sizes: Sequence[float]) -> tuple[float, float]:
    """Ends of the axis of parameters: room for short lines at both."""
    return min(sizes) / 1.35, max(sizes) * 1.35


def ticks(centre: Mapping[str, float]) -> dict[str, Any]:
    """Ticks at the budgets, by name."""
    return {"tickvals": list(centre.values()), "ticktext": [drawn(name) for name in centre]}


def with_paper(chart: Chart, centre: dict[str, float], form: Form) -> Chart:
    """The chart with the paper's Tables 1 and 2, and what its switch changes.

    Switched on, the axis reaches the paper's budgets.

    Args:
        centre: parameters at this run's budgets.
    """
    printed = paper_values()
    places = {
        budget: centre.get(budget, parse_budget(budget)) for budget in printed["table2"]["budgets"]
    }

    rows = list(printed["table2"]["rows"])
    form = {**styles(rows, {row: row for row in rows}), **form}
    lines = [*_table2(printed, places, form), *_table1(printed, places, form)]

    every = {**centre, **places}
    on = {
        "xaxis.range": [math.log10(end) for end in reach([*centre.values(), *places.values()])],
        **{f"xaxis.{name}": value for name, value in ticks(every).items()},
    }

    off = {
        "xaxis.range": chart["layout"]["xaxis"]["range"],
        **{f"xaxis.{name}": value for name, value in ticks(centre).items()},
    }

    return {
        **chart,
        "data": chart["data"] + lines,
        "toggle": {"group": PAPER, "on": on, "off": off},
    }


def _table2(
    printed: Mapping[str, Any], places: Mapping[str, float], form: Form
) -> list[dict[str, Any]]:
    """The paper's mimic nets: a dotted line with open markers a row."""
    lines = []
    for row, entry in printed["table2"]["rows"].items():
        color, symbol = form[row]
        name = drawn(label(row, row))
        words = [
            f"<b>{name}, {budget}</b><br>the paper, CIFAR-10: {fixed(percents, 1)}{SPACE}%"
            for budget, percents in entry["accuracy"].items()
        ]

        marker = {
            "color": color,
            "symbol": f"{symbol}-open",
            "size": 9,
            "line": {"width": 1.5, "color": color},
        }

        lines.append(
            series(
                PAPER,
                [places[budget] for budget in entry["accuracy"]],
                [percents / 100 for percents in entry["accuracy"].values()],
                words,
                mode="lines+markers",
                marker=marker,
                line={"color": color, "dash": "dot", "width": 1.6},
            )
        )

    return lines


def _table1(
    printed: Mapping[str, Any], places: Mapping[str, float], form: Form
) -> list[dict[str, Any]]:
    """The paper's nets on hard labels, of 10M parameters, and its ensemble."""
    lines = []
    for entry in printed["table1"]:
        name = entry["model"]
        y = entry["test_accuracy_pct"]
        row = f"conv{name[0]}" if name.endswith("conv. layer") else ""

        shown = drawn(label(row, row) if row else name)
        words = [f"<b>{shown}</b><br>the paper, CIFAR-10: {fixed(y)}{SPACE}%"] * 3

        if row:
            lines += short(PAPER, places["10M"], y / 100, form[row][0], words)
        elif name.startswith("Ensemble of 16"):
            ends = list(places.values())[:: len(places) - 1]
            level = [y / 100] * 2
            lines.append(series(PAPER, ends, level, words[:2], mode="lines", line=DOTTED))

    return lines
