"""Further test sets as a figure: accuracy by severity, and by set with intervals."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from stages.report.figures import theme  # noqa: F401  sets how figures look
from stages.report.figures.colors import Color, net_colors
from stages.report.figures.theme import nothing_to_draw

MARKERS = ("o", "s", "^", "D")


def extra(frame: pd.DataFrame, own: str, where: str) -> Figure:
    """Accuracy against severity, a panel a set, and a panel of the sets without severities.

    Args:
        frame: metrics/extra.csv, see `extra.COLUMNS`; may be empty.
        own: name of the data set's own test images, drawn as severity 0.
        where: data and scale, for the title.
    """
    shown = frame[(frame.drawn == 1) & (frame.corruption == "")]
    nets = list(dict.fromkeys(shown.net))
    colors = dict(zip(nets, net_colors(len(nets)), strict=True))

    severe = list(dict.fromkeys(shown[shown.severity.notna()]["set"]))
    whole = shown[shown.severity.isna()]
    plain = [name for name in dict.fromkeys(whole["set"]) if name not in severe]
    dots = plain if len(plain) > 1 else []

    heights = [3.2] * len(severe) + ([1.1 + 0.5 * len(dots)] if dots else [])
    figure, grid = plt.subplots(
        max(1, len(heights)),
        figsize=(7.2, sum(heights, 0.4) if heights else 1.6),
        layout="constrained",
        squeeze=False,
        height_ratios=heights or None,
    )
    panels = list(grid[:, 0])
    figure.suptitle(f"Further test sets: {where}", fontsize=10, x=0.01, ha="left")
    if not heights:
        nothing_to_draw(panels[0], "no further test sets (prepare.extra_tests is empty)")
        return figure

    for name in severe:
        axes = panels.pop(0)
        first = whole[whole["set"] == own].assign(severity=0)
        lines = pd.concat([first, shown[(shown["set"] == name) & shown.severity.notna()]])
        _by_severity(axes, name, lines, colors)
    if dots:
        _by_set(panels.pop(0), dots, whole, colors)

    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False, fontsize=8)
    seaborn.despine(figure)
    return figure


def _by_severity(axes: Axes, name: str, lines: pd.DataFrame, colors: Mapping[str, Color]) -> None:
    """A line a net, with the intervals of its points."""
    for place, (net, part) in enumerate(lines.groupby("net", sort=False)):
        x = part.severity.astype(float) + 0.04 * (place - (len(colors) - 1) / 2)
        _points(axes, x, part, str(net), colors, line=True)

    severities = sorted({*lines.severity.astype(int)})
    words = ["none" if severity == 0 else str(severity) for severity in severities]
    axes.set_xticks(severities, words)
    axes.set_xlabel(f"severity of the corruptions of {name}", fontsize=9)
    axes.set_ylabel("accuracy", fontsize=9)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis="y", color="0.92", lw=0.8)


def _by_set(axes: Axes, names: list[str], whole: pd.DataFrame, colors: Mapping[str, Color]) -> None:
    """A dot a net and set, with its interval, from left to right."""
    for place, net in enumerate(colors):
        part = whole[whole.net == net].set_index("set").loc[names]
        y = pd.Series(range(len(names)), dtype=float) + 0.16 * (place - (len(colors) - 1) / 2)
        low = part.accuracy - part.low
        high = part.high - part.accuracy
        axes.errorbar(
            part.accuracy,
            y,
            xerr=[low, high],
            fmt=MARKERS[place % len(MARKERS)],
            ms=4.5,
            lw=1.3,
            color=colors[net],
            label=net,
        )

    axes.set_yticks(range(len(names)), names, fontsize=8.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("accuracy", fontsize=9)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis="x", color="0.92", lw=0.8)


def _points(
    axes: Axes,
    x: pd.Series,
    part: pd.DataFrame,
    net: str,
    colors: Mapping[str, Color],
    line: bool,
) -> None:
    """Accuracies with their intervals, upright."""
    place = list(colors).index(net)
    axes.errorbar(
        x,
        part.accuracy,
        yerr=[part.accuracy - part.low, part.high - part.accuracy],
        fmt=MARKERS[place % len(MARKERS)],
        ls="-" if line else "",
        ms=4.5,
        lw=1.5,
        elinewidth=1.2,
        color=colors[net],
        label=net,
    )
