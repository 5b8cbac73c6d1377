"""The page's sentences."""

from __future__ import annotations

from typing import Any

from stages.report.page.summary import provenance, summary
from stages.report.page.text import (
    SPACE,
)
from tests.helpers.page_parts import cell


def verdicts(*words: str) -> dict[str, Any]:
    return {
        "level": 0.95,
        "claims": {str(i): {"verdict": verdict} for i, verdict in enumerate(words)},
    }


def test_the_summary_is_made_of_numbers() -> None:
    cells = [
        cell("mlp1", "1M", 0.3, 0.5),
        cell("conv1", "1M", 0.2, 0.75, 998_000),
        cell("conv2", "1M", 0.25, 0.8),
    ]
    made = summary("D", "9 test images", 3, 0.9, cells, verdicts("holds", "holds", "does not hold"))
    assert [text.replace(SPACE, " ") for text in made] == [
        "On D (9 test images) the ensemble of 3 reaches 90.00 % test accuracy; the best mimic net "
        "by validation error, conv1 at 1M with 998,000 parameters, reaches 75.00 %, "
        "15.00 points below the ensemble.",
        "Of 3 mimic cells, the best one with convolution (conv1 at 1M, 75.00 %) is 25.00 points "
        "above the best one without (mlp1 at 1M, 50.00 %).",
        "Of the paper’s three claims two hold and one does not hold (verdicts together at 95 %).",
    ]
    made = summary("D", "9 test images", 3, 0.5, cells[:1], verdicts("not tested", "holds"))
    assert (
        "exactly as good as the ensemble" in made[0]
        and "so it says nothing about nets with it" in made[1]
    )
    assert "two claims one holds and one was not tested" in made[2]


def test_provenance_names_the_commits_of_this_run() -> None:
    entries = [
        {"commit": "a" * 40, "changed": False, "stages": ["label"]},
        {"commit": "b" * 40, "changed": True, "stages": ["teachers", "gone"]},
        {"commit": "c" * 40, "changed": False, "stages": ["gone"]},
    ]
    assert provenance(entries, ["label"]) == "commit aaaaaaaaaa"
    both = provenance(entries, ["label", "teachers"])
    assert both == "commits aaaaaaaaaa and bbbbbbbbbb with local changes"
    assert provenance([], ["label"]) == ""


def test_convolution_is_a_matter_of_the_family() -> None:
    """A row is what its nets are, not what it is called."""
    cells = [
        cell("narrow", "1M", 0.2, 0.8, family="conv2"),
        cell("conv-like", "1M", 0.1, 0.7, family="mlp2"),
    ]
    said = summary("D", "9 test images", 3, 0.9, cells, verdicts("holds"))[1].replace(SPACE, " ")
    assert "with convolution (narrow at 1M, 80.00 %) is 10.00 points above" in said
    assert "without (conv-like at 1M, 70.00 %)" in said
    alone = summary("D", "9 test images", 3, 0.9, cells[1:], verdicts("holds"))[1]
    assert "1 mimic cell, all without convolution" in alone
