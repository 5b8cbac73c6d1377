"""What the figure of the claims draws."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_hex

from stages.report.figures.claims import claims
from stages.report.figures.colors import VERDICT_COLORS
from stages.report.figures.theme import save
from tests.helpers.figure_data import (
    PAPER,
    ROWS,
    answers,
    entry,
    points,
    shown,
    words,
)


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.mark.parametrize("budgets", [["60k", "180k"], PAPER])
def test_a_claim_is_a_panel_with_its_verdict_in_words(budgets: list[str]) -> None:
    found = answers(budgets)
    panels = shown(claims(found, "w"))
    assert len(panels) == 8
    for axes, claim in zip(panels, found["claims"].values(), strict=True):
        assert axes.get_title(loc="left").replace("\n", " ") == claim["statement"]
        verdict = [text for text in axes.texts if text.get_text() == claim["verdict"]][0]
        assert to_hex(verdict.get_color()) == to_hex(VERDICT_COLORS[claim["verdict"]])
    assert len(set(VERDICT_COLORS.values())) == 4


def test_claims_draw_values_intervals_and_the_paper_s() -> None:
    found = answers(["60k", "180k"])
    gap, _, monotone, _, size, _, below, untested = shown(claims(found, "w"))
    names = [text.get_text() for text in gap.get_yticklabels()]
    assert names == ["60k", "180k", "paper 1M", "paper 3.16M", "paper 10M", "paper 31.6M"]
    assert points(gap, "this run") == {0: 2.0, 1: 3.0}
    assert points(gap, "paper") == {2: 0.5, 3: 1.5, 4: 2.5, 5: 3.5}, (
        "other budgets have lines of their own"
    )
    intervals = [list(line.get_xdata()) for line in gap.lines if line.get_label() == "interval"]
    assert intervals == [[1.0, 3.0], [2.0, 4.0]]
    assert points(monotone, "paper") == {i: 0.5 + i for i in range(9)}, (
        "the same rows share their lines"
    )
    assert [text.get_text() for text in monotone.get_yticklabels()] == ROWS
    assert [text.get_text() for text in size.get_yticklabels()] == [""]
    assert [text.get_text() for text in below.get_yticklabels()][:2] == ["this run", "paper 1M"]
    assert not untested.lines and [t.get_text() for t in untested.texts] == [
        "not tested",
        "not tested",
    ]
    for axes in (gap, monotone, size, below):
        low, high = axes.get_xlim()
        assert low < 0 < high, "the line where the claim turns is in sight"
        assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first key is on top"


def test_claims_without_values(tmp_path: Path) -> None:
    nothing = entry("undecided at this scale", [], [])
    missing = entry("undecided at this scale", ["60k"], ["60k"])
    missing["effects"]["60k"] = {"value_pct": None, "low_pct": float("nan"), "high_pct": None}
    odd = {
        "level": 0.9,
        "images": 5,
        "claims": {"a": nothing, "b": missing, "c": entry("holds", [""], [])},
    }
    figure = claims(odd, "w")
    save(figure, tmp_path / "c.png")
    first, second, third = shown(figure)
    assert not first.lines and "undecided at this scale" in [t.get_text() for t in first.texts]
    assert points(second, "paper") == {0: 0.5}
    assert points(third, "this run") == {0: 2.0} and not points(third, "paper")
    assert "this run, 90 % interval" in words(figure)
    with pytest.raises(ValueError, match="no claim"):
        claims({"level": 0.95, "images": 5, "claims": {}}, "w")
    with pytest.raises(ValueError, match="'perhaps', allowed are holds"):
        claims({"level": 0.95, "images": 5, "claims": {"a": entry("perhaps", [""], [])}}, "w")
