"""The paper's values, and which rows of a run are the paper's."""

from __future__ import annotations

import pytest

from stages.nets.families import FAMILIES
from stages.report.paper import convolutions, label, of_the_paper, paper_values, printed_rows


def test_papers_values() -> None:
    values = paper_values()
    rows = values["table2"]["rows"]
    assert rows["mlp1"]["accuracy"]["1M"] == 65.8
    assert rows["mlp5"]["accuracy"]["31.6M"] == 71.5
    assert rows["conv4"]["accuracy"]["31.6M"] == 92.6
    assert rows["conv2"]["accuracy"] == {"1M": 87.9, "3.16M": 89.3, "10M": 90.0, "31.6M": 90.3}
    assert list(rows) == [f"mlp{i}" for i in range(1, 6)] + [f"conv{i}" for i in range(1, 5)]
    assert all(list(row["accuracy"]) == values["table2"]["budgets"] for row in rows.values())
    first = {entry["model"]: entry["test_accuracy_pct"] for entry in values["table1"]}
    assert first["Ensemble of 16 CNNs"] == 93.8 and first["Teacher CNN 1st"] == 92.78
    assert [first[f"{i} conv. layer"] for i in range(1, 5)] == [84.6, 88.9, 91.2, 91.75]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_says_whether_its_nets_have_convolution(family: str) -> None:
    """So that a new family is one entry of FAMILIES."""
    assert convolutions(family) == FAMILIES[family].layout.count("c")
    assert label("own", family) == "own" and not of_the_paper("own", family)


def test_a_row_of_the_paper_has_its_name_and_its_depth() -> None:
    assert all(of_the_paper(row, row) for row in printed_rows())
    assert of_the_paper("conv1", "conv1-plain"), "one convolution and one hidden layer, as printed"
    assert not of_the_paper("conv2", "conv3") and label("conv2", "conv3") == "conv2"
    assert not of_the_paper("conv2", "mlp2") and label("conv2", "conv2") == "2 conv. layers"
    assert not of_the_paper("conv1-plain", "conv1-plain")
    with pytest.raises(ValueError, match="unknown family 'conv9'"):
        convolutions("conv9")
