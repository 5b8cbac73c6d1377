"""What the report page says and draws, part by part: closed forms, libraries, and Plotly's own
schema for charts.
"""

from __future__ import annotations

import base64
import html
import io
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from PIL import Image
from scipy.special import softmax
from scipy.stats import spearmanr
from sklearn.metrics import confusion_matrix

from stages.report.cells import CellResult
from stages.report.page import charts as page_charts
from stages.report.page import claims as page_claims
from stages.report.page import confusion as page_confusion
from stages.report.page import images as page_images
from stages.report.page import searches as page_sweeps
from stages.report.page import summary as page_summary
from stages.report.page import tables as page_tables
from stages.report.page.figure1 import REACH, budget_size, figure1
from stages.report.page.html import environment
from stages.report.page.text import (
    MINUS,
    SPACE,
    as_json,
    contrast,
    distinct,
    drawn,
    fixed,
    listed,
    percent,
    readable,
    signed,
    whole,
)
from stages.report.tables import paper_values, table2
from tests.helpers.page_run import NASTY


def trials(errors: list[float | None], **columns: list[float]) -> pd.DataFrame:
    """A trial table; None is a trial that failed."""
    values = np.array(errors, float)
    best = np.fmin.accumulate(values)
    frame = {
        "trial": range(len(values)),
        "validation_error": values,
        "best_so_far": best,
        "test_accuracy": 1 - values,
    }
    more = {"params": 1000, "widths": "5 6", "epochs": 3, "why": "end", "reason": np.nan}
    return pd.DataFrame({**frame, **more, **columns})


def cell(row: str, budget: str, error: float, accuracy: float, params: int = 1000) -> CellResult:
    """A cell of one trial."""
    frame = trials([error], lr=[0.1]).assign(params=params, test_accuracy=accuracy, dependent=7)
    return CellResult(row, budget, accuracy, frame)


def validated(chart: dict[str, Any]) -> go.Figure:
    """The chart as Plotly reads it; an attribute that Plotly does not have is a ValueError."""
    return go.Figure(json.loads(as_json({"data": chart["data"], "layout": chart["layout"]})))


# text


def test_numbers_as_text() -> None:
    assert (
        signed(1.005e1) == "+10.05"
        and signed(-0.5, 1) == f"{MINUS}0.5"
        and signed(float("nan")) == "–"
    )
    assert (
        percent(0.79249) == f"79.2{SPACE}%"
        and percent(None) == "–"
        and fixed(-1234.5, 1) == f"{MINUS}1,234.5"
    )
    assert (
        whole(179814.0) == "179,814"
        and listed(["a", "b", "c"]) == "a, b and c"
        and listed(["a"]) == "a"
    )


def test_shortened_names_stay_apart() -> None:
    names = distinct(["x" * 20 + "a", "x" * 20 + "b", "y"], 10)
    assert (
        len(set(names)) == 3
        and names[2] == "y"
        and all(name.startswith("x" * 9 + "…") for name in names[:2])
    )


@pytest.mark.parametrize("name", NASTY)
def test_text_of_charts_means_itself(name: str) -> None:
    text = drawn(name)
    assert html.unescape(text) == name and not set("<>$") & set(text)


