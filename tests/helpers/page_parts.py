"""What parts of the report page are made of in tests."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from stages.nets.families import FAMILIES
from stages.report.cells import CellResult
from stages.report.page.text import (
    as_json,
)


def trials(errors: list[float | None], **columns: list[float]) -> pd.DataFrame:
    """A trial table; None is a trial that failed."""
    values = np.array(errors, float)
    best = np.fmin.accumulate(values)
    frame = {
        "trial": range(len(values)),
        "validation_error": values,
        "best_so_far": best,
        "test_accuracy": 1 - values,
    }
    more = {"params": 1000, "widths": "5 6", "epochs": 3, "why": "end", "reason": np.nan}
    return pd.DataFrame({**frame, **more, **columns})


def cell(
    row: str,
    budget: str,
    error: float,
    accuracy: float,
    params: int = 1000,
    family: str | None = None,
) -> CellResult:
    """A cell of one trial; of the family that is named like its row, or of mlp2."""
    family = family or (row if row in FAMILIES else "mlp2")
    frame = trials([error], lr=[0.1]).assign(params=params, test_accuracy=accuracy, dependent=7)
    return CellResult(row, budget, accuracy, frame, family=family)


def validated(chart: dict[str, Any]) -> go.Figure:
    """The chart as Plotly reads it; an attribute that Plotly does not have is a ValueError."""
    return go.Figure(json.loads(as_json({"data": chart["data"], "layout": chart["layout"]})))
