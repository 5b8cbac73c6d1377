"""The paper's claims as a figure."""

from __future__ import annotations

from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stages.report.figures.colors import VERDICT_COLORS
from stages.report.figures.theme import nothing_to_draw
from stages.report.words import UNTESTED

PAPER: dict[str, Any] = {
    "ls": "",
    "marker": "D",
    "ms": 6,
    "mfc": "none",
    "mec": "black",
    "mew": 0.9,
    "zorder": 4,
}


def claims(answers: dict[str, Any], where: str) -> Figure:
    """A forest plot of every claim: this run's effects with intervals, and the paper's values.

    Args:
        answers: metrics/claims.json: `level` (fraction), `images`, and `claims`: id -> statement,
            verdict, effect, effects (key -> value_pct, low_pct, high_pct; percentage points, > 0
            in favour), paper (key -> percentage points; keys that effects lack have lines of their
            own).
        where: data and scale, for the title.

    Raises:
        ValueError: an unknown verdict, or no claim at all.
    """
    entries = list(answers["claims"].values())
    if not entries:
        raise ValueError(
            "claims: found no claim to draw; run the stage that makes metrics/claims.json"
        )

    # Two panels a line, as high as the larger of the two needs.
    counts = [
        1 if entry["verdict"] == UNTESTED else len({**entry["effects"], **entry["paper"]})
        for entry in entries
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

    # The legend and the title.
    keys = [Line2D([], [], color="0.3", marker="o", ms=4.5, lw=1.6), Line2D([], [], **PAPER)]
    words = [f"this run, {100 * answers['level']:g} % interval", "the paper's value (CIFAR-10)"]
    figure.legend(keys, words, loc="outside lower left", ncols=2, frameon=False, fontsize=8)
    title = f"The paper's claims in percentage points; right of the line is in favour: {where}"
    figure.suptitle(f"{title}, {answers['images']} test images", fontsize=9, x=0.01, ha="left")

    return figure


def _forest(axes: Axes, entry: dict[str, Any]) -> None:
    """One claim: a line a key, with the verdict as a word and a colour."""
    verdict = entry["verdict"]
    effects = entry["effects"]
    paper = entry["paper"]
    if verdict not in VERDICT_COLORS:
        raise ValueError(
            f"claims: got the verdict {verdict!r}, allowed are {', '.join(VERDICT_COLORS)}"
        )

    color = VERDICT_COLORS[verdict]

    # The statement and the verdict, which is all of a claim that was not tested.
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
    if verdict == UNTESTED or not keys:
        return nothing_to_draw(axes, verdict)

    # A line a key, the first on top.
    axes.axvline(0, color="0.35", lw=0.9, ls=(0, (4, 3)), zorder=1)
    for y, key in enumerate(keys):
        if key in effects:
            value, low, high = (effects[key][f"{name}_pct"] for name in ("value", "low", "high"))
            axes.plot([low, high], [y, y], color=color, lw=1.6, label="interval", zorder=2)
            axes.plot([value], [y], "o", ms=4.5, color=color, label="this run", zorder=3)
        if key in paper:
            axes.plot([paper[key]], [y], label="paper", **PAPER)

    axes.set_yticks(range(len(keys)), [_name(key, effects, paper) for key in keys], fontsize=7)

    axes.set(ylim=(len(keys) - 0.4, -0.6), xmargin=0.07)
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlabel(fill(entry["effect"], 60), fontsize=7, loc="left")
    axes.grid(axis="x", color="0.92", lw=0.7)
    seaborn.despine(ax=axes)


def _name(key: str, effects: dict[str, Any], paper: dict[str, float]) -> str:
    """What stands beside a line: the key, and which of the two it is if the other has none."""
    if key not in effects:
        return f"paper {key}"
    return key if key in paper else key or "this run"
