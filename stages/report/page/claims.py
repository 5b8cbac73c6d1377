"""Numbers with intervals drawn beside them on the report page: claims, retrained nets,
ablations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from stages.report.figures.style import COLORS, VERDICTS
from stages.report.page.text import DASH, SPACE, counted, fixed, signed

Row = dict[str, Any]


def scale_of(values: Sequence[float], zero: bool = True) -> dict[str, Any]:
    """A common scale for intervals drawn beside numbers: `low`, `high`, and `ticks` of place (per
    cent) and text.

    Args:
        zero: whether 0 has to be on it.
    """
    known = [value for value in values if value is not None and np.isfinite(value)] + (
        [0.0] if zero else []
    )
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    margin = 0.06 * (high - low) or 1.0
    low, high = low - margin, high + margin
    step = _step((high - low) / 5)
    marks = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    write, digits = signed if zero else fixed, 0 if step >= 1 else 1
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
    return (
        None
        if value is None or not np.isfinite(value)
        else round(100 * (value - low) / (high - low), 2)
    )


def bar(
    scale: Row,
    value: float | None,
    low: float | None,
    high: float | None,
    others: Sequence[float | None] = (),
) -> Row:
    """One interval on a scale: places of `value`, `low`, `high`, `zero`, `others` (the paper, the
    best of a sweep).
    """
    ends = scale["low"], scale["high"]
    names = {
        "value": value,
        "low": low,
        "high": high,
        "zero": 0.0 if ends[0] < 0 < ends[1] else None,
    }
    places = [_place(other, *ends) for other in others]
    own = {name: _place(place, *ends) for name, place in names.items()}
    return {**own, "others": [place for place in places if place is not None]}


def interval(value: float, low: float, high: float, digits: int = 2) -> str:
    """+1.50 [+0.50, +2.50]; a line may break before the bracket only."""
    return f"{signed(value, digits)} [{signed(low, digits)},{SPACE}{signed(high, digits)}]"


def _ends(effect: Mapping[str, float]) -> tuple[float, float, float]:
    """Value, low and high of an effect, in points."""
    return effect["value_pct"], effect["low_pct"], effect["high_pct"]


def claims(found: Mapping[str, Any]) -> list[Row]:
    """The claims of metrics/claims.json: statement, verdict, its colour, what is nearest to
    failing, lines with bars.

    Raises:
        ValueError: an unknown verdict.
    """
    rows = []
    for number, entry in enumerate(found["claims"].values(), 1):
        if entry["verdict"] not in VERDICTS:
            raise ValueError(
                f"metrics/claims.json has the verdict {entry['verdict']!r}, allowed are {', '.join(VERDICTS)}: "
                "run 'dvc repro --force assess'"
            )
        effects, paper, weakest = entry["effects"], entry["paper"], entry["weakest"]
        values = [value for effect in effects.values() for value in effect.values()]
        scale = scale_of([*values, *paper.values()])
        lines = []
        for key, effect in effects.items():
            own = _ends(effect)
            texts = {
                "name": key or "all",
                "text": interval(*own, digits=1),
                "paper": signed(paper.get(key), 1),
            }
            lines.append({**texts, "bar": bar(scale, *own, others=[paper.get(key)])})
        rest = {key: value for key, value in paper.items() if key not in effects}
        only = {
            "bar": bar(scale, None, None, None, list(rest.values())),
            "values": [
                f"{key} {signed(value, 1)}".strip().replace(" ", SPACE)
                for key, value in rest.items()
            ],
        }
        near = weakest and interval(*_ends(weakest), digits=1)
        rows.append(
            {
                "number": number,
                "statement": entry["statement"],
                "verdict": entry["verdict"],
                "color": to_hex(VERDICTS[entry["verdict"]]),
                "effect": entry["effect"],
                "scale": scale,
                "lines": lines,
                "only": only if rest and lines else None,
                "comparisons": entry["comparisons"],
                "weakest": weakest and f"{weakest['name']}, {near}",
            }
        )
    return rows


def again(frame: pd.DataFrame) -> Row:
    """Retrained nets: `scale` and `lines` with bars, the best of the sweep as the other mark."""
    values = pd.concat([frame[f"{name}_pct"] for name in ("low", "high", "mean", "best_of_sweep")])
    scale = scale_of(values, zero=False)
    lines = []
    for entry in frame.itertuples():
        spread = (
            ""
            if pd.isna(entry.low_pct)
            else f" [{fixed(entry.low_pct, 1)}, {fixed(entry.high_pct, 1)}]"
        )
        runs = f"{entry.runs}" + (f" ({entry.failed} failed)" if entry.failed else "")
        lines.append(
            {
                "name": f"{entry.target} {entry.row} {entry.budget}",
                "runs": runs,
                "text": f"{fixed(entry.mean_pct)}{spread}" if entry.runs else DASH,
                "best": fixed(entry.best_of_sweep_pct),
                "difference": signed(entry.difference_pct),
                "bar": bar(
                    scale, entry.mean_pct, entry.low_pct, entry.high_pct, [entry.best_of_sweep_pct]
                ),
            }
        )
    good = frame["difference_pct"].dropna()
    mean = f"{signed(good.mean())} points over {counted(len(good), 'cell')}" if len(good) else None
    return {"scale": scale, "lines": lines, "mean": mean}


def variants(frame: pd.DataFrame) -> Row:
    """Ablations: `scale` and `lines` with bars of the difference to the base."""
    scale, lines = scale_of([*frame["low_pct"], *frame["high_pct"]]), []
    for entry in frame.itertuples():
        lines.append(
            {
                "name": f"{entry.row} {entry.budget}",
                "what": entry.what,
                "verdict": entry.verdict,
                "color": COLORS.get(entry.verdict, "#4d4d4d"),
                "accuracy": fixed(entry.accuracy_pct),
                "base": f"{entry.of}: {fixed(entry.base_pct)}",
                "text": interval(entry.difference_pct, entry.low_pct, entry.high_pct),
                "bar": bar(scale, entry.difference_pct, entry.low_pct, entry.high_pct),
            }
        )
    return {"scale": scale, "lines": lines}