def test_json_cannot_end_its_element_and_comes_back() -> None:
    numbers = [1, 2.5, math.nan, np.float32(0.1), np.int64(3), np.bool_(True)]
    value = {"names": NASTY, "odd": "\u2028", "numbers": numbers}
    text = as_json(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {**value, "numbers": [1, 2.5, None, 0.1, 3, True]}
    with pytest.raises(TypeError):
        as_json({"set": {1}})


def test_contrast_is_wcags() -> None:
    assert contrast("black") == pytest.approx(21) and contrast("white") == pytest.approx(1)
    assert contrast("#767676") == pytest.approx(
        4.54, abs=0.005
    )  # the lightest grey with 4.5, as WCAG's authors say
    assert readable("#0173b2") == "#0173b2", "dark enough already"
    assert contrast(readable("#feb24c")) == pytest.approx(3, abs=0.1) and contrast("#feb24c") < 2


def test_templates_escape_and_miss_nothing() -> None:
    assert environment().from_string("{{ x }}").render(x="<b>&'\"") == "&lt;b&gt;&amp;&#39;&#34;"
    with pytest.raises(Exception, match="'x' is undefined"):
        environment().from_string("{{ x }}").render()


# searches


def test_importance_is_spearmans() -> None:
    rng = np.random.default_rng(3)
    a, b, errors = rng.uniform(size=9), rng.uniform(size=9), rng.uniform(size=9)
    errors[4] = np.nan
    found = page_sweeps.importance(trials(list(errors), a=list(a), b=list(b), same=[0.9] * 9))
    kept = np.isfinite(errors)
    wanted = {name: spearmanr(x[kept], errors[kept]).statistic for name, x in (("a", a), ("b", b))}
    assert found == pytest.approx(wanted) and "same" not in found
    assert list(found) == sorted(wanted, key=lambda name: -abs(wanted[name]))
    assert page_sweeps.importance(trials([1, 4, 9, 16, 25, 36], x=[6, 5, 4, 3, 2, 1])) == {
        "x": pytest.approx(-1)
    }


def test_importance_wants_trials_and_differences() -> None:
    assert page_sweeps.importance(trials([0.1, 0.2, 0.3, 0.4, None], x=[1, 2, 3, 4, 5])) == {}
    assert page_sweeps.importance(trials([0.1] * 6, x=[1, 2, 3, 4, 5, 6])) == {}
    assert (
        2 / math.factorial(page_sweeps.FEWEST) < 0.05 < 2 / math.factorial(page_sweeps.FEWEST - 1)
    )
    both = [("few", trials([0.1], x=[1])), ("more", trials([1, 2, 3, 4, 5], x=[1, 2, 3, 4, 5]))]
    head, lines = page_sweeps.rho_lines(both)
    assert head == ["search", "trials", "x"] and lines == [["few", "1", ""], ["more", "5", "+1.00"]]


def test_parallel_coordinates() -> None:
    frame = trials(
        [0.4, None, 0.1, 0.2], lr=[0.001, 0.5, 0.01, 0.1], m=[1, 9, 2, 3], fixed=[7, 7, 7, 7]
    )
    chart = page_sweeps.parallel(frame, {"lr"})
    validated(chart)
    assert len(chart["data"]) == 3, "the failed trial has no line"
    best = chart["data"][-1]
    assert (
        list(best["y"]) == pytest.approx([0.5, 0.5, 0.0])
        and best["line"]["color"] == page_sweeps.ORANGE
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
    ticks = page_sweeps.parallel(frame, {"r_1"})["layout"]["xaxis"]["ticktext"]
    assert ticks[:4] == ["r_1<br>(log)", "weight_<br>decay", "D_h", "A_v2"], (
        "only long names go on below"
    )
    assert page_sweeps.parallel(trials([0.4, None], lr=[1, 2]), set()) is None
    assert page_sweeps.parallel(trials([0.4, 0.3], lr=[1, 1]), set()) is None


def test_course_and_sparkline() -> None:
    frame = trials([None, 0.4, 0.5, 0.2], x=[1, 2, 3, 4])
    chart = page_sweeps.course(frame)
    validated(chart)
    dots, line = chart["data"]
    assert (
        list(dots["x"]) == [2, 3, 4]
        and list(line["x"]) == [2, 3, 4]
        and list(line["y"]) == [0.4, 0.4, 0.2]
    )
    spark = page_sweeps.sparkline(frame)
    assert spark["points"] == "2.0,2.0 34.0,2.0 34.0,2.0 66.0,2.0 66.0,18.0 98.0,18.0"
    assert spark["words"] == f"best validation error from 40.0{SPACE}% to 20.0{SPACE}%"
    head, lines = page_sweeps.trial_lines(frame)
    assert head[-2:] == ["x", "ended"] and lines[0][:3] == ["1", "–", "–"] and len(lines) == 4


# intervals, tables


def test_intervals_lie_where_their_numbers_say() -> None:
    scale = page_claims.scale_of([-1, 9])
    assert (scale["low"], scale["high"]) == pytest.approx((-1.6, 9.6))
    assert [tick["text"] for tick in scale["ticks"]] == ["0", "+5"] and scale["ticks"][0][
        "at"
    ] == pytest.approx(14.29)
    made = page_claims.bar(scale, 4.0, -1.6, 9.6, [None, 9.6])
    assert made == {
        "value": 50.0,
        "low": 0.0,
        "high": 100.0,
        "zero": pytest.approx(14.29),
        "others": [100.0],
    }
    assert page_claims.scale_of([80, 90], zero=False)["low"] == pytest.approx(79.4)
    assert (
        page_claims.scale_of([])["low"] == -1 and page_claims.scale_of([math.nan, 0.0])["high"] == 1
    )


def test_an_unknown_verdict_is_refused() -> None:
    found = {
        "level": 0.95,
        "claims": {"a": {"verdict": "perhaps", "effects": {}, "paper": {}, "weakest": None}},
    }
    with pytest.raises(
        ValueError, match="claims.json has the verdict 'perhaps', allowed are holds, does not hold"
    ):
        page_claims.claims(found)


def test_table_2_stands_beside_the_papers() -> None:
    frame = table2(
        [
            cell("mlp2", "10M", 0.3, 0.75),
            cell("mine", "10M", 0.3, 0.5),
            cell("mlp2", "5M", 0.3, 0.7),
        ],
        True,
    )
    made = page_tables.second(frame, True)
    assert made["budgets"] == ["10M", "5M"] and made["paper"] == ["1M", "3.16M", "10M", "31.6M"]
    assert made["lines"][0]["paper"] == ["66.2", "70.9", "73.4", "74.3"]
    assert made["lines"][0]["own"] == [
        {"text": "75.00", "difference": "+1.60"},
        {"text": "70.00", "difference": ""},
    ]
    assert made["lines"][1]["paper"] == ["–"] * 4 and made["lines"][1]["own"][1]["text"] == "–"
    assert not page_tables.second(frame, False)["lines"][0]["own"][0]["difference"]


def test_cost_counts_trials_and_epochs() -> None:
    again = pd.DataFrame({"run": [0, 1], "epochs": [4, 5]})
    cells = [cell("a", "1M", 0.1, 0.9), CellResult("b", "1M", 0.9, trials([0.1, None]), again)]
    assert page_tables.cost({"students": cells}, 1000) == [
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
    (found,) = page_tables.environments([entry, {"commit": "b", "stages": ["gone"]}], ["label"])
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
            dict(page_tables.environments([entry], ["label"])[0]["facts"])[
                "deterministic_algorithms"
            ]
            == words
        )
    params = {
        "seed": 1,
        "hard": {"space": {"lr": {"low": 0.1, "high": 1, "log": True}}, "rows": [], "empty": {}},
    }
    made = {line[0]: line[1] for part in page_tables.parameters(params) for line in part["lines"]}
    assert made == {
        "seed": "1",
        "hard.space.lr": "0.1 to 1, log",
        "hard.rows": "[]",
        "hard.empty": "{}",
    }


# sentences


def claims(*verdicts: str) -> dict[str, Any]:
    return {
        "level": 0.95,
        "claims": {str(i): {"verdict": verdict} for i, verdict in enumerate(verdicts)},
    }


def test_the_summary_is_made_of_numbers() -> None:
    cells = [
        cell("mlp1", "1M", 0.3, 0.5),
        cell("conv1", "1M", 0.2, 0.75, 998_000),
        cell("conv2", "1M", 0.25, 0.8),
    ]
    made = page_summary.summary(
        "D", "9 test images", 3, 0.9, cells, claims("holds", "holds", "does not hold")
    )
    assert [text.replace(SPACE, " ") for text in made] == [
        "On D (9 test images) the ensemble of 3 reaches 90.00 % test accuracy; the best mimic net by validation error, "
        "conv1 at 1M with 998,000 parameters, reaches 75.00 %, 15.00 points below the ensemble.",
        "Of 3 mimic cells, the best one with convolution (conv1 at 1M, 75.00 %) is 25.00 points above the best one "
        "without (mlp1 at 1M, 50.00 %).",
        "Of the paper’s three claims two hold and one does not hold (verdicts together at 95 %).",
    ]
    made = page_summary.summary(
        "D", "9 test images", 3, 0.5, cells[:1], claims("not tested", "holds")
    )
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
    assert page_summary.provenance(entries, ["label"]) == "commit aaaaaaaaaa"
    both = page_summary.provenance(entries, ["label", "teachers"])
    assert both == "commits aaaaaaaaaa and bbbbbbbbbb with local changes"
    assert page_summary.provenance([], ["label"]) == ""


# pictures


def pixels(uri: str) -> np.ndarray:
    """What a browser would show."""
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_images_come_back_from_their_addresses() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3), dtype=np.uint8)
    views = np.random.default_rng(1).integers(0, 256, (2, 4, 9, 9, 3), dtype=np.uint8)
    made = page_images.samples(images, views)
    np.testing.assert_array_equal(pixels(made[1]["original"]), images[1])
    np.testing.assert_array_equal(pixels(made[0]["views"][3]), views[0, 3])
    large = np.full((300, 300, 3), 77, np.uint8)
    small = page_images.picture(large)
    assert small.shape == (page_images.LARGEST, page_images.LARGEST, 3) and (small == 77).all()


