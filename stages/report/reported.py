"""The nets of all cells on the test images, and their resampled accuracies; for assess."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stages.report.cells import CellResult, read_cells
from stages.report.quantities import Quantity
from stages.report.seeds import seed_variance
from stages.report.statistics import joint_bootstrap
from stages.report.stored import all_outputs
from stages.settings.groups import CellName

Bootstrap = Callable[[Sequence[np.ndarray], int, np.random.Generator], np.ndarray]
HALF_AN_IMAGE = 0.5
"""Variance that is added to a net's number of hits, so that two nets differ with that of one image
more; of a mean over runs by their number."""


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
    """Test accuracies of the cells and of the ensemble, with their samples.

    Samples are those of the bootstrap over images, the same for all nets, and normal noise added to
    them, each net's own: of the variance due to its seeds, and of half an image. Two nets then
    differ with the variance that Agresti and Min (2005) give a difference of paired proportions;
    the bootstrap alone is too narrow where nets differ on few images, and certain where on none.

    Args:
        ensemble_hits: bool (n,).
        resamples: of the bootstrap.
        seed: the root seed; the bootstrap has its own stream of it.
    """
    hits = [*(net.hits for net in nets), ensemble_hits[None]]
    rng = np.random.default_rng((seed, zlib.crc32(b"assess")))
    *of_cells, of_ensemble = quantities_of(hits, resamples, rng)
    of_ensemble = replace(of_ensemble, runs=None)
    return {net.name: each for net, each in zip(nets, of_cells, strict=True)}, of_ensemble


def quantities_of(
    hits: Sequence[np.ndarray],
    resamples: int,
    rng: np.random.Generator,
    bootstrap: Bootstrap = joint_bootstrap,
) -> list[Quantity]:
    """The accuracies of nets with their samples, see `resampled`.

    Args:
        hits: of each net bool (runs, n).
        resamples: of the bootstrap.
        rng: images are drawn first, then the noise of the nets in their order.
        bootstrap: over images; benchmarks/coverage.py has a faster one of the same distribution.
    """
    samples = bootstrap(hits, resamples, rng)

    quantities = []
    for own, column in zip(hits, samples.T, strict=True):
        seeds = seed_variance(own)
        variance = HALF_AN_IMAGE / own.shape[1] / own.size + (seeds.seeds if seeds else 0.0)
        noisy = column + rng.normal(0, np.sqrt(variance), resamples)
        parts = (seeds,) if seeds else ()
        quantities.append(Quantity(float(own.mean()), noisy, None, parts, len(own)))

    return quantities
