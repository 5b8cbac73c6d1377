"""Uncertainty of test accuracies: bootstrap over images and runs, p-values, intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

CHUNK = 128
"""Resamples whose counts of images are held at once: 40 MB for 26,000 images."""

EXACT = 2**24
"""Whole numbers up to here, and so sums of counts in whatever order, are exact in float32."""

ROUNDING = 1e-12
"""Standard errors of fractions up to here are zero: float64's rounding of equal samples."""


def joint_bootstrap(
    nets: Sequence[np.ndarray], resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Resampled accuracies of several nets on the same test images (bootstrap).

    One resample draws n images with replacement, the same for all nets, so that differences of
    columns are paired (Efron and Tibshirani 1993). Of a net with S >= 2 runs it also draws S - 1
    runs with replacement, separately for each net: with S - 1, and not S, the variance of the mean
    due to the runs is s^2 / S (Rao and Wu 1988). A net with one run has no such part.
    Noise of single hits, due neither to the image nor to the run alone, is counted three times
    where there are several runs (Owen 2007, the pigeonhole bootstrap): their intervals are too
    wide rather than too narrow.

    Args:
        nets: of each net the hits (bool), (runs, n); runs are seeds of one configuration, n is the
            same for all.
        resamples: how many, at least 1.
        rng: images are drawn first, then the runs in the order of `nets`: a net added at the end
            changes no other.

    Returns:
        float64 (resamples, nets), accuracies (fractions).

    Raises:
        ValueError: no nets, not bool, not two-dimensional, empty, different n, n above 2^24, or no
            resamples.
    """
    hits = _checked(nets)
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}: at least 1 is needed")

    # How many of the drawn images each run has right.
    n = len(hits)
    sums = np.empty((resamples, hits.shape[1]))
    for start in range(0, resamples, CHUNK):
        counts = rng.multinomial(n, np.full(n, 1 / n), size=min(CHUNK, resamples - start))
        sums[start : start + CHUNK] = counts.astype(np.float32) @ hits

    # The mean over a net's runs, or over the runs that are drawn of them.
    means = []
    for runs in np.split(sums, np.cumsum([len(net) for net in nets])[:-1], axis=1):
        total = runs.shape[1]
        if total > 1:
            drawn = rng.integers(total, size=(resamples, total - 1))
            runs = np.take_along_axis(runs, drawn, axis=1)
        means.append(runs.mean(axis=1) / n)

    return np.stack(means, axis=1)


def _checked(nets: Sequence[np.ndarray]) -> np.ndarray:
    """All runs of all nets as float32 (n, all runs)."""
    if not nets:
        raise ValueError("there are no nets to resample: at least one is needed")

    for net in nets:
        if net.dtype != np.bool_ or net.ndim != 2 or not net.size:
            raise ValueError(
                f"hits are {net.dtype} of shape {net.shape}: bool of shape (runs, images) is needed"
            )

    sizes = sorted({net.shape[1] for net in nets})
    if len(sizes) > 1 or sizes[0] > EXACT:
        raise ValueError(
            f"hits are on {sizes} images: all nets need the same number, at most {EXACT}"
        )

    return np.concatenate(nets).T.astype(np.float32)


def interval(samples: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of bootstrap samples (resamples,), in their unit.

    Efron and Tibshirani 1993, 13.3.

    Raises:
        ValueError: samples are empty, not one-dimensional or not finite, or level is not between 0
            and 1.
    """
    low, high = np.quantile(_finite(samples, "samples"), _tails(level))
    return float(low), float(high)


def p_value(value: float, samples: np.ndarray, at: float = 0.0) -> float:
    """One-sided p-value of "a quantity is `at` or below": small where it lies clearly above.

    The normal distribution with the bootstrap's standard error (Efron and Tibshirani 1993, 13.2).
    Counting resamples instead gives no p-value below one in their number, too coarse to adjust for
    dozens of comparisons. Without any variation the quantity is certain: 0 above `at`, else 1.

    Args:
        value: the quantity, e.g. a difference of accuracies.
        samples: of it, (resamples,).
        at: in its unit.

    Raises:
        ValueError: samples are empty, not one-dimensional or not finite.
    """
    deviation = float(np.std(_finite(samples, "samples")))
    if deviation <= ROUNDING:
        return 0.0 if value > at else 1.0
    return float(stats.norm.sf((value - at) / deviation))


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the given order (Holm 1979).

    Rejecting those <= alpha keeps the familywise error <= alpha. scipy adjusts for the false
    discovery rate only.

    Raises:
        ValueError: a value is not within 0 .. 1.
    """
    values = np.asarray(p, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p-values are {values.tolist()}: each must be within 0 .. 1")

    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1)

    return adjusted.tolist()


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean over runs and its interval by Student's t: (mean, low, high).

    Of one value low and high are nan.

    Raises:
        ValueError: values are empty or not finite, or level is not between 0 and 1.
    """
    runs = _finite(values, "values")
    tail = _tails(level)[1]
    if len(runs) == 1:
        return float(runs[0]), float("nan"), float("nan")

    mean = float(runs.mean())
    half = float(stats.t.ppf(tail, len(runs) - 1) * stats.sem(runs))
    return mean, mean - half, mean + half


def iqm(values: Sequence[float] | np.ndarray) -> float:
    """Mean without the lowest and highest quarter, each rounded down (Agarwal et al. 2021).

    Raises:
        ValueError: values are empty or not finite.
    """
    return float(stats.trim_mean(_finite(values, "values"), 0.25))


def stratified_iqm(
    groups: Sequence[np.ndarray], resamples: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """IQM over all values of all groups and its 95 % percentile interval: (iqm, low, high).

    Each group (a task, a cell) holds its runs' values, (runs,); they are resampled within the
    group, drawn in turn (Agarwal et al. 2021).

    Raises:
        ValueError: there are no groups or no resamples, or a group is empty, not one-dimensional
            or not finite.
    """
    if not groups or resamples < 1:
        raise ValueError(
            f"got {len(groups)} groups and {resamples} resamples: at least one of each is needed"
        )

    runs = [_finite(group, "a group's values") for group in groups]
    drawn = [group[rng.integers(len(group), size=(resamples, len(group)))] for group in runs]
    samples = stats.trim_mean(np.concatenate(drawn, axis=1), 0.25, axis=1)
    return iqm(np.concatenate(runs)), *interval(samples)


def _finite(values: Sequence[float] | np.ndarray, name: str) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(
            f"{name} of shape {array.shape}: finite numbers in one dimension are needed, at least one"
        )
    return array


def _tails(level: float) -> tuple[float, float]:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: it must lie between 0 and 1")
    return (1 - level) / 2, (1 + level) / 2