SIDES = [((5,), (1, 5)), ((4, 6), (4, 6)), ((4, 6, 3), (4, 6)), ((1000,), (1, 512))]


@pytest.mark.parametrize(("shape", "sides"), SIDES)
def test_vectors_are_heat_maps(shape: tuple[int, ...], sides: tuple[int, int]) -> None:
    vector = np.zeros(shape, np.float32)
    assert page_images.picture(vector, 2.0).shape == (*sides, 3)
    low, middle, high = (
        page_images.picture(vector + add, 2.0)[0, 0].astype(int) for add in (-2, 0, 2)
    )
    assert low[2] > low[0] and high[0] > high[2] and (middle > 240).all(), (
        "blue below, white at, red above the mean"
    )
    np.testing.assert_array_equal(
        page_images.picture(vector + 9, 2.0)[0, 0], high, "beyond the end of the colours"
    )


def test_mistakes_are_the_surest_first() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1])
    student = np.array([[9.0, 0], [0, 1], [0, 3], [0, 2], [5, 0], [4, 0]])
    ensemble = np.array([[9.0, 0], [2, 0], [2, 0], [0, 1], [1, 0], [1, 0]])
    assert page_images.mistaken(ensemble, student, labels, 4) == ([2, 1], [4, 5])
    assert page_images.mistaken(ensemble, student, labels, 24) == ([2, 1], [4, 5, 3])
    assert page_images.mistaken(ensemble, student, labels, 2) == ([2], [4])
    assert page_images.mistaken(ensemble, ensemble, labels, 2) == ([], [3, 4]), "ties by number"


