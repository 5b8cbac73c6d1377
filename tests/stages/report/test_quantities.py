"""Quantities: their arithmetic, the luck of the largest, and what few seeds do to intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from stages.report.quantities import Quantity, largest, smallest
from stages.report.reported import quantities_of
from stages.report.seeds import SeedVariance


def normal(value: float, error: float = 0.01, seed: int = 0) -> Quantity:
    return Quantity(value, np.random.default_rng(seed).normal(value, error, 4000))


def several(*values: float) -> list[Quantity]:
    return [normal(value, seed=i) for i, value in enumerate(values)]


def test_differences_are_paired() -> None:
    a = normal(0.7)
    same = a - a
    assert same.value == 0 and same.interval(0.95) == (0, 0) and same.p_value(0.0) == 1
    shifted = a - 0.5
    assert shifted.value == pytest.approx(0.2)
    assert shifted.interval(0.9) == pytest.approx([end - 0.5 for end in a.interval(0.9)])


def test_a_negative_has_its_ends_exchanged() -> None:
    for quantity in (normal(0.1), largest(several(0.1, 0.1, 0.09))):
        low, high = quantity.interval(0.95)
        assert (-quantity).interval(0.95) == pytest.approx((-high, -low))
        turned = -quantity
        back = -turned
        assert back.interval(0.95) == pytest.approx((low, high))


def test_a_largest_that_is_far_ahead_is_that_quantity() -> None:
    others = several(0.6, 0.5, 0.9, 0.4)
    assert largest(others) is others[2]
    low, high = smallest(others).interval(0.95)
    assert (low, high) == pytest.approx(others[3].interval(0.95))


def test_a_largest_of_equal_ones_was_lucky() -> None:
    """The lower end is as much lower as the largest of five normal numbers is above one."""
    five = largest(several(*[0.5] * 5))
    alone = five.for_upper_end
    low, high = five.interval(0.95)
    of_five = stats.norm.ppf(0.025 ** (1 / 5))  # the largest of five is below this in 2.5 %
    assert high == pytest.approx(np.quantile(alone, 0.975))
    worst = stats.norm.isf(1 - 0.975 ** (1 / 5))
    assert low == pytest.approx(0.5 - 0.01 * worst, abs=0.001) and of_five < worst
    assert five.value == 0.5 and five.p_value(0.5) > 0.7, "equal ones are no evidence"


@pytest.mark.parametrize(("errors_behind", "near"), [(1.3, True), (1.7, False)])
def test_what_could_be_the_largest_in_truth_counts(errors_behind: float, near: bool) -> None:
    """1.5 standard errors of the difference are the limit; alone the largest is itself."""
    best, second = several(0.5, 0.5 - errors_behind * 0.01 * np.sqrt(2))
    found = largest([best, second])
    assert (found is not best) == near
    assert (found.interval(0.95)[0] < best.interval(0.95)[0] - 0.001) == near


def test_a_difference_of_largest_ones_has_the_wider_ends_of_both() -> None:
    convs = several(0.65, 0.65, 0.65)
    mlps = [normal(0.45, seed=i) for i in (7, 8, 9)]
    effect = smallest(convs) - largest(mlps)
    low, high = effect.interval(0.95)
    alone = (convs[0] - mlps[0]).interval(0.95)
    assert low == pytest.approx(alone[0], abs=0.002), "the weakest conv beside the best mlp"
    assert high > alone[1] + 0.008, "both were unlucky"
    assert effect.value == pytest.approx(0.2)


def test_seeds_widen_by_students_t() -> None:
    """All of the variance is that of two runs: one degree of freedom."""
    part = SeedVariance(2, 0.01**2, 0.0, 0.01**2)
    plain = normal(0.5)
    few = Quantity(plain.value, plain.samples, None, (part,))
    assert few.freedom == pytest.approx(1, abs=0.15)
    widths = [np.ptp(each.interval(0.95)) for each in (plain, few)]
    ratio = stats.t.ppf(0.975, few.freedom) / stats.norm.ppf(0.975)
    assert widths[1] / widths[0] == pytest.approx(ratio, rel=1e-6) and ratio > 4.5
    assert few.p_value(0.45) > 0.04 > 1e-5 > plain.p_value(0.45)
    both = few - Quantity(0.1, np.full(4000, 0.1), None, (part,))
    assert len(both.seeds) == 2


def test_samples_hold_seeds_and_half_an_image() -> None:
    """Nets of equal hits still differ by what one image more or less would do."""
    hits = np.random.default_rng(3).random((1, 400)) < 0.7
    runs = np.random.default_rng(4).random((2, 400)) < np.array([[0.5], [0.9]])
    rng = np.random.default_rng(5)
    first, same, spread = quantities_of([hits, hits, runs], 20_000, rng)
    assert np.std(first.samples - same.samples) == pytest.approx(1 / 400, rel=0.03)
    assert first.seeds == same.seeds == ()
    assert (first.runs, spread.runs, (first - spread).runs) == (1, 2, 1)
    assert (spread - Quantity(0.5, np.full(20_000, 0.5))).runs == 2, "a bound has no runs"

    (part,) = spread.seeds
    images = runs.mean(axis=0).var() / 400
    assert np.var(spread.samples) == pytest.approx(part.seeds + images + 0.25 / 400**2, rel=0.05)
    assert part.seeds > 10 * images
