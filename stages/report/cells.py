"""What the tables and figures are made of: the metrics of one sweep, read from its CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from stages.nets.families import FAMILIES
from stages.settings.groups import CellName, Group
from stages.settings.students import cells, row
from stages.settings.sweeps import REPORTED_TRIALS
from stages.trials.columns import FAMILY, RETRAINED_COLUMNS


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
        family: of its nets, a key of FAMILIES; empty for the teachers' search.
    """

    row: str
    budget: str
    test_accuracy: float
    trials: pd.DataFrame
    retrained: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=list(RETRAINED_COLUMNS))
    )
    facts: dict[str, float] = field(default_factory=dict)
    family: str = ""

    @cached_property
    def shown(self) -> pd.DataFrame:
        """The best trials by validation error, at most five, best first; ties by trial number."""
        finite = self.trials.dropna(subset=["validation_error"])
        best_first = finite.sort_values(["validation_error", "trial"], kind="stable")
        return best_first.head(REPORTED_TRIALS)

    @property
    def params(self) -> int:
        """Parameters of the best-by-validation net."""
        return int(self.shown["params"].iloc[0])


def families(cells: Iterable[CellResult]) -> dict[str, str]:
    """Row -> the family of its nets; where two groups have a row of one name, the first counts."""
    nets: dict[str, str] = {}
    for cell in cells:
        nets.setdefault(cell.row, cell.family)
    return nets


def read_cells(
    metrics: Path, params: dict[str, Any], group: Group | None = None
) -> dict[CellName, CellResult]:
    """All cells that params.yaml lists, or those of one group: by group, row and budget.

    The family of a cell's nets is in its trial table. Tables of earlier versions do not say it;
    then it is the one that params.yaml gives the row.

    Args:
        metrics: the folder metrics/.

    Raises:
        FileNotFoundError: a cell was not run.
        ValueError: its files are damaged, or the family is said nowhere.
    """
    results = {}
    for name in cells(params, group):
        cell = read_cell(metrics, name)
        if not cell.family:
            cell = replace(cell, family=_listed_family(params, name))
        results[name] = cell
    return results


def _listed_family(params: dict[str, Any], name: CellName) -> str:
    family = row(params, name.group, name.row).net or name.row
    if family not in FAMILIES:
        raise ValueError(
            f"metrics/{name.files}.csv has no column 'family', and params.yaml gives {name.row} "
            f"the unknown net {family!r}: run 'dvc repro --force {name.dvc}'"
        )
    return family


def read_cell(metrics: Path, name: CellName) -> CellResult:
    """Metrics of a cell.

    Args:
        metrics: the folder metrics/.

    Raises:
        FileNotFoundError: the cell was not run.
        ValueError: its files are damaged.
    """
    stem = metrics / name.files
    trials, facts = read_sweep(stem)
    retrained = read_retrained(stem)
    family = _family(stem, trials)
    return CellResult(
        name.row, name.budget, facts["test_accuracy"], trials, retrained, facts, family
    )


def _family(stem: Path, trials: pd.DataFrame) -> str:
    """What the column `family` says; empty where there is no such column."""
    if FAMILY not in trials:
        return ""

    names = [str(name) for name in trials[FAMILY].unique()]
    if len(names) != 1 or names[0] not in FAMILIES:
        raise ValueError(
            f"{stem.parent / stem.name}.csv is damaged (column family says {', '.join(names)}, "
            f"allowed is one of {', '.join(FAMILIES)}): run 'dvc repro --force'"
        )

    return names[0]


def read_retrained(stem: Path) -> pd.DataFrame:
    """`<stem>.retrained.csv`: RETRAINED_COLUMNS and more; without lines if nothing was retrained.

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
    """`<stem>.csv` and `<stem>.json` of one sweep.

    Raises:
        FileNotFoundError: one is missing.
        ValueError: one is damaged.
    """
    table = stem.parent / f"{stem.name}.csv"
    metrics = stem.parent / f"{stem.name}.json"

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


def read_teachers(metrics: Path) -> tuple[pd.DataFrame, dict[str, float]] | None:
    """The search of the teachers, as `read_sweep`; None where the run made none.

    Raises:
        FileNotFoundError, ValueError: a file is missing or damaged.
    """
    path = metrics / "teachers.json"
    if path.is_file() and _is_none(path):
        return None
    return read_sweep(metrics / "teachers")


def _is_none(path: Path) -> bool:
    """Whether the stage `teachers` says that nothing was searched."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):  # read_sweep says it
        return False
    return isinstance(facts, dict) and isinstance(facts.get("source"), str)


def origin_words(ensemble: Mapping[str, Any]) -> str:
    """Where the members of an ensemble are from that is not the paper's, of the search; else empty.

    >>> nets = [{"trial": 3}, {"name": "resnet18", "format": "torchvision"}]
    >>> origin_words({"source": "both", "nets": nets})
    '1 of the search, and from files: resnet18 (torchvision)'

    Args:
        ensemble: what metrics/ensemble.json says.
    """
    nets = ensemble.get("nets", [])
    outside = [net for net in nets if "name" in net]
    if not outside:
        return "of the search, with weights" if "weights" in ensemble else ""
    if any(net["format"] == "logits" for net in outside):
        return f"only the logits of {nets[0]['name']}, which another program has made"

    own = len(nets) - len(outside)
    before = f"{own} of the search, and " if own else ""
    named = ", ".join(f"{net['name']} ({net['format']})" for net in outside)
    after = ", with weights" if "weights" in ensemble else ""
    return f"{before}from files: {named}{after}"


def read_ensemble(path: Path) -> dict[str, Any]:
    """metrics/ensemble.json: test_accuracy, validation_accuracy (fractions) and params (whole).

    Where nets of files are among the members, `source` and `nets` say which.

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
        for net in facts.get("nets", []):
            known = isinstance(net["params"], int) and 0 <= net["test_accuracy"] <= 1
            if not known or (
                "trial" not in net and not isinstance(net["name"] + net["format"], str)
            ):
                raise ValueError("each net has a trial, or a name and a format, and its accuracy")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): run 'dvc repro --force ensemble'"
        ) from error

    return facts


def _check(frame: pd.DataFrame, facts: dict[str, float]) -> None:
    """Accuracies are fractions, trials and parameters whole numbers, and one trial did not fail.

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