def test_beliefs_are_softmax_and_the_true_class_is_first() -> None:
    nets = [np.log([[0.5, 0.3, 0.195, 0.005]]), np.log([[0.1, 0.001, 0.099, 0.8]])]
    (card,) = page_images.gallery(
        [0], np.zeros((1, 4, 4, 3), np.uint8), np.array([1]), nets, ["a", "b", "c", "d"]
    )
    assert [line["name"] for line in card["lines"]] == ["b", "d", "a", "c"]
    assert card["true"] == "b" and card["taken"] == "d"
    assert [line["widths"] for line in card["lines"]] == [
        [30, 0.1],
        [0.5, 80],
        [50, 10],
        [19.5, 9.9],
    ]
    assert card["lines"][0]["words"] == [f"30{SPACE}%", f"< 1{SPACE}%"]
    hardly = np.array([0.99, 0.006, 0.004])
    assert page_images.beliefs(hardly, hardly, 0) == [0]
    logits = np.random.default_rng(0).normal(size=(1, 4))
    (card,) = page_images.gallery(
        [0], np.zeros((1, 4), np.float32), np.array([0]), [logits, logits], list("abcd")
    )
    assert card["lines"][0]["widths"][0] == pytest.approx(100 * softmax(logits[0])[0], abs=0.05)


