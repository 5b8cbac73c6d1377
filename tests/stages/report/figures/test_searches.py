"""The course of every search."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from stages.report.figures.searches import sweeps
from stages.report.figures.theme import save


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.mark.parametrize("count", range(1, 7))
def test_sweeps_of_one_to_six_trials(tmp_path: Path, count: int) -> None:
    errors = [np.nan, 0.5, 0.4, 0.6, 0.3, 0.2][:count] if count > 1 else [0.5]
    table = pd.DataFrame({"trial": range(count), "validation_error": errors})
    table["best_so_far"] = table["validation_error"].cummin().ffill()
    panels = {f"panel {i}": {"60k": table, "180k": table} for i in range(2)}
    panels["teachers"] = {"8 conv. layers": table}
    figure = sweeps(panels, "toy")
    save(figure, tmp_path / "s.png")
    visible = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in visible] == list(panels)
    steps = [line for line in visible[0].lines if line.get_label() == "60k"]
    np.testing.assert_array_equal(steps[0].get_xdata(), np.arange(1, count + 1))
    np.testing.assert_array_equal(steps[0].get_ydata(), table["best_so_far"])
