"""Worlds of known truth in which `coverage` tries the project's intervals.

The model of hits on test images. Image i is as hard as h_i = sqrt(.75) a_i + sqrt(.13) b_ic + sqrt(
.12) e_icr: a is shared by all nets, b by the runs r of a cell c, e is of one run; all are standard
normal. A run is right on an image where h_i is below the quantile of its own accuracy, which is the
cell's plus the seed's deviation, a normal number. So two runs of a cell at 65 % disagree on the
hits of a seventh of the images, as nets of docs/results do, and two cells on a quarter. The
seeds' standard deviation there: a median of 0.4 points, 2 and more in three of 28 cells. The truth
is the accuracy on all images that could be drawn: of the cell over all seeds where it has several
runs, of the very net where it has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import NormalDist

import numpy as np

from benchmarks.search import regret_ratio
from stages.report import reported
from stages.report.quantities import Quantity, largest, smallest
from stages.report.shares import share_interval
from stages.report.statistics import mean_interval, mean_of_groups

SHARED, OF_CELL, OF_RUN = 0.75, 0.13, 0.12
"""Parts of an image's difficulty: for all nets, for a cell, for a run."""
RESAMPLES = 1000
LEVEL = 0.95

Interval = tuple[float, float, float]
"""Low, high and the truth, in points."""
Case = Callable[[np.random.Generator], Interval]


# ------------------------------------------------------------------------------------------- hits


def hits_of(
    rng: np.random.Generator, shares: Sequence[float], runs: int, images: int, deviation: float
) -> tuple[list[np.ndarray], list[float]]:
    """Hits (runs, images) of a cell for each share, and each cell's true accuracy.

    Args:
        shares: the cells' accuracies.
        deviation: of the seeds, a fraction.
    """
    normal = NormalDist()
    of_all = rng.normal(0, SHARED**0.5, images)

    hits = []
    truths = []
    for share in shares:
        of_runs = np.clip(share + deviation * rng.normal(size=runs), 1e-6, 1 - 1e-6)
        limits = np.array([normal.inv_cdf(each) for each in of_runs])
        hard = of_all + rng.normal(0, OF_CELL**0.5, images)
        hits.append(hard + rng.normal(0, OF_RUN**0.5, (runs, images)) < limits[:, None])
        truths.append(share if runs > 1 else float(of_runs[0]))

    return hits, truths


