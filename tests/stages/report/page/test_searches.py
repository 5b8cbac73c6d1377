"""Searches on the page: rank correlations, parallel coordinates, courses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from stages.report.page import searches
from stages.report.page.text import (
    SPACE,
)
from tests.helpers.page_parts import trials, validated


def test_importance_is_spearmans() -> None:
    rng = np.random.default_rng(3)
    a = rng.uniform(size=9)
    b = rng.uniform(size=9)
    errors = rng.uniform(size=9)
    errors[4] = np.nan
    found = searches.importance(trials(list(errors), a=list(a), b=list(b), same=[0.9] * 9))
    kept = np.isfinite(errors)
    wanted = {name: spearmanr(x[kept], errors[kept]).statistic for name, x in (("a", a), ("b", b))}
    assert found == pytest.approx(wanted) and "same" not in found
    assert list(found) == sorted(wanted, key=lambda name: -abs(wanted[name]))
    assert searches.importance(trials([1, 4, 9, 16, 25, 36], x=[6, 5, 4, 3, 2, 1])) == {
        "x": pytest.approx(-1)
    }


def test_importance_wants_trials_and_differences() -> None:
    assert searches.importance(trials([0.1, 0.2, 0.3, 0.4, None], x=[1, 2, 3, 4, 5])) == {}
    assert searches.importance(trials([0.1] * 6, x=[1, 2, 3, 4, 5, 6])) == {}
    assert 2 / math.factorial(searches.FEWEST) < 0.05 < 2 / math.factorial(searches.FEWEST - 1)
    both = [("few", trials([0.1], x=[1])), ("more", trials([1, 2, 3, 4, 5], x=[1, 2, 3, 4, 5]))]
    head, lines = searches.rho_lines(both)
    assert head == ["search", "trials", "x"] and lines == [["few", "1", ""], ["more", "5", "+1.00"]]


def test_parallel_coordinates() -> None:
    frame = trials(
        [0.4, None, 0.1, 0.2], lr=[0.001, 0.5, 0.01, 0.1], m=[1, 9, 2, 3], fixed=[7, 7, 7, 7]
    )
    chart = searches.parallel(frame, {"lr"})
    validated(chart)
    assert len(chart["data"]) == 3, "the failed trial has no line"
    best = chart["data"][-1]
    assert (
        list(best["y"]) == pytest.approx([0.5, 0.5, 0.0])
        and best["line"]["color"] == searches.ORANGE
    )
    assert list(chart["data"][0]["y"]) == pytest.approx([0.0, 0.0, 1.0]), (
        "the worst first; 0.01 is half way"
    )
    assert chart["layout"]["xaxis"]["ticktext"] == [
        "lr<br>(log)",
        "m",
        "<b>validation<br>error</b>",
    ]
    assert "lr: 0.01" in best["text"] and "the best" in best["text"]
    ends = [note["text"] for note in chart["layout"]["annotations"]]
    assert ends == ["0.1", "0.001", "3", "1", f"40.0{SPACE}%", f"10.0{SPACE}%"]
    frame = trials([0.4, 0.1], r_1=[1, 2], weight_decay=[1, 2], D_h=[1, 2], A_v2=[1, 2])
    ticks = searches.parallel(frame, {"r_1"})["layout"]["xaxis"]["ticktext"]
    assert ticks[:4] == ["r_1<br>(log)", "weight_<br>decay", "D_h", "A_v2"], (
        "only long names go on below"
    )
    assert searches.parallel(trials([0.4, None], lr=[1, 2]), set()) is None
    assert searches.parallel(trials([0.4, 0.3], lr=[1, 1]), set()) is None


def test_course_and_sparkline() -> None:
    frame = trials([None, 0.4, 0.5, 0.2], x=[1, 2, 3, 4])
    chart = searches.course(frame)
    validated(chart)
    dots, line = chart["data"]
    assert (
        list(dots["x"]) == [2, 3, 4]
        and list(line["x"]) == [2, 3, 4]
        and list(line["y"]) == [0.4, 0.4, 0.2]
    )
    spark = searches.sparkline(frame)
    assert spark["points"] == "2.0,2.0 34.0,2.0 34.0,2.0 66.0,2.0 66.0,18.0 98.0,18.0"
    assert spark["words"] == f"best validation error from 40.0{SPACE}% to 20.0{SPACE}%"
    head, lines = searches.trial_lines(frame)
    assert head[-2:] == ["x", "ended"] and lines[0][:3] == ["1", "–", "–"] and len(lines) == 4


def test_hyperparameters_are_the_other_columns() -> None:
    frame = trials([0.1, 0.2], lr=[1, 2], C1=[3, 4]).assign(family="conv2", test_sha256="ab")
    assert searches.hyperparameters(frame) == ["lr", "C1"]
    assert searches.searched(frame) == ["lr", "C1"]
