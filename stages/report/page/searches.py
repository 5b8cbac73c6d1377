"""Searches on the report page: best so far, parallel coordinates, rank correlations."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.colors import to_hex
from scipy.stats import spearmanr

from stages.report.page.charts import GRID, INK, MUTED, Chart, axis, key, layout, series
from stages.report.page.text import brief, drawn, percent, readable, signed, whole
from stages.trials.columns import NOT_HYPERPARAMETERS

FEWEST = 5
"""Trials for a rank correlation: with fewer, chance gives -1 or 1 in 2 / n! > 1 of 20 cases."""
CROWD = 40
"""Trials; of more, marks are smaller and lines fainter."""
LONG = re.compile(r"(?<=\w{3})_(?=[^\W\d_]{3})")
"""Where a long name may be broken, as weight_decay; r_1 and D_h stay whole."""
BLUE = "#0d6dae"
ORANGE = "#c04a00"


def hyperparameters(trials: pd.DataFrame) -> list[str]:
    """Columns of a trial table that are hyperparameters, searched or fixed."""
    return [name for name in trials.columns if name not in NOT_HYPERPARAMETERS]


def searched(trials: pd.DataFrame) -> list[str]:
    """Hyperparameters of which a table's trials have several values."""
    return [name for name in hyperparameters(trials) if trials[name].nunique() > 1]


