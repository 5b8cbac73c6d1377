"""Retrained nets: means, intervals and the selection bias, on numbers known by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from stages.report import retrained
from stages.report.cells import CellResult


def cell(row: str, best: float, runs: list[float | None]) -> CellResult:
    """A cell whose sweep's best has that test accuracy, trained again with these; None failed."""
    again = pd.DataFrame(
        {"run": range(len(runs)), "validation_error": 0.5, "test_accuracy": runs}, dtype=object
    )
    trials = pd.DataFrame(
        {"trial": [0], "validation_error": [0.2], "test_accuracy": [best], "params": [10]}
    )
    return CellResult(row, "60k", best, trials, again)


CELLS = {
    "mimic": [cell("conv1", 0.80, [0.70, 0.74, 0.72]), cell("conv2", 0.90, [])],
    "hard": [cell("conv1", 0.60, [0.55, None])],
}


def test_means_and_intervals() -> None:
    frame = retrained.retrained(CELLS).set_index(["target", "row"])
    assert list(frame.index) == [("mimic", "conv1"), ("hard", "conv1")], (
        "what was not trained again has no line"
    )
    first = frame.loc[("mimic", "conv1")]
    second = frame.loc[("hard", "conv1")]
    assert (first.runs, first.failed, second.runs, second.failed) == (3, 0, 1, 1)
    assert (first.mean_pct, first.best_of_sweep_pct, first.difference_pct) == pytest.approx(
        (72, 80, -8)
    )
    interval = stats.ttest_1samp([70, 74, 72], 0).confidence_interval(0.95)
    assert (first.low_pct, first.high_pct) == pytest.approx((interval.low, interval.high), abs=1e-3)
    assert (
        first.iqm_pct == pytest.approx(72)
        and second.mean_pct == pytest.approx(55)
        and np.isnan(second.low_pct)
    )


def test_selection_bias_is_negative_where_the_best_was_lucky() -> None:
    """Over the cell with three runs: the one with a single run does not say how seeds differ."""
    cells = [each for group in CELLS.values() for each in group]
    bias = retrained.selection_bias(cells)
    peer = stats.ttest_1samp([-10, -6, -8], 0).confidence_interval(0.95)
    assert (bias.mean, bias.low, bias.high) == pytest.approx((-8, peer.low, peer.high))
    assert (bias.cells, bias.left_out) == (1, 1)

    text = retrained.to_markdown(retrained.retrained(CELLS), bias, "caption")
    assert f"-8.00 points, mean of 1 cell, 95\u00a0% interval [{peer.low:+.2f}, " in text
    assert "without 1 that had one run" in text
    assert "1 (1 failed) | 55.00\u00a0% (no interval: one run) |" in text and "| -8.00 |" in text


def test_one_run_gives_no_interval_anywhere() -> None:
    cells = {"mimic": [cell("conv1", 0.80, [0.70]), cell("conv2", 0.90, [0.88])]}
    bias = retrained.selection_bias(cells["mimic"])
    assert bias.mean == pytest.approx(-6) and np.isnan(bias.low) and np.isnan(bias.high)
    frame = retrained.retrained(cells)
    assert frame.to_csv(index=False).splitlines()[1] == "mimic,conv1,60k,1,0,70.0,,,70.0,80.0,-10.0"
    text = retrained.to_markdown(frame, bias, "caption")
    assert (
        text.count("(no interval: one run)") == 3
        and "[" not in text.split("\n\n", 1)[1].split("Interquartile", 1)[1]
    )


def test_several_cells_share_what_seeds_do() -> None:
    cells = [cell("conv1", 0.80, [0.70, 0.74]), cell("conv2", 0.90, [0.88, 0.90])]
    bias = retrained.selection_bias(cells)
    alone = [retrained.selection_bias([each]) for each in cells]
    assert bias.mean == pytest.approx(-4.5) and bias.cells == 2 and bias.left_out == 0
    assert bias.high - bias.low < min(each.high - each.low for each in alone)


def test_nothing_was_trained_again() -> None:
    cells = {"mimic": [cell("conv1", 0.8, [])]}
    assert retrained.selection_bias(cells["mimic"]) is None
    assert "Nothing was trained again" in retrained.to_markdown(
        retrained.retrained(cells), None, "caption"
    )
    lost = {"mimic": [cell("conv1", 0.8, [None])]}
    frame = retrained.retrained(lost)
    assert frame.runs[0] == 0 and frame.failed[0] == 1 and np.isnan(frame.mean_pct[0])
    assert retrained.selection_bias(lost["mimic"]) is None
    text = retrained.to_markdown(frame, None, "caption")
    assert (
        "0 (1 failed) |  |  | 80.00\u00a0% |  |" in text
        and "No run of a retrained net succeeded" in text
    )
