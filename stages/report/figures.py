"""Figure 1, the sweeps and the augmentation samples as matplotlib figures; used by draw. Imports no torch."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from stages.report.cells import NUMBER_SHOWN
from stages.report.tables import millions, paper_values

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

    The paper's rows have the same in every run, whichever others are beside them; those are pink or violet.
    """
    printed = list(paper_values()["table2"]["rows"])
    others = [row for row in dict.fromkeys(rows) if row not in printed]
    found: dict[str, tuple[float, float, float]] = {}
    for convolutional, palette, other in ((False, "YlOrRd", "light:#a3195b"), (True, "GnBu", "light:#4b1f9e")):
        for group, name in ((printed, palette), (others, other)):
            own = [row for row in group if row.startswith(CONVOLUTIONAL) == convolutional]
            found |= zip(own, seaborn.color_palette(name, len(own) + 2)[2:], strict=True)
    return {row: found[row] for row in rows}


def row_places(rows: list[str]) -> dict[str, int]:
    """Which marker, by its number, each row has: the paper's rows the same in every run, others those after them."""
    printed = list(paper_values()["table2"]["rows"])
    every = [*printed, *(row for row in dict.fromkeys(rows) if row not in printed)]
    return {row: every.index(row) for row in rows}


def label(row: str) -> str:
    """A row's name as Table 2 prints it, with where the paper says so the words for its depth."""
    printed = paper_values()["table2"]["rows"]
    return re.split(r", \d max", printed[row]["label"])[0] if row in printed else row


def figure1(numbers: pd.DataFrame, ensemble_accuracy: float, where: str) -> Figure:
    """Accuracy against parameters, in the form of the paper's Figure 1.

    Args:
        numbers: columns row, budget, params, trials_shown, mean, best, fifth (fractions), target.
        ensemble_accuracy: drawn as a dotted line.
        where: data and scale; part of the picture, so that no small run is taken for the paper's setting.
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
        form: dict[str, Any] = {"marker": markers[row], "ms": 5, "lw": 1.8, "color": colors[row], "zorder": 3}
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
    last = "fifth" if shown == [NUMBER_SHOWN] else "last"
    note = (
        f"Solid: mean of the {span} best trials by validation error. Dashed: best and {last} of them.\n"
        "Short lines, hard labels: the best trial alone, as in Tables 1 and 2; not a mean."
    )
    figure.text(0.125, -0.015, note, fontsize=7.5, color="0.35", va="top")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    return figure


def budget_axis(axes: Axes, centre: pd.Series) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(centre)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels(list(centre.index))
    low, high = min(centre), max(centre)
    margin = (high / low) ** 0.08 if high > low else 1.5
    axes.set_xlim(low / max(margin, 1.25), high * max(margin, 1.25))
    axes.set_xlabel("number of parameters (log scale)")


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
        palette = seaborn.color_palette("crest", len(group))
        for (name, table), color in zip(group.items(), palette, strict=True):
            axes.plot(
                table.trial + 1, table.validation_error, ls="", marker=".", ms=4, color=color, alpha=0.45
            )
            axes.step(table.trial + 1, table.best_so_far, where="post", color=color, label=name)
        axes.set_title(title, fontsize=8, loc="left")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axes.tick_params(labelsize=7)
        if len(group) > 1:
            axes.legend(fontsize=6.5, frameon=False)
    figure.supxlabel("trial", fontsize=9)
    figure.supylabel("validation error", fontsize=9)
    title = f"Search: every trial (dots) and the best so far (line). {where}"
    figure.suptitle(title, fontsize=9, x=0.01, ha="left")
    seaborn.despine(figure)
    return figure


def augmentation(originals: np.ndarray, views: np.ndarray, where: str) -> Figure:
    """Original images and the views that students see in the first epochs; vectors as maps of grey.

    Args:
        originals: uint8 (n, s, s, 3), or vectors float32 (n, ...).
        views: uint8 (n, epochs, s, s, 3), or vectors float32 (n, epochs, ...).
        where: data and scale, for the title.
    """
    if originals.dtype == np.float32:
        return _vectors(originals, where)
    count, epochs = views.shape[:2]
    size = (1.0 * (epochs + 1), 1.02 * count + 0.5)
    figure, grid = plt.subplots(count, epochs + 1, figsize=size, squeeze=False, layout="constrained")
    for i in range(count):
        for j, image in enumerate([originals[i], *views[i]]):
            grid[i, j].imshow(image, interpolation="nearest")
            grid[i, j].set_axis_off()
    grid[0, 0].set_title("original", fontsize=8)
    for j in range(epochs):
        grid[0, j + 1].set_title(f"epoch {j + 1}", fontsize=8)
    figure.suptitle(f"Augmented views, stored for all students: {where}", fontsize=9, x=0.01, ha="left")
    return figure


def _vectors(vectors: np.ndarray, where: str) -> Figure:
    """Standardised vectors, one column each, frames down; those without frames as one line of their features."""
    maps = [vector.mean(axis=-1) if vector.ndim == 3 else np.atleast_2d(vector) for vector in vectors]
    figure, grid = plt.subplots(1, len(maps), figsize=(1.6 * len(maps) + 0.8, 2.2), squeeze=False, layout="constrained")
    most = max(float(np.abs(each).max()) for each in maps) or 1.0
    for axes, each in zip(grid[0], maps, strict=True):
        shown = axes.imshow(each, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
        axes.set(xticks=[0, each.shape[1] - 1], yticks=sorted({0, each.shape[0] - 1}), xlabel="feature")
    grid[0, 0].set_ylabel("frame" if maps[0].shape[0] > 1 else "")
    figure.colorbar(shown, ax=grid[0].tolist(), label="standardised")
    title = f"Training vectors, standardised, the same in every epoch: {where}"
    figure.suptitle(title, fontsize=9, x=0.01, ha="left")
    return figure


__all__ = ["augmentation", "figure1", "millions", "save", "sweeps"]
