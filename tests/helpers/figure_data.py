"""Data that figures are drawn from in tests, and what is read of a drawn figure."""

from __future__ import annotations

import hashlib
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Text

from stages.nets.families import FAMILIES
from stages.report.figures.theme import save

ROWS = [*(f"mlp{i}" for i in range(1, 6)), *(f"conv{i}" for i in range(1, 5))]


SIZES = {"60k": 6e4, "180k": 1.8e5, "1M": 1e6, "3.16M": 3.16e6, "10M": 1e7, "31.6M": 3.16e7}


PAPER = ["1M", "3.16M", "10M", "31.6M"]


IDS = ["conv_gap", "depth_order", "params_monotone", "mlp_best_depth"]


IDS += ["depth_beats_size", "compression_gap", "below_ensemble", "mlp_ceiling"]


def entry(verdict: str, keys: list[str], paper: list[str], value: float = 2.0) -> dict[str, Any]:
    """A claim with an effect for each key, one point either side, and the paper's halves."""
    values = {key: value + i for i, key in enumerate(keys)}
    effects = {k: {"value_pct": v, "low_pct": v - 1, "high_pct": v + 1} for k, v in values.items()}
    statement = (
        "Nets without convolution stay far below nets with one conv layer at the same number of "
        "parameters"
    )
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


def answers(budgets: list[str]) -> dict[str, Any]:
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


def families_of(rows: list[str]) -> dict[str, str]:
    """The nets of rows: those of the paper's rows, and of any other row those of mlp2."""
    return {row: row if row in FAMILIES else "mlp2" for row in rows}


NETS = families_of(ROWS)


def sha256(figure: Figure, path: Path) -> str:
    """Write `figure`; the hash of the file."""
    save(figure, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()