# confusions


def confused(classes: list[str], labels: np.ndarray, guesses: np.ndarray) -> pd.DataFrame:
    counts = confusion_matrix(labels, guesses, labels=range(len(classes)))
    lines = [
        ("net", classes[i], classes[j], counts[i, j])
        for i, j in np.ndindex(counts.shape)
        if counts[i, j]
    ]
    return pd.DataFrame(lines, columns=["net", "true", "predicted", "count"])


def test_confusions_are_scikit_learns() -> None:
    rng, classes = np.random.default_rng(0), NASTY[:4]
    labels, guesses = rng.integers(0, 3, 60), rng.integers(0, 4, 60)
    lines = page_confusion.of_net(confused(classes, labels, guesses), "net", classes)
    assert page_confusion.accuracy(lines) == pytest.approx((labels == guesses).mean())
    chart = page_confusion.matrix(lines, classes)
    validated(chart)
    z = np.array(chart["data"][0]["z"], float)
    np.testing.assert_allclose(
        z[:3] ** 2, confusion_matrix(labels, guesses, normalize="true", labels=range(4))[:3]
    )
    assert np.isnan(z[3]).all(), "no image of the fourth class"
    counts = confusion_matrix(labels, guesses, labels=range(4))
    wrong = counts - np.diag(np.diag(counts))
    true, taken, count, share = page_confusion.frequent(lines, classes)[0]
    assert (
        count == str(wrong.max())
        and wrong[classes.index(true), classes.index(taken)] == wrong.max()
    )
    assert share == percent(wrong.max() / counts[classes.index(true)].sum())


def test_too_many_classes_have_no_matrix() -> None:
    names = [str(i) for i in range(60_000)]
    lines = pd.DataFrame({"true": range(60_000), "predicted": range(60_000), "count": 1})
    assert (
        page_confusion.matrix(lines, names) is None
        and page_confusion.matrix(lines[:101], names[:101]) is None
    )
    assert (
        page_confusion.matrix(lines[:100], names[:100])["layout"]["xaxis"]["showticklabels"]
        is False
    )
    assert page_confusion.frequent(lines, names) == [] and page_confusion.accuracy(lines) == 1
    with pytest.raises(
        ValueError, match="confusion.csv has the class 'z', which data/prepared has not"
    ):
        page_confusion.of_net(
            pd.DataFrame({"net": ["n"], "true": ["z"], "predicted": ["0"], "count": [1]}),
            "n",
            ["0"],
        )


# figure 1 and the other charts


