"""Reading what the report page shows of metrics/: tables, claims, the environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from stages.report.ablations import COLUMNS as ABLATIONS
from stages.report.retrained import COLUMNS as RETRAINED
from stages.store.atomic import read_json

COLUMNS = {
    "table1": ["model", "architecture", "params", "accuracy_pct", "paper_pct", "difference_pct"],
    "table2": ["row", "label", "budget", "params", "accuracy_pct", "paper_pct", "difference_pct"],
    "figure1": ["row", "budget", "params", "trials_shown", "mean", "best", "fifth", "target"],
    "retrained": RETRAINED,
    "fidelity": [
        "target",
        "row",
        "budget",
        "params",
        "accuracy",
        "nll",
        "ece",
        "agreement",
        "kl",
        "logit_l2",
    ],
    "calibration": ["net", "confidence", "accuracy", "count"],
    "confusion": ["net", "true", "predicted", "count"],
    "ablations": ABLATIONS,
}
"""Of each table what the page needs."""
WORDS = (
    "model",
    "architecture",
    "row",
    "label",
    "budget",
    "target",
    "net",
    "true",
    "predicted",
    "of",
    "what",
    "measure",
    "verdict",
)
"""Columns that hold words; all others hold numbers."""
CLAIM = (
    "statement",
    "verdict",
    "effect",
    "effects",
    "paper",
    "weakest",
    "comparisons",
    "needs",
)
"""What a claim needs."""


def read_table(folder: Path, name: str) -> pd.DataFrame:
    """A table of metrics/; columns of words are empty text where they say nothing.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, a column is missing, or a number is none.
    """
    path = _existing(folder / f"{name}.csv")
    try:
        # a class may be called NA, or 01: words are read as they stand, and numbers from them
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        absent = [column for column in COLUMNS[name] if column not in frame]
        if absent:
            raise ValueError(f"no column {absent[0]!r}")

        for column in frame.columns.difference(WORDS):
            frame[column] = pd.to_numeric(frame[column].replace("", None))

        if "number" in frame:
            frame["number"] = frame["number"].astype("Int64")
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): run 'dvc repro --force'") from error

    return frame


def read_markdown(folder: Path, name: str) -> str:
    """A table of metrics/ as Markdown.

    Raises:
        FileNotFoundError: there is no such file.
    """
    return _existing(folder / f"{name}.md").read_text(encoding="utf-8")


def read_claims(folder: Path) -> dict[str, Any]:
    """metrics/claims.json: `level`, and `claims` by their ids.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged.
    """
    path = _existing(folder / "claims.json")
    try:
        answers = json.loads(path.read_text(encoding="utf-8"))
        if not 0 < answers["level"] < 1:
            raise ValueError(f"level is {answers['level']}, allowed is between 0 and 1")

        for entry in answers["claims"].values():
            _check_claim(entry)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}): run 'dvc repro --force assess'") from error

    return answers


def _check_claim(entry: dict[str, Any]) -> None:
    points = [*entry["effects"].values(), *filter(None, [entry["weakest"]])]
    numbers = [point[f"{name}_pct"] for point in points for name in ("value", "low", "high")]
    numbers += entry["paper"].values()

    if not all(isinstance(number, int | float) for number in numbers):
        raise ValueError("an effect is not a number")

    absent = [name for name in CLAIM if name not in entry]
    if absent:
        raise ValueError(f"a claim has no {absent[0]!r}")

    if entry["needs"] is not None and not isinstance(entry["needs"]["words"], str):
        raise ValueError("what a claim needs is not said in words")


def read_environment(folder: Path) -> list[dict[str, Any]]:
    """metrics/environment.json; nothing where it is missing, since no result depends on it.

    Raises:
        ValueError: it is damaged.
    """
    path = folder / "environment.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        if not isinstance(entries, list) or not all(
            isinstance(entry.get("stages"), list) for entry in entries
        ):
            raise ValueError("it is not a list of environments with their stages")
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): delete it and run 'dvc repro --force label'"
        ) from error

    return entries


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found: run 'dvc repro' to have it made")
    return path


_LOOK = {
    "classes": list,
    "parts": dict,
    "same_images": dict,
    "unlabelled": int,
    "conflicts": int,
    "grey": dict,
    "sizes": dict,
    "other_sizes": int,
    "notes": list,
}
"""Keys of metrics/data.json that the page shows, and their types."""


def read_look(folder: Path) -> dict[str, Any]:
    """metrics/data.json, what prepare found in the data.

    Raises:
        FileNotFoundError: it is missing.
        ValueError: it is something else.
    """
    path = folder / "data.json"
    look = read_json(_existing(path))
    if not isinstance(look, dict) or any(
        not isinstance(look.get(key), kind) for key, kind in _LOOK.items()
    ):
        raise ValueError(f"{path} is not what prepare writes: run 'dvc repro --force prepare'")
    return look
