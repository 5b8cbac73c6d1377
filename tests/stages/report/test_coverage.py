"""Coverage of every interval, and the power of advised runs, by simulation of known truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks import coverage
from benchmarks.worlds import Case, cases, hits_of, resampled_by_kind
from stages.report.statistics import joint_bootstrap

MOST = 500
"""Draws of a case with images, which cost; others have all that they have there."""
DISCRETE = "99.95 and 99.9 %, 2,000 images, 1 seed"
"""Two nets that differ on two images: whole numbers allow no interval nearer to 95 % than 98."""
ALL = [
    pytest.param(of, words, draws if draws > 1500 else MOST, case, id=f"{of}: {words}")
    for of, words, draws, case in cases()
]


@pytest.mark.slow
@pytest.mark.parametrize(("of", "words", "draws", "case"), ALL)
def test_intervals_cover_the_truth(of: str, words: str, draws: int, case: Case) -> None:
    """93 to 97 %, within two standard errors of the simulation."""
    found = coverage.covered(of, words, draws, case)
    margin = 2 * math.sqrt(0.95 * 0.05 / draws)
    assert found.share >= 0.93 - margin
    assert found.share <= 0.97 + margin or words == DISCRETE


def test_images_drawn_by_kind_have_the_same_distribution() -> None:
    """So that the simulations may draw them so: mean, variances and correlations."""
    hits, _ = hits_of(np.random.default_rng(0), (0.7, 0.65, 0.4), 2, 300, 0.01)
    ours = joint_bootstrap(hits, 6000, np.random.default_rng(1))
    fast = resampled_by_kind(hits, 6000, np.random.default_rng(2))
    assert ours.shape == fast.shape
    spread = ours.std(axis=0)
    np.testing.assert_allclose(ours.mean(0), fast.mean(0), atol=5 * spread.max() / 50)
    np.testing.assert_allclose(fast.std(axis=0), spread, rtol=0.05)
    np.testing.assert_allclose(np.corrcoef(ours.T), np.corrcoef(fast.T), atol=0.06)


def test_the_model_has_the_accuracies_and_disagreements_that_it_says() -> None:
    (first, second), truths = hits_of(np.random.default_rng(3), (0.65, 0.65), 2, 200_000, 0.0)
    assert truths == [0.65, 0.65] and first.mean() == pytest.approx(0.65, abs=0.005)
    assert np.mean(first[0] != first[1]) == pytest.approx(1 / 7, abs=0.02), "two runs of a cell"
    assert np.mean(first[0] != second[0]) == pytest.approx(0.22, abs=0.02), "two cells"


@pytest.mark.slow
@pytest.mark.parametrize("advice", coverage.ADVICE, ids=str)
def test_a_run_of_the_advised_size_decides_with_about_80_percent(
    advice: coverage.Advice,
) -> None:
    images, seeds = coverage.advised(advice, pilots=60)
    assert images > advice.images or seeds > advice.runs
    share = coverage.decided(advice, images, seeds, draws=300)
    assert share == pytest.approx(0.8, abs=0.08), (images, seeds)
    pilot = coverage.decided(advice, advice.images, advice.runs, draws=300)
    assert pilot < share - 0.05, "and one of the pilot's size does not"