def test_figure_1_has_every_cell_and_the_papers() -> None:
    cells = {
        ("mimic", row, budget): cell(row, budget, 0.2, 0.7, size)
        for row in ("mlp2", "conv1")
        for budget, size in (("1M", 1_010_000), ("10M", 9_990_000))
    }
    cells["hard", "conv1", "10M"] = cell("conv1", "10M", 0.3, 0.6, 9_990_000)
    lines = [
        (row, budget, each.params, 1, 0.7, 0.71, 0.69, target)
        for (target, row, budget), each in cells.items()
    ]
    names = ["row", "budget", "params", "trials_shown", "mean", "best", "fifth", "target"]
    chart = figure1(pd.DataFrame(lines, columns=names), cells, 0.9, 3)
    validated(chart)
    own = [trace for trace in chart["data"] if trace["legendgroup"] in ("mlp2", "conv1")]
    means = [trace for trace in own if "markers" in trace["mode"]]
    assert [list(trace["y"]) for trace in means] == [[0.7, 0.7]] * 2
    assert [list(trace["x"]) for trace in means] == [[1_010_000, 9_990_000]] * 2
    text = means[1]["text"][1]
    for words in (
        "1 conv. layer, 10M",
        "widths: 5, 6; dependent: 7",
        "lr: 0.1",
        "trials: 1",
        "parameters: 9,990,000",
    ):
        assert words in text
    hard = [trace for trace in chart["data"] if trace["legendgroup"] == "hard"]
    assert list(hard[0]["x"]) == pytest.approx([9_990_000 / REACH, 9_990_000, 9_990_000 * REACH])
    assert hard[0]["y"] == [0.71] * 3
    paper = [trace for trace in chart["data"] if trace["legendgroup"] == chart["toggle"]["group"]]
    printed = [entry["accuracy"] for entry in paper_values()["table2"]["rows"].values()]
    assert [list(t["y"]) for t in paper[:9]] == [
        [pytest.approx(v / 100) for v in row.values()] for row in printed
    ]
    assert paper[0]["x"] == [1_010_000, 3_160_000, 9_990_000, 31_600_000], (
        "shared budgets where this run's nets are"
    )
    low, high = chart["toggle"]["on"]["xaxis.range"]
    assert (
        10**low < 1_010_000 and 10**high > 31_600_000 > 10 ** chart["layout"]["xaxis"]["range"][1]
    )
    assert [budget_size(name) for name in ("60k", "3.16M", "500")] == [60_000, 3_160_000, 500]


def test_fidelity_calibration_and_ablations_are_plotlys() -> None:
    names = ["target", "row", "budget", "params", "accuracy", "agreement", "kl"]
    lines = [
        ("mimic", "mlp1", "1M", 1e6, 0.5, 0.6, 1.0),
        ("mimic", "mlp1", "2M", 2e6, 0.6, 0.7, 0.0),
        ("hard", "mlp1", "1M", 1e6, 0.4, 0.5, np.nan),
    ]
    agreement, divergence = page_charts.fidelity(pd.DataFrame(lines, columns=names))
    validated(agreement), validated(divergence)
    drawn_points = [list(trace["y"]) for trace in divergence["data"]]
    assert drawn_points == [[1.0]], "a log scale has no place for 0, and an empty value none at all"
    assert [entry["name"] for entry in agreement["legend"]] == [
        "Bottleneck, 1 hidden layer",
        "trained on hard labels",
    ]
    curves = pd.DataFrame(
        {"net": ["a", "a"], "confidence": [0.9, 0.5], "accuracy": [0.8, 0.5], "count": [4, 1]}
    )
    chart = page_charts.calibration(
        curves, pd.DataFrame({"net": ["a"], "ece": [0.1], "nll": [0.5]})
    )
    validated(chart)
    assert list(chart["data"][1]["x"]) == [0.5, 0.9] and chart["data"][1]["marker"]["size"] == [
        11.5,
        18.0,
    ]
    varied = pd.DataFrame(
        {
            "row": ["a", "b"],
            "of": "conv2",
            "budget": "1M",
            "measure": ["transfer epochs", ""],
            "number": [10, None],
            "accuracy_pct": [60.0, 61.0],
            "base_pct": 70.0,
        }
    )
    (chart,) = page_charts.varied(varied, {"transfer epochs": 40}).values()
    validated(chart)
    assert list(chart["data"][0]["x"]) == [10, 40] and list(chart["data"][0]["y"]) == [60.0, 70.0]


def test_the_matrix_of_ten_digits_fits_a_phone() -> None:
    digits = [str(i) for i in range(10)]
    chart = page_confusion.matrix(
        page_confusion.of_net(confused(digits, np.arange(10), np.arange(10)), "net", digits), digits
    )
    assert chart is not None and chart["min_width"] <= 360 - 2 * 16, (
        "its box would hide the labels of its colours"
    )
