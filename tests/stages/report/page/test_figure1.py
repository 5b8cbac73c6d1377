"""Figure 1 of the page."""

from __future__ import annotations

import pandas as pd
import pytest

from stages.report.figures.colors import REACH
from stages.report.page.figure1 import figure1, with_paper
from stages.report.paper import paper_values
from stages.settings.budgets import parse_budget
from stages.settings.groups import CellName
from tests.helpers.page_parts import cell, validated


def test_figure_1_has_every_cell_and_the_papers() -> None:
    cells = {
        CellName("mimic", row, budget): cell(row, budget, 0.2, 0.7, size)
        for row in ("mlp2", "conv1")
        for budget, size in (("1M", 1_010_000), ("10M", 9_990_000))
    }
    cells[CellName("hard", "conv1", "10M")] = cell("conv1", "10M", 0.3, 0.6, 9_990_000)
    lines = [
        (name.row, name.budget, each.params, 1, 0.7, 0.71, 0.69, name.group)
        for name, each in cells.items()
    ]
    names = ["row", "budget", "params", "trials_shown", "mean", "best", "fifth", "target"]
    nets = {"mlp2": "mlp2", "conv1": "conv1"}
    chart = figure1(pd.DataFrame(lines, columns=names), cells, nets, 0.9, 3)
    validated(chart)
    own = [trace for trace in chart["data"] if trace["legendgroup"] in ("mlp2", "conv1")]
    means = [trace for trace in own if "markers" in trace["mode"]]
    assert [list(trace["y"]) for trace in means] == [[0.7, 0.7]] * 2
    assert [list(trace["x"]) for trace in means] == [[1_010_000, 9_990_000]] * 2
    text = means[1]["text"][1]
    for words in (
        "1 conv. layer, 10M",
        "widths: 5, 6; dependent: 7",
        "lr: 0.1",
        "trials: 1",
        "parameters: 9,990,000",
    ):
        assert words in text
    hard = [trace for trace in chart["data"] if trace["legendgroup"] == "hard"]
    assert list(hard[0]["x"]) == pytest.approx([9_990_000 / REACH, 9_990_000, 9_990_000 * REACH])
    assert hard[0]["y"] == [0.71] * 3
    paper = [trace for trace in chart["data"] if trace["legendgroup"] == chart["toggle"]["group"]]
    printed = [entry["accuracy"] for entry in paper_values()["table2"]["rows"].values()]
    assert [list(t["y"]) for t in paper[:9]] == [
        [pytest.approx(v / 100) for v in row.values()] for row in printed
    ]
    assert paper[0]["x"] == [1_010_000, 3_162_278, 9_990_000, 31_622_777], (
        "shared budgets where this run's nets are"
    )
    low, high = chart["toggle"]["on"]["xaxis.range"]
    assert (
        10**low < 1_010_000 and 10**high > 31_622_777 > 10 ** chart["layout"]["xaxis"]["range"][1]
    )


def test_the_papers_budgets_are_those_of_the_nets() -> None:
    """3.16M is 10**6.5 everywhere, and not 3,160,000."""
    empty = {"data": [], "layout": {"xaxis": {"range": [4, 6]}}}
    lines = with_paper(empty, {"60k": 60_000.0}, {})["data"]
    budgets = paper_values()["table2"]["budgets"]
    assert lines[0]["x"] == [parse_budget(budget) for budget in budgets]
    assert lines[0]["x"] == [1_000_000, 3_162_278, 10_000_000, 31_622_777]
