"""report: tables from small hand-made sweeps, figures with fixed bytes, costs by hand, the paper's
values.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn

from commands.sizing import cost
from stages.report import tables
from stages.report.cells import CellResult, read_cell, read_ensemble, read_sweep
from stages.report.figures.figure1 import figure1 as figures
from tools.pocket import ROOT

HEAD = "trial,validation_error,best_so_far,test_accuracy,params,widths,reason\n"


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")


def write_sweep(stem: Path, lines: list[str], accuracy: float = 0.5) -> None:
    """A trial table of `lines` and its metrics."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    (stem.parent / f"{stem.name}.csv").write_text(HEAD + "".join(f"{line}\n" for line in lines))
    (stem.parent / f"{stem.name}.json").write_text(json.dumps({"test_accuracy": accuracy}))
    (stem.parent / f"{stem.name}.retrained.csv").write_text(
        "run,validation_error,test_accuracy,test_sha256\n"
    )


def cell(row: str, budget: str, accuracy: float, params: int = 1000) -> CellResult:
    """A cell of one trial."""
    facts = {
        "trial": [0],
        "validation_error": [0.2],
        "best_so_far": [0.2],
        "test_accuracy": [accuracy],
    }
    return CellResult(row, budget, accuracy, pd.DataFrame({**facts, "params": [params]}))


# cells


def test_shown_are_the_five_best_by_validation_error(tmp_path: Path) -> None:
    errors = ["0.30", "0.20", "", "0.10", "0.20", "0.40", "0.25", "0.20"]
    lines = [f"{i},{e},0.1,{0.9 - i / 100},{1000 + i},3 4," for i, e in enumerate(errors)]
    write_sweep(tmp_path / "conv1-1M", lines, 0.87)
    found = read_cell(tmp_path, "conv1", "1M")
    assert list(found.shown["trial"]) == [3, 1, 4, 7, 6], "ties go to the earlier trial"
    assert found.params == 1003 and found.test_accuracy == 0.87
    assert (found.row, found.budget, len(found.trials)) == ("conv1", "1M", 8)


def test_ties_go_to_the_earlier_trial_whatever_the_order_of_lines(tmp_path: Path) -> None:
    write_sweep(tmp_path / "a-1M", [f"{i},0.5,0.5,0.4,{i},1," for i in (4, 2, 6, 0, 1, 3, 5)])
    assert list(read_cell(tmp_path, "a", "1M").shown["trial"]) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("count", range(1, 7))
def test_failed_trials_are_never_shown(tmp_path: Path, count: int) -> None:
    failed = ["0,,,,500,1,loss is nan"]
    write_sweep(
        tmp_path / "a-1M", failed + [f"{i + 1},0.{i + 1},0.1,0.5,7,1," for i in range(count)]
    )
    assert list(read_cell(tmp_path, "a", "1M").shown["trial"]) == list(range(1, min(count, 5) + 1))


