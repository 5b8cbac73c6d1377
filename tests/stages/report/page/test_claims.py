"""Intervals beside their numbers."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from stages.report import power
from stages.report.page import claims
from stages.report.retrained import COLUMNS


def test_intervals_lie_where_their_numbers_say() -> None:
    scale = claims.scale_of([-1, 9])
    assert (scale["low"], scale["high"]) == pytest.approx((-1.6, 9.6))
    assert [tick["text"] for tick in scale["ticks"]] == ["0", "+5"] and scale["ticks"][0][
        "at"
    ] == pytest.approx(14.29)
    made = claims.bar(scale, 4.0, -1.6, 9.6, [None, 9.6])
    assert made == {
        "value": 50.0,
        "low": 0.0,
        "high": 100.0,
        "zero": pytest.approx(14.29),
        "others": [100.0],
    }
    assert claims.scale_of([80, 90], zero=False)["low"] == pytest.approx(79.4)
    assert claims.scale_of([])["low"] == -1 and claims.scale_of([math.nan, 0.0])["high"] == 1


def test_an_unknown_verdict_is_refused() -> None:
    found = {
        "level": 0.95,
        "claims": {"a": {"verdict": "perhaps", "effects": {}, "paper": {}, "weakest": None}},
    }
    with pytest.raises(
        ValueError, match="claims.json has the verdict 'perhaps', allowed are holds, does not hold"
    ):
        claims.claims(found)


def test_one_run_has_no_interval_in_words_and_no_line() -> None:
    lines = [
        ("mimic", "conv1", "60k", 1, 0, 70.0, math.nan, math.nan, 70.0, 80.0, -10.0),
        ("mimic", "conv2", "60k", 3, 0, 82.0, 81.0, 83.0, 82.0, 84.0, -2.0),
    ]
    shown = claims.again(pd.DataFrame(lines, columns=COLUMNS))
    assert [line["text"] for line in shown["lines"]] == [
        "70.00 (no interval: one run)",
        "82.00 [81.0, 83.0]",
    ]
    assert shown["lines"][0]["bar"]["low"] is shown["lines"][0]["bar"]["high"] is None
    assert "2.00 points over 1 cell" in shown["mean"].replace("\u00a0", " ")
    alone = claims.again(pd.DataFrame(lines[:1], columns=COLUMNS))
    assert "10.00 points over 1 cell" in alone["mean"].replace("\u00a0", " ")


def test_an_undecided_claim_says_what_would_decide_it() -> None:
    found = power.Needed("holds", 23_811, None, None, runs=1)
    entry = {
        "statement": "so",
        "verdict": "undecided at this scale",
        "effect": "",
        "effects": {},
        "paper": {},
        "weakest": None,
        "comparisons": 1,
        "needs": {"words": power.words(found, 2000)},
    }
    (shown,) = claims.claims({"claims": {"a": entry}})
    assert "24,000 test images to show that it holds" in shown["needs"]
    (decided,) = claims.claims({"claims": {"a": {**entry, "needs": None}}})
    assert decided["needs"] is None
