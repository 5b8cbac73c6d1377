"""Tables of trials, as CSV and JSON files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.search.ask_tell import TrialRow, best
from stages.store.atomic import write_json, write_text
from stages.trials.columns import RETRAINED_COLUMNS, TABLE_COLUMNS
from stages.trials.folder import CURVES

Columns = Mapping[str, Any]
"""Names of columns -> what one trial has in them."""


def _table_row(
    row: TrialRow, tested: Mapping[int, Columns], fixed: Mapping[str, Any]
) -> dict[str, Any]:
    """One trial for `write_table`: its result without the curves, and all hyperparameters."""
    return {
        "trial": row.trial,
        "validation_error": row.value,
        **tested.get(row.trial, {}),
        "reason": row.reason,
        **{name: entry for name, entry in row.result.items() if name not in CURVES},
        "epochs": len(row.result["errors"]),
        **fixed,
        **row.params,
    }


def write_curves(path: Path, rows: Iterable[TrialRow]) -> None:
    """Validation error and loss of every epoch of every trial, as JSON."""
    write_json(path, {str(row.trial): {name: row.result[name] for name in CURVES} for row in rows})


def write_metrics(
    stem: Path,
    rows: list[TrialRow],
    *,
    tested: Mapping[int, Columns],
    fixed: Mapping[str, Any],
    columns: Sequence[str],
    more: Mapping[str, Any] | None = None,
) -> None:
    """`<stem>.csv` with a line a trial, and `<stem>.json` with the accuracies of the best one.

    Args:
        stem: of both files.
        rows: all trials; the best one is that of lowest validation error.
        tested: trial -> its `test_accuracy` and other columns, for the trials that were tested.
        fixed: hyperparameters that were not searched.
        columns: of the table, besides TABLE_COLUMNS.
        more: what the JSON file says besides.
    """
    lines = [_table_row(row, tested, fixed) for row in rows]
    write_table(stem.with_name(f"{stem.name}.csv"), lines, columns)

    chosen = best(rows)
    accuracies = {
        "test_accuracy": tested[chosen.trial]["test_accuracy"],
        "validation_accuracy": round(1 - chosen.value, 9),
    }
    write_json(stem.with_name(f"{stem.name}.json"), {**accuracies, **(more or {})})


def write_table(path: Path, rows: Iterable[Columns], columns: Sequence[str]) -> None:
    """Write trials as CSV: TABLE_COLUMNS, then `columns`; None is empty, lists have spaces."""
    lines = []
    lowest = math.inf

    for row in rows:
        value = row["validation_error"]
        lowest = lowest if value is None else min(lowest, value)
        lines.append({**row, "best_so_far": None if math.isinf(lowest) else lowest})

    _write_csv(path, [*TABLE_COLUMNS, *columns], lines)


def write_retrained(
    path: Path, rows: Iterable[TrialRow], tested: Mapping[int, Columns], columns: Sequence[str]
) -> None:
    """A line for each retrained net, as CSV: RETRAINED_COLUMNS, then `columns`."""
    lines = [{**_table_row(row, tested, {}), "run": row.trial} for row in rows]
    _write_csv(path, [*RETRAINED_COLUMNS, *columns], lines)


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Columns]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    write_text(path, text.getvalue())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return str(value)
