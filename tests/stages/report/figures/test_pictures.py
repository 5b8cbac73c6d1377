"""report.pictures: what the figures of claims, confusions, calibration and fidelity draw, and their
fixed bytes.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from stages.report.figures import claims as drawing
from stages.report.figures import outputs as pictures
from stages.report.figures import style
from stages.report.figures.figure1 import figure1
from stages.report.figures.style import label, row_colors, save
from tools.pocket import ROOT

ROWS = [*(f"mlp{i}" for i in range(1, 6)), *(f"conv{i}" for i in range(1, 5))]
SIZES = {"60k": 6e4, "180k": 1.8e5, "1M": 1e6, "3.16M": 3.16e6, "10M": 1e7, "31.6M": 3.16e7}
PAPER = ["1M", "3.16M", "10M", "31.6M"]
IDS = ["conv_gap", "depth_order", "params_monotone", "mlp_best_depth"]
IDS += ["depth_beats_size", "compression_gap", "below_ensemble", "mlp_ceiling"]


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")


def entry(verdict: str, keys: list[str], paper: list[str], value: float = 2.0) -> dict[str, Any]:
    """A claim with `value` + its place as the effect of each key, one point either side, and the
    paper's halves.
    """
    values = {key: value + i for i, key in enumerate(keys)}
    effects = {k: {"value_pct": v, "low_pct": v - 1, "high_pct": v + 1} for k, v in values.items()}
    statement = "Nets without convolution stay far below nets with one conv layer at the same number of parameters"
    facts = {
        "effects": effects,
        "paper": {key: 0.5 + i for i, key in enumerate(paper)},
        "comparisons": len(keys),
    }
    return {
        "statement": statement,
        "verdict": verdict,
        "effect": "conv1 over the best MLP",
        **facts,
    }


def claims(budgets: list[str]) -> dict[str, Any]:
    """Eight claims as a run with `budgets` gives them."""
    kinds = [("holds", budgets, PAPER), ("undecided at this scale", budgets, PAPER)]
    kinds += [
        ("undecided at this scale", ROWS, ROWS),
        ("does not hold", budgets, PAPER),
        ("holds", [""], [""]),
    ]
    kinds += [("holds", ROWS[5:], ROWS[5:]), ("holds", [""], PAPER), ("not tested", [], [])]
    return {
        "level": 0.95,
        "images": 2000,
        "claims": {i: entry(*kind) for i, kind in zip(IDS, kinds, strict=True)},
    }


def confused(nets: int, classes: int) -> pd.DataFrame:
    """Counts with 90 % on the diagonal, the rest one class on; 1000 images a class."""
    lines = [
        (f"net {n}", c, (c + d) % classes, k)
        for n in range(nets)
        for c in range(classes)
        for d, k in SPREAD
    ]
    return pd.DataFrame(lines, columns=["net", "true", "predicted", "count"])


SPREAD = ((0, 900), (1, 100))


def curves(nets: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Eleven bins and the facts of each net; the lowest bin and one at 0 confidence are empty."""
    bins = [(n, b / 10 + 0.05, b / 10 if b else np.nan, 40 * b) for n in nets for b in range(10)]
    facts = [(n, 0.8, 0.5 + i, 0.012 + i / 100) for i, n in enumerate(nets)]
    bins += [(n, 0.0, 0.0, 0) for n in nets]
    form = pd.DataFrame(bins, columns=["net", "confidence", "accuracy", "count"])
    return form, pd.DataFrame(facts, columns=["net", "accuracy", "nll", "ece"])


