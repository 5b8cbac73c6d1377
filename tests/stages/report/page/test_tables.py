"""The page's tables."""

from __future__ import annotations

import pandas as pd

from stages.report.cells import CellResult
from stages.report.page import tables
from stages.report.tables import table2
from tests.helpers.page_parts import cell, trials


def test_table_2_stands_beside_the_papers() -> None:
    frame = table2(
        [
            cell("mlp2", "10M", 0.3, 0.75),
            cell("mine", "10M", 0.3, 0.5),
            cell("mlp2", "5M", 0.3, 0.7),
        ],
        True,
    )
    made = tables.second(frame, True)
    assert made["budgets"] == ["10M", "5M"] and made["paper"] == ["1M", "3.16M", "10M", "31.6M"]
    assert made["lines"][0]["paper"] == ["66.2", "70.9", "73.4", "74.3"]
    assert made["lines"][0]["own"] == [
        {"text": "75.00", "difference": "+1.60"},
        {"text": "70.00", "difference": ""},
    ]
    assert made["lines"][1]["paper"] == ["–"] * 4 and made["lines"][1]["own"][1]["text"] == "–"
    assert not tables.second(frame, False)["lines"][0]["own"][0]["difference"]


def test_cost_counts_trials_and_epochs() -> None:
    again = pd.DataFrame({"run": [0, 1], "epochs": [4, 5]})
    cells = [cell("a", "1M", 0.1, 0.9), CellResult("b", "1M", 0.9, trials([0.1, None]), again)]
    assert tables.cost({"students": cells}, 1000) == [
        ["students", "2", "3", "1", "2", "18", "0.02 million"]
    ]


def test_environments_and_parameters_as_text() -> None:
    entry = {
        "commit": "abc",
        "changed": True,
        "threads": 1,
        "tf32": None,
        "on": True,
        "stages": ["label", "gone"],
    }
    (found,) = tables.environments([entry, {"commit": "b", "stages": ["gone"]}], ["label"])
    assert found["stages"] == ["label"]
    assert dict(found["facts"]) == {
        "commit": "abc, with changes to code or parameters",
        "threads": "1",
        "tf32": "none",
        "on": "yes",
    }
    for device, words in (("cpu", "no (a CPU needs none)"), ("cuda", "no")):
        entry = {"device": device, "deterministic_algorithms": False, "stages": ["label"]}
        assert (
            dict(tables.environments([entry], ["label"])[0]["facts"])["deterministic_algorithms"]
            == words
        )
    params = {
        "seed": 1,
        "hard": {"space": {"lr": {"low": 0.1, "high": 1, "log": True}}, "rows": [], "empty": {}},
    }
    made = {line[0]: line[1] for part in tables.parameters(params) for line in part["lines"]}
    assert made == {
        "seed": "1",
        "hard.space.lr": "0.1 to 1, log",
        "hard.rows": "[]",
        "hard.empty": "{}",
    }


def test_table_2_has_the_papers_line_for_the_papers_nets_only() -> None:
    frame = table2([cell("conv2", "1M", 0.3, 0.75, family="mlp2")], True)
    (line,) = tables.second(frame, True)["lines"]
    assert line["name"] == "conv2" and line["paper"] == ["–"] * 4
