"""Charts of the report page as Plotly figures in plain JSON: the common form, and three of them.

A chart is a mapping: `data` and `layout` are Plotly's; `legend` lists what the page's own legend
shows, `toggle` what its switch changes, `min_width` how narrow it may become (px). Hover texts say
in words what a point is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.colors import to_hex

from stages.report.figures.colors import MARKERS, net_colors, row_colors, row_markers
from stages.report.page.text import SPACE, drawn, fixed, percent, readable, whole
from stages.report.paper import label

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif"
INK = "#1f2328"
MUTED = "#57606a"
GRID = "#e4e7eb"
SYMBOLS = tuple(MARKERS.values())
"""Plotly's markers, in the order of Figure 1's."""
HARD = "hard labels"

Chart = dict[str, Any]


def axis(title: str, **more: Any) -> dict[str, Any]:
    """One axis of a chart."""
    return {
        "title": {"text": title, "standoff": 8, "font": {"size": 13}},
        "gridcolor": GRID,
        "tickcolor": MUTED,
        "linecolor": MUTED,
        "automargin": True,
        "zeroline": False,
        "showline": True,
        "ticks": "outside",
        **more,
    }


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
    group: str,
    x: Sequence[float | None],
    y: Sequence[float | None],
    text: Sequence[str] | str,
    **form: Any,
) -> dict[str, Any]:
    """Points or lines that belong to an entry of the legend.

    Args:
        x, y: of the points; None ends a line.
        text: is shown on hovering, one for all points or one each; empty for none.
    """
    hover: dict[str, Any] = {"hoverinfo": "skip"}

    words = text if isinstance(text, str) else list(text)
    if words:
        hover = {"hovertemplate": "%{text}<extra></extra>", "text": words}

    return {"type": "scatter", "legendgroup": group, "x": list(x), "y": list(y), **hover, **form}


def styles(rows: Sequence[str], families: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Row -> colour and symbol, those of Figure 1, colours darkened where white would hide them.

    Args:
        families: row -> the family of its nets.
    """
    names = list(dict.fromkeys(rows))

    colors = row_colors(names, families)
    markers = row_markers(names)

    return {row: (readable(colors[row]), MARKERS[markers[row]]) for row in names}


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


def fidelity(table: pd.DataFrame, families: Mapping[str, str]) -> tuple[Chart, Chart]:
    """Agreement with the ensemble against accuracy, and KL divergence against parameters.

    Args:
        table: columns target ("mimic" or "hard"), row, budget, params, accuracy, agreement
            (fractions), kl (nats).
        families: row -> the family of its nets.
    """
    # The form of rows, as in Figure 1.
    form = styles(table["row"], families)
    legend = _rows_legend(table, form, families)

    # Agreement and accuracy are equal on a dotted line.
    share = {"tickformat": ".0%"}
    both = pd.concat([table["accuracy"], table["agreement"]]).dropna()
    diagonal = _diagonal([both.min(), both.max()])

    agreement = {
        "data": [diagonal, *_students(table, "accuracy", "agreement", form)],
        "legend": legend,
        "layout": layout(
            380, axis("test accuracy", **share), axis("agreement with the ensemble", **share)
        ),
    }

    # Both scales of the divergence are logarithmic.
    sizes = table.groupby("budget", sort=False)["params"].median()

    parameters = axis(
        "number of parameters (log scale)",
        type="log",
        tickvals=list(sizes),
        ticktext=[drawn(name) for name in sizes.index],
    )

    marks = [m * 10.0**power for power in range(-6, 4) for m in (1, 2, 5)]

    nats = axis(
        "KL divergence, nats (log scale)",
        type="log",
        tickvals=marks,
        ticktext=[f"{mark:g}" for mark in marks],
    )

    divergence = {
        "data": _students(table, "params", "kl", form),
        "legend": legend,
        "layout": layout(380, parameters, nats),
    }
    return agreement, divergence


def _students(
    table: pd.DataFrame, x: str, y: str, form: Mapping[str, tuple[str, str]]
) -> list[dict[str, Any]]:
    """One column against another: a line a row, and open markers for hard labels."""
    data = []
    for (target, row), part in table.dropna(subset=[x, y]).groupby(["target", "row"], sort=False):
        part = part[part[y] > 0].sort_values("params", kind="stable")
        color, symbol = form[row]
        hard = target == "hard"

        marker = {
            "color": color,
            "symbol": f"{symbol}-open" if hard else symbol,
            "size": 10,
            "line": {"width": 2, "color": color} if hard else {"width": 0},
        }

        data.append(
            series(
                HARD if hard else row,
                part[x],
                part[y],
                [_near(line) for line in part.itertuples()],
                mode="markers" if hard else "lines+markers",
                marker=marker,
                line={"color": color},
            )
        )

    return data


