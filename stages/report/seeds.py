"""How much of an accuracy's uncertainty is due to the seeds: variances of a cell's retrained nets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SeedVariance:
    """Parts of the variance of the mean accuracy (fraction^2) of S nets on n test images.

    Attributes:
        runs: S, 2 or more.
        seeds: due to the seeds, nets of one configuration being of different quality; not below 0.
        single: due to single hits, a net being right on an image by chance. It is in the variance
            between runs and in the variance between images, and falls with both.
        between: between the runs, as estimated: the sum of the two parts where `seeds` is above 0.
    """

    runs: int
    seeds: float
    single: float
    between: float


def seed_variance(hits: np.ndarray) -> SeedVariance | None:
    """Variances of one cell's mean accuracy; None with one run, which shows nothing of seeds.

    Analysis of variance of runs crossed with images, both drawn at random (Searle, Casella and
    McCulloch 1992, section 4.7): with the mean squares of runs R and of the rest E the parts are
    (R - E) / (nS) and E / (nS).

    Args:
        hits: bool (runs, n), on the same images.

    Raises:
        ValueError: hits are not two-dimensional, or of fewer than two images.
    """
    if hits.ndim != 2 or hits.shape[1] < 2:
        raise ValueError(f"hits are of shape {hits.shape}: (runs, images), two images or more")

    runs, n = hits.shape
    if runs == 1:
        return None

    of_images = hits.mean(axis=0)
    of_runs = hits.mean(axis=1)

    # Hits are 0 or 1, so sums of squares need no array of residuals.
    mean = float(of_runs.mean())
    about_runs = n * float(np.square(of_runs - mean).sum())
    about_images = runs * float(np.square(of_images - mean).sum())
    rest = hits.size * mean * (1 - mean) - about_runs - about_images

    between = about_runs / (runs - 1) / hits.size
    single = max(0.0, rest) / ((runs - 1) * (n - 1)) / hits.size
    return SeedVariance(runs, max(0.0, between - single), single, between)