def resampled_by_kind(
    nets: Sequence[np.ndarray], resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """What `statistics.joint_bootstrap` draws, at a tenth of the cost for thousands of draws.

    Images on which every net has the same number of hits are alike to it, so that their number is
    drawn and not each image: the same distribution from other random numbers.
    """
    means = np.stack([net.mean(axis=0) for net in nets])
    kinds, counts = np.unique(means, axis=1, return_counts=True)
    n = means.shape[1]
    return rng.multinomial(n, counts / n, size=resamples) @ kinds.T / n


def quantities(hits: list[np.ndarray], rng: np.random.Generator) -> list[Quantity]:
    """Accuracies with samples, as the stage `assess` has them."""
    return reported.quantities_of(hits, RESAMPLES, rng, resampled_by_kind)


def of_cells(
    effect: Callable[[list[Quantity]], Quantity],
    truth: Callable[[list[float]], float],
    shares: Sequence[float],
    runs: int,
    images: int,
    deviation: float = 0.005,
) -> Case:
    """The interval of an effect of the claims: a function of the cells' accuracies."""

    def case(rng: np.random.Generator) -> Interval:
        hits, truths = hits_of(rng, shares, runs, images, deviation)
        low, high = effect(quantities(hits, rng)).interval(LEVEL)
        return 100 * low, 100 * high, 100 * truth(truths)

    return case


def difference(shares: Sequence[float], runs: int, images: int, deviation: float = 0.005) -> Case:
    """Of two cells."""
    return of_cells(
        lambda both: both[0] - both[1],
        lambda both: both[0] - both[1],
        shares,
        runs,
        images,
        deviation,
    )


def best_of(shares: Sequence[float], runs: int, images: int = 2000) -> Case:
    """Of the first cell over the best of the others."""
    return of_cells(
        lambda all_: all_[0] - largest(all_[1:]),
        lambda all_: all_[0] - max(all_[1:]),
        shares,
        runs,
        images,
    )


def weakest_over_best(convs: int, mlps: int, runs: int) -> Case:
    """Of the weakest of equal nets over the best of other equal ones, as in `conv_gap`."""
    return of_cells(
        lambda all_: smallest(all_[:convs]) - largest(all_[convs:]),
        lambda all_: min(all_[:convs]) - max(all_[convs:]),
        [0.65] * convs + [0.45] * mlps,
        runs,
        2000,
    )


# ------------------------------------------------------------------------------ means over the runs


def retrained_mean(runs: int) -> Case:
    """Of a cell's mean over its runs, on the same test images."""

    def case(rng: np.random.Generator) -> Interval:
        _, low, high = mean_interval(list(65 + 0.7 * rng.normal(size=runs)))
        return low, high, 65.0

    return case


def selection(cells: int, runs: int, unequal: bool = False) -> Case:
    """Of the selection bias: cells with biases of their own, and seeds of 0.5 points.

    Args:
        unequal: the seeds' deviation is another in each cell: lognormal, two thirds of them within
            a factor of 2.2, as in docs/results.
    """
    # The cells are what they are: their biases and deviations do not change from draw to draw.
    own = np.random.default_rng(cells)
    biases = -1 + 0.8 * own.normal(size=cells)
    deviations = 0.5 * np.exp((0.8 if unequal else 0.0) * own.normal(size=cells))

    def case(rng: np.random.Generator) -> Interval:
        noise = deviations[:, None] * rng.normal(size=(cells, runs))
        _, low, high = mean_of_groups(list(biases[:, None] + noise))
        return low, high, float(biases.mean())

    return case


# ------------------------------------------------------------------------------------ single shares


def share_of(lowest: float, highest: float, images: int, versions: int = 1) -> Case:
    """Of an accuracy whose error is drawn between two, evenly on a log scale.

    One fixed share would show the steps of whole numbers: the coverage of any interval goes up and
    down with it (Brown, Cai and DasGupta 2001).

    Args:
        versions: of each image, which depend on each other as the runs of a cell do.
    """

    def case(rng: np.random.Generator) -> Interval:
        error = float(np.exp(rng.uniform(np.log(lowest), np.log(highest))))
        (hits,), _ = hits_of(rng, [1 - error], versions, images, 0.0)
        _, low, high = share_interval(hits, LEVEL)
        return 100 * low, 100 * high, 100 * (1 - error)

    return case


def ratio_of_medians(seeds: int) -> Case:
    """Of the regrets of two engines, lognormal and paired by seed; not in points."""

    def case(rng: np.random.Generator) -> Interval:
        shared = 0.5 * rng.normal(size=seeds)
        ours, theirs = (np.exp(at + shared + 0.9 * rng.normal(size=seeds)) for at in (-3.0, -2.3))
        _, low, high = regret_ratio(list(ours), list(theirs))
        return low, high, float(np.exp(0.7))

    return case


# -------------------------------------------------------------------------------------------- cases


def cases() -> Iterator[tuple[str, str, int, Case]]:
    """Of what, the world in words, how often it is drawn, and the case."""
    yield from _differences()

    name = "one cell over the best of others (claims)"
    worlds = {
        "2 equal": [0.65] * 2,
        "5 equal": [0.65] * 5,
        "17 equal": [0.65] * 17,
        "5, a point apart": [0.65, 0.64, 0.63, 0.62, 0.61],
        "5, one ahead by 2 points": [0.65, *[0.63] * 4],
        "5, 3 points apart": [0.65, 0.62, 0.59, 0.56, 0.53],
    }
    for words, shares in worlds.items():
        for runs in (1, 3):
            yield name, f"{words}, {_runs(runs)}", 500, best_of([0.75, *shares], runs)
    for runs in (1, 2, 3):
        case = weakest_over_best(4, 5, runs)
        yield "weakest of 4 over best of 5 (claims)", f"all equal, {_runs(runs)}", 500, case

    for runs in (2, 3, 5):
        yield "mean over runs (retrained)", _runs(runs), 4000, retrained_mean(runs)
    for cells in (1, 2, 4, 9, 18, 28):
        for runs in (2, 3, 5):
            words = f"{cells} cell{'s' * (cells > 1)}, {_runs(runs)}"
            yield "selection bias (retrained)", words, 4000, selection(cells, runs)
    for cells in (4, 18, 28):
        for runs in (2, 3):
            words = f"{cells} cells of unequal seeds, {_runs(runs)}"
            yield "selection bias (retrained)", words, 4000, selection(cells, runs, unequal=True)

    for images in (2000, 10_000):
        for low, high in ((0.2, 0.5), (0.01, 0.1), (0.0005, 0.005)):
            words = f"{images:,} images, errors of {100 * low:g} to {100 * high:g} %"
            yield "accuracy (extra, predict)", words, 4000, share_of(low, high, images)
    yield (
        "accuracy (extra, predict)",
        "50 images, errors of 2 to 50 %",
        4000,
        share_of(0.02, 0.5, 50),
    )
    for versions, low, high in ((5, 0.2, 0.5), (75, 0.2, 0.5), (5, 0.002, 0.02), (75, 0.002, 0.02)):
        words = f"2,000 images in {versions} versions, errors of {100 * low:g} to {100 * high:g} %"
        yield (
            "accuracy of corrupted images (extra)",
            words,
            1000,
            share_of(low, high, 2000, versions),
        )
    yield "ratio of regrets (benchmarks.search)", "5 seeds", 4000, ratio_of_medians(5)


def _differences() -> Iterator[tuple[str, str, int, Case]]:
    name = "difference of two cells (claims, ablations)"
    for runs, images, deviation in (
        (1, 2000, 0.005),
        (1, 10_000, 0.005),
        *((runs, 2000, deviation) for runs in (2, 3, 5) for deviation in (0.0, 0.005, 0.01, 0.02)),
        (2, 10_000, 0.005),
        (3, 10_000, 0.005),
    ):
        words = f"65 and 63 %, {images:,} images, {_runs(runs)}"
        if runs > 1:
            words += f", seeds of {100 * deviation:g} points"
        yield name, words, 1500, difference((0.65, 0.63), runs, images, deviation)

    for shares, images in (
        ((0.02, 0.015), 2000),
        ((0.995, 0.993), 2000),
        ((0.9995, 0.999), 2000),
        ((0.9995, 0.999), 10_000),
    ):
        for runs in (1, 3):
            words = (
                f"{100 * shares[0]:g} and {100 * shares[1]:g} %, {images:,} images, {_runs(runs)}"
            )
            yield (
                name,
                words,
                1500,
                difference(shares, runs, images, 0.1 * min(*shares, 1 - max(shares))),
            )


def _runs(runs: int) -> str:
    return f"{runs} seed{'s' * (runs > 1)}"
