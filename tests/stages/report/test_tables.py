"""Table 1 and Table 2, made of small hand-made sweeps."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from stages.nets.families import FAMILIES
from stages.report import tables
from stages.report.cells import CellResult


def cell(
    row: str, budget: str, accuracy: float, params: int = 1000, family: str | None = None
) -> CellResult:
    """A cell of one trial; of the family that is named like its row, or of mlp2."""
    family = family or (row if row in FAMILIES else "mlp2")
    facts = {
        "trial": [0],
        "validation_error": [0.2],
        "best_so_far": [0.2],
        "test_accuracy": [accuracy],
    }
    trials = pd.DataFrame({**facts, "params": [params]})
    return CellResult(row, budget, accuracy, trials, family=family)


TEACHERS = pd.DataFrame(
    {
        "trial": range(5),
        "validation_error": [0.08, np.nan, 0.07, 0.09, 0.07],
        "best_so_far": [0.08, 0.08, 0.07, 0.07, 0.07],
        "test_accuracy": [0.91, np.nan, 0.92, np.nan, 0.9278],
        "params": [10, 20, 30, 40, 50],
        "widths": ["1 2 3 4", "5 6 7 8", "76 126 148 1200", "1 1 1 1", "96 171 128 512"],
    }
)


ENSEMBLE = {"test_accuracy": 0.938, "validation_accuracy": 0.9, "params": 83_400_000}


def test_table1_of_a_run_on_the_papers_data() -> None:
    controls = [cell("conv1", "10M", 0.85), cell("conv3", "1M", 0.9), cell("mlp2", "10M", 0.6)]
    frame = tables.table1(controls, TEACHERS, ENSEMBLE, 16, comparable=True)
    assert list(frame["model"]) == [
        "1 conv. layer",
        "3 conv. layers, 1M",
        "mlp2, 10M",
        "Teacher CNN 1st",
        "Teacher CNN 2nd",
        "Teacher CNN 3rd",
        "Ensemble of 16 CNNs",
    ]
    assert list(frame["params"]) == [1000, 1000, 1000, 30, 50, 10, 83_400_000]
    assert list(frame["accuracy_pct"]) == [85.0, 90.0, 60.0, 92.0, 92.78, 91.0, 93.8]
    np.testing.assert_array_equal(
        frame["paper_pct"], [84.6, np.nan, np.nan, 92.78, 92.77, 92.67, 93.8]
    )
    np.testing.assert_array_equal(
        frame["difference_pct"], [0.4, np.nan, np.nan, -0.78, 0.01, -1.67, 0.0]
    )
    assert frame["architecture"][3] == "76c²-mp-126c²-mp-148c⁴-mp-1200fc²"
    assert list(frame["architecture"][:3]) == ["c-mp-lfc-fc", "c-mp-c-mp-c-mp-fc", "mlp2"]


def test_table1_of_other_data_shows_no_difference() -> None:
    frame = tables.table1([cell("conv2", "180k", 0.5)], TEACHERS[:1], ENSEMBLE, 3, comparable=False)
    assert list(frame["model"]) == ["2 conv. layers, 180k", "Teacher CNN 1st", "Ensemble of 3 CNNs"]
    assert list(frame["paper_pct"]) == [88.9, 92.78, 93.8]
    assert frame["difference_pct"].isna().all()
    text = tables.markdown1(frame, "**Table 1.** x", comparable=False)
    assert "Difference" not in text
    assert text.splitlines()[0] == "**Table 1.** x"
    assert (
        "| 2 conv. layers, 180k | c-mp-c-mp-fc | 1k | 50.00\u00a0% | 88.90\u00a0% |"
        in text.splitlines()
    )
    assert text.splitlines()[3] == "| --- | --- | ---: | ---: | ---: |", "architectures are words"


def test_table2_and_its_markdown_on_the_papers_data() -> None:
    accuracies = {
        ("mlp1", "1M"): 0.66,
        ("mlp1", "2M"): 0.67,
        ("odd", "1M"): 0.5,
        ("odd", "2M"): 0.4,
    }
    cells = [cell(row, budget, accuracy) for (row, budget), accuracy in accuracies.items()]
    frame = tables.table2(cells, comparable=True)
    assert list(frame["row"]) == ["mlp1", "mlp1", "odd", "odd"]
    np.testing.assert_array_equal(frame["paper_pct"], [65.8, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(frame["difference_pct"], [0.2, np.nan, np.nan, np.nan])
    text = tables.markdown2(frame, "caption", comparable=True).splitlines()
    assert text == [
        "caption",
        "",
        "|  | 1M | paper 1M | difference | 2M |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| Bottleneck, 1 hidden layer | 66.00\u00a0% | 65.80\u00a0% | +0.20 | 67.00\u00a0% |",
        "| odd | 50.00\u00a0% |  |  | 40.00\u00a0% |",
    ]


def test_table2_on_other_data_and_budgets_gives_the_papers_range() -> None:
    frame = tables.table2([cell("mlp1", "60k", 0.5), cell("odd", "60k", 0.4)], comparable=False)
    assert frame["paper_pct"].isna().all() and frame["difference_pct"].isna().all()
    assert frame["paper_pct"].dtype == np.float64
    text = tables.markdown2(frame, "caption", comparable=False).splitlines()
    assert text[2] == "|  | 60k | paper, 1M to 31.6M (CIFAR-10) |"
    assert text[4] == "| Bottleneck, 1 hidden layer | 50.00\u00a0% | 65.8 to 70.2\u00a0% |"
    assert text[5] == "| odd | 40.00\u00a0% |  |"


def test_table2_of_the_papers_budgets_on_other_data_has_no_difference() -> None:
    frame = tables.table2([cell("conv4", "31.6M", 0.9)], comparable=False)
    assert list(frame["paper_pct"]) == [92.6] and frame["difference_pct"].isna().all()
    assert "| 90.00\u00a0% | 92.60\u00a0% |" in tables.markdown2(frame, "", comparable=False)


def test_nested_tables() -> None:
    cells = [cell("mlp1", "1M", 0.6), cell("mlp1", "3.16M", 0.7), cell("conv1", "1M", 0.8)]
    teachers = {"test_accuracy": 0.9, "validation_accuracy": 0.91}
    found = tables.nested(cells, [cell("conv1", "1M", 0.75)], teachers, ENSEMBLE)
    assert found == {
        "mlp1": {"1M": 60.0, "3.16M": 70.0},
        "conv1": {"1M": 80.0},
        "hard-conv1": {"1M": 75.0},
        "teacher": {"best": 90.0},
        "ensemble": {"test": 93.8},
    }
    json.dumps(found)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (5_339_350, "5.34M"),
        (31_622_777, "31.6M"),
        (100_000, "100k"),
        (999_400, "999k"),
        (59_922, "59.9k"),
    ],
)
def test_millions(params: int, text: str) -> None:
    assert tables.millions(params) == text


def test_table1_takes_layers_from_the_family() -> None:
    """Names of rows are the user's; what is printed is compared with nets of that depth only."""
    controls = [
        cell("narrow", "10M", 0.85, family="conv2"),
        cell("conv-like", "10M", 0.5, family="mlp2"),
        cell("conv3", "10M", 0.6, family="mlp3"),
        cell("conv7", "10M", 0.6, family="conv4"),
        cell("conv2", "10M", 0.9),
    ]
    frame = tables.table1(controls, TEACHERS, ENSEMBLE, 16, comparable=True)[:5]
    names = ["narrow, 10M", "conv-like, 10M", "conv3, 10M", "conv7, 10M", "2 conv. layers"]
    assert list(frame["model"]) == names
    assert frame["paper_pct"].notna().tolist() == [False] * 4 + [True]
    layers = ["c-mp-c-mp-fc", "mlp2", "mlp3", "c-mp-c-c-mp-c-mp-fc", "c-mp-c-mp-fc"]
    assert list(frame["architecture"]) == layers


