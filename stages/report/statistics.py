"""Uncertainty of test accuracies: bootstrap over images, p-values, intervals, means over runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

CHUNK = 128
"""Resamples whose counts of images are held at once: 40 MB for 26,000 images."""

EXACT = 2**24
"""Whole numbers up to here, and so sums of counts in whatever order, are exact in float32."""

ROUNDING = 1e-12
"""Standard errors of fractions up to here are zero: float64's rounding of equal samples."""

ALIKE = 1
"""Correction for groups of a run or two. Measured for two runs in each of 2 to 28 groups: 0 covers
94 to 98.5 %, 1 covers 93 to 96.5 %, 2 covers 91 to 95.5 %; the low ends where seeds differ six
times as much in one group as in another, the high ones where all groups are alike."""


def joint_bootstrap(
    nets: Sequence[np.ndarray], resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Resampled accuracies of several nets on the same test images (bootstrap).

    One resample draws n images with replacement, the same for all nets, so that differences of
    columns are paired (Efron and Tibshirani 1993). The accuracy of a net with several runs is their
    mean. Runs are not resampled: two or three show too little of their variance for that, see
    `seeds.seed_variance`.

    Args:
        nets: of each net the hits (bool), (runs, n); runs are seeds of one configuration, n is the
            same for all.
        resamples: how many, at least 1.

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

    # The mean over a net's runs.
    groups = np.split(sums, np.cumsum([len(net) for net in nets])[:-1], axis=1)
    return np.stack([runs.mean(axis=1) / n for runs in groups], axis=1)


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


def interval(
    samples: np.ndarray, level: float = 0.95, freedom: float = math.inf
) -> tuple[float, float]:
    """Percentile interval of bootstrap samples (resamples,), in their unit.

    Efron and Tibshirani 1993, 13.3. With few degrees of freedom its ends are as much farther from
    the samples' mean as Student's t is wider than the normal distribution.

    Args:
        freedom: degrees of freedom of the samples' variance.

    Raises:
        ValueError: samples are empty, not one-dimensional or not finite, or level is not between 0
            and 1.
    """
    tails = _tails(level)
    low, high = np.quantile(_finite(samples, "samples"), tails)
    if not math.isinf(freedom):
        centre = np.mean(samples)
        wider = stats.t.ppf(tails[1], freedom) / stats.norm.ppf(tails[1])
        low, high = centre + wider * (low - centre), centre + wider * (high - centre)

    return float(low), float(high)


def p_value(value: float, samples: np.ndarray, at: float = 0.0, freedom: float = math.inf) -> float:
    """One-sided p-value of "a quantity is `at` or below": small where it lies clearly above.

    The normal distribution, or Student's t, with the bootstrap's standard error (Efron and
    Tibshirani 1993, 13.2). Counting resamples instead gives no p-value below one in their number,
    too coarse to adjust for dozens of comparisons. Without any variation the quantity is certain:
    0 above `at`, else 1.

    Args:
        value: the quantity, e.g. a difference of accuracies.
        samples: of it, (resamples,).
        at: in its unit.
        freedom: degrees of freedom of the samples' variance.

    Raises:
        ValueError: samples are empty, not one-dimensional or not finite.
    """
    deviation = float(np.std(_finite(samples, "samples")))
    if deviation <= ROUNDING:
        return 0.0 if value > at else 1.0
    if math.isinf(freedom):
        return float(stats.norm.sf((value - at) / deviation))
    return float(stats.t.sf((value - at) / deviation, freedom))


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


def degrees_of_freedom(
    variance: float, parts: Sequence[tuple[float, int]], alike: int = 0
) -> float:
    """Degrees of freedom of a variance that is a sum (Satterthwaite 1946), 1 or more.

    Infinite where no part is estimated from few values.

    Args:
        variance: the sum.
        parts: of each part that is estimated from few values, its size and its degrees of freedom.
        alike: corrects for the noise of the parts, which makes the number too small where they are
            alike in truth: 2 is right there (Welch 1947), and too large where they differ a lot.
    """
    spread = sum(part**2 / (own + alike) for part, own in parts)
    return max(1.0, variance**2 / spread - alike) if spread > 0 else math.inf


def mean_of_groups(groups: Sequence[np.ndarray], level: float = 0.95) -> tuple[float, float, float]:
    """Mean of the groups' means and its interval: (mean, low, high).

    Each group (a cell) holds its runs' values, (runs,). Only runs are drawn at random, the groups
    are what they are. Student's t; for its degrees of freedom see ALIKE. Resampling runs within
    groups gives too narrow intervals where groups have two or three runs (docs/statistics.md).

    Without a group of two runs low and high are nan.

    Raises:
        ValueError: there are no groups, one is empty, not one-dimensional or not finite, some have
            one run and others more, or level is not between 0 and 1.
    """
    runs = [_finite(group, "a group's values") for group in groups]
    tail = _tails(level)[1]
    if not runs:
        raise ValueError("got no groups: at least one is needed")

    mean = float(np.mean([group.mean() for group in runs]))
    counts = np.array([len(group) for group in runs])
    if (counts == 1).all():
        return mean, math.nan, math.nan
    if (counts == 1).any():
        raise ValueError("some groups have one value: leave them out, their spread is unknown")

    errors = np.array([group.var(ddof=1) for group in runs]) / counts
    parts = [(float(error), int(count) - 1) for error, count in zip(errors, counts, strict=True)]
    own = degrees_of_freedom(float(errors.sum()), parts, ALIKE)
    half = float(stats.t.ppf(tail, own) * math.sqrt(errors.sum())) / len(runs)
    return mean, mean - half, mean + half


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
