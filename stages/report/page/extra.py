"""Further test sets on the report page: a table of nets and sets, and a chart for each by severity."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.colors import to_hex

from stages.report.figures.colors import net_colors
from stages.report.page.charts import SYMBOLS, Chart, axis, key, layout, series
from stages.report.page.data import PageData, PagePart
from stages.report.page.text import drawn, percent, readable
from stages.settings.prepare import OWN


def further(data: PageData) -> PagePart:
    """The section on further test sets; without lines it is left out."""
    frame = data.extra
    if frame.empty:
        return PagePart({"further": None, "severe": []})

    severe = list(dict.fromkeys(frame[frame["severity"].notna()]["set"]))
    charts = {f"severity-{i}": [by_severity(frame, name)] for i, name in enumerate(severe)}
    return PagePart({"further": accuracies(frame), "severe": severe}, charts)


def accuracies(frame: pd.DataFrame) -> dict[str, Any]:
    """Accuracies on every set as text, a line a net."""
    whole = frame[(frame["corruption"] == "") & frame["severity"].isna()]
    names = list(dict.fromkeys(whole["set"]))
    texts = {(line.net, line.set): _text(line) for line in whole.itertuples()}

    lines = [[net, *(texts[net, name] for name in names)] for net in dict.fromkeys(whole["net"])]
    return {"head": ["Net", *names], "lines": lines, "words": 1}


def _text(line: Any) -> str:
    """An accuracy with its interval."""
    low, high = (f"{100 * share:.1f}" for share in (line.low, line.high))
    return f"{percent(line.accuracy, 2)} [{low}, {high}]"


def by_severity(frame: pd.DataFrame, name: str) -> Chart:
    """Mean accuracy over corruptions by severity; severity 0 are the own test images.

    Args:
        frame: metrics/extra.csv.
        name: of the set.
    """
    shown = frame[(frame["drawn"] == 1) & (frame["corruption"] == "")]
    own = shown[shown["set"] == OWN].assign(severity=0)
    lines = pd.concat([own, shown[(shown["set"] == name) & shown["severity"].notna()]])

    nets = list(dict.fromkeys(lines["net"]))
    data = []
    keys = []
    for i, (net, color) in enumerate(zip(nets, net_colors(len(nets)), strict=True)):
        part = lines[lines["net"] == net]
        shade = readable(to_hex(color))
        symbol = SYMBOLS[i % len(SYMBOLS)]

        words = [
            f"<b>{drawn(net)}</b><br>severity {line.severity or 'none'}<br>{_text(line)}"
            for line in part.itertuples()
        ]
        # Beside each other, or intervals would hide each other; they are lines of their own.
        x = [int(severity) + 0.04 * (i - (len(nets) - 1) / 2) for severity in part["severity"]]
        ends = [
            end for line in part.itertuples() for end in (float(line.low), float(line.high), None)
        ]
        line = {"color": shade, "width": 1.2}
        upright = [place for each in x for place in (each, each, None)]
        data.append(series(net, upright, ends, (), mode="lines", line=line))

        data.append(
            series(
                net,
                x,
                part["accuracy"],
                words,
                mode="lines+markers",
                marker={"color": shade, "symbol": symbol, "size": 9},
                line={"color": shade},
            )
        )
        keys.append(key(net, net, shade, symbol))

    ticks = sorted({int(severity) for severity in lines["severity"]})
    severities = axis(
        "severity of the corruptions",
        tickvals=ticks,
        ticktext=["none" if tick == 0 else str(tick) for tick in ticks],
    )
    form = layout(380, severities, axis("accuracy", tickformat=".0%"))
    return {"data": data, "layout": form, "legend": keys}
