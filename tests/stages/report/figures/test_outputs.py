"""What the figures of confusions, calibration and fidelity draw."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

from stages.report.figures import outputs
from stages.report.figures.colors import row_colors
from stages.report.figures.figure1 import figure1
from stages.report.figures.theme import save
from stages.report.paper import label
from tests.helpers.figure_data import (
    NETS,
    PAPER,
    ROWS,
    cells,
    confused,
    curves,
    overlaps,
    shown,
    words,
)


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")


def test_confusions_are_shares_of_the_true_class() -> None:
    table = confused(5, 10)
    table.loc[(table.net == "net 1") & (table.true == 3) & (table.predicted == 3), "count"] = 100
    figure = outputs.confusions(table, list("abcdefghij"), "w")
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
        outputs.confusions(confused(1, 2).assign(count=[990, 10, 1000, 0]), ["a", "b"], "w")
    )[0]
    mesh = axes.collections[0]
    mesh.update_scalarmappable()
    light = mesh.get_facecolors().reshape(2, 2, 4)[..., :3].mean(-1)
    assert light[1, 0] - light[0, 1] > 0.05, "one per cent"


def test_classes_by_name_are_the_same_as_by_index() -> None:
    table = confused(1, 3)
    classes = ["3", "1", "2"]
    named = table.assign(
        **{side: [classes[i] for i in table[side]] for side in ("true", "predicted")}
    )
    one, two = (
        shown(outputs.confusions(t, classes, "w"))[0].collections[0].get_array()
        for t in (table, named)
    )
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("wrong", [3, -1, "c", 0.5])
def test_a_class_beyond_those_known_is_refused(wrong: Any) -> None:
    table = confused(1, 3).astype({"true": object})
    table.loc[1, "true"] = wrong
    with pytest.raises(ValueError, match="none of the 3 classes"):
        outputs.confusions(table, ["a", "b", "x"], "w")


def test_a_class_without_images_is_blank_and_no_nets_are_refused() -> None:
    table = confused(1, 10)
    axes = shown(outputs.confusions(table[table.true != 4], list("abcdefghij"), "w"))[0]
    share = axes.collections[0].get_array().reshape(10, 10)
    assert np.ma.getmaskarray(share)[4].all() and np.ma.getmaskarray(share).sum() == 10
    assert [text.get_text() for text in axes.texts if text.get_text()] == ["90"] * 9
    with pytest.raises(ValueError, match="without nets"):
        outputs.confusions(table[:0], list("abcdefghij"), "w")


@pytest.mark.parametrize(
    ("classes", "named"),
    [
        (2, True),
        pytest.param(20, True, marks=pytest.mark.middle),
        (21, False),
        pytest.param(100, False, marks=pytest.mark.middle),
    ],
)
def test_many_classes_are_not_labelled(classes: int, named: bool, tmp_path: Path) -> None:
    names = [f"a class with a very long name, {i}" for i in range(classes)]
    figure = outputs.confusions(confused(3, classes), names, "w")
    save(figure, tmp_path / "c.png")
    assert len(shown(figure)) == 3
    assert bool(shown(figure)[0].texts) == bool(shown(figure)[0].get_yticklabels()) == named
    assert max(plt.imread(tmp_path / "c.png").shape) < 1600


@pytest.mark.middle
def test_names_beside_the_last_line_push_no_panels_apart() -> None:
    figure = outputs.confusions(confused(11, 10), [f"long name {i}" for i in range(10)], "w")
    assert overlaps(figure) == []
    first, second, third = (shown(figure)[i].get_position().y0 for i in (0, 4, 8))
    assert first - second == pytest.approx(second - third, abs=0.002)


def test_calibration_draws_the_curves() -> None:
    table, facts = curves(["ensemble", "conv4"])
    axes = outputs.calibration(table.sample(frac=1, random_state=0), facts, "w").axes[0]
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
    figure = outputs.calibration(table[table.net != "net 3"], facts, "w")
    save(figure, tmp_path / "c.png")
    lines = figure.axes[0].lines[1:]
    assert len({to_hex(line.get_color()) for line in lines}) == 13
    assert [len(line.get_xdata()) for line in lines] == [9, 9, 9, 0, *[9] * 9]
    save(outputs.calibration(table[:0], facts[:2], "w"), tmp_path / "d.png")
    with pytest.raises(ValueError, match="curves of .*'net 1'.*, facts of {'net 0'}"):
        outputs.calibration(table, facts[:1], "w")
    with pytest.raises(ValueError, match="without nets"):
        outputs.calibration(table[:0], facts[:0], "w")


@pytest.mark.parametrize("budgets", [["60k", "180k"], PAPER])
def test_fidelity_draws_the_cells(budgets: list[str]) -> None:
    table = cells(budgets)
    colors = row_colors(ROWS, NETS)
    figure = outputs.fidelity(table, NETS, "w")
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
    above = outputs.fidelity(table[table.accuracy > 0.6], NETS, "w").axes[0]
    assert above.get_xlim()[0] > 0.58 and above.get_ylim()[0] > 0.6, (
        "the line of equality does not widen the axes"
    )
    assert right.get_xscale() == right.get_yscale() == "log"
    assert [text.get_text() for text in right.get_xticklabels()] == budgets
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [
        *(label(row, row) for row in reversed(ROWS)),
        "trained on hard labels",
        "agreement = accuracy",
    ]


def test_rows_look_as_in_figure_1() -> None:
    table = cells(["60k", "180k"]).assign(trials_shown=2, mean=0.5, best=0.6, fifth=0.4)
    handles = {line.get_label(): line for line in figure1(table, NETS, 0.9, "w").axes[0].lines}
    for line in outputs.fidelity(table, NETS, "w").axes[0].lines:
        if not line.get_label().startswith("_"):
            other = handles[label(*[line.get_label().split()[1]] * 2)]
            assert (line.get_marker(), line.get_color()) == (other.get_marker(), other.get_color())


def test_fidelity_without_values(tmp_path: Path) -> None:
    table = cells(["60k", "180k"])
    table.loc[(table.row == "mlp1") & (table.budget == "60k"), "kl"] = np.nan
    table.loc[table.row == "mlp2", "kl"] = 0.0
    lines = {line.get_label(): line for line in outputs.fidelity(table, NETS, "w").axes[1].lines}
    assert list(lines["mimic mlp1"].get_xdata()) == [180000] and "mimic mlp2" not in lines
    figure = outputs.fidelity(table.assign(kl=np.nan), NETS, "w")
    save(figure, tmp_path / "f.png")
    assert "kl not measured" in words(figure) and not figure.axes[1].lines
    figure = outputs.fidelity(table.assign(agreement=np.nan)[:1], NETS, "w")
    save(figure, tmp_path / "g.png")
    assert "agreement not measured" in words(figure)
    with pytest.raises(ValueError, match="without cells"):
        outputs.fidelity(table[:0], NETS, "w")


@pytest.mark.parametrize("kl", [[0.22, 0.45], [0.011, 4.0], [0.3]])
def test_the_axis_of_kl_has_labels(kl: list[float]) -> None:
    table = cells(["60k", "180k"])[: len(kl)].assign(kl=kl)
    figure = outputs.fidelity(table, NETS, "w")
    figure.canvas.draw()
    axes = figure.axes[1]
    low, high = axes.get_ylim()
    seen = [tick for tick in axes.get_yticks() if low <= tick <= high]
    assert 1 <= len(seen) <= 20
    assert len(axes.yaxis.get_minorticklocs()) == 0, (
        "a minor tick of a log axis would bring labels of its own"
    )
