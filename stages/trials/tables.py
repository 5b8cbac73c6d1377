"""Tables of trials."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from stages.store.atomic import write_json, write_text
from stages.trials.folder import CURVES

TABLE_COLUMNS = ("trial", "validation_error", "best_so_far", "test_accuracy")


RETRAINED_COLUMNS = ("run", "validation_error", "test_accuracy")


Facts = Mapping[str, Any]


class Finished(Protocol):
    """A finished trial, as a search gives it: its value is the validation error, None if it failed
    for `reason`.
    """

    @property
    def trial(self) -> int: ...

    @property
    def params(self) -> Mapping[str, Any]: ...

    @property
    def value(self) -> float | None: ...

    @property
    def reason(self) -> str | None: ...

    @property
    def result(self) -> Mapping[str, Any]: ...


def _table_row(
    row: Finished, tested: Mapping[int, Facts], fixed: Mapping[str, Any]
) -> dict[str, Any]:
    """One finished trial for `write_table`: its result without the curves, and all
    hyperparameters.
    """
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


def write_curves(path: Path, rows: Iterable[Finished]) -> None:
    """Validation error and loss of every epoch of every trial, as JSON."""
    write_json(path, {str(row.trial): {name: row.result[name] for name in CURVES} for row in rows})


def write_metrics(
    stem: Path,
    rows: Iterable[Finished],
    best: Finished,
    tested: Mapping[int, Facts],
    fixed: Mapping[str, Any],
    extra: Sequence[str],
    facts: Facts | None = None,
) -> None:
    """`<stem>.csv` with a line a trial, see `write_table`, and `<stem>.json` with the accuracies of
    the best one.

    Args:
        best: by validation.
        tested: trial -> its `test_accuracy` and what else belongs into the table, of the trials
        that were tested.
        fixed: hyperparameters that were not searched.
        extra: columns besides TABLE_COLUMNS.
        facts: what else the JSON file says.
    """
    write_table(
        stem.with_name(f"{stem.name}.csv"), [_table_row(row, tested, fixed) for row in rows], extra
    )
    accuracy = tested[best.trial]["test_accuracy"]
    assert best.value is not None  # one that failed is never the best
    both = {"test_accuracy": accuracy, "validation_accuracy": round(1 - best.value, 9)}
    write_json(stem.with_name(f"{stem.name}.json"), {**both, **(facts or {})})


def write_table(path: Path, rows: Iterable[Mapping[str, Any]], extra: Sequence[str]) -> None:
    """Write trial rows as CSV: TABLE_COLUMNS, then `extra`; None is empty, lists are
    space-separated.
    """
    lines, best = [], math.inf
    for row in rows:
        value = row["validation_error"]
        best = best if value is None else min(best, value)
        lines.append({**row, "best_so_far": None if math.isinf(best) else best})
    _write_csv(path, [*TABLE_COLUMNS, *extra], lines)


def write_retrained(
    path: Path, rows: Iterable[Finished], tested: Mapping[int, Facts], extra: Sequence[str]
) -> None:
    """A line for each retraining of the chosen configuration, as CSV: RETRAINED_COLUMNS, then
    `extra`.
    """
    lines = [{**_table_row(row, tested, {}), "run": row.trial} for row in rows]
    _write_csv(path, [*RETRAINED_COLUMNS, *extra], lines)


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
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
