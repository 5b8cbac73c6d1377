"""Variances due to seeds: against residuals written out, and against a model's own numbers."""

from __future__ import annotations

import numpy as np
import pytest

from stages.report.seeds import seed_variance


def test_it_is_the_analysis_of_variance_written_out() -> None:
    hits = np.random.default_rng(0).random((3, 50)) < np.array([[0.5], [0.7], [0.9]])
    found = seed_variance(hits)

    of_runs = hits.mean(axis=1)
    residuals = hits - of_runs[:, None] - hits.mean(axis=0) + hits.mean()
    single = np.square(residuals).sum() / (2 * 49) / hits.size
    between = of_runs.var(ddof=1) / 3
    assert found.runs == 3
    assert (found.between, found.single) == pytest.approx((between, single))
    assert found.seeds == pytest.approx(between - single) and found.seeds > 0


def test_equal_runs_have_no_variance() -> None:
    hits = np.repeat(np.random.default_rng(1).random((1, 40)) < 0.6, 4, axis=0)
    found = seed_variance(hits)
    assert (found.seeds, found.single, found.between) == pytest.approx((0, 0, 0), abs=1e-18)


def test_runs_of_one_quality_differ_by_single_hits() -> None:
    """Two runs that take turns: as good as each other, and never right on the same image."""
    hits = np.array([[True, False] * 30, [False, True] * 30])
    found = seed_variance(hits)
    assert found.seeds == 0 and found.between == 0 and found.single == pytest.approx(0.25 / 59)


def test_means_over_many_draws_are_the_models_variances() -> None:
    """Of 3 runs on 200 images: seeds of 5 points, and hits that images do not explain."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(2000):
        easy = rng.random(200) < 0.6
        quality = 0.05 * rng.normal(size=(3, 1))
        share = np.where(easy, 0.8, 0.3) + quality
        found.append(seed_variance(rng.random((3, 200)) < share))

    single = np.mean([each.single for each in found])
    between = np.mean([each.between for each in found])
    expected = (0.6 * 0.8 * 0.2 + 0.4 * 0.3 * 0.7 - 0.05**2) / 600
    assert single == pytest.approx(expected, rel=0.02)
    assert between - single == pytest.approx(0.05**2 / 3, rel=0.1)


def test_one_run_shows_nothing() -> None:
    assert seed_variance(np.ones((1, 9), bool)) is None


@pytest.mark.parametrize("shape", [(5,), (3, 1)])
def test_what_has_no_variance(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"hits are of shape .*two images or more"):
        seed_variance(np.ones(shape, bool))
