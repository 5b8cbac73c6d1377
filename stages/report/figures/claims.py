"""The paper's claims as a figure."""

from __future__ import annotations

from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

# importing figures sets the theme and the salt of SVG ids for the functions here too
from stages.report.figures.style import VERDICTS, _absent, _need

PAPER: dict[str, Any] = {
    "ls": "",
    "marker": "D",
    "ms": 6,
    "mfc": "none",
    "mec": "black",
    "mew": 0.9,
    "zorder": 4,
}


def claims(found: dict[str, Any], where: str) -> Figure:
    """A forest plot of every claim of the paper: this run's effects with intervals, and the paper's
    values.

    `found` is metrics/claims.json: `level` (fraction), `images`, and `claims`: id -> statement,
    verdict, effect, effects (key -> value_pct, low_pct, high_pct; percentage points, > 0 in
    favour), paper (key -> percentage points; keys that effects lack have lines of their own).
    Raises ValueError for an unknown verdict, or no claim at all.
    """
    entries = list(found["claims"].values())
    _need(entries, "claims: found no claim to draw; run the stage that makes metrics/claims.json")
    counts = [
        1 if e["verdict"] == "not tested" else len({**e["effects"], **e["paper"]}) for e in entries
    ]
    heights = [1.0 + 0.17 * max(1, *counts[i : i + 2]) for i in range(0, len(counts), 2)]
    figure, grid = plt.subplots(
        len(heights), 2, squeeze=False, height_ratios=heights, figsize=(8.2, sum(heights) + 1)
    )
    figure.set_layout_engine("constrained", h_pad=0.08)
    for axes in grid.flat[len(entries) :]:
        axes.set_visible(False)
    for axes, entry in zip(grid.flat, entries, strict=False):
        _forest(axes, entry)
    keys = [Line2D([], [], color="0.3", marker="o", ms=4.5, lw=1.6), Line2D([], [], **PAPER)]
    words = [f"this run, {100 * found['level']:g} % interval", "the paper's value (CIFAR-10)"]
    figure.legend(keys, words, loc="outside lower left", ncols=2, frameon=False, fontsize=8)
    title = f"The paper's claims in percentage points; right of the line is in favour: {where}"
    figure.suptitle(f"{title}, {found['images']} test images", fontsize=9, x=0.01, ha="left")
    return figure


def _forest(axes: Axes, entry: dict[str, Any]) -> None:
    """One claim: a line a key, with the verdict as a word and a colour."""
    verdict, effects, paper = entry["verdict"], entry["effects"], entry["paper"]
    _need(
        verdict in VERDICTS,
        f"claims: got the verdict {verdict!r}, allowed are {', '.join(VERDICTS)}",
    )
    color = VERDICTS[verdict]
    axes.set_title(fill(entry["statement"], 52), loc="left", fontsize=8, pad=15)
    axes.annotate(
        verdict,
        (0, 1),
        (0, 4),
        "axes fraction",
        "offset points",
        color=color,
        fontsize=8,
        weight="bold",
    )
    keys = [*effects, *(key for key in paper if key not in effects)]
    if verdict == "not tested" or not keys:
        return _absent(axes, verdict)
    axes.axvline(0, color="0.35", lw=0.9, ls=(0, (4, 3)), zorder=1)
    for y, key in enumerate(keys):
        if key in effects:
            value, low, high = (effects[key][f"{name}_pct"] for name in ("value", "low", "high"))
            axes.plot([low, high], [y, y], color=color, lw=1.6, label="interval", zorder=2)
            axes.plot([value], [y], "o", ms=4.5, color=color, label="this run", zorder=3)
        if key in paper:
            axes.plot([paper[key]], [y], label="paper", **PAPER)
    names = [
        (key if key in paper else key or "this run") if key in effects else f"paper {key}"
        for key in keys
    ]
    axes.set_yticks(range(len(keys)), names, fontsize=7)
    axes.set(ylim=(len(keys) - 0.4, -0.6), xmargin=0.07)
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlabel(fill(entry["effect"], 60), fontsize=7, loc="left")
    axes.grid(axis="x", color="0.92", lw=0.7)
    seaborn.despine(ax=axes)