def finished(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials that have a validation error."""
    return trials.dropna(subset=["validation_error"])


def importance(trials: pd.DataFrame) -> dict[str, float]:
    """Spearman's rank correlation of hyperparameters with the validation error, strongest first.

    Trials without an error are left out; empty where fewer than FEWEST are left, or their errors
    are all the same.
    """
    done = finished(trials)
    if len(done) < FEWEST or done["validation_error"].nunique() < 2:
        return {}

    rhos = {}
    for name in searched(done):
        rows = done[[name, "validation_error"]].dropna()
        if len(rows) == len(done):
            rhos[name] = float(spearmanr(rows[name], rows["validation_error"]).statistic)

    return dict(sorted(rhos.items(), key=lambda entry: -abs(entry[1])))


def importance_chart(rhos: dict[str, float]) -> Chart:
    """Bars of |rho|, the strongest on top.

    Blue where a smaller value goes with a larger error, orange where a larger one does.
    """
    names = list(rhos)[::-1]
    values = [rhos[name] for name in names]
    words = [
        f"<b>{drawn(name)}</b><br>rho {signed(value)}"
        for name, value in zip(names, values, strict=True)
    ]

    bar = {
        "type": "bar",
        "orientation": "h",
        "x": [abs(value) for value in values],
        "y": [drawn(name) for name in names],
        "marker": {"color": [ORANGE if value > 0 else BLUE for value in values]},
        "text": [signed(v) for v in values],
        "textposition": "outside",
        "cliponaxis": False,
        "customdata": words,
        "hovertemplate": "%{customdata}<extra></extra>",
    }

    x = axis("|Spearman's rho|", range=[0, 1.2], tickvals=[0, 0.25, 0.5, 0.75, 1])
    y = axis("", type="category", showgrid=False, showline=False, tickcolor="white")
    return {"data": [bar], "layout": layout(90 + 24 * max(len(names), 3), x, y), "legend": []}


def course(trials: pd.DataFrame) -> Chart:
    """Every trial as a dot, and the lowest validation error so far as a line."""
    done = finished(trials)
    words = [
        f"<b>trial {trial + 1}</b><br>validation error {percent(error, 2)}"
        for trial, error in zip(done["trial"], done["validation_error"], strict=True)
    ]

    dots = {
        "mode": "markers",
        "marker": {"color": MUTED, "size": 8 if len(done) <= CROWD else 5, "opacity": 0.8},
    }

    best = trials.dropna(subset=["best_so_far"])
    line = {"mode": "lines", "line": {"color": BLUE, "width": 2.2, "shape": "hv"}}

    data = [
        series("trial", done["trial"] + 1, done["validation_error"], words, **dots),
        series("best", best["trial"] + 1, best["best_so_far"], (), **line),
    ]

    count: dict[str, Any] = {"range": [0.4, len(trials) + 0.6], "tickformat": "d"}
    if len(trials) <= 10:
        count["dtick"] = 1

    form = layout(280, axis("trial", **count), axis("validation error", tickformat=".3~p"))

    keys = [
        key("trial", "each trial", MUTED, "circle", line=False),
        key("best", "best so far", BLUE),
    ]
    return {"data": data, "layout": form, "legend": keys}


def parallel(trials: pd.DataFrame, logs: Collection[str]) -> Chart | None:
    """Parallel coordinates: a line a trial over its searched hyperparameters, then its error.

    Each axis goes from the smallest to the largest value of the trials. None where nothing was
    searched, or fewer than two trials have an error.

    Args:
        logs: hyperparameters that are searched, and so placed, on a log scale.
    """
    done = finished(trials)
    names = [name for name in searched(done) if done[name].notna().all()]
    if len(done) < 2 or not names:
        return None

    columns = {name: done[name].to_numpy(float) for name in names}
    columns["error"] = done["validation_error"].to_numpy(float)

    places = np.stack([_unit(values, name in logs) for name, values in columns.items()], axis=1)

    # The better a trial is, the later and the darker it is drawn.
    order = np.argsort(-done["validation_error"].to_numpy(), kind="stable")
    ranks = np.empty(len(order))
    ranks[order] = np.linspace(0, 1, len(order))
    shades = [to_hex(color) for color in seaborn.color_palette("crest", 101)]

    # A line a trial.
    data = []
    for i in order:
        best = i == order[-1]
        trial = done.iloc[i]
        words = [
            f"<b>trial {int(trial['trial']) + 1}{', the best' if best else ''}</b>",
            *(f"{drawn(name)}: {brief(columns[name][i])}" for name in names),
            f"validation error: {percent(trial['validation_error'], 2)}",
        ]

        color = ORANGE if best else readable(shades[int(100 * ranks[i])], 2.0)
        group = "best" if best else "others"
        form = _line(color, best, len(done) > CROWD)

        data.append(series(group, range(len(columns)), places[i], "<br>".join(words), **form))

    return {
        "data": data,
        "layout": _axes(columns, logs),
        "legend": [],
        "min_width": 70 * len(columns) + 40,
    }


def _line(color: str, best: bool, crowded: bool) -> dict[str, Any]:
    """The form of one trial's line: the best stands out, and many trials are drawn fainter."""
    size = 7 if best else 3 if crowded else 5
    width = 3 if best else 1 if crowded else 1.3
    opacity = 1 if best else 0.35 if crowded else 0.75

    return {
        "line": {"color": color, "width": width},
        "mode": "lines+markers",
        "marker": {"size": size, "color": color},
        "opacity": opacity,
    }


def _unit(values: np.ndarray, log: bool) -> np.ndarray:
    """Values between the smallest, 0, and the largest, 1; a half where there is but one value."""
    scaled = np.log(values) if log and values.min() > 0 else values
    span = scaled.max() - scaled.min()
    return (scaled - scaled.min()) / span if span else np.full(len(values), 0.5)


def _axes(columns: dict[str, np.ndarray], logs: Collection[str]) -> dict[str, Any]:
    """One vertical line a column, its name below and both of its ends beside it."""
    # Names, the validation error's apart.
    names = [
        f"{LONG.sub('_<br>', drawn(name))}{'<br>(log)' if name in logs else ''}"
        for name in list(columns)[:-1]
    ]

    # Vertical lines.
    lines = [
        {
            "type": "line",
            "layer": "below",
            "x0": i,
            "x1": i,
            "y0": 0,
            "y1": 1,
            "line": {"color": color, "width": 1.2},
        }
        for i, color in enumerate([*[GRID] * len(names), INK])
    ]

    # The ends of their scales.
    notes = []
    for i, (name, values) in enumerate(columns.items()):
        for end, y, anchor in ((values.max(), 1.0, "bottom"), (values.min(), 0.0, "top")):
            text = percent(end) if name == "error" else brief(end)
            notes.append(
                {
                    "x": i,
                    "y": y,
                    "yanchor": anchor,
                    "text": text,
                    "showarrow": False,
                    "yshift": 4 if y else -4,
                    "font": {"size": 11.5, "color": MUTED},
                }
            )

    # The axes, without lines of their own.
    bare = {"ticks": "", "showgrid": False, "showline": False}
    across = axis(
        "",
        range=[-0.5, len(columns) - 0.5],
        tickangle=0,
        tickfont={"size": 11.5},
        tickvals=list(range(len(columns))),
        ticktext=[*names, "<b>validation<br>error</b>"],
        **bare,
    )
    up = axis("", range=[-0.12, 1.12], showticklabels=False, **bare)

    form = layout(330, across, up, shapes=lines, annotations=notes)
    return form | {"margin": {"l": 16, "r": 16, "t": 10, "b": 50}}


def sparkline(trials: pd.DataFrame) -> dict[str, Any]:
    """The best so far as points in a box of 100 by 20, and its first and last value in words."""
    best = trials["best_so_far"].dropna().to_numpy(float)

    across = np.linspace(2, 98, len(best) + 1)
    down = 18 - 16 * _unit(best, False)

    steps = zip(across, across[1:], down, strict=False)
    points = " ".join(f"{left:.1f},{y:.1f} {right:.1f},{y:.1f}" for left, right, y in steps)

    return {
        "points": points,
        "words": f"best validation error from {percent(best[0])} to {percent(best[-1])}",
    }


def trial_lines(trials: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Every trial as text: head and lines."""
    names = searched(trials)
    head = [
        "trial",
        "validation error",
        "test accuracy",
        "parameters",
        "widths",
        "epochs",
        *names,
        "ended",
    ]

    lines = []
    for trial in trials.to_dict("records"):
        reasons = [str(trial[name]) for name in ("why", "reason") if pd.notna(trial.get(name))]
        shares = [percent(trial[name], 2) for name in ("validation_error", "test_accuracy")]

        widths = "" if pd.isna(trial["widths"]) else str(trial["widths"])
        size = [whole(trial["params"]), widths, whole(trial.get("epochs"))]
        values = [brief(trial[name]) if pd.notna(trial[name]) else "" for name in names]

        lines.append([whole(trial["trial"] + 1), *shares, *size, *values, " ".join(reasons)])

    return head, lines


def rho_lines(searches: Sequence[tuple[str, pd.DataFrame]]) -> tuple[list[str], list[list[str]]]:
    """Rank correlations of all searches as text: head and a line a search.

    A cell is empty where a search has no correlation for that hyperparameter.
    """
    known = [(name, len(finished(trials)), importance(trials)) for name, trials in searches]
    names = list(dict.fromkeys(name for _, _, rhos in known for name in rhos))
    lines = [
        [name, whole(count), *(signed(rhos[each]) if each in rhos else "" for each in names)]
        for name, count, rhos in known
    ]

    return ["search", "trials", *names], lines
