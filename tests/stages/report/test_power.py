"""What undecided claims would need: the formula by hand, and the cases in which nothing helps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from stages.report import power
from stages.report.claims import Claim, Comparison
from stages.report.quantities import Quantity
from stages.report.seeds import SeedVariance
from stages.report.verdicts import Verdict
from stages.report.words import FAILS, HOLDS, OPEN

LEVEL = 0.005
NORMAL = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)


def difference(
    value: float, error: float = 0.01, seeds: float = 0.0, single: float = 0.0, runs: int = 0
) -> Quantity:
    """A difference with this standard error, of which parts are due to seeds and single hits."""
    part = SeedVariance(runs, seeds, single, seeds + single) if runs else None
    return Quantity(value, value + error * NORMAL, None, (part,) if part else (), runs or 1)


def undecided(*differences: Quantity, bound: float = 0.0) -> Verdict:
    comparisons = [Comparison("", each, bound) for each in differences]
    return Verdict(Claim("a", "", "", comparisons), OPEN, 0.1, 1.0, comparisons[0])


def of_one(value: float, error: float, images: int, level: float = LEVEL) -> float:
    """The formula: n v (z_level + z_power)^2 / d^2."""
    factor = (stats.norm.isf(level) + stats.norm.ppf(0.8)) ** 2
    return images * error**2 * factor / value**2


@pytest.mark.parametrize("value", [0.02, 0.011, 0.003])
def test_one_comparison_has_the_closed_form(value: float) -> None:
    found = power.needed(undecided(difference(value)), LEVEL, 2000)
    assert found.verdict == HOLDS and found.runs == 1 and found.seeds is None and found.both is None
    assert found.images == pytest.approx(of_one(value, 0.01, 2000), rel=0.002)


def test_a_bound_counts() -> None:
    found = power.needed(undecided(difference(0.005), bound=-0.005), LEVEL, 2000)
    assert found.images == pytest.approx(of_one(0.01, 0.01, 2000), rel=0.002)


def test_a_reversed_comparison_points_to_the_other_verdict() -> None:
    """Its level is shared among all comparisons (Bonferroni), as in the verdict."""
    each = undecided(difference(-0.01), difference(0.3))
    found = power.needed(each, LEVEL, 2000)
    assert found.verdict == FAILS
    assert found.images == pytest.approx(of_one(0.01, 0.01, 2000, LEVEL / 2), rel=0.002)


def test_all_comparisons_at_once_need_more_than_each() -> None:
    rng = np.random.default_rng(0)
    both = [Quantity(0.01, 0.01 + 0.01 * rng.normal(size=20_000)) for _ in range(2)]
    alone = power.needed(undecided(both[0]), LEVEL, 2000).images
    joint = power.needed(undecided(*both), LEVEL, 2000).images
    each = math.sqrt(0.8)  # independent ones: both pass with 80 %
    factor = (stats.norm.isf(LEVEL) + stats.norm.ppf(each)) ** 2
    assert joint == pytest.approx(2000 * factor, rel=0.03) and joint > 1.2 * alone
    same = power.needed(undecided(both[0], both[0]), LEVEL, 2000).images
    assert same == alone, "what is always decided together costs nothing"


@pytest.mark.parametrize("value", [0.0, 1e-5])
def test_an_effect_of_about_none_is_out_of_reach(value: float) -> None:
    one = power.needed(undecided(difference(value)), LEVEL, 2000)
    assert one.images is None
    assert "More than 1,000,000 test images, even if seeds" in power.words(one, 2000)
    more = power.needed(undecided(difference(value, 0.01, 5e-5, 0, 3)), LEVEL, 2000)
    assert (more.images, more.seeds, more.both) == (None, None, None)
    assert power.words(more, 2000).startswith("Neither 100 seeds a cell nor 1,000,000")


def test_sure_ties_are_not_decided_by_more() -> None:
    tie = Quantity(0.0, np.zeros(100), runs=2)
    found = power.needed(undecided(tie), LEVEL, 2000)
    assert (found.images, found.seeds, found.both) == (None, None, None)


def test_images_do_not_help_where_seeds_differ() -> None:
    """Nearly all of the variance is due to seeds: more of them, and no number of images."""
    found = power.needed(undecided(difference(0.015, 0.01, 0.98e-4, 0, 3)), LEVEL, 2000)
    assert found.images is None and found.both is None
    least = of_one(0.015, 0.01, 3)
    assert least < found.seeds < least + 6, "and a few more, since t is wider"
    text = power.words(found, 2000)
    assert f"About {found.seeds} seeds a cell on the 2,000 test images, to show" in text
    assert "More images alone do not help: the seeds differ too much." in text


def test_seeds_do_not_help_where_images_are_few() -> None:
    found = power.needed(undecided(difference(0.015, 0.01, 1e-7, 0, 3)), LEVEL, 2000)
    assert found.seeds is None and found.images == pytest.approx(
        of_one(0.015, 0.01, 2000), rel=0.02
    )
    assert "More seeds alone do not help" in power.words(found, 2000)


def test_single_hits_fall_with_both() -> None:
    """All of the variance is of single hits: twice the seeds are as good as twice the images."""
    each = undecided(difference(0.02, 0.01, 0, 1e-4, 20))
    found = power.needed(each, LEVEL, 2000)
    assert found.seeds / 20 == pytest.approx(found.images / 2000, rel=0.12)


def test_where_neither_is_enough_both_may_be() -> None:
    each = undecided(difference(0.0075, 0.01, 0.5e-4, 0, 3))
    found = power.needed(each, LEVEL, 2000)
    assert found.images is None and found.seeds is None
    images, seeds = found.both
    assert images / 2000 == pytest.approx(seeds / 3, rel=1e-3)
    assert seeds >= of_one(0.0075, 0.01, 3) * 0.98
    assert f"About {seeds} seeds a cell and" in power.words(found, 2000)


def test_one_run_says_under_which_condition() -> None:
    found = power.needed(undecided(difference(0.01)), LEVEL, 2000)
    text = power.words(found, 2000)
    assert text.startswith(
        "About 24,000 test images to show that it holds, if seeds did not matter"
    )
    assert "unknown with one net a cell" in text


def test_decided_and_untested_claims_need_nothing() -> None:
    sure = undecided(difference(0.1))
    decided = Verdict(sure.claim, HOLDS, 0.0, 1.0, sure.weakest)
    assert power.needed(decided, LEVEL, 2000) is None
    assert power.needs([decided], 0.95, 2000) == {}


def test_the_corrected_level_is_holms_next_step() -> None:
    """Of eight claims with two p-values each five are decided: eleven p-values are left."""
    sure = undecided(difference(0.1))
    decided = [Verdict(sure.claim, HOLDS, 0.0, 1.0, sure.weakest)] * 5
    untested = Verdict(Claim("b", "", ""), "not tested", None, None, None)
    assert power.corrected_level([*decided, *[sure] * 3, untested], 0.95) == pytest.approx(
        0.05 / 11
    )


def test_numbers_and_words_for_every_undecided_claim() -> None:
    found = power.needs([undecided(difference(0.01))], 0.95, 2000)
    assert list(found) == ["a"]
    entry = found["a"]
    assert entry["verdict"] == HOLDS and entry["seeds"] is entry["both"] is None
    assert entry["images"] == pytest.approx(of_one(0.01, 0.01, 2000, 0.025), rel=0.002)
    assert entry["words"].startswith("About ")


@pytest.mark.parametrize(
    ("count", "text"),
    [(7, "7"), (99, "99"), (101, "110"), (23_811, "24,000"), (990_001, "1,000,000")],
)
def test_numbers_are_rounded_up(count: int, text: str) -> None:
    assert power._about(count) == text
