"""Claims, confusions, calibration and fidelity as figures titled `where` (data, scale); used by
draw. No torch.
"""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

# importing figures sets the theme and the salt of SVG ids for the functions here too
from stages.report.figures.style import (
    MARKERS,
    _absent,
    _need,
    _percent,
    budget_axis,
    label,
    row_colors,
    row_places,
)


def confusions(table: pd.DataFrame, classes: list[str], where: str) -> Figure:
    """Row-normalised confusion matrices, one panel a net, colours on the square root so that few
    errors show.

    `table` has columns net (the panel's label), true, predicted (names, or indices if numbers),
    count; absent is 0. More than 20 `classes` are not labelled. Raises ValueError for a class
    beyond them, or no net at all.
    """
    nets = list(dict.fromkeys(table["net"]))
    _need(nets, "confusions: got a table without nets")
    few = len(classes) <= 20  # above it, names and numbers no longer fit their cells
    columns = min(len(nets), 4 if len(classes) <= 10 else 2 if few else 3)
    lines, side = -(-len(nets) // columns), 7.4 / max(2, columns)
    size = (side * columns + 0.9, (side + 0.15) * lines + 0.7)
    figure, grid = plt.subplots(lines, columns, figsize=size, squeeze=False, layout="compressed")
    names = few and [
        (name if len(name) <= 16 else f"{name[:15]}…").replace("$", r"\$") for name in classes
    ]
    form: dict[str, Any] = {
        "norm": PowerNorm(0.5, 0, 1),
        "cmap": "rocket_r",
        "cbar": False,
        "square": True,
        "fmt": "",
    }
    form |= {"linewidths": 0.3 if few else 0, "rasterized": not few, "annot_kws": {"fontsize": 6.5}}
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
        axes.xaxis.set_in_layout(
            i // columns == lines - 1
        )  # names beside the last line find room there
        axes.tick_params(labelsize=6.5, length=0, pad=2)
        axes.yaxis.set_tick_params(rotation=0)
        axes.set_title(f"{net}: {100 * accuracy:.1f} %", fontsize=8, loc="left", pad=4)
        axes.spines[:].set(visible=True, color="0.7", linewidth=0.6)
    form = {
        "ticks": [0, 0.01, 0.05, 0.1, 0.25, 0.5, 1],
        "format": "{x:.0%}",
        "aspect": 30,
        "pad": 0.015,
    }
    bar = figure.colorbar(
        grid[0, 0].collections[0], ax=grid, label="share of the true class", **form
    )
    bar.ax.tick_params(labelsize=7)
    figure.supxlabel("predicted class", fontsize=9)
    figure.supylabel("true class", fontsize=9)
    figure.suptitle(
        f"Confusions on the test set, with accuracy: {where}", fontsize=9, x=0.01, ha="left"
    )
    return figure


def _row_shares(part: pd.DataFrame, classes: list[str]) -> tuple[np.ndarray, float]:
    """Shares (true, predicted), NaN (blank) where a class has no images, and the accuracy."""
    index = {key: i for i, name in enumerate(classes) for key in (name, i)}
    pairs = [[index.get(key, -1) for key in part[side]] for side in ("true", "predicted")]
    _need(
        min(map(min, pairs)) >= 0,
        f"confusions: got a class that is none of the {len(classes)} classes",
    )
    counts = np.zeros((len(classes), len(classes)))
    np.add.at(counts, tuple(pairs), part["count"])
    with np.errstate(invalid="ignore"):
        return counts / counts.sum(1, keepdims=True), np.trace(counts) / counts.sum()


def calibration(curves: pd.DataFrame, facts: pd.DataFrame, where: str) -> Figure:
    """Reliability diagram: accuracy against confidence, a line a net; below the diagonal is
    over-confident.

    `curves` has columns net, confidence, accuracy (fractions), count, one line a bin; empty bins
    are left out. `facts` has net, nll (nats), ece (fraction) and gives the order. Raises ValueError
    for curves without facts, or no net.
    """
    _need(len(facts), "calibration: got facts without nets")
    _need(
        set(curves.net) <= set(facts.net),
        f"calibration: got curves of {set(curves.net)}, facts of {set(facts.net)}",
    )
    figure, axes = plt.subplots(figsize=(7.6, 5.0))
    axes.plot([0, 1], [0, 1], color="0.5", ls=":", lw=1.2, label="perfectly calibrated")
    curves = curves[curves["count"] > 0].sort_values("confidence")
    palette = seaborn.color_palette("colorblind" if len(facts) <= 10 else "husl", len(facts))
    for fact, color, marker in zip(
        facts.itertuples(), palette, "osD^vPX<>ph*" * len(facts), strict=False
    ):
        part = curves[curves["net"] == fact.net]
        area = 130 * part["count"] / curves["count"].max()
        words = f"{fact.net}\nECE {100 * fact.ece:.1f} %, NLL {fact.nll:.2f}"
        axes.plot(
            part.confidence, part.accuracy, color=color, marker=marker, ms=2, lw=1.3, label=words
        )
        axes.scatter(
            part.confidence,
            part.accuracy,
            area,
            color=color,
            marker=marker,
            ec="white",
            lw=0.4,
            zorder=3,
        )
    axes.set(xlim=(-0.02, 1.03), ylim=(-0.02, 1.03), aspect="equal", ylabel="test accuracy")
    axes.set_xlabel("confidence (marker area: test images in the bin)")
    _percent(axes)
    axes.set_title(f"Confidence and accuracy: {where}", loc="left", fontsize=10)
    axes.legend(
        loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, fontsize=7.5, markerscale=3
    )
    return figure


def fidelity(table: pd.DataFrame, where: str) -> Figure:
    """How far students copy the ensemble: agreement against accuracy, and KL divergence against
    parameters.

    `table` has columns target ("mimic" or "hard"), row, budget, params, accuracy, agreement
    (fractions), kl (nats); a cell with an empty value, or a KL of 0, is left out of that panel.
    Raises ValueError for no cell at all.
    """
    _need(len(table), "fidelity: got a table without cells")
    rows = list(dict.fromkeys(table["row"]))
    colors = row_colors(rows)
    markers = {row: MARKERS[place % len(MARKERS)] for row, place in row_places(rows).items()}
    table = table.sort_values("params", kind="stable")
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 4.0), layout="constrained")
    for axes, x, y in ((left, "accuracy", "agreement"), (right, "params", "kl")):
        for (target, row), part in table[(table[y] > 0) & table[x].notna()].groupby(
            ["target", "row"], sort=False
        ):
            form = {
                "marker": markers[row],
                "ms": 5.5,
                "color": colors[row],
                "label": f"{target} {row}",
            }
            form |= (
                {"mfc": "white", "ls": "", "mew": 1.3, "zorder": 4}
                if target == "hard"
                else {"lw": 1.0}
            )
            axes.plot(part[x], part[y], **form)
        _percent(axes)
        if not axes.lines:
            _absent(axes, f"{y} not measured")
    left.set(
        xlabel="test accuracy",
        ylabel="agreement with the ensemble",
        xlim=left.get_xlim(),
        ylim=left.get_ylim(),
    )
    left.axline(
        (0.5, 0.5), slope=1, color="0.5", ls=":", lw=1.0
    )  # limits are set before, so that it widens none
    if right.lines:
        right.set(yscale="log", ylabel="KL divergence from the ensemble (nats)")
        ticks = {
            "major_locator": LogLocator(subs=(1, 1.5, 2, 3, 5, 7)),
            "minor_locator": NullLocator(),
        }
        right.yaxis.set(major_formatter="{x:g}", **ticks)
        budget_axis(right, table.groupby("budget", sort=False).params.median())
    keys = [
        Line2D([], [], color=colors[row], marker=markers[row], ms=5.5, lw=1.0)
        for row in reversed(rows)
    ]
    keys += [
        Line2D([], [], color="0.3", marker="o", mfc="white", mew=1.3, ls=""),
        Line2D([], [], color="0.5", ls=":"),
    ]
    words = [*map(label, reversed(rows)), "trained on hard labels", "agreement = accuracy"]
    figure.legend(keys, words, loc="outside right center", frameon=False, fontsize=8)
    figure.suptitle(
        f"How far the students copy the ensemble: {where}", fontsize=10, x=0.01, ha="left"
    )
    return figure
