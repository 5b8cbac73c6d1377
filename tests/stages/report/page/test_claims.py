"""Intervals beside their numbers."""

from __future__ import annotations

import math

import pytest

from stages.report.page import claims


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
