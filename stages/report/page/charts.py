"""Charts of the report page as Plotly figures in plain JSON: the common form, fidelity,
calibration, ablations.

A chart is a mapping: `data` and `layout` are Plotly's; `legend` lists what the page's own legend
shows, `toggle` what its switch changes, `min_width` how narrow it may become (px). Hover texts say
in words what a point is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import seaborn
from matplotlib.colors import to_hex

from stages.report.figures.style import label, row_colors, row_places
from stages.report.page.text import SPACE, drawn, fixed, percent, readable, whole

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif"
INK, MUTED, GRID = "#1f2328", "#57606a", "#e4e7eb"
SYMBOLS = (
    "circle",
    "triangle-down",
    "triangle-up",
    "triangle-left",
    "triangle-right",
    "square",
    "diamond",
    "cross",
    "x",
    "pentagon",
    "hexagon",
    "star",
)
"""Of the rows, in the order of Figure 1's markers."""
HARD = "hard labels"

Chart = dict[str, Any]


def axis(title: str, **more: Any) -> dict[str, Any]:
    """One axis of a chart."""
    form = {"automargin": True, "zeroline": False, "showline": True, "ticks": "outside"}
    colors = {"gridcolor": GRID, "tickcolor": MUTED, "linecolor": MUTED}
    return {"title": {"text": title, "standoff": 8, "font": {"size": 13}}, **colors, **form, **more}


