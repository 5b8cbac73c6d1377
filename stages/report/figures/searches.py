"""The course of every search as a figure."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from stages.report.figures import theme  # noqa: F401  sets how figures look


def sweeps(tables: dict[str, dict[str, pd.DataFrame]], where: str) -> Figure:
    """Lowest validation error so far against the trial, one panel a row, one line a budget.

    Args:
        tables: panel title -> line label -> trial table with columns trial, best_so_far.
        where: data and scale, for the title.
    """
    columns = min(4, len(tables))
    lines = -(-len(tables) // columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(2.5 * columns, 2.0 * lines), squeeze=False, layout="constrained"
    )

    for axes in grid.flat[len(tables) :]:
        axes.set_visible(False)

    for axes, (title, group) in zip(grid.flat, tables.items(), strict=False):
        _panel(axes, title, group)

    figure.supxlabel("trial", fontsize=9)
    figure.supylabel("validation error", fontsize=9)
    title = f"Search: every trial (dots) and the best so far (line). {where}"
    figure.suptitle(title, fontsize=9, x=0.01, ha="left")
    seaborn.despine(figure)

    return figure


def _panel(axes: Axes, title: str, group: dict[str, pd.DataFrame]) -> None:
    """The searches of one row."""
    palette = seaborn.color_palette("crest", len(group))
    for (name, table), color in zip(group.items(), palette, strict=True):
        x = table.trial + 1
        axes.plot(x, table.validation_error, ls="", marker=".", ms=4, color=color, alpha=0.45)
        axes.step(x, table.best_so_far, where="post", color=color, label=name)

    axes.set_title(title, fontsize=8, loc="left")
    locator: Any = axes.xaxis.get_major_locator()
    locator.set_params(integer=True)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    axes.tick_params(labelsize=7)

    if len(group) > 1:
        axes.legend(fontsize=6.5, frameon=False)