def cells(budgets: list[str]) -> pd.DataFrame:
    """Nine mimic rows at every budget, and the conv rows on hard labels at the last."""
    lines = []
    for target, rows, sizes in (("mimic", ROWS, budgets), ("hard", ROWS[5:], budgets[-1:])):
        for row in rows:
            for i, budget in enumerate(sizes):
                accuracy = 0.4 + 0.05 * ROWS.index(row) + 0.01 * i - 0.03 * (target == "hard")
                facts = accuracy, 1.0, 0.02, accuracy + 0.04, 1.1 - accuracy, np.nan
                lines.append((target, row, budget, int(SIZES[budget]), *facts))
    names = [
        "target",
        "row",
        "budget",
        "params",
        "accuracy",
        "nll",
        "ece",
        "agreement",
        "kl",
        "logit_l2",
    ]
    return pd.DataFrame(lines, columns=names)


def shown(figure: Figure) -> list[Any]:
    """The visible panels, without the colour bar."""
    return [axes for axes in figure.axes if axes.get_visible() and axes.get_label() != "<colorbar>"]


def words(figure: Figure) -> list[str]:
    """All visible texts of the figure, in the order of drawing."""
    return [
        text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()
    ]


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of drawn texts whose boxes share more than half a pixel either way."""
    figure.canvas.draw()
    unseen = {
        id(text) for axes in figure.axes if not axes.get_visible() for text in axes.findobj(Text)
    }
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        far = [tick for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]
        unseen |= {id(text) for tick in far for text in (tick.label1, tick.label2)}
    drawn = [
        t for t in figure.findobj(Text) if t.get_visible() and t.get_text() and id(t) not in unseen
    ]
    boxes = [(text.get_text(), text.get_window_extent().padded(-0.25)) for text in drawn]
    return [(a, b) for (a, one), (b, two) in combinations(boxes, 2) if one.overlaps(two)]


def points(axes: Any, name: str) -> dict[float, float]:
    """y -> x of the markers with this label."""
    return {
        line.get_ydata()[0]: line.get_xdata()[0] for line in axes.lines if line.get_label() == name
    }


WHERE = "toy data, smoke scale"
FIGURES: dict[str, Callable[[], Figure]] = {
    "claims": lambda: drawing.claims(claims(["60k", "180k"]), WHERE),
    "claims of the paper's budgets": lambda: drawing.claims(claims(PAPER), WHERE),
    "confusions": lambda: pictures.confusions(confused(3, 10), list("abcdefghij"), WHERE),
    "confusions of 100": lambda: pictures.confusions(
        confused(4, 100), [str(i) for i in range(100)], WHERE
    ),
    "calibration": lambda: pictures.calibration(*curves(["ensemble", "conv4", "mlp1"]), WHERE),
    "fidelity": lambda: pictures.fidelity(cells(["60k", "180k"]), WHERE),
    "fidelity of the paper's budgets": lambda: pictures.fidelity(cells(PAPER), WHERE),
}


@pytest.mark.parametrize("name", FIGURES)
def test_bytes_are_fixed_and_texts_legible(name: str, tmp_path: Path) -> None:
    for suffix in ("svg", "png"):
        for i in range(2):
            save(FIGURES[name](), tmp_path / f"{i}.{suffix}")
        assert (tmp_path / f"0.{suffix}").read_bytes() == (tmp_path / f"1.{suffix}").read_bytes()
    figure = FIGURES[name]()
    figure.canvas.draw()
    sizes = [t.get_fontsize() for t in figure.findobj(Text) if t.get_visible() and t.get_text()]
    assert min(sizes) >= 6.5
    assert any(WHERE in text for text in words(figure))
    assert overlaps(figure) == []
    width = plt.imread(tmp_path / "0.png").shape[1]
    assert 600 <= width <= 1500, "shown 1000 pixels wide, a letter keeps two thirds of its size"


PROCESS = """
import sys
from pathlib import Path
from tests.stages.report.figures.test_pictures import FIGURES, save
for i, draw in enumerate(FIGURES.values()):
    save(draw(), Path(sys.argv[1]) / f"{i}.svg")
