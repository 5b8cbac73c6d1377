"""Finished and unfinished trials of a sweep in its work folder, and the table that is made of them.

A finished trial is an immutable result.json beside its weights. A trial that is submitted again with the same
hyperparameters and seed gives that result at once, so a sweep that was killed repeats nothing.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from stages.store.atomic import read_json, write_json, write_text

CURVES = ("errors", "losses")
"""Of a result, what has an entry for each epoch."""
TABLE_COLUMNS = ("trial", "validation_error", "best_so_far", "test_accuracy")
RETRAINED_COLUMNS = ("run", "validation_error", "test_accuracy")
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class TrialFolder:
    """work/.../trials/NNN of one trial."""

    root: Path
    trial: int

    @property
    def folder(self) -> Path:
        """Where this trial keeps its files."""
        return self.root / "trials" / f"{self.trial:03d}"

    @property
    def weights(self) -> Path:
        """Weights of the best validation epoch."""
        return self.folder / "weights.safetensors"

    @property
    def checkpoint(self) -> Path:
        """State between two epochs."""
        return self.folder / "checkpoint.safetensors"

    @property
    def progress(self) -> Path:
        """Where the trial says how far it is."""
        return self.folder / "progress.json"

    def finished(self, values: Mapping[str, Any], seed: int) -> dict[str, Any] | None:
        """The stored result of exactly this trial, or None; a damaged file is no result."""
        try:
            held = read_json(self.folder / "result.json")
        except (FileNotFoundError, ValueError):
            return None
        if not isinstance(held, dict) or held.pop("sha256", None) != _hash(held):
            return None
        return held.get("result") if held.get("values") == dict(values) and held.get("seed") == seed else None

    def finish(self, values: Mapping[str, Any], seed: int, result: dict[str, Any], seconds: float) -> None:
        """Store the result; everything else of the trial must be on disk before. Seconds are kept apart."""
        write_json(self.folder / "seconds.json", seconds)
        held = {"values": dict(values), "seed": seed, "result": result}
        write_json(self.folder / "result.json", {**held, "sha256": _hash(held)})

    def report(self, epoch: int, loss: float, error: float) -> None:
        """Say how far the trial is; a hint for a progress bar, not worth an fsync."""
        self.folder.mkdir(parents=True, exist_ok=True)
        loss_text = loss if math.isfinite(loss) else None
        self.progress.write_text(json.dumps({"epoch": epoch, "loss": loss_text, "error": error}))


def _hash(held: Mapping[str, Any]) -> str:
    """sha256 of plain JSON data in canonical form."""
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()


def total_seconds(root: Path) -> float:
    """Seconds that the finished trials of a work folder took, added up."""
    return sum(read_json(path) for path in sorted((root / "trials").glob("*/seconds.json")))


class Finished(Protocol):
    """A finished trial, as a search gives it: its value is the validation error, None if it failed for `reason`."""

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


def _table_row(row: Finished, tested: Mapping[int, Facts], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """One finished trial for `write_table`: its result without the curves, and all hyperparameters."""
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
    stem: Path, rows: Iterable[Finished], best: Finished, tested: Mapping[int, Facts], fixed: Mapping[str, Any],
    extra: Sequence[str], facts: Facts | None = None,
) -> None:  # fmt: skip
    """`<stem>.csv` with a line a trial, see `write_table`, and `<stem>.json` with the accuracies of the best one.

    Args:
        best: by validation.
        tested: trial -> its `test_accuracy` and what else belongs into the table, of the trials that were tested.
        fixed: hyperparameters that were not searched.
        extra: columns besides TABLE_COLUMNS.
        facts: what else the JSON file says.
    """
    write_table(stem.with_name(f"{stem.name}.csv"), [_table_row(row, tested, fixed) for row in rows], extra)
    accuracy = tested[best.trial]["test_accuracy"]
    assert best.value is not None  # one that failed is never the best
    both = {"test_accuracy": accuracy, "validation_accuracy": round(1 - best.value, 9)}
    write_json(stem.with_name(f"{stem.name}.json"), {**both, **(facts or {})})


def write_table(path: Path, rows: Iterable[Mapping[str, Any]], extra: Sequence[str]) -> None:
    """Write trial rows as CSV: TABLE_COLUMNS, then `extra`; None is empty, lists are space-separated."""
    lines, best = [], math.inf
    for row in rows:
        value = row["validation_error"]
        best = best if value is None else min(best, value)
        lines.append({**row, "best_so_far": None if math.isinf(best) else best})
    _write_csv(path, [*TABLE_COLUMNS, *extra], lines)


def write_retrained(path: Path, rows: Iterable[Finished], tested: Mapping[int, Facts], extra: Sequence[str]) -> None:
    """A line for each retraining of the chosen configuration, as CSV: RETRAINED_COLUMNS, then `extra`."""
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
