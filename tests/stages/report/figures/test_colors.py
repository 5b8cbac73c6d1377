"""Colours, markers and names of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import seaborn
from matplotlib.colors import to_hex, to_rgb

from stages.nets.families import FAMILIES
from stages.report.ablations import BETTER, WORSE
from stages.report.figures.colors import (
    MARKERS,
    VARIANT_COLORS,
    VERDICT_COLORS,
    row_colors,
    row_markers,
    row_places,
)
from stages.report.paper import label
from stages.report.verdicts import FAILS, HOLDS, OPEN, UNTESTED
from tests.helpers.figure_data import families_of


def test_labels_and_colors() -> None:
    assert label("conv4", "conv4") == "4 conv. layers"
    assert label("conv1", "conv1") == "1 conv. layer"
    assert label("mlp1", "mlp1") == "Bottleneck, 1 hidden layer"
    assert label("own", "mlp2") == "own"
    colors = row_colors(
        ["mlp1", "conv1", "own", "conv2"], families_of(["mlp1", "conv1", "own", "conv2"])
    )
    assert len(set(colors.values())) == 4
    assert colors["mlp1"][0] > colors["mlp1"][2] and colors["conv2"][2] > colors["conv2"][0]
    assert row_colors([], {}) == {}


def test_a_further_row_takes_no_colour_and_no_marker_of_the_papers() -> None:
    """Those of the nine rows are seaborn's palettes, as the committed pictures have them."""
    rows = [*(f"mlp{i}" for i in range(1, 6)), *(f"conv{i}" for i in range(1, 5))]
    wanted = dict(
        zip(
            rows,
            seaborn.color_palette("YlOrRd", 7)[2:] + seaborn.color_palette("GnBu", 6)[2:],
            strict=True,
        )
    )
    nets = {**families_of(rows), "own": "mlp2", "conv2-narrow": "conv2", "conv5": "conv4"}
    assert row_colors(rows, nets) == wanted
    more = row_colors(["own", "conv2-narrow", *rows, "conv5"], nets)
    assert {row: more[row] for row in rows} == wanted and len(set(more.values())) == len(more) == 12
    assert row_colors(["conv3"], nets) == {"conv3": wanted["conv3"]}
    for row in ("own", "conv2-narrow", "conv5"):
        assert (
            min(np.abs(np.subtract(more[row], color)).sum() for color in wanted.values()) > 0.25
        ), row
    assert list(row_places(rows).values()) == list(range(9))
    assert row_places(["own", "conv4", "mlp1"]) == {"own": 9, "conv4": 8, "mlp1": 0}


def test_colours_follow_the_family_and_not_the_name() -> None:
    rows = ["narrow", "conv-like", "cnn-own", "snn", "wide"]
    nets = dict(zip(rows, ("conv2", "mlp2", "mlp1", "mlp3", "conv4"), strict=True))
    colors = row_colors(rows, nets)
    pink, violet = (np.array(to_rgb(color)) for color in ("#a3195b", "#4b1f9e"))
    for row in rows:
        distances = [np.linalg.norm(_hue(colors[row]) - _hue(color)) for color in (pink, violet)]
        assert (distances[1] < distances[0]) == (nets[row] in ("conv2", "conv4")), row


def _hue(color: Any) -> np.ndarray:
    """What a colour has besides its lightness."""
    rgb = 1 - np.array(color)
    return rgb / np.linalg.norm(rgb)


def test_a_row_with_other_nets_than_the_papers_has_no_colour_of_the_papers() -> None:
    nets = families_of(["conv2", "mlp1"])
    paper = row_colors(["conv2"], nets)["conv2"]
    assert row_colors(["conv2"], {"conv2": "mlp2"})["conv2"] != paper
    assert row_colors(["conv2"], {"conv2": "conv3"})["conv2"] != paper


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_a_colour(family: str) -> None:
    assert len(row_colors(["own"], {"own": family})["own"]) == 3


def test_markers_are_those_of_both_libraries() -> None:
    """Nine of the paper's rows, then the rest, then from the first again."""
    rows = [f"row{i}" for i in range(13)]
    places = row_places(rows)
    markers = row_markers(rows)
    assert places["row0"] == 9 and markers["row0"] == "p" and markers["row3"] == "o"
    assert MARKERS[markers["row3"]] == "circle" and len(set(MARKERS.values())) == len(MARKERS)
    for symbol in MARKERS.values():
        assert go.scatter.Marker(symbol=symbol).symbol == symbol


def test_verdicts_have_colours() -> None:
    assert set(VERDICT_COLORS) == {HOLDS, FAILS, OPEN, UNTESTED}
    assert set(VARIANT_COLORS) == {BETTER, WORSE}
    assert len({to_hex(color) for color in VERDICT_COLORS.values()}) == 4
