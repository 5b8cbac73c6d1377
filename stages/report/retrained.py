"""Chosen configurations trained again from other seeds, beside the best of their sweeps; used by
tabulate.

The best of a sweep was chosen by its validation error among many, and its test accuracy is that of
one lucky seed or not; the retrained nets were not chosen. The difference is the selection bias of a
table of best trials.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stages.report.cells import CellResult
from stages.report.statistics import iqm, mean_interval, stratified_iqm
from stages.report.tables import markdown, per_cent

RESAMPLES = 10_000
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
"""Mean, its 95 % interval by Student's t and interquartile mean of the runs, and the mean less the
best trial's.
"""


def retrained(cells: dict[str, list[CellResult]]) -> pd.DataFrame:
    """A line for each cell that was trained again; columns COLUMNS, accuracies in percent.

    Args:
        cells: by target.
    """
    lines = []
    for target, group in cells.items():
        for cell in group:
            good = 100 * cell.retrained["test_accuracy"].dropna().to_numpy(np.float64)
            failed, best = len(cell.retrained) - len(good), 100 * cell.test_accuracy
            if len(cell.retrained):
                mean, low, high = mean_interval(good) if len(good) else (np.nan,) * 3
                middle = iqm(good) if len(good) else np.nan
                lines.append(
                    (
                        target,
                        cell.row,
                        cell.budget,
                        len(good),
                        failed,
                        mean,
                        low,
                        high,
                        middle,
                        best,
                        mean - best,
                    )
                )
    return pd.DataFrame(lines, columns=COLUMNS).round(4)


def selection_bias(
    cells: Sequence[CellResult], rng: np.random.Generator
) -> tuple[float, float, float] | None:
    """Accuracy of retrained nets less that of their sweep's best trial, in points: interquartile
    mean over all runs of all cells, and its 95 % interval, runs resampled within their cell. None
    where nothing was trained again.
    """
    groups = []
    for cell in cells:
        good = cell.retrained["test_accuracy"].dropna().to_numpy(np.float64)
        if len(good):
            groups.append(100 * (good - cell.test_accuracy))
    return stratified_iqm(groups, RESAMPLES, rng) if groups else None


def to_markdown(frame: pd.DataFrame, bias: tuple[float, float, float] | None, caption: str) -> str:
    """The table, and a sentence on the selection bias if a run succeeded; one sentence where
    nothing was trained.
    """
    if frame.empty:
        return f"{caption}\n\nNothing was trained again: `students.final_seeds` and `hard.final_seeds` are 0.\n"
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
    lines = []
    for entry in frame.itertuples():
        runs = f"{entry.runs}" + (f" ({entry.failed} failed)" if entry.failed else "")
        spread = "" if np.isnan(entry.low_pct) else f" [{entry.low_pct:.2f}, {entry.high_pct:.2f}]"
        own = (
            [f"{per_cent(entry.mean_pct)}{spread}", per_cent(entry.iqm_pct)]
            if entry.runs
            else ["", ""]
        )
        rest = [
            per_cent(entry.best_of_sweep_pct),
            f"{entry.difference_pct:+.2f}" if entry.runs else "",
        ]
        lines.append([entry.target, entry.row, entry.budget, runs, *own, *rest])
    if bias is None:
        return f"{markdown(caption, head, lines, words=3)}\nNo run of a retrained net succeeded.\n"
    sentence = (
        f"Retrained nets less the best of their sweep: interquartile mean {bias[0]:+.2f} points, 95\u00a0% interval "
        f"[{bias[1]:+.2f}, {bias[2]:+.2f}], runs resampled within their cell."
    )
    return f"{markdown(caption, head, lines, words=3)}\n{sentence}\n"
