"""Confusions, calibration and fidelity as figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from stages.report.figures.colors import (
    SHARE_COLORS,
    SHARE_TICKS,
    Color,
    net_colors,
    row_colors,
    row_markers,
)
from stages.report.figures.theme import budget_axis, nothing_to_draw, percent_axes
from stages.report.paper import label

NET_MARKERS = "osD^vPX<>ph*"
"""Of nets in the reliability diagram."""
FEW_CLASSES = 20
"""Up to which classes are named, and shares stand in their cells; more do not fit."""


def confusions(table: pd.DataFrame, classes: list[str], where: str) -> Figure:
    """Row-normalised confusion matrices, a panel a net, colours on the square root of shares.

    Args:
        table: columns net (the panel's label), true, predicted (names, or indices if numbers),
            count; absent is 0.
        classes: names; more than FEW_CLASSES are not labelled.
        where: data and scale, for the title.

    Raises:
        ValueError: a class beyond `classes`, or no net at all.
    """
    nets = list(dict.fromkeys(table["net"]))
    if not nets:
        raise ValueError("confusions: got a table without nets")

    # The grid of panels.
    few = len(classes) <= FEW_CLASSES
    columns = min(len(nets), 4 if len(classes) <= 10 else 2 if few else 3)
    lines = -(-len(nets) // columns)
    side = 7.4 / max(2, columns)
    size = (side * columns + 0.9, (side + 0.15) * lines + 0.7)
    figure, grid = plt.subplots(lines, columns, figsize=size, squeeze=False, layout="compressed")

    names = few and [
        (name if len(name) <= 16 else f"{name[:15]}…").replace("$", r"\$") for name in classes
    ]

    form: dict[str, Any] = {
        "norm": PowerNorm(0.5, 0, 1),
        "cmap": SHARE_COLORS,
        "cbar": False,
        "square": True,
        "fmt": "",
        "linewidths": 0.3 if few else 0,
        "rasterized": not few,
        "annot_kws": {"fontsize": 6.5},
    }

    # A matrix a net; classes are named at the outer panels.
    for axes in grid.flat[len(nets) :]:
        axes.set_visible(False)

    for i, (axes, net) in enumerate(zip(grid.flat, nets, strict=False)):
        share, accuracy = _row_shares(table[table["net"] == net], classes)
        marks = np.where(np.eye(len(share)), np.char.mod("%.0f", 100 * share), "")

        ticks = {
            "xticklabels": i + columns >= len(nets) and names,
            "yticklabels": i % columns == 0 and names,
        }
        seaborn.heatmap(share, ax=axes, annot=marks if few else None, **ticks, **form)

        # Names below the last line do not narrow the panels of the others.
        axes.xaxis.set_in_layout(i // columns == lines - 1)
        axes.tick_params(labelsize=6.5, length=0, pad=2)
        axes.yaxis.set_tick_params(rotation=0)
        axes.set_title(f"{net}: {100 * accuracy:.1f} %", fontsize=8, loc="left", pad=4)
        axes.spines[:].set(visible=True, color="0.7", linewidth=0.6)

    # One bar of colours for all.
    bar = figure.colorbar(
        grid[0, 0].collections[0],
        ax=grid,
        label="share of the true class",
        ticks=list(SHARE_TICKS),
        format="{x:.0%}",
        aspect=30,
        pad=0.015,
    )
    bar.ax.tick_params(labelsize=7)

    figure.supxlabel("predicted class", fontsize=9)
    figure.supylabel("true class", fontsize=9)

    title = f"Confusions on the test set, with accuracy: {where}"
    figure.suptitle(title, fontsize=9, x=0.01, ha="left")

    return figure


def _row_shares(part: pd.DataFrame, classes: list[str]) -> tuple[np.ndarray, float]:
    """Shares (true, predicted), NaN (blank) where a class has no images, and the accuracy."""
    index = {key: i for i, name in enumerate(classes) for key in (name, i)}
    pairs = [[index.get(key, -1) for key in part[side]] for side in ("true", "predicted")]
    if min(map(min, pairs)) < 0:
        raise ValueError(f"confusions: got a class that is none of the {len(classes)} classes")

    counts = np.zeros((len(classes), len(classes)))
    np.add.at(counts, tuple(pairs), part["count"])
    with np.errstate(invalid="ignore"):
        shares = counts / counts.sum(1, keepdims=True)
        return shares, np.trace(counts) / counts.sum()


def calibration(curves: pd.DataFrame, facts: pd.DataFrame, where: str) -> Figure:
    """Reliability diagram: accuracy against confidence; nets below the diagonal are over-confident.

    Args:
        curves: columns net, confidence, accuracy (fractions), count, one line a bin; empty bins
            are left out.
        facts: columns net, nll (nats), ece (fraction); gives the order.
        where: data and scale, for the title.

    Raises:
        ValueError: curves without facts, or no net.
    """
    if not len(facts):
        raise ValueError("calibration: got facts without nets")
    if not set(curves.net) <= set(facts.net):
        raise ValueError(f"calibration: got curves of {set(curves.net)}, facts of {set(facts.net)}")

    figure, axes = plt.subplots(figsize=(7.6, 5.0))
    axes.plot([0, 1], [0, 1], color="0.5", ls=":", lw=1.2, label="perfectly calibrated")

    # A line a net, with markers whose area is the number of images.
    curves = curves[curves["count"] > 0].sort_values("confidence")
    colors = net_colors(len(facts))
    markers = NET_MARKERS * len(facts)
    for fact, color, marker in zip(facts.itertuples(), colors, markers, strict=False):
        part = curves[curves["net"] == fact.net]
        x = part.confidence
        y = part.accuracy

        area = 130 * part["count"] / curves["count"].max()
        words = f"{fact.net}\nECE {100 * fact.ece:.1f} %, NLL {fact.nll:.2f}"

        axes.plot(x, y, color=color, marker=marker, ms=2, lw=1.3, label=words)
        axes.scatter(x, y, area, color=color, marker=marker, ec="white", lw=0.4, zorder=3)

    # The axes and the legend.
    axes.set(xlim=(-0.02, 1.03), ylim=(-0.02, 1.03), aspect="equal", ylabel="test accuracy")
    axes.set_xlabel("confidence (marker area: test images in the bin)")
    percent_axes(axes)

    axes.set_title(f"Confidence and accuracy: {where}", loc="left", fontsize=10)
    axes.legend(
        loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, fontsize=7.5, markerscale=3
    )

    return figure


def fidelity(table: pd.DataFrame, families: Mapping[str, str], where: str) -> Figure:
    """How far students copy the ensemble: agreement and accuracy, KL divergence and parameters.

    Args:
        table: columns target ("mimic" or "hard"), row, budget, params, accuracy, agreement
            (fractions), kl (nats); a cell with an empty value, or a KL of 0, is left out of that
            panel.
        families: row -> the family of its nets.
        where: data and scale, for the title.

    Raises:
        ValueError: no cell at all.
    """
    if not len(table):
        raise ValueError("fidelity: got a table without cells")

    # Rows look as in Figure 1.
    rows = list(dict.fromkeys(table["row"]))
    colors = row_colors(rows, families)
    markers = row_markers(rows)
    table = table.sort_values("params", kind="stable")

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 4.0), layout="constrained")
    for axes, x, y in ((left, "accuracy", "agreement"), (right, "params", "kl")):
        _students(axes, table, x, y, colors, markers)

    # Limits are set before the line of equality, so that it does not widen them.
    left.set(
        xlabel="test accuracy",
        ylabel="agreement with the ensemble",
        xlim=left.get_xlim(),
        ylim=left.get_ylim(),
    )
    left.axline((0.5, 0.5), slope=1, color="0.5", ls=":", lw=1.0)

    # Both scales of the divergence are logarithmic.
    if right.lines:
        right.set(yscale="log", ylabel="KL divergence from the ensemble (nats)")
        right.yaxis.set(
            major_formatter="{x:g}",
            major_locator=LogLocator(subs=(1, 1.5, 2, 3, 5, 7)),
            minor_locator=NullLocator(),
        )
        budget_axis(right, table.groupby("budget", sort=False).params.median())

    # The legend and the title.
    keys = [
        Line2D([], [], color=colors[row], marker=markers[row], ms=5.5, lw=1.0)
        for row in reversed(rows)
    ]
    keys.append(Line2D([], [], color="0.3", marker="o", mfc="white", mew=1.3, ls=""))
    keys.append(Line2D([], [], color="0.5", ls=":"))

    words = [label(row, families[row]) for row in reversed(rows)]
    words += ["trained on hard labels", "agreement = accuracy"]

    figure.legend(keys, words, loc="outside right center", frameon=False, fontsize=8)
    title = f"How far the students copy the ensemble: {where}"
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")

    return figure


def _students(
    axes: Axes,
    table: pd.DataFrame,
    x: str,
    y: str,
    colors: Mapping[str, Color],
    markers: Mapping[str, str],
) -> None:
    """One column against another: a line a row, and hollow markers for hard labels."""
    known = table[(table[y] > 0) & table[x].notna()]
    for (target, row), part in known.groupby(["target", "row"], sort=False):
        part = part.sort_values("params", kind="stable")
        form: dict[str, Any] = {"lw": 1.0}
        if target == "hard":
            form = {"mfc": "white", "ls": "", "mew": 1.3, "zorder": 4}

        axes.plot(
            part[x],
            part[y],
            marker=markers[row],
            ms=5.5,
            color=colors[row],
            label=f"{target} {row}",
            **form,
        )

    percent_axes(axes)
    if not axes.lines:
        nothing_to_draw(axes, f"{y} not measured")
