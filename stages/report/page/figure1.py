"""Figure 1 of the report page: accuracy against parameters, each cell with its trials, widths and
hyperparameters.

The paper's values (Urban et al. 2017, Table 1 and Table 2) are further lines, hidden until they are
switched on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from stages.report.cells import CellResult
from stages.report.figures.style import label
from stages.report.page.charts import INK, MUTED, Chart, axis, key, layout, series, styles
from stages.report.page.searches import hyperparameters
from stages.report.page.text import SPACE, brief, counted, drawn, fixed, percent, whole
from stages.report.tables import paper_values

HARD, ENSEMBLE, PAPER = "hard", "ensemble", "paper"
REACH = 1.18
"""A short line of Figure 1 goes from its budget divided by this to its budget times this."""


def chosen(cell: CellResult) -> list[tuple[str, str]]:
    """What a cell is, name and value as text: its trials, and widths and hyperparameters of the
    best of them.
    """
    best = cell.shown.iloc[0]
    failed = int(cell.trials["validation_error"].isna().sum())
    facts = [
        ("test accuracy", percent(best["test_accuracy"], 2)),
        ("validation error", percent(best["validation_error"], 2)),
        ("trials", f"{whole(len(cell.trials))}{f', {failed} failed' if failed else ''}"),
        ("parameters", whole(cell.params)),
        ("widths", widths(best)),
    ]
    names = [
        name
        for name in hyperparameters(cell.trials)
        if not (name[0] in "CHr" and name[-1].isdigit())
    ]
    return facts + [(name, brief(best[name])) for name in names if pd.notna(best[name])]


def widths(trial: Any) -> str:
    """The widths of a trial as the search chose them, and the dependent one that takes up the
    budget.
    """
    searched = str(trial["widths"]).replace(" ", ", ")
    dependent = trial.get("dependent")
    if dependent is None or pd.isna(dependent):
        return searched
    return f"{searched}; dependent: {' '.join(str(dependent).removesuffix('.0').split())}"


def hover(entry: Any, cell: CellResult, where: str) -> str:
    """What stands beside a point."""
    lines = [f"<b>{drawn(label(entry.row))}, {drawn(entry.budget)}</b>{where}"]
    lines.append(
        f"mean of the {counted(entry.trials_shown, 'best trial')}: {percent(entry.mean, 2)}"
    )
    lines.append("best trial by validation error:")
    return "<br>".join(
        [*lines, *(f"{drawn(name)}: {drawn(value)}" for name, value in chosen(cell))]
    )


def figure1(
    numbers: pd.DataFrame,
    cells: Mapping[tuple[str, str, str], CellResult],
    ensemble: float,
    members: int,
) -> Chart:
    """Mean, best and last of the best trials of each cell; hard labels as short lines; the ensemble
    dotted.

    Args:
        numbers: metrics/figure1.csv.
        cells: target, row, budget -> cell.
        ensemble: its test accuracy, a fraction.
    """
    mimic, hard = (numbers[numbers["target"] == target] for target in ("mimic", "hard"))
    form = styles([*mimic["row"], *hard["row"]])
    centre = mimic.groupby("budget", sort=False)["params"].median()
    data, keys = [], []
    for row in dict.fromkeys(mimic["row"]):
        part, (color, symbol) = mimic[mimic["row"] == row], form[row]
        x = [centre[budget] for budget in part["budget"]]
        for edge in ("best", "fifth"):
            line = {"color": color, "dash": "5px,4px", "width": 1.1}
            data.append(series(row, x, part[edge], (), mode="lines", line=line, opacity=0.75))
        words = [hover(entry, cells["mimic", row, entry.budget], "") for entry in part.itertuples()]
        marker = {
            "color": color,
            "symbol": symbol,
            "size": 11,
            "line": {"color": "white", "width": 1},
        }
        ids = [f"mimic {row} {budget}" for budget in part["budget"]]
        line = {"color": color, "width": 2.2}
        data.append(
            series(
                row,
                x,
                part["mean"],
                words,
                mode="lines+markers",
                marker=marker,
                line=line,
                customdata=ids,
            )
        )
        keys.append(key(row, label(row), color, symbol))
    for entry in hard.itertuples():
        at, cell = centre.get(entry.budget, entry.params), cells["hard", entry.row, entry.budget]
        words = [hover(entry, cell, " on hard labels")] * 3
        ids = [f"hard {entry.row} {entry.budget}"] * 3
        data += short(HARD, at, entry.best, form[entry.row][0], words, customdata=ids)
    if len(hard):
        keys.append(key(HARD, "trained on hard labels (best trial)", INK))
    ends = reach(
        [*centre, *(centre.get(entry.budget, entry.params) for entry in hard.itertuples())]
    )
    dotted = {"color": MUTED, "dash": "dot", "width": 1.6}
    words = [f"<b>ensemble of {members}</b><br>test accuracy {percent(ensemble, 2)}"] * 2
    data.append(series(ENSEMBLE, ends, [ensemble] * 2, words, mode="lines", line=dotted))
    keys.append(key(ENSEMBLE, f"ensemble of {members} (teacher)", MUTED, dash="dot"))
    sizes = axis("number of parameters (log scale)", type="log", tickangle=0, **ticks(dict(centre)))
    sizes["range"] = [math.log10(end) for end in ends]
    shown = layout(520, sizes, axis("test accuracy", tickformat=".0%"))
    return with_paper({"data": data, "layout": shown, "legend": keys}, dict(centre), form)


def short(
    group: str, x: float, y: float, color: str, words: Sequence[str], **form: Any
) -> list[dict[str, Any]]:
    """A short line in a row's colour with a black core."""
    ends, level = [x / REACH, x, x * REACH], [y] * 3
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


