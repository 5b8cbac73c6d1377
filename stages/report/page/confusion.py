"""Confusion matrices of the report page: a heat map a net, and its most frequent mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.colors import to_hex

from stages.report.figures.colors import SHARE_COLORS, SHARE_TICKS
from stages.report.page.charts import MUTED, Chart, axis, layout
from stages.report.page.text import SPACE, counted, distinct, drawn, percent, shortened, whole

MOST_CLASSES = 100
"""Of a matrix that is drawn; of more, only the frequent mistakes are listed."""
FEW_CLASSES = 20
"""Up to which classes are named at the axes and shares stand in the cells."""
BAR_PX = 64
"""For the bar of colours and its labels; Plotly leaves too little for the labels on a phone."""
FREQUENT = 12
"""Mistakes that are listed of each net."""


def of_net(table: pd.DataFrame, net: str, classes: list[str]) -> pd.DataFrame:
    """Lines of one net with the numbers of their classes: columns true, predicted, count.

    Raises:
        ValueError: a class that is none of `classes`.
    """
    part = table[table["net"] == net]
    index = {name: i for i, name in enumerate(classes)}

    unknown = sorted({*part["true"], *part["predicted"]} - set(index))
    if unknown:
        raise ValueError(
            f"metrics/confusion.csv has the class {unknown[0]!r}, which data/prepared has not: "
            "run 'dvc repro --force assess'"
        )

    return part.assign(true=part["true"].map(index), predicted=part["predicted"].map(index))


def accuracy(lines: pd.DataFrame) -> float:
    """Share of the images on the diagonal."""
    return float(lines["count"][lines["true"] == lines["predicted"]].sum() / lines["count"].sum())


def frequent(lines: pd.DataFrame, classes: list[str]) -> list[list[str]]:
    """The most frequent mistakes: true and predicted class, images, share of the true class."""
    totals = lines.groupby("true")["count"].sum()

    wrong = lines[(lines["true"] != lines["predicted"]) & (lines["count"] > 0)]
    ordered = wrong.sort_values(["count", "true", "predicted"], ascending=[False, True, True])
    most = ordered.head(FREQUENT)

    return [
        [
            shortened(classes[true]),
            shortened(classes[taken]),
            whole(count),
            percent(count / totals[true]),
        ]
        for true, taken, count in zip(most["true"], most["predicted"], most["count"], strict=True)
    ]


def matrix(lines: pd.DataFrame, classes: list[str]) -> Chart | None:
    """Shares of each true class, colours on their square root so that few mistakes show.

    None where there are too many classes.
    """
    if len(classes) > MOST_CLASSES:
        return None

    few = len(classes) <= FEW_CLASSES

    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, (lines["true"], lines["predicted"]), lines["count"])
    with np.errstate(invalid="ignore"):
        share = counts / counts.sum(axis=1, keepdims=True)

    # Ten digits fit a phone of 360 px.
    names = [drawn(name) for name in distinct(classes, 14)]
    longest = max(map(len, names))
    least = BAR_PX + 24 * len(names) + 7 * longest if few else 300

    form = {
        "type": "category",
        "showticklabels": few,
        "showgrid": False,
        "ticks": "",
        "showline": False,
    }
    x = axis("predicted class", tickangle=-90 if longest > 3 else 0, **form)
    y = axis("true class", autorange="reversed", **form)

    shown = layout(460 if few else 560, x, y)
    shown["font"] = {**shown["font"], "color": MUTED}
    shown["margin"] = {**shown["margin"], "r": BAR_PX}

    heat = _heat(names, share, _words(counts, share), few)
    return {"data": [heat], "layout": shown, "legend": [], "min_width": least}


def _words(counts: np.ndarray, share: np.ndarray) -> list[list[str]]:
    """What stands beside each cell."""
    totals = counts.sum(axis=1)
    return [
        [
            f"{counted(int(count), 'image')} of {whole(totals[i])}, {percent(share[i, j])}"
            for j, count in enumerate(line)
        ]
        for i, line in enumerate(counts)
    ]


def _heat(names: list[str], share: np.ndarray, words: list[list[str]], few: bool) -> dict[str, Any]:
    """The cells as Plotly draws them."""
    colors = seaborn.color_palette(SHARE_COLORS, as_cmap=True)(np.linspace(0, 1, 11))

    heat: dict[str, Any] = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": np.sqrt(share),
        "zmin": 0,
        "zmax": 1,
        "customdata": words,
        "colorscale": [[i / 10, to_hex(color)] for i, color in enumerate(colors)],
        "xgap": int(few),
        "ygap": int(few),
        "hovertemplate": "true %{y}, predicted %{x}<br>%{customdata}<extra></extra>",
        "colorbar": {
            "tickvals": [tick**0.5 for tick in SHARE_TICKS],
            "ticktext": [f"{100 * tick:g}{SPACE}%" for tick in SHARE_TICKS],
            "thickness": 12,
            "outlinewidth": 0,
            "title": {"text": "share", "font": {"size": 12}},
        },
    }

    if few:
        heat |= {
            "text": [[_mark(each) for each in line] for line in share],
            "texttemplate": "%{text}",
            "textfont": {"size": 11},
        }

    return heat


def _mark(share: float) -> str:
    """Per cent as text in a cell; nothing where it rounds to 0."""
    return "" if np.isnan(share) or not round(100 * share) else f"{100 * share:.0f}"
