"""Figure 1: the numbers that it draws, and its fixed bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from stages.report.figures.figure1 import figure1
from stages.report.figures.theme import save
from stages.report.paper import label
from tests.helpers.figure_data import families_of, sha256
from tests.helpers.processes import PATIENCE
from tools.pocket import ROOT


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")


def numbers(
    rows: list[str], budgets: list[str], controls: list[str], shown: int = 5
) -> pd.DataFrame:
    """Figure 1's numbers: accuracies that grow with the budget."""
    lines = []
    for target, group in (("mimic", rows), ("hard", controls)):
        for i, row in enumerate(group):
            for j, budget in enumerate(budgets):
                mean = 0.5 + 0.03 * i + 0.02 * j
                facts = {"params": 60_000 * 3**j + i, "trials_shown": shown, "target": target}
                ends = {"mean": mean, "best": mean + 0.01, "fifth": mean - 0.01}
                lines.append({"row": row, "budget": budget, **facts, **ends})
    return pd.DataFrame(lines)


DRAW = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.stages.report.figures.test_figure1 import drawn, save
save(drawn(), Path(sys.argv[1]))
assert "torch" not in sys.modules
"""


def drawn() -> Figure:
    """A small Figure 1."""
    data = numbers(["mlp1", "conv1"], ["60k", "180k"], ["conv1"])
    return figure1(data, families_of(["mlp1", "conv1"]), 0.9, "w")


def test_lines_run_in_the_order_of_the_axis_however_budgets_are_listed() -> None:
    data = numbers(["mlp1", "conv1"], ["60k", "180k", "540k"], ["conv1"])
    shuffled = data.iloc[[1, 2, 0, 4, 3, 5, 6, 7, 8]].reset_index(drop=True)
    for table in (data, shuffled):
        (axes,) = figure1(table, families_of(["mlp1", "conv1"]), 0.9, "w").axes
        solid = [line for line in axes.lines if line.get_linewidth() == 1.8]
        assert len(solid) == 2
        for line in solid:
            xs, ys = line.get_data()
            assert list(xs) == sorted(xs) and list(ys) == sorted(ys) and len(xs) == 3


def test_svg_has_the_same_bytes_each_time_and_needs_no_torch(tmp_path: Path) -> None:
    hashes = {sha256(drawn(), tmp_path / f"{i}.svg") for i in range(2)}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", DRAW, str(tmp_path / "other.svg"), str(ROOT / "tests")]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=PATIENCE)
    hashes.add(hashlib.sha256((tmp_path / "other.svg").read_bytes()).hexdigest())
    assert len(hashes) == 1
    assert b"<dc:date>" not in (tmp_path / "0.svg").read_bytes()


@pytest.mark.parametrize(
    ("rows", "budgets", "controls", "shown"),
    [
        (["mlp1"], ["60k"], ["conv1"], 1),
        (["strange", "Odd-row_2"], ["180k"], ["also-odd"], 2),
        ([f"row{i}" for i in range(14)], ["60k", "180k", "1M"], [], 5),
    ],
)
def test_figure1_of_unusual_runs(
    tmp_path: Path, rows: list[str], budgets: list[str], controls: list[str], shown: int
) -> None:
    nets = families_of([*rows, *controls])
    data = numbers(rows, budgets, controls, shown)
    figure = figure1(data, nets, 0.9, "toy data, smoke scale")
    save(figure, tmp_path / "deep" / "f.png")
    assert (tmp_path / "deep" / "f.png").read_bytes().startswith(b"\x89PNG")
    axes = figure.axes[0]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert set(names) == {
        *(label(row, nets[row]) for row in rows),
        "ensemble (teacher)",
        "trained on hard labels",
    }
    assert [t.get_text() for t in axes.get_xticklabels()] == budgets
    assert "toy data, smoke scale" in axes.get_title(loc="left")
    (note,) = (text.get_text() for text in figure.texts)
    assert (
        f"the {shown} best trials" in note
        and f"best and {'fifth' if shown == 5 else 'last'} of them" in note
    )
    assert "hard labels: the best trial alone" in note


def test_figure1_draws_the_numbers() -> None:
    data = numbers(["mlp1", "conv4"], ["60k", "180k"], ["conv4"])
    axes = figure1(data, families_of(["mlp1", "conv4"]), 0.9, "w").axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    solid = lines["4 conv. layers"]
    np.testing.assert_allclose(solid.get_ydata(), [0.53, 0.55])
    assert solid.get_xdata()[1] / solid.get_xdata()[0] == pytest.approx(3, rel=1e-4)
    thin = (line.get_ydata() for line in axes.lines if line.get_linewidth() == 0.9)
    dashed = sorted(tuple(np.round(heights, 6)) for heights in thin)
    assert dashed == [(0.49, 0.51), (0.51, 0.53), (0.52, 0.54), (0.54, 0.56)]
    assert lines["ensemble (teacher)"].get_ydata() == [0.9, 0.9]
    assert axes.get_xscale() == "log"
    bars = [segment[0][1] for c in axes.collections for segment in c.get_segments() if len(segment)]
    assert sorted(set(np.round(bars, 6))) == [0.51, 0.53]