def layout(height: int, x: dict[str, Any], y: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The form of all charts."""
    hover = {
        "bgcolor": "white",
        "bordercolor": MUTED,
        "align": "left",
        "font": {"family": FONT, "color": INK},
    }
    return {
        "height": height,
        "margin": {"l": 50, "r": 16, "t": 16, "b": 44},
        "xaxis": x,
        "yaxis": y,
        "hoverlabel": hover,
        "font": {"family": FONT, "size": 13, "color": INK},
        "hovermode": "closest",
        "dragmode": False,
        "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        **more,
    }


def series(
    group: str, x: Sequence[float], y: Sequence[float], text: Sequence[str] | str, **form: Any
) -> dict[str, Any]:
    """Points or lines that belong to an entry of the legend; `text` is shown on hovering, one for
    all or one each.
    """
    words = text if isinstance(text, str) else list(text)
    shown = (
        {"hovertemplate": "%{text}<extra></extra>", "text": words}
        if words
        else {"hoverinfo": "skip"}
    )
    return {"type": "scatter", "legendgroup": group, "x": list(x), "y": list(y), **shown, **form}


def styles(rows: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Row -> colour and symbol, those of Figure 1, colours darkened where white would hide them."""
    names = list(dict.fromkeys(rows))
    colors, places = row_colors(names), row_places(names)
    return {row: (readable(colors[row]), SYMBOLS[places[row] % len(SYMBOLS)]) for row in names}


def key(
    group: str, name: str, color: str, symbol: str | None = None, **more: Any
) -> dict[str, Any]:
    """An entry of the page's legend: a line, a marker (`symbol`, filled unless `open`), or both."""
    return {
        "group": group,
        "name": name,
        "color": color,
        "symbol": symbol,
        "open": False,
        "dash": None,
        "line": True,
        **more,
    }


def fidelity(table: pd.DataFrame) -> tuple[Chart, Chart]:
    """Agreement with the ensemble against accuracy, and KL divergence against parameters.

    Args:
        table: columns target ("mimic" or "hard"), row, budget, params, accuracy, agreement
        (fractions), kl (nats).
    """
    form = styles(table["row"])
    charts: list[Chart] = []
    for x, y in (("accuracy", "agreement"), ("params", "kl")):
        data = []
        for (target, row), part in table.dropna(subset=[x, y]).groupby(
            ["target", "row"], sort=False
        ):
            part = part[part[y] > 0].sort_values("params", kind="stable")
            color, symbol = form[row]
            words = [_near(line) for line in part.itertuples()]
            hard = target == "hard"
            marker = {
                "color": color,
                "symbol": f"{symbol}-open" if hard else symbol,
                "size": 10,
                "line": {"width": 2},
            }
            group, mode = HARD if hard else row, "markers" if hard else "lines+markers"
            marker["line"] = {"width": 2, "color": color} if hard else {"width": 0}
            data.append(
                series(
                    group, part[x], part[y], words, mode=mode, marker=marker, line={"color": color}
                )
            )
        charts.append({"data": data, "legend": _rows_legend(table, form)})
    both = pd.concat([table["accuracy"], table["agreement"]]).dropna()
    span = [both.min(), both.max()]
    charts[0]["data"].insert(0, _diagonal(span))
    share = {"tickformat": ".0%"}
    charts[0]["layout"] = layout(
        380, axis("test accuracy", **share), axis("agreement with the ensemble", **share)
    )
    ticks = table.groupby("budget", sort=False)["params"].median()
    sizes = {
        "type": "log",
        "tickvals": list(ticks),
        "ticktext": [drawn(name) for name in ticks.index],
    }
    marks = [m * 10.0**power for power in range(-6, 4) for m in (1, 2, 5)]
    nats = axis(
        "KL divergence, nats (log scale)",
        type="log",
        tickvals=marks,
        ticktext=[f"{mark:g}" for mark in marks],
    )
    charts[1]["layout"] = layout(380, axis("number of parameters (log scale)", **sizes), nats)
    return charts[0], charts[1]


def _near(line: Any) -> str:
    words = f"<b>{drawn(line.row)}, {drawn(line.budget)}</b>{' on hard labels' if line.target == 'hard' else ''}"
    facts = f"accuracy {percent(line.accuracy)}<br>agreement {percent(line.agreement)}<br>KL {fixed(line.kl, 3)} nats"
    return f"{words}<br>{facts}<br>{whole(line.params)} parameters"


def _rows_legend(table: pd.DataFrame, form: dict[str, tuple[str, str]]) -> list[dict[str, Any]]:
    mimic = list(dict.fromkeys(table[table["target"] == "mimic"]["row"]))
    keys = [key(row, label(row), *form[row]) for row in mimic]
    if (table["target"] == "hard").any():
        keys.append(key(HARD, "trained on hard labels", MUTED, "circle", open=True, line=False))
    return keys


def _diagonal(span: Sequence[float]) -> dict[str, Any]:
    return series(
        "", span, span, (), mode="lines", line={"color": MUTED, "dash": "dot", "width": 1}
    )


def calibration(curves: pd.DataFrame, facts: pd.DataFrame) -> Chart:
    """Reliability diagram: accuracy against confidence, markers by the number of test images in the
    bin.

    Args:
        curves: columns net, confidence, accuracy (fractions), count; a line a bin.
        facts: columns net, ece (fraction), nll (nats); gives the order.
    """
    palette = seaborn.color_palette("colorblind" if len(facts) <= 10 else "husl", len(facts))
    data, keys = [_diagonal([0, 1])], []
    most = curves["count"].max()
    for i, (fact, color) in enumerate(zip(facts.itertuples(), palette, strict=True)):
        part = curves[(curves["net"] == fact.net) & (curves["count"] > 0)].sort_values("confidence")
        shade, symbol = readable(to_hex(color)), SYMBOLS[i % len(SYMBOLS)]
        words = [
            f"<b>{drawn(fact.net)}</b><br>confidence {percent(b.confidence)}<br>accuracy {percent(b.accuracy)}"
            f"<br>{whole(b.images)} test images"
            for b in part.rename(
                columns={"count": "images"}
            ).itertuples()  # a tuple's own count is a method
        ]
        sizes = list(5 + 13 * (part["count"] / most) ** 0.5)
        marker = {
            "color": shade,
            "symbol": symbol,
            "size": sizes,
            "line": {"color": "white", "width": 1},
        }
        form = {"mode": "lines+markers", "marker": marker, "line": {"color": shade, "width": 1.5}}
        data.append(series(fact.net, part["confidence"], part["accuracy"], words, **form))
        name = f"{fact.net}: ECE {percent(fact.ece)}, NLL {fixed(fact.nll)}"
        keys.append(key(fact.net, name, shade, symbol))
    share = {"tickformat": ".0%", "range": [-0.03, 1.04], "dtick": 0.2}
    form = layout(440, axis("confidence of the net", **share), axis("test accuracy", **share))
    return {"data": data, "layout": form, "legend": keys}


def varied(frame: pd.DataFrame, wholes: dict[str, int]) -> dict[str, Chart]:
    """Test accuracy against what ablations give several values: measure -> chart.

    Args:
        frame: metrics/ablations.csv.
        wholes: what the base itself has of each measure.
    """
    charts = {}
    for measure, part in frame[frame["measure"] != ""].groupby("measure", sort=False):
        form, data, keys = styles(sorted(set(part["of"]))), [], []
        for (of, budget), lines in part.groupby(["of", "budget"], sort=False):
            points = [
                (int(line.number), line.accuracy_pct, line.row) for line in lines.itertuples()
            ]
            points = sorted([*points, (wholes[measure], lines["base_pct"].iloc[0], of)])
            x, y, names = zip(*points, strict=True)
            words = [
                f"<b>{drawn(name)}, {drawn(budget)}</b><br>{drawn(measure)}: {number}<br>{fixed(share)}{SPACE}%"
                for number, share, name in points
            ]
            color, symbol = form[of]
            group = f"{of} {budget}"
            marker = {"color": color, "symbol": symbol, "size": 9}
            data.append(
                series(
                    group, x, y, words, mode="lines+markers", marker=marker, line={"color": color}
                )
            )
            keys.append(key(group, f"{label(of)}, {budget}", color, symbol))
        ticks = sorted({*part["number"].astype(int), wholes[measure]})
        sizes = axis(
            f"{measure} (log scale)",
            type="log",
            tickvals=ticks,
            ticktext=[str(tick) for tick in ticks],
        )
        shown = layout(320, sizes, axis("test accuracy", ticksuffix=f"{SPACE}%"))
        charts[str(measure)] = {"data": data, "layout": shown, "legend": keys}
    return charts
