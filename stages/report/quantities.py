"""Accuracies and differences of accuracies with their uncertainty, and the largest of several.

A quantity carries bootstrap samples. They hold the noise of images and of seeds (see `reported`);
what they cannot show is how badly a few seeds tell the seeds' variance. So each quantity also
carries these variances, and its intervals and p-values are those of Student's t with as many
degrees of freedom as they allow (Satterthwaite 1946).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stages.report import statistics
from stages.report.seeds import SeedVariance

NEAR = 1.5
"""Standard errors below the largest, up to which a value may be the largest in truth. Measured: of
1, 1.5 and 2 the one whose intervals cover 93 % and more in every case of benchmarks/coverage.py."""


@dataclass(frozen=True)
class Quantity:
    """An accuracy or a difference of two (fractions).

    Attributes:
        value: as measured.
        samples: bootstrap samples, (resamples,).
        above: samples for the upper end of the interval where these are others than for the lower
            one, as of the largest of several; None where they are the same.
        seeds: variances due to the seeds of the cells in it, none of cells with one run.
        runs: the fewest runs of a cell in it; None where there is no cell, as of the ensemble.
    """

    value: float
    samples: np.ndarray
    above: np.ndarray | None = None
    seeds: tuple[SeedVariance, ...] = ()
    runs: int | None = None

    def __sub__(self, other: Quantity | float) -> Quantity:
        if not isinstance(other, Quantity):
            above = None if self.above is None else self.above - other
            return replace(
                self, value=self.value - other, samples=self.samples - other, above=above
            )

        above = None
        if self.above is not None or other.above is not None:
            above = self.for_upper_end - other.samples

        counts = [runs for runs in (self.runs, other.runs) if runs is not None]
        return Quantity(
            self.value - other.value,
            self.samples - other.for_upper_end,
            above,
            self.seeds + other.seeds,
            min(counts, default=None),
        )

    def __neg__(self) -> Quantity:
        above = None if self.above is None else -self.samples
        return replace(self, value=-self.value, samples=-self.for_upper_end, above=above)

    @property
    def for_upper_end(self) -> np.ndarray:
        """Samples for the upper end of the interval."""
        return self.samples if self.above is None else self.above

    @property
    def variance(self) -> float:
        """Of the value, fraction^2: the larger one of the samples for both ends."""
        return max(float(np.var(self.samples)), float(np.var(self.for_upper_end)))

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the variance; infinite without seeds."""
        parts = [(part.between, part.runs - 1) for part in self.seeds]
        return statistics.degrees_of_freedom(self.variance, parts)

    def interval(self, level: float) -> tuple[float, float]:
        """Low and high at this level, a fraction."""
        own = self.freedom
        low, high = statistics.interval(np.atleast_1d(self.samples), level, own)
        if self.above is not None:
            high = statistics.interval(np.atleast_1d(self.above), level, own)[1]
        return low, high

    def p_value(self, at: float) -> float:
        """One-sided p-value of "it is `at` or below".

        The largest of several is too large by chance: what its samples lie below it is taken off.
        """
        value = self.value if self.above is None else float(np.mean(self.samples))
        return statistics.p_value(value, np.atleast_1d(self.samples), at, self.freedom)


def largest(quantities: Sequence[Quantity]) -> Quantity:
    """The largest of them.

    Of values that are near each other the largest has been lucky, and resampling it doubles the
    luck (Andrews 2000; Fang and Santos 2019). So the lower end of its interval supposes that all
    within NEAR standard errors are as good in truth, and takes off what the largest of such gains
    by chance. The upper end supposes that it is alone.
    """
    best = max(quantities, key=lambda each: each.value)
    near = [each.samples - each.value for each in quantities if _is_near(each, best)]

    if len(near) == 1:
        return best
    unlucky = np.minimum.reduce(near)
    return replace(best, samples=best.value + unlucky, above=best.for_upper_end)


def _is_near(each: Quantity, best: Quantity) -> bool:
    """Whether a quantity is the best one, or could be as good in truth."""
    if each is best:
        return True
    error = float(np.std(best.samples - each.samples))
    return best.value - each.value <= NEAR * error


def smallest(quantities: Sequence[Quantity]) -> Quantity:
    """The smallest of them, with the two ends of `largest` exchanged."""
    return -largest([-each for each in quantities])
