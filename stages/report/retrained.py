"""Chosen configurations trained again from other seeds, beside the best of their sweeps.

The best of a sweep was chosen by its validation error among many, and its seed may have been lucky.
Retrained nets carry no such bias: no choice was made among them. The difference is the selection
bias of a table of best trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stages.report.cells import CellResult
from stages.report.statistics import iqm, mean_interval, mean_of_groups
from stages.report.tables import markdown, per_cent
from stages.report.words import NO_INTERVAL

COLUMNS = [
    "target",
    "row",
    "budget",
    "runs",
    "failed",
    "mean_pct",
    "low_pct",
    "high_pct",
    "iqm_pct",
    "best_of_sweep_pct",
    "difference_pct",
]
"""Of the runs: mean, its 95 % interval by Student's t, interquartile mean; and mean less best.
Without a second run there is no interval, and low and high are empty."""


def retrained(cells: dict[str, list[CellResult]]) -> pd.DataFrame:
    """A line for each cell that was trained again; columns COLUMNS, accuracies in percent.

    Args:
        cells: by target.
    """
    lines = []
    for target, group in cells.items():
        for cell in group:
            if len(cell.retrained):
                lines.append((target, cell.row, cell.budget, *_line(cell)))
    return pd.DataFrame(lines, columns=COLUMNS).round(4)


def _line(cell: CellResult) -> tuple[float, ...]:
    """What COLUMNS say of a cell, after its name."""
    best = 100 * cell.test_accuracy
    good = 100 * cell.retrained["test_accuracy"].dropna().to_numpy(np.float64)
    failed = len(cell.retrained) - len(good)
    if not len(good):
        return (0, failed, *[np.nan] * 4, best, np.nan)

    mean, low, high = mean_interval(good)
    return (len(good), failed, mean, low, high, iqm(good), best, mean - best)


@dataclass(frozen=True)
class Bias:
    """Accuracy of retrained nets less that of their sweep's best trial, in points.

    Attributes:
        mean: over cells, of each cell's mean over its runs.
        low, high: of its 95 % interval; nan where no cell has a second run.
        cells: how many it is over.
        left_out: cells with one run, where others have more.
    """

    mean: float
    low: float
    high: float
    cells: int
    left_out: int


def selection_bias(cells: Sequence[CellResult]) -> Bias | None:
    """The selection bias of these cells, see `statistics.mean_of_groups`.

    The interval tells how the mean depends on the seeds of the runs, for these cells and test
    images. A cell with one run cannot say how seeds differ: it is left out where others can. None
    where nothing was trained again.
    """
    groups = []
    for cell in cells:
        good = cell.retrained["test_accuracy"].dropna().to_numpy(np.float64)
        if len(good):
            groups.append(100 * (good - cell.test_accuracy))

    several = [group for group in groups if len(group) > 1]
    kept = several or groups
    if not kept:
        return None
    return Bias(*mean_of_groups(kept), len(kept), len(groups) - len(kept))


def to_markdown(frame: pd.DataFrame, bias: Bias | None, caption: str) -> str:
    """The table and a sentence on the selection bias, or why there is none."""
    if frame.empty:
        return (
            f"{caption}\n\nNothing was trained again: `students.final_seeds` and "
            "`hard.final_seeds` are 0.\n"
        )

    head = [
        "Target",
        "Net",
        "Budget",
        "Runs",
        "Mean [95\u00a0%]",
        "Interquartile mean",
        "Best of sweep",
        "Difference",
    ]

    # A line a cell; without a run that succeeded its means are empty.
    lines = []
    for entry in frame.itertuples():
        runs = f"{entry.runs}" + (f" ({entry.failed} failed)" if entry.failed else "")
        spread = f" [{entry.low_pct:.2f}, {entry.high_pct:.2f}]"
        if np.isnan(entry.low_pct):
            spread = f" ({NO_INTERVAL})"
        means = ["", ""]
        difference = ""

        if entry.runs:
            means = [f"{per_cent(entry.mean_pct)}{spread}", per_cent(entry.iqm_pct)]
            difference = f"{entry.difference_pct:+.2f}"

        best = per_cent(entry.best_of_sweep_pct)
        lines.append([entry.target, entry.row, entry.budget, runs, *means, best, difference])

    if bias is None:
        return f"{markdown(caption, head, lines, words=3)}\nNo run of a retrained net succeeded.\n"

    return f"{markdown(caption, head, lines, words=3)}\n{sentence(bias)}\n"


def sentence(bias: Bias) -> str:
    """The selection bias in words."""
    over = f"{bias.cells} cell{'' if bias.cells == 1 else 's'}"
    first = f"Retrained nets less the best of their sweep: {bias.mean:+.2f} points, mean of {over}"
    if np.isnan(bias.low):
        return f"{first} ({NO_INTERVAL})."

    interval = f"95\u00a0% interval [{bias.low:+.2f}, {bias.high:+.2f}] (Student's t, over seeds)"
    left = f"; without {bias.left_out} that had one run" if bias.left_out else ""
    return f"{first}, {interval}{left}."
