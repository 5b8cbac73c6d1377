"""The nets of all cells on the test images, and their resampled accuracies; for assess."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.report.cells import CellResult, read_cells
from stages.report.claims import Quantity
from stages.report.statistics import joint_bootstrap
from stages.report.stored import all_outputs
from stages.settings.groups import CellName


@dataclass(frozen=True)
class ReportedNet:
    """A cell's nets on the test images.

    Attributes:
        name: of the cell.
        cell: its metrics.
        logits: float32 (n, classes) of the best trial.
        hits: bool (runs, n), of the retrained nets if there are any, else of the best trial.
    """

    name: CellName
    cell: CellResult
    logits: np.ndarray
    hits: np.ndarray


def read_nets(
    data: Path, metrics: Path, params: dict[str, Any], labels: np.ndarray
) -> Iterator[ReportedNet]:
    """The nets of all cells.

    Args:
        data, metrics: the folders data/ and metrics/.
        labels: of the test images, (n,).

    Raises:
        FileNotFoundError: a cell was not run.
        ValueError: outputs are damaged, not those of the nets in the trial tables, or of other
            images.
    """
    for name, cell in read_cells(metrics, params).items():
        logits = all_outputs(data, metrics, name, cell)
        count = next((len(net) for net in logits if len(net) != len(labels)), None)
        if count is not None:
            raise ValueError(
                f"{data / name.files} has outputs for {count} images, and data/prepared has "
                f"{len(labels)} test images: run 'dvc repro --force {name.dvc}'"
            )

        hits = np.stack([net.argmax(1) == labels for net in logits])
        if len(hits) > 1:
            hits = hits[1:]
        yield ReportedNet(name, cell, logits[0], hits)


def resampled(
    nets: list[ReportedNet], ensemble_hits: np.ndarray, resamples: int, seed: int
) -> tuple[dict[CellName, Quantity], Quantity]:
    """Test accuracies of the cells and of the ensemble, with their bootstrap samples.

    Args:
        ensemble_hits: bool (n,).
        resamples: of the bootstrap.
        seed: the root seed; the bootstrap has its own stream of it.
    """
    hits = [*(net.hits for net in nets), ensemble_hits[None]]
    rng = np.random.default_rng((seed, zlib.crc32(b"assess")))
    samples = joint_bootstrap(hits, resamples, rng)

    *of_cells, of_ensemble = (
        Quantity(float(each.mean()), samples[:, i]) for i, each in enumerate(hits)
    )
    return {net.name: each for net, each in zip(nets, of_cells, strict=True)}, of_ensemble
