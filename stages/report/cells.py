"""What the tables and figures are made of: the metrics of one sweep, read from its CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from stages.settings.sweeps import REPORTED_TRIALS

COLUMNS = ["trial", "validation_error", "best_so_far", "test_accuracy", "params"]
"""What every trial table has."""
RETRAINED = ["run", "validation_error", "test_accuracy"]
"""What every table of retrained nets has."""


@dataclass(frozen=True)
class CellResult:
    """One cell: its accuracies (fractions) and its trials in order of their number.

    Attributes:
        row, budget: the cell.
        test_accuracy: of the best-by-validation trial (Table 2).
        trials: columns as written by the stage; `test_accuracy` is filled for the best five.
        retrained: a line for each retraining of the best trial's hyperparameters; `test_accuracy`
            is empty where it failed.
        facts: all that the cell's JSON says.
    """

    row: str
    budget: str
    test_accuracy: float
    trials: pd.DataFrame
    retrained: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=RETRAINED))
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def shown(self) -> pd.DataFrame:
        """The best trials by validation error, at most five, best first; ties by trial number."""
        finite = self.trials.dropna(subset=["validation_error"])
        best_first = finite.sort_values(["validation_error", "trial"], kind="stable")
        return best_first.head(REPORTED_TRIALS)

    @property
    def params(self) -> int:
        """Parameters of the best-by-validation net."""
        return int(self.shown["params"].iloc[0])


def read_cell(folder: Path, row: str, budget: str) -> CellResult:
    """Metrics of the cell (row, budget) in metrics/students or metrics/hard.

    Raises:
        FileNotFoundError: the cell was not run.
        ValueError: its files are damaged.
    """
    trials, facts = read_sweep(folder / f"{row}-{budget}")
    retrained = read_retrained(folder / f"{row}-{budget}")
    return CellResult(row, budget, facts["test_accuracy"], trials, retrained, facts)


def read_retrained(stem: Path) -> pd.DataFrame:
    """`<stem>.retrained.csv`: columns RETRAINED and more, without lines where nothing was trained
    again.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged.
    """
    path = stem.parent / f"{stem.name}.retrained.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found: run 'dvc repro' to have this cell trained")
    try:
        frame = pd.read_csv(path, dtype={"test_sha256": "string"})
        _check_fractions(frame, ("validation_error", "test_accuracy"))
        if list(frame["run"]) != list(range(len(frame))):
            raise ValueError("column run does not count from 0")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}): run 'dvc repro --force'") from error
    return frame


def read_sweep(stem: Path) -> tuple[pd.DataFrame, dict[str, float]]:
    """`<stem>.csv` and `<stem>.json` of one sweep."""
    table, metrics = stem.parent / f"{stem.name}.csv", stem.parent / f"{stem.name}.json"
    for path in (table, metrics):
        if not path.is_file():
            raise FileNotFoundError(f"{path} not found: run 'dvc repro' to have this cell trained")
    try:
        frame = pd.read_csv(table)
        facts = json.loads(metrics.read_text())
        _check(frame, facts)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{table} or {metrics} is damaged ({error}): run 'dvc repro --force'"
        ) from error
    return frame, facts


def read_ensemble(path: Path) -> dict[str, float]:
    """metrics/ensemble.json: test_accuracy and validation_accuracy, fractions, and params, a whole
    number.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found: run 'dvc repro ensemble' to have it made")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        shares = [facts[name] for name in ("test_accuracy", "validation_accuracy")]
        if not all(0 <= share <= 1 for share in shares) or not isinstance(facts["params"], int):
            raise ValueError("accuracies are fractions, and params is a whole number")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): run 'dvc repro --force ensemble'"
        ) from error
    return facts


def _check(frame: pd.DataFrame, facts: dict[str, float]) -> None:
    """Accuracies and errors are fractions, trials and parameters whole numbers, and one trial at
    least was good.

    Raises:
        ValueError, KeyError, TypeError: they are not.
    """
    if not 0 <= facts["test_accuracy"] <= 1:
        raise ValueError(f"test_accuracy is {facts['test_accuracy']}, allowed is 0 .. 1")
    _check_fractions(frame, ("validation_error", "best_so_far", "test_accuracy"))
    for name in ("trial", "params"):
        if frame[name].dtype.kind != "i" or (frame[name] < 0).any():
            raise ValueError(f"column {name} holds something else than whole numbers")
    if frame["validation_error"].isna().all():
        raise ValueError("no trial has a validation error")


def _check_fractions(frame: pd.DataFrame, names: Sequence[str]) -> None:
    for name in names:
        shares = frame[name].dropna()
        if len(shares) and (shares.dtype.kind not in "fi" or not shares.between(0, 1).all()):
            raise ValueError(f"column {name} holds something else than fractions")