def test_missing_and_damaged_cells(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a-1M\.csv not found: run 'dvc repro'"):
        read_cell(tmp_path, "a", "1M")
    write_sweep(tmp_path / "a-1M", ["0,0.1,0.1,0.5,7,1,"])
    table, metrics = tmp_path / "a-1M.csv", tmp_path / "a-1M.json"
    read_cell(tmp_path, "a", "1M")
    whole = metrics.read_text()
    for text in ("", "{", "{}", "[]", "3"):
        metrics.write_text(text)
        with pytest.raises(ValueError, match=r"a-1M\.json is damaged"):
            read_cell(tmp_path, "a", "1M")
    metrics.write_text(whole)
    without = HEAD.replace("params,", "")
    for text in ("", "x,y\n1,2\n", HEAD + 'a,"', HEAD.replace("trial,", ""), without):
        table.write_text(text)
        with pytest.raises(ValueError, match=r"a-1M\.csv or .* is damaged"):
            read_cell(tmp_path, "a", "1M")
    metrics.unlink()
    with pytest.raises(FileNotFoundError, match=r"a-1M\.json"):
        read_cell(tmp_path, "a", "1M")


def test_budgets_with_a_point_keep_their_name(tmp_path: Path) -> None:
    write_sweep(tmp_path / "a-3.16M", ["0,0.1,0.1,0.5,7,1,"], 0.25)
    assert read_sweep(tmp_path / "a-3.16M")[1] == {"test_accuracy": 0.25}


# tables

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


def test_papers_values() -> None:
    values = tables.paper_values()
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


# figures


def numbers(
    rows: list[str], budgets: list[str], controls: list[str], shown: int = 5
) -> pd.DataFrame:
    """Figure 1's numbers: accuracies that grow with the budget."""
    lines = []
    for target, group in (("mimic", rows), ("hard", controls)):
        for i, row in enumerate(group):
            for j, budget in enumerate(budgets):
                mean = 0.5 + 0.03 * i + 0.02 * j
                facts = {"params": 60_000 * 3**j + i, "trials_shown": shown, "target": target}
                ends = {"mean": mean, "best": mean + 0.01, "fifth": mean - 0.01}
                lines.append({"row": row, "budget": budget, **facts, **ends})
    return pd.DataFrame(lines)


def drawn(figure: Any, path: Path) -> str:
    """Write `figure`; the sha256 of the file."""
    figures.save(figure, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


DRAW = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.stages.report.test_report import figures, numbers
data = numbers(["mlp1", "conv1"], ["60k", "180k"], ["conv1"])
figures.save(figures.figure1(data, 0.9, "w"), Path(sys.argv[1]))
assert "torch" not in sys.modules
"""


def test_svg_has_the_same_bytes_each_time_and_needs_no_torch(tmp_path: Path) -> None:
    data = numbers(["mlp1", "conv1"], ["60k", "180k"], ["conv1"])
    hashes = {drawn(figures.figure1(data, 0.9, "w"), tmp_path / f"{i}.svg") for i in range(2)}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", DRAW, str(tmp_path / "other.svg"), str(ROOT / "tests")]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=120)
    hashes.add(hashlib.sha256((tmp_path / "other.svg").read_bytes()).hexdigest())
    assert len(hashes) == 1
    assert b"<dc:date>" not in (tmp_path / "0.svg").read_bytes()


@pytest.mark.parametrize(
    ("rows", "budgets", "controls", "shown"),
    [
        (["mlp1"], ["60k"], ["conv1"], 1),
        (["strange", "Odd-row_2"], ["180k"], ["also-odd"], 2),
        ([f"row{i}" for i in range(14)], ["60k", "180k", "1M"], [], 5),
    ],
)
def test_figure1_of_unusual_runs(
    tmp_path: Path, rows: list[str], budgets: list[str], controls: list[str], shown: int
) -> None:
    figure = figures.figure1(numbers(rows, budgets, controls, shown), 0.9, "toy data, smoke scale")
    figures.save(figure, tmp_path / "deep" / "f.png")
    assert (tmp_path / "deep" / "f.png").read_bytes().startswith(b"\x89PNG")
    axes = figure.axes[0]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert set(names) == {
        *(figures.label(r) for r in rows),
        "ensemble (teacher)",
        "trained on hard labels",
    }
    assert [t.get_text() for t in axes.get_xticklabels()] == budgets
    assert "toy data, smoke scale" in axes.get_title(loc="left")
    (note,) = (text.get_text() for text in figure.texts)
    assert (
        f"the {shown} best trials" in note
        and f"best and {'fifth' if shown == 5 else 'last'} of them" in note
    )
    assert "hard labels: the best trial alone" in note


def test_figure1_draws_the_numbers() -> None:
    data = numbers(["mlp1", "conv4"], ["60k", "180k"], ["conv4"])
    axes = figures.figure1(data, 0.9, "w").axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    solid = lines["4 conv. layers"]
    np.testing.assert_allclose(solid.get_ydata(), [0.53, 0.55])
    assert solid.get_xdata()[1] / solid.get_xdata()[0] == pytest.approx(3, rel=1e-4)
    thin = (line.get_ydata() for line in axes.lines if line.get_linewidth() == 0.9)
    dashed = sorted(tuple(np.round(heights, 6)) for heights in thin)
    assert dashed == [(0.49, 0.51), (0.51, 0.53), (0.52, 0.54), (0.54, 0.56)]
    assert lines["ensemble (teacher)"].get_ydata() == [0.9, 0.9]
    assert axes.get_xscale() == "log"
    bars = [segment[0][1] for c in axes.collections for segment in c.get_segments() if len(segment)]
    assert sorted(set(np.round(bars, 6))) == [0.51, 0.53]


def test_labels_and_colors() -> None:
    assert figures.label("conv4") == "4 conv. layers"
    assert figures.label("conv1") == "1 conv. layer"
    assert figures.label("mlp1") == "Bottleneck, 1 hidden layer"
    assert figures.label("own") == "own"
    colors = figures.row_colors(["mlp1", "conv1", "own", "conv2"])
    assert len(set(colors.values())) == 4
    assert colors["mlp1"][0] > colors["mlp1"][2] and colors["conv2"][2] > colors["conv2"][0]
    assert figures.row_colors([]) == {}


def test_a_further_row_takes_no_colour_and_no_marker_of_the_papers() -> None:
    """Those of the nine rows are seaborn's palettes, as the committed pictures have them."""
    rows = [*(f"mlp{i}" for i in range(1, 6)), *(f"conv{i}" for i in range(1, 5))]
    wanted = dict(
        zip(
            rows,
            seaborn.color_palette("YlOrRd", 7)[2:] + seaborn.color_palette("GnBu", 6)[2:],
            strict=True,
        )
    )
    assert figures.row_colors(rows) == wanted
    more = figures.row_colors(["own", "conv2-narrow", *rows, "conv5"])
    assert {row: more[row] for row in rows} == wanted and len(set(more.values())) == len(more) == 12
    assert figures.row_colors(["conv3"]) == {"conv3": wanted["conv3"]}
    for row in ("own", "conv2-narrow", "conv5"):
        assert (
            min(np.abs(np.subtract(more[row], color)).sum() for color in wanted.values()) > 0.25
        ), row
    assert list(figures.row_places(rows).values()) == list(range(9))
    assert figures.row_places(["own", "conv4", "mlp1"]) == {"own": 9, "conv4": 8, "mlp1": 0}


@pytest.mark.parametrize("count", range(1, 7))
def test_sweeps_of_one_to_six_trials(tmp_path: Path, count: int) -> None:
    errors = [np.nan, 0.5, 0.4, 0.6, 0.3, 0.2][:count] if count > 1 else [0.5]
    table = pd.DataFrame({"trial": range(count), "validation_error": errors})
    table["best_so_far"] = table["validation_error"].cummin().ffill()
    panels = {f"panel {i}": {"60k": table, "180k": table} for i in range(2)}
    panels["teachers"] = {"8 conv. layers": table}
    figure = figures.sweeps(panels, "toy")
    figures.save(figure, tmp_path / "s.png")
    visible = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in visible] == list(panels)
    steps = [line for line in visible[0].lines if line.get_label() == "60k"]
    np.testing.assert_array_equal(steps[0].get_xdata(), np.arange(1, count + 1))
    np.testing.assert_array_equal(steps[0].get_ydata(), table["best_so_far"])


def test_augmentation_samples(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    originals = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    views = rng.integers(0, 256, (2, 3, 8, 8, 3), dtype=np.uint8)
    figure = figures.augmentation(originals, views, "toy")
    shown = [axes.images[0].get_array() for axes in figure.axes]
    assert len(shown) == 8
    heads = [axes.get_title() for axes in figure.axes[:4]]
    assert heads == ["original", "epoch 1", "epoch 2", "epoch 3"], "counted from 1, as on the page"
    np.testing.assert_array_equal(shown[4], originals[1])
    np.testing.assert_array_equal(shown[7], views[1, 2])
    one = drawn(figure, tmp_path / "a.png")
    assert drawn(figures.augmentation(originals, views, "toy"), tmp_path / "b.png") == one
    figures.save(figures.augmentation(originals[:1], views[:1, :1], "toy"), tmp_path / "c.png")


# cost


def test_cost_by_hand() -> None:
    job = cost.Work("x", macs=1000, params=10, images=50, count=4)
    assert job.flops == 1000 * 2 * 3 * 50 * 4
    assert cost.Work("x", 1000, 10, 50, 4, "label").flops == 1000 * 2 * 50 * 4
    assert cost.Work("x", 1000, 10, 50, 4, validated=7).flops == 1000 * 2 * (3 * 50 + 7) * 4


def test_bytes_of_the_papers_transfer_set() -> None:
    """160 epochs of 40,000 images of 3,072 bytes: 19.7 GB of pixels, and their logits and draws."""
    kept, drawn_only = (160 * 40_000 * cost.transfer_bytes(each, 10) for each in (3072, 0))
    assert kept - drawn_only == 160 * 40_000 * 3072
    assert drawn_only == 160 * 40_000 * (4 + 2 + 9 * 2 + 10 * 4)


CORE = cost.Device(
    "1 core of X",
    "2.15.0",
    "`a command`",
    9,
    True,
    {
        "train conv fp32": 1e9,
        "train conv bf16": 4e9,
        "label fp32": 2e9,
        "views": 10.0,
        "store read": 1e6,
    },
)
GUESS = cost.Device("one Y", "", "a guess", 0, False, {"train conv fp32": 1e12, "label fp32": 1e12})


def estimate() -> list[cost.Part]:
    """3.6e12 operations of training and 36,000 views by two processes; 7.2e12 of labelling, which
    reads.
    """
    nets = cost.Work("teachers", macs=10**6, params=5, images=200_000, count=3)
    labels = cost.Work("label", 10**6, 5, 1_800_000, 2, "label")
    return [
        cost.Part("teachers", (nets,), views=36_000, slots=2),
        cost.Part("label", (labels,), read=3_600_000_000),
    ]


def test_hours_are_amounts_over_rates() -> None:
    training, labelling = (part.amounts for part in estimate())
    assert training == {"train conv": 3.6e12, "views": 36_000} and labelling["label"] == 7.2e12
    assert CORE.hours(training, "fp32") == (pytest.approx(1.0 + 1.0), True)
    assert CORE.hours(training, "bf16") == (pytest.approx(0.25 + 1.0), True)
    assert CORE.hours(labelling, "fp32") == (pytest.approx(1.0 + 1.0), True)
    assert GUESS.hours(training, "fp32") == (pytest.approx(0.001), False), "it has no rate of views"


def test_cost_as_text() -> None:
    text = cost.lines(estimate(), 2_500_000_000, "fp32", [CORE, GUESS])
    assert text[2].split() == "nets FLOP views GB read GB made 1 core [1] 2 cores GPU [2]".split()
    assert text[3].split() == "teachers 3 3.6e+12 3.6e+04 2 h 1 h 3.6 s +".split()
    assert text[4].split() == "label 7.2e+12 3.6 2 h 2 h 7.2 s +".split()
    assert text[5].split() == "total 3 1.1e+13 3.6e+04 3.6 4 h 3 h 11 s +".split()
    assert text[7] == "transfer set on disk: 2.5 GB"
    assert text[8:10] == [
        "[1] 1 core of X: measured by `a command`; median of 9, torch 2.15.0",
        "[2] one Y: assumed, not measured: a guess",
    ]
    assert text[10] == f"    views, store read: {cost.LEFT_OUT}"
    total = "4 h on 1 core of X, 3 h on up to 2 such cores; 11 s on one Y (assumed, not all of it)"
    assert (
        cost.in_words(estimate(), "fp32", [CORE, GUESS])[0]
        == f"In all: 3 nets and 1.08e+13 operations: {total}."
    )


def test_what_has_no_rate_at_all_has_no_time() -> None:
    text = cost.lines([cost.Part("augment", views=100)], 0, "fp32", [CORE, GUESS])
    assert text[3].split() == ["augment", "1.0e+02", "10", "s", "?"]


def test_times_are_readable_at_every_size() -> None:
    told = {
        0.0: "0 s",
        0.0001: "< 1 s",
        0.001: "3.6 s",
        0.0199: "1.2 min",
        0.999: "1 h",
        1.25: "1.2 h",
        47: "47 h",
        59.6 / 3600: "1 min",
        59.7 / 60: "1 h",
        47.9: "2 days",
        86.4: "3.6 days",
        33_864: "1,411 days",
    }
    assert {hours: cost.duration(hours) for hours in told} == told


def test_another_precision_is_never_silent() -> None:
    text = cost.lines(estimate(), 0, "bf16", [CORE, GUESS])
    notes = [line for line in text if "no bf16 rate measured, fp32's is taken" in line]
    assert [line.split(":")[0].strip() for line in notes] == ["label", "train conv, label"]


def test_one_process_at_a_time_has_one_column_of_hours() -> None:
    alone = [replace(part, slots=1) for part in estimate()]
    assert not any("cores" in line for line in cost.lines(alone, 0, "fp32", [CORE]))
    assert "cores" not in cost.in_words(alone, "fp32", [CORE])[0]


def test_the_largest_cell_is_named() -> None:
    part = cost.Part(
        "students conv", tuple(cost.Work(f"students {n}", n, 5, 100, 2) for n in (7, 9, 8))
    )
    assert f"largest cell: students 9, {9 * 6 * 200:.2e} FLOP in 2 trials" in cost.lines(
        [part], 0, "fp32", [CORE]
    )
    assert len(cost.cells([part])) == 4


@pytest.mark.parametrize("params, small", [(316_000, True), (999_154, False)])
def test_small_nets_are_said_to_take_longer(params: int, small: bool) -> None:
    part = cost.Part("teachers", (cost.Work("teachers", 7, params, 100, 2),))
    assert (cost.SMALL_NETS in cost.in_words([part], "fp32", [CORE])) == small


def test_stored_rates_say_where_they_are_from() -> None:
    found = cost.devices()
    works = {f"{work} {precision}" for work in cost.NETS for precision in ("fp32", "bf16")} | set(
        cost.DATA
    )
    assert any(device.measured and device.device.startswith(cost.PER_CORE) for device in found)
    for device in found:
        assert device.how and device.rates and set(device.rates) <= works
        assert device.measured == bool(device.torch) == bool(device.n)
        assert device.measured == ("benchmarks.rates" in device.how)


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '[{"device": "x"}]', "bad rate"])
def test_a_broken_file_of_rates_is_one_line(tmp_path: Path, text: str) -> None:
    entry = {**asdict(GUESS), "rates": {"views": 0}}
    (tmp_path / "rates.json").write_text(json.dumps([entry]) if text == "bad rate" else text)
    with pytest.raises(ValueError, match=r"rates\.json: .*benchmarks\.rates") as caught:
        cost.devices(tmp_path / "rates.json")
    assert "\n" not in str(caught.value)


def test_costs_import_no_torch() -> None:
    code = "import sys, commands.sizing.cost; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        "[1]",
        '{"test_accuracy": 1.5, "validation_accuracy": 0.5, "params": 9}',
        '{"test_accuracy": 0.5, "validation_accuracy": "x", "params": 9}',
        '{"test_accuracy": 0.5, "validation_accuracy": 0.5, "params": 9.5}',
        "[" * 100_000,
    ],
)
def test_damaged_facts_of_the_ensemble_are_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "ensemble.json").write_text(text)
    with pytest.raises(ValueError, match=r"ensemble\.json is damaged .*dvc repro --force ensemble"):
        read_ensemble(tmp_path / "ensemble.json")
