"""Further test sets on the report page."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from stages.report.page.extra import accuracies, by_severity, further
from tests.helpers import extra_sets
from tests.helpers.page_parts import validated


def data(severe: list[str], plain: list[str]) -> Any:
    return SimpleNamespace(extra=extra_sets.accuracies(severe, plain))


def test_without_sets_there_is_no_section() -> None:
    nothing = SimpleNamespace(extra=extra_sets.accuracies([], [])[:0])
    part = further(nothing)  # type: ignore[arg-type]
    assert part.values == {"further": None, "severe": []} and part.charts == {}


def test_a_chart_for_each_set_with_severities() -> None:
    part = further(data(["c", "d"], ["mine"]))
    assert part.values["severe"] == ["c", "d"] and set(part.charts) == {"severity-0", "severity-1"}
    assert part.values["further"]["head"] == ["Net", "test", "c", "d", "mine"]


def test_the_table_has_every_net_and_interval() -> None:
    frame = extra_sets.accuracies(["c"], ["mine"])
    made = accuracies(frame)
    assert [line[0] for line in made["lines"]] == [*extra_sets.DRAWN, "teacher"]

    entry = frame[(frame.net == "teacher") & (frame["set"] == "mine")].iloc[0]
    low, high = (f"{100 * entry[end]:.1f}" for end in ("low", "high"))
    assert made["lines"][-1][-1] == f"{100 * entry.accuracy:.2f}\u00a0% [{low}, {high}]"


def test_a_chart_shows_the_means_by_severity() -> None:
    frame = extra_sets.accuracies(["c<b>"], ["mine"])
    chart = by_severity(frame, "c<b>")
    validated(chart)
    assert [entry["name"] for entry in chart["legend"]] == list(extra_sets.DRAWN)
    places = []
    for interval, trace in zip(chart["data"][::2], chart["data"][1::2], strict=True):
        assert interval["legendgroup"] == trace["legendgroup"]
        means = frame[(frame.net == trace["legendgroup"]) & (frame.corruption == "")]
        means = means[means.severity.notna() | (means["set"] == "test")]
        assert [round(x) for x in trace["x"]] == [0, 1, 2, 3, 4, 5]
        assert trace["y"] == means.accuracy.tolist()

        assert interval["x"][::3] == interval["x"][1::3] == trace["x"]
        assert interval["y"][::3] == means.low.tolist()
        assert interval["y"][1::3] == means.high.tolist()
        assert set(interval["x"][2::3]) == set(interval["y"][2::3]) == {None}
        places.append(trace["x"][0])
    assert len(set(places)) == 4, "intervals lie beside each other"
