"""Outputs of a cell's nets on the test images, as its trial table says; for assess, extra and page."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.report.cells import CellResult
from stages.settings.groups import CellName
from stages.store.predictions import fingerprint, read_test_logits


def best_outputs(data: Path, metrics: Path, name: CellName, cell: CellResult) -> np.ndarray:
    """Logits of the best trial by validation error, float32 (n, classes).

    Args:
        data, metrics: the folders data/ and metrics/.
        name, cell: of the net.

    Raises:
        FileNotFoundError: the cell was not run.
        ValueError: outputs are damaged, or not those of the net in the trial table.
    """
    return _as_listed(data, metrics, name, _best(cell))[0]


def all_outputs(data: Path, metrics: Path, name: CellName, cell: CellResult) -> list[np.ndarray]:
    """The same of the best trial, and then of each retrained net that has a test accuracy.

    Args:
        data, metrics, name, cell: as of `best_outputs`.

    Raises:
        FileNotFoundError, ValueError: as `best_outputs`.
    """
    hashes = _best(cell)
    again = cell.retrained.dropna(subset=["test_accuracy"])
    for run, sha256 in zip(again["run"], again["test_sha256"], strict=True):
        hashes["retrained", int(run)] = sha256

    return _as_listed(data, metrics, name, hashes)


def _best(cell: CellResult) -> dict[tuple[str, int], str]:
    """Kind and number of the best trial -> sha256 of its outputs."""
    best = cell.shown.iloc[0]
    return {("trials", int(best["trial"])): best["test_sha256"]}


def _as_listed(
    data: Path, metrics: Path, name: CellName, hashes: dict[tuple[str, int], str]
) -> list[np.ndarray]:
    """Outputs of nets by kind and number, each with the hash of its table."""
    path = data / name.files / "test.safetensors"
    nets = read_test_logits(path)

    found = []
    for (kind, number), sha256 in hashes.items():
        logits = nets.get(kind, {}).get(number)
        if logits is None or fingerprint(logits) != sha256:
            raise ValueError(
                f"{path} does not match {metrics / name.files}.csv: take both from the same run, with "
                f"'dvc checkout {path.parent}', 'dvc pull {path.parent}' or 'dvc repro --force {name.dvc}'"
            )
        found.append(logits)

    return found