def _near(line: Any) -> str:
    """What stands beside a point of fidelity."""
    hard = " on hard labels" if line.target == "hard" else ""
    return "<br>".join(
        [
            f"<b>{drawn(line.row)}, {drawn(line.budget)}</b>{hard}",
            f"accuracy {percent(line.accuracy)}",
            f"agreement {percent(line.agreement)}",
            f"KL {fixed(line.kl, 3)} nats",
            f"{whole(line.params)} parameters",
        ]
    )


def _rows_legend(
    table: pd.DataFrame, form: Mapping[str, tuple[str, str]], families: Mapping[str, str]
) -> list[dict[str, Any]]:
    mimic = list(dict.fromkeys(table[table["target"] == "mimic"]["row"]))
    keys = [key(row, label(row, families[row]), *form[row]) for row in mimic]

    if (table["target"] == "hard").any():
        keys.append(key(HARD, "trained on hard labels", MUTED, "circle", open=True, line=False))

    return keys


def _diagonal(span: Sequence[float]) -> dict[str, Any]:
    line = {"color": MUTED, "dash": "dot", "width": 1}
    return series("", span, span, (), mode="lines", line=line)


def calibration(curves: pd.DataFrame, facts: pd.DataFrame) -> Chart:
    """Reliability diagram: accuracy against confidence, markers by the number of images in a bin.

    Args:
        curves: columns net, confidence, accuracy (fractions), count; a line a bin.
        facts: columns net, ece (fraction), nll (nats); gives the order.
    """
    # A line a net, with markers whose area grows with the number of images.
    most = curves["count"].max()

    data = [_diagonal([0, 1])]
    keys = []
    for i, (fact, color) in enumerate(zip(facts.itertuples(), net_colors(len(facts)), strict=True)):
        part = curves[(curves["net"] == fact.net) & (curves["count"] > 0)].sort_values("confidence")
        shade = readable(to_hex(color))
        symbol = SYMBOLS[i % len(SYMBOLS)]

        marker = {
            "color": shade,
            "symbol": symbol,
            "size": list(5 + 13 * (part["count"] / most) ** 0.5),
            "line": {"color": "white", "width": 1},
        }

        data.append(
            series(
                fact.net,
                part["confidence"],
                part["accuracy"],
                _bins(fact.net, part),
                mode="lines+markers",
                marker=marker,
                line={"color": shade, "width": 1.5},
            )
        )

        name = f"{fact.net}: ECE {percent(fact.ece)}, NLL {fixed(fact.nll)}"
        keys.append(key(fact.net, name, shade, symbol))

    # The axes.
    share = {"tickformat": ".0%", "range": [-0.03, 1.04], "dtick": 0.2}
    form = layout(440, axis("confidence of the net", **share), axis("test accuracy", **share))
    return {"data": data, "layout": form, "legend": keys}


def _bins(net: str, part: pd.DataFrame) -> list[str]:
    """What stands beside the points of a reliability diagram."""

    bins = part.rename(columns={"count": "images"})  # a tuple's own count is a method
    return [
        f"<b>{drawn(net)}</b><br>confidence {percent(each.confidence)}"
        f"<br>accuracy {percent(each.accuracy)}<br>{whole(each.images)} test images"
        for each in bins.itertuples()
    ]


def varied(
    frame: pd.DataFrame, wholes: dict[str, int], families: Mapping[str, str]
) -> dict[str, Chart]:
    """Test accuracy against what ablations give several values: measure -> chart.

    Args:
        frame: metrics/ablations.csv.
        wholes: what the base itself has of each measure.
        families: base row -> the family of its nets.
    """
    charts = {}
    for measure, part in frame[frame["measure"] != ""].groupby("measure", sort=False):
        form = styles(sorted(set(part["of"])), families)

        data = []
        keys = []
        for (of, budget), lines in part.groupby(["of", "budget"], sort=False):
            color, symbol = form[of]
            group = f"{of} {budget}"
            data.append(_variants(group, lines, str(measure), wholes[measure], color, symbol))
            keys.append(key(group, f"{label(of, families[of])}, {budget}", color, symbol))

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


def _variants(
    group: str, lines: pd.DataFrame, measure: str, whole_number: int, color: str, symbol: str
) -> dict[str, Any]:
    """The variants of one base at one budget, and the base itself."""
    points = [(int(line.number), line.accuracy_pct, line.row) for line in lines.itertuples()]
    points.append((whole_number, lines["base_pct"].iloc[0], lines["of"].iloc[0]))
    points.sort()

    budget = lines["budget"].iloc[0]
    words = [
        f"<b>{drawn(name)}, {drawn(budget)}</b><br>{drawn(measure)}: {number}"
        f"<br>{fixed(share)}{SPACE}%"
        for number, share, name in points
    ]

    x, y, _ = zip(*points, strict=True)
    marker = {"color": color, "symbol": symbol, "size": 9}
    return series(group, x, y, words, mode="lines+markers", marker=marker, line={"color": color})
