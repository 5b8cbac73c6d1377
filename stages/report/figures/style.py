"""Colours, markers and axes of all figures."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from stages.report.tables import paper_values

matplotlib.use("Agg")
seaborn.set_theme(style="ticks", context="paper")
# else every run writes other ids and another date, and the file's hash changes
matplotlib.rcParams["svg.hashsalt"] = "mimicnets"

CONVOLUTIONAL = ("conv", "cnn", "snn")
"""How the names of rows with convolution begin."""


MARKERS = "ov^<>sDPXph*"
"""Of rows, see `row_places`."""


def save(figure: Figure, path: Path) -> None:
    """Write a figure as its suffix says, without anything that changes from run to run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {".svg": {"Date": None, "Creator": None}, ".png": {"Software": None}}[path.suffix]
    figure.savefig(path, dpi=150, bbox_inches="tight", metadata=metadata)


def row_colors(rows: list[str]) -> dict[str, tuple[float, float, float]]:
    """Warm colours for rows without convolution, cold ones for rows with it, darker with depth.

    The paper's rows have the same in every run, whichever others are beside them; those are pink or
    violet.
    """
    printed = list(paper_values()["table2"]["rows"])
    others = [row for row in dict.fromkeys(rows) if row not in printed]
    found: dict[str, tuple[float, float, float]] = {}
    for convolutional, palette, other in (
        (False, "YlOrRd", "light:#a3195b"),
        (True, "GnBu", "light:#4b1f9e"),
    ):
        for group, name in ((printed, palette), (others, other)):
            own = [row for row in group if row.startswith(CONVOLUTIONAL) == convolutional]
            found |= zip(own, seaborn.color_palette(name, len(own) + 2)[2:], strict=True)
    return {row: found[row] for row in rows}


def row_places(rows: list[str]) -> dict[str, int]:
    """Which marker, by its number, each row has: the paper's rows the same in every run, others
    those after them.
    """
    printed = list(paper_values()["table2"]["rows"])
    every = [*printed, *(row for row in dict.fromkeys(rows) if row not in printed)]
    return {row: every.index(row) for row in rows}


def label(row: str) -> str:
    """A row's name as Table 2 prints it, with where the paper says so the words for its depth."""
    printed = paper_values()["table2"]["rows"]
    return re.split(r", \d max", printed[row]["label"])[0] if row in printed else row


def budget_axis(axes: Axes, centre: pd.Series) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(centre)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels(list(centre.index))
    low, high = min(centre), max(centre)
    margin = (high / low) ** 0.08 if high > low else 1.5
    axes.set_xlim(low / max(margin, 1.25), high * max(margin, 1.25))
    axes.set_xlabel("number of parameters (log scale)")


# dark enough for text on white, and told apart without red and green
VERDICTS = {
    "holds": "#0173b2",
    "does not hold": "#c04a00",
    "undecided at this scale": "0.3",
    "not tested": "0.45",
}


def _percent(axes: Axes) -> None:
    plt.setp([axes.xaxis, axes.yaxis], major_formatter=lambda x, _: f"{100 * x:.4g}%")
    axes.grid(color="0.92", lw=0.7)
    seaborn.despine(ax=axes)


def _absent(axes: Axes, words: str) -> None:
    axes.set(xticks=[], yticks=[])
    axes.text(
        0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", fontsize=8, color="0.4"
    )
    axes.spines[:].set(visible=True, color="0.8")


def _need(given: object, words: str) -> None:
    if not given:
        raise ValueError(words)


COLORS = {"better": "#0173b2", "worse": "#c04a00"}
