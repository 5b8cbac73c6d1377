"""Numbers with intervals drawn beside them: claims, retrained nets, ablations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from stages.report.figures.colors import PAGE_GREY, VARIANT_COLORS, VERDICT_COLORS
from stages.report.page.text import DASH, SPACE, counted, fixed, signed
from stages.report.words import NO_INTERVAL
from stages.settings.groups import CellName

Row = dict[str, Any]


def scale_of(values: Sequence[float], zero: bool = True) -> dict[str, Any]:
    """A common scale for intervals: `low`, `high`, and `ticks` of place (per cent) and text.

    Args:
        zero: whether 0 has to be on it.
    """
    known = [value for value in values if value is not None and np.isfinite(value)]
    if zero:
        known.append(0.0)

    low, high = (min(known), max(known)) if known else (0.0, 1.0)

    margin = 0.06 * (high - low) or 1.0
    low -= margin
    high += margin

    step = _step((high - low) / 5)
    marks = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step

    write = signed if zero else fixed
    digits = 0 if step >= 1 else 1

    ticks = [
        {"at": _place(mark, low, high), "text": write(mark, digits) if mark else "0"}
        for mark in marks
    ]

    return {"low": low, "high": high, "ticks": ticks}


def _step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, ... that is not below `least`, down to 0.1."""
    power = 10.0 ** np.floor(np.log10(max(least, 0.1)))
    return float(next(power * m for m in (1, 2, 5, 10) if power * m >= least - 1e-9))


def _place(value: float | None, low: float, high: float) -> float | None:
    """Where a value lies between the ends of a scale, in per cent; None where there is no value."""
    if value is None or not np.isfinite(value):
        return None
    return round(100 * (value - low) / (high - low), 2)


def bar(
    scale: Row,
    value: float | None,
    low: float | None,
    high: float | None,
    others: Sequence[float | None] = (),
) -> Row:
    """One interval on a scale: places of `value`, `low`, `high`, `zero` and `others`.

    Args:
        others: values beside it: the paper's, or the best of a sweep.
    """
    ends = (scale["low"], scale["high"])

    values = {
        "value": value,
        "low": low,
        "high": high,
        "zero": 0.0 if ends[0] < 0 < ends[1] else None,
    }

    places = {name: _place(each, *ends) for name, each in values.items()}
    beside = [_place(other, *ends) for other in others]

    return {**places, "others": [place for place in beside if place is not None]}


def interval(value: float, low: float, high: float, digits: int = 2) -> str:
    """+1.50 [+0.50, +2.50]; a line may break before the bracket only."""
    return f"{signed(value, digits)} [{signed(low, digits)},{SPACE}{signed(high, digits)}]"


def _ends(effect: Mapping[str, float]) -> tuple[float, float, float]:
    """Value, low and high of an effect, in points."""
    return effect["value_pct"], effect["low_pct"], effect["high_pct"]


def claims(answers: Mapping[str, Any]) -> list[Row]:
    """The claims of metrics/claims.json.

    Of each its number, statement, verdict and its colour, what is nearest to failing, what would
    decide it, and lines
    with bars: one for each effect, and one for the paper's values at other budgets.

    Raises:
        ValueError: an unknown verdict.
    """
    return [_claim(number, entry) for number, entry in enumerate(answers["claims"].values(), 1)]


def _claim(number: int, entry: Mapping[str, Any]) -> Row:
    verdict = entry["verdict"]
    if verdict not in VERDICT_COLORS:
        raise ValueError(
            f"metrics/claims.json has the verdict {verdict!r}, allowed are "
            f"{', '.join(VERDICT_COLORS)}: run 'dvc repro --force assess'"
        )

    # One scale for this run's values and the paper's.
    effects = entry["effects"]
    paper = entry["paper"]

    values = [value for effect in effects.values() for value in effect.values()]
    scale = scale_of([*values, *paper.values()])

    # A line an effect, with the paper's value beside it.
    lines = []
    for key, effect in effects.items():
        ends = _ends(effect)

        lines.append(
            {
                "name": key or "all",
                "text": interval(*ends, digits=1),
                "paper": signed(paper.get(key), 1),
                "bar": bar(scale, *ends, others=[paper.get(key)]),
            }
        )

    # What is nearest to failing, and the paper's other budgets.
    weakest = entry["weakest"]
    near = weakest and f"{weakest['name']}, {interval(*_ends(weakest), digits=1)}"
    rest = {key: value for key, value in paper.items() if key not in effects}

    return {
        "number": number,
        "statement": entry["statement"],
        "verdict": verdict,
        "color": to_hex(VERDICT_COLORS[verdict]),
        "effect": entry["effect"],
        "scale": scale,
        "lines": lines,
        "only": _paper_only(scale, rest) if rest and lines else None,
        "comparisons": entry["comparisons"],
        "weakest": near,
        "needs": entry["needs"] and entry["needs"]["words"],
    }


def _paper_only(scale: Row, values: Mapping[str, float]) -> Row:
    """The paper's values at budgets that the run does not have."""
    words = [f"{key} {signed(value, 1)}".strip() for key, value in values.items()]
    return {
        "bar": bar(scale, None, None, None, list(values.values())),
        "values": [text.replace(" ", SPACE) for text in words],
    }


def again(frame: pd.DataFrame) -> Row:
    """Retrained nets: `scale` and `lines` with bars, the best of the sweep as the other mark."""
    values = pd.concat([frame[f"{name}_pct"] for name in ("low", "high", "mean", "best_of_sweep")])
    scale = scale_of(values, zero=False)

    lines = []
    for entry in frame.itertuples():
        ends = (entry.low_pct, entry.high_pct)
        spread = f" [{fixed(ends[0], 1)}, {fixed(ends[1], 1)}]"
        if pd.isna(ends[0]):
            spread = f" ({NO_INTERVAL})"
        failed = f" ({entry.failed} failed)" if entry.failed else ""

        lines.append(
            {
                "name": CellName(entry.target, entry.row, entry.budget).words,
                "runs": f"{entry.runs}{failed}",
                "text": f"{fixed(entry.mean_pct)}{spread}" if entry.runs else DASH,
                "best": fixed(entry.best_of_sweep_pct),
                "difference": signed(entry.difference_pct),
                "bar": bar(scale, entry.mean_pct, *ends, [entry.best_of_sweep_pct]),
            }
        )

    # As in metrics/retrained.md, cells with one run do not count where others have more.
    several = frame[frame["runs"] > 1]
    good = (frame if several.empty else several)["difference_pct"].dropna()
    mean = f"{signed(good.mean())} points over {counted(len(good), 'cell')}" if len(good) else None
    return {"scale": scale, "lines": lines, "mean": mean}


def variants(frame: pd.DataFrame) -> Row:
    """Ablations: `scale` and `lines` with bars of the difference to the base."""
    scale = scale_of([*frame["low_pct"], *frame["high_pct"]])

    lines = []
    for entry in frame.itertuples():
        difference = (entry.difference_pct, entry.low_pct, entry.high_pct)

        lines.append(
            {
                "name": f"{entry.row} {entry.budget}",
                "what": entry.what,
                "verdict": entry.verdict,
                "color": VARIANT_COLORS.get(entry.verdict, PAGE_GREY),
                "accuracy": fixed(entry.accuracy_pct),
                "base": f"{entry.of}: {fixed(entry.base_pct)}",
                "text": interval(*difference),
                "bar": bar(scale, *difference),
            }
        )

    return {"scale": scale, "lines": lines}