def test_architectures_are_those_that_table_1_prints() -> None:
    printed = {
        "conv1": "c-mp-lfc-fc",
        "conv2": "c-mp-c-mp-fc",
        "conv3": "c-mp-c-mp-c-mp-fc",
        "conv4": "c-mp-c-c-mp-c-mp-fc",
        "conv1-plain": "c-mp-fc",
        "snn-2014": "c-mp-lfc-fc",
        "cnn-2014": "c-mp-c-mp-c-mp-fc",
    }
    assert {family: tables.architecture(family) for family in printed} == printed
    plain = [family for family in FAMILIES if not FAMILIES[family].layout]
    assert [tables.architecture(family) for family in plain] == plain


def test_table2_compares_the_papers_rows_with_nets_of_their_depth() -> None:
    cells = [cell("conv2", "1M", 0.5, family="mlp2"), cell("conv1", "1M", 0.5)]
    frame = tables.table2(cells, comparable=True)
    assert list(frame["label"])[0] == "conv2" and frame["paper_pct"].isna().tolist() == [
        True,
        False,
    ]
    text = tables.markdown2(tables.table2(cells, False).assign(paper_pct=np.nan), "", False)
    assert "| conv2 | 50.00\u00a0% |  |" in text.splitlines()


def test_nets_of_files_stand_in_the_place_of_the_search() -> None:
    net = {"name": "forest", "format": "onnx", "params": 0, "test_accuracy": 0.7}
    ensemble = {**ENSEMBLE, "nets": [net]}
    frame = tables.table1([cell("conv2", "180k", 0.5)], None, ensemble, 1, comparable=True)
    assert list(frame["model"])[1:] == ["Teacher from a file: forest", "Ensemble of 1 nets"]
    assert list(frame["architecture"])[1:] == ["onnx", "from files: forest (onnx)"]
    assert frame["paper_pct"][1:].isna().all()
    assert tables.nested([], [], None, ensemble) == {"ensemble": {"test": 93.8}}
    assert "| Teacher from a file: forest | onnx |  | 70.00" in tables.markdown1(frame, "", True)
