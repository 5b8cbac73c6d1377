"""Ablations as a figure: what each variant changes, and series over epochs or members."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from stages.report.figures import theme  # noqa: F401  sets how figures look
from stages.report.figures.colors import FIGURE_GREY, VARIANT_COLORS, row_colors
from stages.report.paper import label


def ablations(
    frame: pd.DataFrame, wholes: dict[str, int], families: Mapping[str, str], where: str
) -> Figure:
    """Differences to the base with intervals, and accuracy against a measure with several values.

    Args:
        frame: metrics/ablations.csv, see `ablations.COLUMNS`; may be empty.
        wholes: what the base itself has of each measure: "transfer epochs", "members of the
            ensemble".
        families: base row -> the family of its nets.
        where: data and scale, for the title.
    """
    series = dict(list(frame.groupby("measure", sort=False)))
    heights = [max(1.6, 0.9 + 0.24 * len(frame)), *([2.6] if series else [])]

    figure = plt.figure(figsize=(8.2, sum(heights)), layout="constrained")
    figure.suptitle(f"Variants of mimic nets: {where}", fontsize=9, x=0.01, ha="left")
    rows = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]

    _forest(rows[0].subplots(), frame)
    if series:
        grid = rows[1].subplots(1, max(2, len(series)), squeeze=False)[0]
        for axes in grid[len(series) :]:
            axes.set_visible(False)

        for axes, (measure, group) in zip(grid, series.items(), strict=False):
            _lines(axes, measure, group, wholes[measure], families)

    seaborn.despine(figure)
    return figure


def _forest(axes: Axes, frame: pd.DataFrame) -> None:
    """A line a variant: its difference to the base, with the verdict as a word and a colour."""
    if frame.empty:
        words = "nothing was varied (ablations.rows is empty)"
        axes.set_axis_off()
        axes.text(0.5, 0.5, words, ha="center", fontsize=9, color="0.4")
        return

    axes.axvline(0, color="0.35", lw=0.9, ls=(0, (4, 3)))
    for y, line in enumerate(frame.itertuples()):
        color = VARIANT_COLORS.get(line.verdict, FIGURE_GREY)
        axes.plot([line.low_pct, line.high_pct], [y, y], color=color, lw=2)
        axes.plot(line.difference_pct, y, marker="o", color=color, ms=5)
        axes.annotate(
            line.verdict,
            (1, y),
            (4, 0),
            ("axes fraction", "data"),
            "offset points",
            va="center",
            fontsize=7,
            color=color,
        )

    names = [f"{line.row} {line.budget}" for line in frame.itertuples()]
    axes.set_yticks(range(len(frame)), names, fontsize=7.5)
    axes.set_ylim(len(frame) - 0.4, -0.6)

    axes.set_xlabel("test accuracy over that of the base, points", fontsize=8)
    axes.tick_params(axis="x", labelsize=7.5)
    axes.grid(axis="x", color="0.92", lw=0.8)


def _lines(
    axes: Axes, measure: str, group: pd.DataFrame, whole: int, families: Mapping[str, str]
) -> None:
    """Accuracy against one measure, a line a base and budget; the base itself is the last point."""
    colors = row_colors(sorted(set(group["of"])), families)
    for (of, budget), part in group.groupby(["of", "budget"], sort=False):
        points = [
            *zip(part["number"], part["accuracy_pct"], strict=True),
            (whole, part["base_pct"].iloc[0]),
        ]

        x, y = np.array(sorted(points), dtype=float).T
        name = f"{label(of, families[of])}, {budget}"
        axes.plot(x, y / 100, marker="o", ms=4, color=colors[of], label=name)

    ticks = sorted({*group["number"], whole})

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{tick}" for tick in ticks])

    axes.set_xlabel(f"{measure} (log scale)", fontsize=8)
    axes.set_ylabel("test accuracy", fontsize=8)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))

    axes.tick_params(labelsize=7.5)
    axes.grid(axis="y", color="0.92", lw=0.8)
    axes.legend(fontsize=7, frameon=False)