assert "torch" not in sys.modules
"""


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_process(tmp_path: Path) -> None:
    found = []
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "MPLCONFIGDIR": str(tmp_path / "matplotlib")}
        subprocess.run(
            [sys.executable, "-c", PROCESS, str(tmp_path / seed)], cwd=ROOT, check=True, env=env
        )
        files = sorted((tmp_path / seed).iterdir())
        found.append([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])
    assert len(found[0]) == len(FIGURES) and found[0] == found[1]


# claims


@pytest.mark.parametrize("budgets", [["60k", "180k"], PAPER])
def test_a_claim_is_a_panel_with_its_verdict_in_words(budgets: list[str]) -> None:
    found = claims(budgets)
    panels = shown(drawing.claims(found, "w"))
    assert len(panels) == 8
    for axes, claim in zip(panels, found["claims"].values(), strict=True):
        assert axes.get_title(loc="left").replace("\n", " ") == claim["statement"]
        verdict = [text for text in axes.texts if text.get_text() == claim["verdict"]][0]
        assert to_hex(verdict.get_color()) == to_hex(style.VERDICTS[claim["verdict"]])
    assert len(set(style.VERDICTS.values())) == 4


def test_claims_draw_values_intervals_and_the_paper_s() -> None:
    found = claims(["60k", "180k"])
    gap, _, monotone, _, size, _, below, untested = shown(drawing.claims(found, "w"))
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
    figure = drawing.claims(odd, "w")
    save(figure, tmp_path / "c.png")
    first, second, third = shown(figure)
    assert not first.lines and "undecided at this scale" in [t.get_text() for t in first.texts]
    assert points(second, "paper") == {0: 0.5}
    assert points(third, "this run") == {0: 2.0} and not points(third, "paper")
    assert "this run, 90 % interval" in words(figure)
    with pytest.raises(ValueError, match="no claim"):
        drawing.claims({"level": 0.95, "images": 5, "claims": {}}, "w")
    with pytest.raises(ValueError, match="'perhaps', allowed are holds"):
        drawing.claims(
            {"level": 0.95, "images": 5, "claims": {"a": entry("perhaps", [""], [])}}, "w"
        )


# confusions


def test_confusions_are_shares_of_the_true_class() -> None:
    table = confused(5, 10)
    table.loc[(table.net == "net 1") & (table.true == 3) & (table.predicted == 3), "count"] = 100
    figure = pictures.confusions(table, list("abcdefghij"), "w")
    panels = shown(figure)
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles == [
        "net 0: 90.0 %",
        f"net 1: {100 * 8200 / 9200:.1f} %",
        *(f"net {i}: 90.0 %" for i in (2, 3, 4)),
    ]
    shares = panels[1].collections[0].get_array().reshape(10, 10)
    expected = 0.9 * np.eye(10) + 0.1 * np.eye(10)[:, [9, *range(9)]]
    expected[3, 3:5] = 0.5
    np.testing.assert_allclose(shares, expected)
    assert [text.get_text() for text in panels[1].texts if text.get_text()] == ["90"] * 3 + [
        "50"
    ] + ["90"] * 6
    assert [t.get_text() for t in panels[0].get_yticklabels()] == list("abcdefghij")
    assert [t.get_text() for t in panels[4].get_xticklabels()] == list("abcdefghij")
    assert not panels[1].get_yticklabels() and not panels[0].get_xticklabels(), "outer panels only"
    norms = {
        (c.norm.vmin, c.norm.vmax, c.norm.gamma) for c in (axes.collections[0] for axes in panels)
    }
    assert norms == {(0, 1, 0.5)}, "one colour bar for all"
    assert len(figure.axes) == 8 + 1


def test_few_errors_differ_from_none_in_colour() -> None:
    axes = shown(
        pictures.confusions(confused(1, 2).assign(count=[990, 10, 1000, 0]), ["a", "b"], "w")
    )[0]
    mesh = axes.collections[0]
    mesh.update_scalarmappable()
    light = mesh.get_facecolors().reshape(2, 2, 4)[..., :3].mean(-1)
    assert light[1, 0] - light[0, 1] > 0.05, "one per cent"


def test_classes_by_name_are_the_same_as_by_index() -> None:
    table, classes = confused(1, 3), ["3", "1", "2"]
    named = table.assign(
        **{side: [classes[i] for i in table[side]] for side in ("true", "predicted")}
    )
    one, two = (
        shown(pictures.confusions(t, classes, "w"))[0].collections[0].get_array()
        for t in (table, named)
    )
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("wrong", [3, -1, "c", 0.5])
def test_a_class_beyond_those_known_is_refused(wrong: Any) -> None:
    table = confused(1, 3).astype({"true": object})
    table.loc[1, "true"] = wrong
    with pytest.raises(ValueError, match="none of the 3 classes"):
        pictures.confusions(table, ["a", "b", "x"], "w")


def test_a_class_without_images_is_blank_and_no_nets_are_refused() -> None:
    table = confused(1, 10)
    axes = shown(pictures.confusions(table[table.true != 4], list("abcdefghij"), "w"))[0]
    share = axes.collections[0].get_array().reshape(10, 10)
    assert np.ma.getmaskarray(share)[4].all() and np.ma.getmaskarray(share).sum() == 10
    assert [text.get_text() for text in axes.texts if text.get_text()] == ["90"] * 9
    with pytest.raises(ValueError, match="without nets"):
        pictures.confusions(table[:0], list("abcdefghij"), "w")


@pytest.mark.parametrize(("classes", "named"), [(2, True), (20, True), (21, False), (100, False)])
def test_many_classes_are_not_labelled(classes: int, named: bool, tmp_path: Path) -> None:
    names = [f"a class with a very long name, {i}" for i in range(classes)]
    figure = pictures.confusions(confused(3, classes), names, "w")
    save(figure, tmp_path / "c.png")
    assert len(shown(figure)) == 3
    assert bool(shown(figure)[0].texts) == bool(shown(figure)[0].get_yticklabels()) == named
    assert max(plt.imread(tmp_path / "c.png").shape) < 1600


def test_names_beside_the_last_line_push_no_panels_apart() -> None:
    figure = pictures.confusions(confused(11, 10), [f"long name {i}" for i in range(10)], "w")
    assert overlaps(figure) == []
    first, second, third = (shown(figure)[i].get_position().y0 for i in (0, 4, 8))
    assert first - second == pytest.approx(second - third, abs=0.002)


# calibration


def test_calibration_draws_the_curves() -> None:
    table, facts = curves(["ensemble", "conv4"])
    axes = pictures.calibration(table.sample(frac=1, random_state=0), facts, "w").axes[0]
    diagonal, *lines = axes.lines
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]
    assert len(lines) == 2
    for line, dots in zip(lines, axes.collections, strict=True):
        np.testing.assert_allclose(
            line.get_xdata(), np.arange(1, 10) / 10 + 0.05, err_msg="without the empty bins"
        )
        np.testing.assert_allclose(line.get_ydata(), np.arange(1, 10) / 10)
        np.testing.assert_allclose(dots.get_offsets(), np.transpose(line.get_data()))
        np.testing.assert_allclose(
            dots.get_sizes() / dots.get_sizes()[0], np.arange(1, 10), err_msg="area by count"
        )
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts[1:] == ["ensemble\nECE 1.2 %, NLL 0.50", "conv4\nECE 2.2 %, NLL 1.50"]


def test_calibration_of_many_nets_or_none(tmp_path: Path) -> None:
    table, facts = curves([f"net {i}" for i in range(13)])
    figure = pictures.calibration(table[table.net != "net 3"], facts, "w")
    save(figure, tmp_path / "c.png")
    lines = figure.axes[0].lines[1:]
    assert len({to_hex(line.get_color()) for line in lines}) == 13
    assert [len(line.get_xdata()) for line in lines] == [9, 9, 9, 0, *[9] * 9]
    save(pictures.calibration(table[:0], facts[:2], "w"), tmp_path / "d.png")
    with pytest.raises(ValueError, match="curves of .*'net 1'.*, facts of {'net 0'}"):
        pictures.calibration(table, facts[:1], "w")
    with pytest.raises(ValueError, match="without nets"):
        pictures.calibration(table[:0], facts[:0], "w")


# fidelity


@pytest.mark.parametrize("budgets", [["60k", "180k"], PAPER])
def test_fidelity_draws_the_cells(budgets: list[str]) -> None:
    table, colors = cells(budgets), row_colors(ROWS)
    figure = pictures.fidelity(table, "w")
    for axes, x, y in zip(figure.axes, ("accuracy", "params"), ("agreement", "kl"), strict=True):
        lines = {
            line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")
        }
        assert set(lines) == {
            *(f"mimic {row}" for row in ROWS),
            *(f"hard {row}" for row in ROWS[5:]),
        }
        for name, line in lines.items():
            target, row = name.split()
            part = table[(table.target == target) & (table.row == row)]
            np.testing.assert_array_equal(np.transpose(line.get_data()), part[[x, y]].to_numpy())
            assert to_hex(line.get_color()) == to_hex(colors[row])
            assert (line.get_markerfacecolor() == "white") == (target == "hard"), (
                "hard labels are hollow"
            )
    right = figure.axes[1]
    above = pictures.fidelity(table[table.accuracy > 0.6], "w").axes[0]
    assert above.get_xlim()[0] > 0.58 and above.get_ylim()[0] > 0.6, (
        "the line of equality does not widen the axes"
    )
    assert right.get_xscale() == right.get_yscale() == "log"
    assert [text.get_text() for text in right.get_xticklabels()] == budgets
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [
        *(label(row) for row in reversed(ROWS)),
        "trained on hard labels",
        "agreement = accuracy",
    ]


def test_rows_look_as_in_figure_1() -> None:
    table = cells(["60k", "180k"]).assign(trials_shown=2, mean=0.5, best=0.6, fifth=0.4)
    handles = {line.get_label(): line for line in figure1(table, 0.9, "w").axes[0].lines}
    for line in pictures.fidelity(table, "w").axes[0].lines:
        if not line.get_label().startswith("_"):
            other = handles[label(line.get_label().split()[1])]
            assert (line.get_marker(), line.get_color()) == (other.get_marker(), other.get_color())


def test_fidelity_without_values(tmp_path: Path) -> None:
    table = cells(["60k", "180k"])
    table.loc[(table.row == "mlp1") & (table.budget == "60k"), "kl"] = np.nan
    table.loc[table.row == "mlp2", "kl"] = 0.0
    lines = {line.get_label(): line for line in pictures.fidelity(table, "w").axes[1].lines}
    assert list(lines["mimic mlp1"].get_xdata()) == [180000] and "mimic mlp2" not in lines
    figure = pictures.fidelity(table.assign(kl=np.nan), "w")
    save(figure, tmp_path / "f.png")
    assert "kl not measured" in words(figure) and not figure.axes[1].lines
    figure = pictures.fidelity(table.assign(agreement=np.nan)[:1], "w")
    save(figure, tmp_path / "g.png")
    assert "agreement not measured" in words(figure)
    with pytest.raises(ValueError, match="without cells"):
        pictures.fidelity(table[:0], "w")


@pytest.mark.parametrize("kl", [[0.22, 0.45], [0.011, 4.0], [0.3]])
def test_the_axis_of_kl_has_labels(kl: list[float]) -> None:
    table = cells(["60k", "180k"])[: len(kl)].assign(kl=kl)
    figure = pictures.fidelity(table, "w")
    figure.canvas.draw()
    axes = figure.axes[1]
    low, high = axes.get_ylim()
    seen = [tick for tick in axes.get_yticks() if low <= tick <= high]
    assert 1 <= len(seen) <= 20
    assert len(axes.yaxis.get_minorticklocs()) == 0, (
        "a minor tick of a log axis would bring labels of its own"
    )
