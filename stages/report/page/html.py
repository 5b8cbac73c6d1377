"""The report page as one HTML file: templates filled, style, script and Plotly put in.

Plotly and not Vega: its Python package brings the script, so that nothing is loaded and no browser
is needed to build the page, and charts are plain SVG that print well. The price is 4.8 MB of
script; Vega's three would be under 1 MB.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from stages.report.page.text import as_json

TEMPLATES = Path(__file__).with_name("templates")


def environment() -> Environment:
    """Templates of the page: everything is escaped, and a missing value is an error."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(values: Mapping[str, Any], charts: Mapping[str, Any]) -> str:
    """The page.

    Args:
        values: what the templates show.
        charts: id -> the chart's variants, see charts.py, or None where a variant has nothing to
            draw.

    Raises:
        jinja2.UndefinedError: a template shows something that `values` lacks.
        ValueError: Plotly's script would end its own element.
    """
    plotly = get_plotlyjs()
    if "</script" in plotly.lower():
        raise ValueError(
            "plotly's script has the end of a script element in it: install plotly 6 or 7"
        )

    template = environment().get_template("report.html.j2")

    return template.render(
        **values,
        charts=charts,
        chart_json=as_json(charts),
        plotly=Markup(plotly),
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES / "page.js").read_text(encoding="utf-8")),
    )
