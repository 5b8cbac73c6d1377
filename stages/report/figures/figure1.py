"""Figure 1, the sweeps and the augmentation samples as matplotlib figures; used by draw. Imports no
torch.
"""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from stages.report.figures.style import MARKERS, budget_axis, label, row_colors, row_places
from stages.settings.sweeps import REPORTED_TRIALS


def figure1(numbers: pd.DataFrame, ensemble_accuracy: float, where: str) -> Figure:
    """Accuracy against parameters, in the form of the paper's Figure 1.

    Args:
        numbers: columns row, budget, params, trials_shown, mean, best, fifth (fractions), target.
        ensemble_accuracy: drawn as a dotted line.
        where: data and scale; part of the picture, so that no small run is taken for the paper's
        setting.
    """
    mimic, hard = (numbers[numbers.target == t] for t in ("mimic", "hard"))
    rows = list(dict.fromkeys(mimic.row))
    colors = row_colors(list(dict.fromkeys([*rows, *hard.row])))
    figure, axes = plt.subplots(figsize=(7.2, 5.2))
    markers = {row: MARKERS[place % len(MARKERS)] for row, place in row_places(rows).items()}
    centre = mimic.groupby("budget", sort=False).params.median()
    for row in reversed(rows):
        part = mimic[mimic.row == row]
        x = centre[part.budget].to_numpy()
        form: dict[str, Any] = {
            "marker": markers[row],
            "ms": 5,
            "lw": 1.8,
            "color": colors[row],
            "zorder": 3,
        }
        axes.plot(x, part["mean"], label=label(row), **form)
        for edge in ("best", "fifth"):
            axes.plot(x, part[edge], ls=(0, (4, 3)), lw=0.9, color=colors[row], alpha=0.8, zorder=2)
    for entry in hard.itertuples():
        x = centre.get(entry.budget, entry.params)
        axes.hlines(entry.best, x / 1.18, x * 1.18, color=colors[entry.row], lw=3, zorder=4)
        axes.hlines(entry.best, x / 1.18, x * 1.18, color="black", lw=0.8, zorder=5)
    axes.axhline(ensemble_accuracy, color="0.35", ls=":", lw=1.2, label="ensemble (teacher)")
    axes.hlines([], 0, 0, color="black", lw=2, label="trained on hard labels")
    budget_axis(axes, centre)
    axes.set_ylabel("test accuracy")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis="y", color="0.9", lw=0.8)
    seaborn.despine(figure)
    axes.set_title(f"Students that mimic the ensemble: {where}", loc="left", fontsize=10)
    shown = sorted(set(numbers.trials_shown))
    span = str(shown[0]) if len(shown) == 1 else f"{shown[0]} to {shown[-1]}"
    last = "fifth" if shown == [REPORTED_TRIALS] else "last"
    note = (
        f"Solid: mean of the {span} best trials by validation error. Dashed: best and {last} of them.\n"
        "Short lines, hard labels: the best trial alone, as in Tables 1 and 2; not a mean."
    )
    figure.text(0.125, -0.015, note, fontsize=7.5, color="0.35", va="top")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    return figure
