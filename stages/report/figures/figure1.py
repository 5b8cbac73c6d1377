"""Figure 1: accuracy against parameters."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from stages.report.figures.colors import REACH, Color, row_colors, row_markers
from stages.report.figures.theme import budget_axis
from stages.report.paper import label
from stages.settings.sweeps import REPORTED_TRIALS


def figure1(
    numbers: pd.DataFrame, families: Mapping[str, str], ensemble_accuracy: float, where: str
) -> Figure:
    """Accuracy against parameters, in the form of the paper's Figure 1.

    Args:
        numbers: columns row, budget, params, trials_shown, mean, best, fifth (fractions), target.
        families: row -> the family of its nets.
        ensemble_accuracy: drawn as a dotted line.
        where: data and scale; part of the picture, so that no small run is taken for the paper's
            setting.
    """
    mimic = numbers[numbers.target == "mimic"]
    hard = numbers[numbers.target == "hard"]
    centre = mimic.groupby("budget", sort=False).params.median()
    colors = row_colors(list(dict.fromkeys([*mimic.row, *hard.row])), families)

    figure, axes = plt.subplots(figsize=(7.2, 5.2))
    _students(axes, mimic, centre, colors, families)
    _hard_labels(axes, hard, centre, colors)
    axes.axhline(ensemble_accuracy, color="0.35", ls=":", lw=1.2, label="ensemble (teacher)")
    axes.hlines([], 0, 0, color="black", lw=2, label="trained on hard labels")

    budget_axis(axes, centre)
    axes.set_ylabel("test accuracy")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis="y", color="0.9", lw=0.8)
    seaborn.despine(figure)

    axes.set_title(f"Students that mimic the ensemble: {where}", loc="left", fontsize=10)
    figure.text(0.125, -0.015, _note(numbers), fontsize=7.5, color="0.35", va="top")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    return figure


def _students(
    axes: Axes,
    mimic: pd.DataFrame,
    centre: pd.Series,
    colors: Mapping[str, Color],
    families: Mapping[str, str],
) -> None:
    """A solid line a row, dashed ones at its best and last trials."""
    rows = list(dict.fromkeys(mimic.row))
    markers = row_markers(rows)

    for row in reversed(rows):
        part = mimic[mimic.row == row].sort_values("params", kind="stable")
        x = centre[part.budget].to_numpy()
        axes.plot(
            x,
            part["mean"],
            label=label(row, families[row]),
            marker=markers[row],
            ms=5,
            lw=1.8,
            color=colors[row],
            zorder=3,
        )

        for edge in ("best", "fifth"):
            axes.plot(x, part[edge], ls=(0, (4, 3)), lw=0.9, color=colors[row], alpha=0.8, zorder=2)


def _hard_labels(
    axes: Axes, hard: pd.DataFrame, centre: pd.Series, colors: Mapping[str, Color]
) -> None:
    """A short line a cell, in its row's colour with a black core."""
    for entry in hard.itertuples():
        x = centre.get(entry.budget, entry.params)
        ends = (x / REACH, x * REACH)
        axes.hlines(entry.best, *ends, color=colors[entry.row], lw=3, zorder=4)
        axes.hlines(entry.best, *ends, color="black", lw=0.8, zorder=5)


def _note(numbers: pd.DataFrame) -> str:
    """What the lines are."""
    shown = sorted(set(numbers.trials_shown))
    span = str(shown[0]) if len(shown) == 1 else f"{shown[0]} to {shown[-1]}"
    last = "fifth" if shown == [REPORTED_TRIALS] else "last"
    return (
        f"Solid: mean of the {span} best trials by validation error. "
        f"Dashed: best and {last} of them.\n"
        "Short lines, hard labels: the best trial alone, as in Tables 1 and 2; not a mean."
    )
