"""Colours and markers of the figures and of the report page's charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import seaborn

from stages.report.paper import convolutions, of_the_paper, paper_values
from stages.report.words import BETTER, FAILS, HOLDS, OPEN, UNTESTED, WORSE

Color = tuple[float, float, float]
"""Red, green and blue, 0 to 1."""

MARKERS = {
    "o": "circle",
    "v": "triangle-down",
    "^": "triangle-up",
    "<": "triangle-left",
    ">": "triangle-right",
    "s": "square",
    "D": "diamond",
    "P": "cross",
    "X": "x",
    "p": "pentagon",
    "h": "hexagon",
    "*": "star",
}
"""Markers of rows in order: as matplotlib and as Plotly call them."""

REACH = 1.18
"""A short line of Figure 1 goes from its budget divided by this to its budget times this."""

VERDICT_COLORS = {HOLDS: "#0173b2", FAILS: "#c04a00", OPEN: "0.3", UNTESTED: "0.45"}
"""Of claims: dark enough for text on white, and told apart without red and green."""

VARIANT_COLORS = {BETTER: VERDICT_COLORS[HOLDS], WORSE: VERDICT_COLORS[FAILS]}
"""Of ablations that are better or worse than their base."""

FIGURE_GREY = "0.4"
PAGE_GREY = "#4d4d4d"
"""Of undecided ablations, in the figure and on the page."""

SHARE_COLORS = "rocket_r"
"""The colour map of confusion matrices; shares lie on it by their square roots."""

SHARE_TICKS = (0, 0.01, 0.05, 0.1, 0.25, 0.5, 1)
"""Shares that the bar of these colours names."""


def row_colors(rows: Sequence[str], families: Mapping[str, str]) -> dict[str, Color]:
    """Warm colours for rows without convolution, cold ones for rows with it, darker with depth.

    The paper's rows have the same colours in every run, whichever rows are beside them. Other rows
    are pink, or violet if they have convolution.

    Args:
        families: row -> the family of its nets.
    """
    paper = list(paper_values()["table2"]["rows"])
    others = [
        row
        for row in dict.fromkeys(rows)
        if row not in paper or not of_the_paper(row, families[row])
    ]

    colors: dict[str, Color] = {}
    for group, nets, warm, cold in (
        (paper, {row: row for row in paper}, "YlOrRd", "GnBu"),
        (others, families, "light:#a3195b", "light:#4b1f9e"),
    ):
        for palette, convolutional in ((warm, False), (cold, True)):
            names = [row for row in group if bool(convolutions(nets[row])) == convolutional]
            shades = seaborn.color_palette(palette, len(names) + 2)[2:]
            colors |= zip(names, shades, strict=True)

    return {row: colors[row] for row in rows}


def row_places(rows: Sequence[str]) -> dict[str, int]:
    """Row -> number of its marker: the paper's rows have the same in every run, others follow."""
    paper = list(paper_values()["table2"]["rows"])
    every = [*paper, *(row for row in dict.fromkeys(rows) if row not in paper)]
    return {row: every.index(row) for row in rows}


def row_markers(rows: Sequence[str]) -> dict[str, str]:
    """Row -> its marker, a key of MARKERS; after twelve they begin again."""
    markers = list(MARKERS)
    return {row: markers[place % len(markers)] for row, place in row_places(rows).items()}


def net_colors(count: int) -> list[Color]:
    """Colours of nets of any kind, told apart by the colour-blind up to ten of them."""
    return list(seaborn.color_palette("colorblind" if count <= 10 else "husl", count))
