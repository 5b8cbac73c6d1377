"""How all figures look: matplotlib's theme, common axes, and files with fixed bytes.

Importing this file sets the theme, so the file of every figure imports it.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

# Nothing of the user's own: a matplotlibrc in the working folder comes before every other.
matplotlib.rcdefaults()
matplotlib.use("Agg")
seaborn.set_theme(style="ticks", context="paper")
# without it every run writes other ids, and the file's hash changes
matplotlib.rcParams["svg.hashsalt"] = "mimicnets"


def save(figure: Figure, path: Path) -> None:
    """Write a figure as its suffix says, without anything that changes from run to run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {".svg": {"Date": None, "Creator": None}, ".png": {"Software": None}}[path.suffix]
    figure.savefig(path, dpi=150, bbox_inches="tight", metadata=metadata)


def budget_axis(axes: Axes, centre: pd.Series) -> None:
    """A log scale of parameters with a tick at each budget.

    Args:
        centre: parameters, by the name of the budget.
    """
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(centre)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels(list(centre.index))
    axes.set_xlabel("number of parameters (log scale)")

    low = min(centre)
    high = max(centre)
    margin = (high / low) ** 0.08 if high > low else 1.5
    axes.set_xlim(low / max(margin, 1.25), high * max(margin, 1.25))


def percent_axes(axes: Axes) -> None:
    """Both axes in per cent, with a grid and without a frame."""
    plt.setp([axes.xaxis, axes.yaxis], major_formatter=lambda x, _: f"{100 * x:.4g}%")
    axes.grid(color="0.92", lw=0.7)
    seaborn.despine(ax=axes)


def nothing_to_draw(axes: Axes, words: str) -> None:
    """An empty panel that says why it is empty."""
    axes.set(xticks=[], yticks=[])
    axes.text(
        0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", fontsize=8, color="0.4"
    )
    axes.spines[:].set(visible=True, color="0.8")
