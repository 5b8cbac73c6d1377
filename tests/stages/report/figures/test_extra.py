"""The figure of further test sets: which panels, which points."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer

from stages.report.extra import COLUMNS
from stages.report.figures.extra import extra
from tests.helpers import extra_sets
from tests.helpers.figure_data import words


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")


def points(axes: Axes) -> dict[str, ErrorbarContainer]:
    return {bars.get_label(): bars for bars in axes.containers}


def test_a_panel_a_corrupted_set_and_one_for_the_others() -> None:
    frame = extra_sets.accuracies(["c", "d"], ["mine"])
    panels = extra(frame, "test", "toy").axes
    assert [axes.get_xlabel() for axes in panels] == [
        "severity of the corruptions of c",
        "severity of the corruptions of d",
        "accuracy",
    ]
    assert [list(points(axes)) for axes in panels] == [list(extra_sets.DRAWN)] * 3
    assert [text.get_text() for text in panels[2].get_yticklabels()] == ["test", "mine"]


def test_severity_0_is_the_own_test_set() -> None:
    frame = extra_sets.accuracies(["c"], [])
    (axes,) = extra(frame, "test", "toy").axes
    assert [text.get_text() for text in axes.get_xticklabels()][:2] == ["none", "1"]

    means = frame[(frame.net == "ensemble") & (frame.corruption == "")]
    drawn = points(axes)["ensemble"].lines[0].get_ydata()
    own = means[means["set"] == "test"].accuracy.tolist()
    assert drawn.tolist() == own + means[means.severity.notna()].accuracy.tolist()
    assert len(drawn) == 6


def test_intervals_are_those_of_the_table() -> None:
    frame = extra_sets.accuracies([], ["mine"])
    (axes,) = extra(frame, "test", "toy").axes
    for net, bars in points(axes).items():
        lines = frame[frame.net == net]
        ends = [segment[:, 0].tolist() for segment in bars.lines[2][0].get_segments()]
        wanted = [list(each) for each in zip(lines.low, lines.high, strict=True)]
        assert ends == [pytest.approx(each) for each in wanted]


def test_an_empty_figure_says_why() -> None:
    frame = extra_sets.accuracies([], [])
    for nothing in (frame[:0], frame[:0].reindex(columns=COLUMNS)):
        figure = extra(nothing, "test", "toy data")
        assert any("prepare.extra_tests is empty" in text for text in words(figure))
