"""Charts of the page as Plotly reads them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from stages.report.page import charts
from tests.helpers.page_parts import validated


def test_fidelity_calibration_and_ablations_are_plotlys() -> None:
    names = ["target", "row", "budget", "params", "accuracy", "agreement", "kl"]
    lines = [
        ("mimic", "mlp1", "1M", 1e6, 0.5, 0.6, 1.0),
        ("mimic", "mlp1", "2M", 2e6, 0.6, 0.7, 0.0),
        ("hard", "mlp1", "1M", 1e6, 0.4, 0.5, np.nan),
    ]
    agreement, divergence = charts.fidelity(pd.DataFrame(lines, columns=names), {"mlp1": "mlp1"})
    validated(agreement), validated(divergence)
    drawn_points = [list(trace["y"]) for trace in divergence["data"]]
    assert drawn_points == [[1.0]], "a log scale has no place for 0, and an empty value none at all"
    assert [entry["name"] for entry in agreement["legend"]] == [
        "Bottleneck, 1 hidden layer",
        "trained on hard labels",
    ]
    curves = pd.DataFrame(
        {"net": ["a", "a"], "confidence": [0.9, 0.5], "accuracy": [0.8, 0.5], "count": [4, 1]}
    )
    chart = charts.calibration(curves, pd.DataFrame({"net": ["a"], "ece": [0.1], "nll": [0.5]}))
    validated(chart)
    assert list(chart["data"][1]["x"]) == [0.5, 0.9] and chart["data"][1]["marker"]["size"] == [
        11.5,
        18.0,
    ]
    varied = pd.DataFrame(
        {
            "row": ["a", "b"],
            "of": "conv2",
            "budget": "1M",
            "measure": ["transfer epochs", ""],
            "number": [10, None],
            "accuracy_pct": [60.0, 61.0],
            "base_pct": 70.0,
        }
    )
    (chart,) = charts.varied(varied, {"transfer epochs": 40}, {"conv2": "conv2"}).values()
    validated(chart)
    assert list(chart["data"][0]["x"]) == [10, 40] and list(chart["data"][0]["y"]) == [60.0, 70.0]