def budget_size(budget: str) -> float:
    """Parameters of a budget's name: 3.16M -> 3,160,000."""
    return (
        float(budget[:-1]) * {"k": 1e3, "M": 1e6}[budget[-1]]
        if budget[-1] in "kM"
        else float(budget)
    )


def with_paper(chart: Chart, centre: dict[str, float], form: dict[str, tuple[str, str]]) -> Chart:
    """The chart with the paper's Tables 1 and 2, and what its switch changes: the axis then reaches
    its budgets.
    """
    printed, found = paper_values(), []
    places = {
        budget: centre.get(budget, budget_size(budget)) for budget in printed["table2"]["budgets"]
    }
    form = {**styles(list(printed["table2"]["rows"])), **form}
    for row, entry in printed["table2"]["rows"].items():
        color, symbol = form[row]
        y = {budget: value / 100 for budget, value in entry["accuracy"].items()}
        words = [
            f"<b>{drawn(label(row))}, {budget}</b><br>the paper, CIFAR-10: {fixed(100 * value, 1)}{SPACE}%"
            for budget, value in y.items()
        ]
        marker = {
            "color": color,
            "symbol": f"{symbol}-open",
            "size": 9,
            "line": {"width": 1.5, "color": color},
        }
        line = {"color": color, "dash": "dot", "width": 1.6}
        x = [places[budget] for budget in y]
        found.append(
            series(
                PAPER, x, list(y.values()), words, mode="lines+markers", marker=marker, line=line
            )
        )
    for entry in printed["table1"]:
        name, y = entry["model"], entry["test_accuracy_pct"]
        row = f"conv{name[0]}" if name.endswith("conv. layer") else ""
        words = [
            f"<b>{drawn(label(row) if row else name)}</b><br>the paper, CIFAR-10: {fixed(y)}{SPACE}%"
        ] * 3
        if row:
            found += short(PAPER, places["10M"], y / 100, form[row][0], words)
        elif name.startswith("Ensemble of 16"):
            line = {"color": MUTED, "dash": "dot", "width": 1.6}
            both = list(places.values())[:: len(places) - 1]
            found.append(series(PAPER, both, [y / 100] * 2, words[:2], mode="lines", line=line))
    ends = reach([*centre.values(), *places.values()])
    every = {**centre, **places}
    on = {
        "xaxis.range": [math.log10(end) for end in ends],
        **{f"xaxis.{k}": v for k, v in ticks(every).items()},
    }
    off = {
        "xaxis.range": chart["layout"]["xaxis"]["range"],
        **{f"xaxis.{k}": v for k, v in ticks(centre).items()},
    }
    return {
        **chart,
        "data": chart["data"] + found,
        "toggle": {"group": PAPER, "on": on, "off": off},
    }
