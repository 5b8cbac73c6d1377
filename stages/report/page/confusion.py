"""Confusion matrices of the report page: a heat map a net, and the mistakes that are made most
often.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.colors import to_hex

from stages.report.page.charts import MUTED, Chart, axis, layout
from stages.report.page.text import SPACE, counted, distinct, drawn, percent, shortened, whole

MOST_CLASSES = 100
"""Of a matrix that is drawn; of more, only the frequent mistakes are listed."""
FEW_CLASSES = 20
"""Up to which classes are named at the axes and shares stand in the cells."""
BAR_PX = 64
"""For the bar of colours and its labels."""
FREQUENT = 12
"""Mistakes that are listed of each net."""


def of_net(table: pd.DataFrame, net: str, classes: list[str]) -> pd.DataFrame:
    """Lines of one net with the numbers of their classes: columns true, predicted, count.

    Raises:
        ValueError: a class that is none of `classes`.
    """
    part, index = table[table["net"] == net], {name: i for i, name in enumerate(classes)}
    if unknown := sorted({*part["true"], *part["predicted"]} - set(index)):
        raise ValueError(
            f"metrics/confusion.csv has the class {unknown[0]!r}, which data/prepared has not: "
            "run 'dvc repro --force assess'"
        )
    return part.assign(true=part["true"].map(index), predicted=part["predicted"].map(index))


def accuracy(lines: pd.DataFrame) -> float:
    """Share of the images on the diagonal."""
    return float(lines["count"][lines["true"] == lines["predicted"]].sum() / lines["count"].sum())


def frequent(lines: pd.DataFrame, classes: list[str]) -> list[list[str]]:
    """The mistakes made most often, most frequent first: true and predicted class, images, share of
    the true class.
    """
    totals = lines.groupby("true")["count"].sum()
    wrong = lines[(lines["true"] != lines["predicted"]) & (lines["count"] > 0)]
    most = wrong.sort_values(["count", "true", "predicted"], ascending=[False, True, True]).head(
        FREQUENT
    )
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
    """Shares of each true class, colours on their square root so that few mistakes show; None of
    too many classes.
    """
    if len(classes) > MOST_CLASSES:
        return None
    found = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(found, (lines["true"], lines["predicted"]), lines["count"])
    few, totals = len(classes) <= FEW_CLASSES, found.sum(axis=1, keepdims=True)
    names = [drawn(name) for name in distinct(classes, 14)]
    with np.errstate(invalid="ignore"):
        share = found / totals
    words = [
        [
            f"{counted(int(n), 'image')} of {whole(totals[i, 0])}, {percent(share[i, j])}"
            for j, n in enumerate(line)
        ]
        for i, line in enumerate(found)
    ]
    shades = [
        to_hex(color)
        for color in seaborn.color_palette("rocket_r", as_cmap=True)(np.linspace(0, 1, 11))
    ]
    marks = [0, 0.01, 0.05, 0.1, 0.25, 0.5, 1]
    heat: dict[str, Any] = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": np.sqrt(share),
        "zmin": 0,
        "zmax": 1,
        "customdata": words,
        "colorscale": [[i / 10, shade] for i, shade in enumerate(shades)],
        "xgap": int(few),
        "ygap": int(few),
        "hovertemplate": "true %{y}, predicted %{x}<br>%{customdata}<extra></extra>",
    }
    ticks = {
        "tickvals": [mark**0.5 for mark in marks],
        "ticktext": [f"{100 * mark:g}{SPACE}%" for mark in marks],
    }
    heat["colorbar"] = {
        **ticks,
        "thickness": 12,
        "outlinewidth": 0,
        "title": {"text": "share", "font": {"size": 12}},
    }
    if few:
        heat |= {
            "text": [[_mark(share[i, j]) for j in range(len(names))] for i in range(len(names))]
        }
        heat |= {"texttemplate": "%{text}", "textfont": {"size": 11}}
    form = {
        "type": "category",
        "showticklabels": few,
        "showgrid": False,
        "ticks": "",
        "showline": False,
    }
    side = {"autorange": "reversed", **form}
    x = axis("predicted class", tickangle=-90 if max(map(len, names)) > 3 else 0, **form)
    shown = layout(460 if few else 560, x, axis("true class", **side))
    shown["font"] = {**shown["font"], "color": MUTED}
    shown["margin"] = {
        **shown["margin"],
        "r": BAR_PX,
    }  # Plotly leaves too little for its labels on a phone
    least = (
        BAR_PX + 24 * len(names) + 7 * max(map(len, names)) if few else 300
    )  # ten digits fit a phone of 360 px
    return {"data": [heat], "layout": shown, "legend": [], "min_width": least}


def _mark(share: float) -> str:
    """Per cent as text in a cell; nothing where it rounds to 0."""
    return "" if np.isnan(share) or not round(100 * share) else f"{100 * share:.0f}"
