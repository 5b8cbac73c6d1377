"""Resampled accuracies beside closed forms and scipy, p-values beside exact tests, Holm by hand."""

from __future__ import annotations

import math
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from scipy import stats

from stages.report import statistics
from stages.report.statistics import (
    degrees_of_freedom,
    holm,
    interval,
    iqm,
    joint_bootstrap,
    mean_interval,
    mean_of_groups,
    p_value,
)
from tools.pocket import ROOT


def net(share: float, n: int, runs: int = 1, seed: int = 0) -> np.ndarray:
    """Hits (runs, n) of about `share` of the images."""
    return np.random.default_rng(seed).random((runs, n)) < share


def pair(both: int, only_first: int, only_second: int, neither: int) -> list[np.ndarray]:
    """Two nets of one run with these counts of images."""
    counts = [both, only_first, only_second, neither]
    return [
        np.repeat([[True, *first, False]], counts, axis=1)
        for first in ([True, False], [False, True])
    ]


def draw(nets: list[np.ndarray], resamples: int = 20_000, seed: int = 1) -> np.ndarray:
    return joint_bootstrap(nets, resamples, np.random.default_rng(seed))


def assert_variance(samples: np.ndarray, expected: float) -> None:
    """Within five standard errors of the variance of about normal samples."""
    assert samples.var() == pytest.approx(expected, rel=5 * math.sqrt(2 / len(samples)))


# joint bootstrap


def test_mean_and_variance_of_one_net() -> None:
    hits = net(0.7, 300)
    p = hits.mean()
    samples = draw([hits])[:, 0]
    variance = p * (1 - p) / 300
    assert samples.mean() == pytest.approx(p, abs=5 * math.sqrt(variance / len(samples)))
    assert_variance(samples, variance)
    assert samples.dtype == np.float64 and np.allclose(
        samples * 300, np.round(samples * 300), atol=1e-9
    )


def test_variance_of_a_paired_difference() -> None:
    n10 = 30
    n01 = 12
    n = 400
    samples = draw(pair(200, n10, n01, n - 200 - n10 - n01))
    difference = samples[:, 0] - samples[:, 1]
    assert_variance(difference, (n10 + n01 - (n10 - n01) ** 2 / n) / n**2)
    unpaired = samples[:, 0] - draw(pair(200, n10, n01, n - 200 - n10 - n01), seed=2)[:, 1]
    assert unpaired.var() > 3 * difference.var(), "the images are the same for both nets"


def test_identical_nets_never_differ() -> None:
    samples = draw([net(0.6, 50), net(0.8, 50, seed=5), net(0.6, 50)], 500)
    np.testing.assert_array_equal(samples[:, 0], samples[:, 2])
    assert (samples[:, 0] != samples[:, 1]).any()


@pytest.mark.parametrize("runs", [2, 5])
def test_several_runs_are_their_mean(runs: int) -> None:
    """The variance is that of the images, each as often right as the mean of the runs."""
    shares = np.linspace(0.5, 0.9, runs)
    hits = np.random.default_rng(3).random(60) < shares[:, None]  # hard ones are so for every run
    samples = draw([hits])[:, 0]
    assert_variance(samples, hits.mean(axis=0).var() / 60)
    assert samples.mean() == pytest.approx(hits.mean(), abs=5 * samples.std() / math.sqrt(20_000))


def test_equal_runs_add_nothing_to_one() -> None:
    hits = net(0.7, 80)
    samples = draw([hits, np.repeat(hits, 4, axis=0)], 300)
    np.testing.assert_array_equal(samples[:, 0], samples[:, 1])


@pytest.mark.parametrize("chunk", [1, 7, 100, 1000])
def test_chunks_change_no_bit(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    nets = [net(0.6, 500), net(0.7, 500, 3, seed=1), net(0.8, 500, 5, seed=2)]
    expected = draw(nets, 150)
    monkeypatch.setattr(statistics, "CHUNK", chunk)
    np.testing.assert_array_equal(draw(nets, 150), expected)


def test_a_net_at_the_end_changes_no_other() -> None:
    nets = [net(0.6, 200), net(0.7, 200, 3, seed=1), net(0.8, 200, 4, seed=2)]
    np.testing.assert_array_equal(draw(nets, 150)[:, :2], draw(nets[:2], 150))


def test_sums_are_exact() -> None:
    """A net that hits every image, of one run or several, has accuracy 1 in every resample."""
    assert (draw([np.ones((runs, 26_001), bool) for runs in (1, 4)], 40) == 1).all()


@pytest.mark.parametrize(
    ("nets", "resamples", "message"),
    [
        ([], 9, "no nets"),
        ([net(0.5, 4), net(0.5, 5)], 9, r"\[4, 5\] images"),
        ([net(0.5, 4).astype(int)], 9, "int64 of shape .*bool"),
        ([net(0.5, 4)[0]], 9, r"shape \(4,\): bool of shape \(runs, images\)"),
        ([np.ones((0, 4), bool)], 9, r"shape \(0, 4\)"),
        ([np.ones((2, 0), bool)], 9, r"shape \(2, 0\)"),
        ([net(0.5, 4)], 0, "resamples is 0"),
    ],
)
def test_what_cannot_be_resampled(nets: list[np.ndarray], resamples: int, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        draw(nets, resamples)
    assert "\n" not in str(caught.value)


def test_too_many_images_for_exact_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "EXACT", 10)
    draw([net(0.5, 10)], 3)
    with pytest.raises(ValueError, match="at most 10"):
        draw([net(0.5, 11)], 3)


# intervals and p-values of samples


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_interval_is_scipys(level: float) -> None:
    first, second = nets = pair(220, 45, 25, 110)
    samples = draw(nets)
    found = interval(samples[:, 0] - samples[:, 1], level)

    def difference(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return a.mean(axis=axis) - b.mean(axis=axis)

    peer = stats.bootstrap(
        (first[0], second[0]),
        difference,
        paired=True,
        method="percentile",
        confidence_level=level,
        n_resamples=20_000,
        batch=500,
        rng=np.random.default_rng(7),
    ).confidence_interval
    step = 1 / first.size  # quantiles of such a difference are whole numbers of images
    np.testing.assert_allclose(found, (peer.low, peer.high), atol=1.01 * step)
    assert found[0] < 20 * step < found[1]


def test_interval_by_hand() -> None:
    assert interval(np.arange(101.0), 0.9) == pytest.approx((5, 95))
    assert interval(np.arange(201.0)) == pytest.approx((5, 195))
    assert all(type(end) is float for end in interval(np.arange(9.0)))


@pytest.mark.parametrize(("n10", "n01"), [(60, 40), (50, 50), (55, 48)])
def test_p_value_beside_mcnemars_test(n10: int, n01: int) -> None:
    """The exact test counts images where two nets differ; a smooth p splits a count's mass."""
    n = 500
    samples = draw(pair(n - n10 - n01 - 40, n10, n01, 40))
    found = p_value((n10 - n01) / n, samples[:, 0] - samples[:, 1])
    at_least, above = (
        stats.binomtest(k, n10 + n01, alternative="greater").pvalue for k in (n10, n10 + 1)
    )
    assert found == pytest.approx((at_least + above) / 2, abs=0.006)


def test_p_value_by_hand() -> None:
    samples = np.array([-1.0, 1.0])  # standard deviation 1
    assert p_value(1.6448536, samples) == pytest.approx(0.05, rel=1e-6)
    assert p_value(1.6448536, samples, at=1.6448536) == pytest.approx(0.5)
    assert p_value(-1.6448536, samples) == pytest.approx(0.95, rel=1e-6)
    assert p_value(0.1, np.full(9, 0.1)) == 0.0 and p_value(0.0, np.zeros(9)) == 1.0
    assert p_value(0.0, np.zeros(9), at=-0.005) == 0.0


@pytest.mark.parametrize(
    "bad", [np.array([]), np.zeros((2, 2)), np.array([0.1, np.nan]), np.array([np.inf])]
)
def test_samples_that_are_none(bad: np.ndarray) -> None:
    for function in (interval, partial(p_value, 0.0), mean_interval, iqm):
        with pytest.raises(ValueError, match="finite numbers in one dimension"):
            function(bad)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, math.nan])
def test_level_is_a_fraction(level: float) -> None:
    for function in (interval, mean_interval):
        with pytest.raises(ValueError, match="level is .* between 0 and 1"):
            function(np.array([1.0, 2.0]), level)


# Holm


def test_holm_by_hand() -> None:
    """0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1; the last is raised to the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5, 0.4]) == [1, 1, 1]
    assert holm([0.02, 0.02]) == pytest.approx([0.04, 0.04])
    assert holm([0.3]) == [0.3] and holm([]) == [] and holm([0, 1]) == [0, 1]


def test_holm_rejects_what_the_steps_reject() -> None:
    """Holm's own words: go up the ordered values until one is above alpha / (those left)."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = rng.random(6) ** 4
        rejected = np.zeros(6, bool)
        for step, at in enumerate(np.argsort(p)):
            if p[at] > 0.05 / (6 - step):
                break
            rejected[at] = True
        np.testing.assert_array_equal(np.array(holm(p)) <= 0.05, rejected)


@pytest.mark.parametrize("p", [[0.5, 1.1], [-0.1], [math.nan, 0.5]])
def test_holm_takes_probabilities(p: list[float]) -> None:
    with pytest.raises(ValueError, match="within 0 .. 1"):
        holm(p)


# means over runs


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_t_interval_is_scipys(level: float) -> None:
    values = [0.81, 0.84, 0.79, 0.86]
    peer = stats.ttest_1samp(values, 0).confidence_interval(level)
    assert mean_interval(values, level) == pytest.approx((0.825, peer.low, peer.high), rel=1e-12)


def test_t_interval_of_few_or_equal_values() -> None:
    mean, low, high = mean_interval([0.7])
    assert mean == 0.7 and math.isnan(low) and math.isnan(high)
    assert mean_interval([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)


def test_iqm_by_hand() -> None:
    assert iqm([100, 1, 2, 3, 4, 5, -50, 9]) == 3.5, "two of eight at each end"
    assert iqm([9, 1, 2, 3, 90]) == pytest.approx(14 / 3), "one of five at each end"
    assert iqm([1, 2, 6]) == 3, "too few to leave any out"


# means over groups


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_mean_of_one_group_has_the_t_interval(level: float) -> None:
    values = np.array([0.81, 0.84, 0.79, 0.86])
    assert mean_of_groups([values], level) == pytest.approx(mean_interval(values, level))


def test_mean_of_groups_by_hand() -> None:
    """Variances of the means 1 and 4 with one degree of freedom each: 25 / (1/2 + 16/2) - 1."""
    groups = [np.array([-1.0, 1.0]), np.array([8.0, 12.0])]
    half = stats.t.ppf(0.975, 25 / 8.5 - 1) * math.sqrt(5) / 2
    assert mean_of_groups(groups) == pytest.approx((5, 5 - half, 5 + half))
    far = [groups[0], groups[1] + 100]
    assert mean_of_groups(far)[2] == pytest.approx(55 + half), "only spread within groups counts"


def test_one_value_a_group_gives_no_interval() -> None:
    mean, low, high = mean_of_groups([np.array([1.0]), np.array([2.0])])
    assert mean == 1.5 and math.isnan(low) and math.isnan(high)


def test_equal_values_give_a_sure_mean() -> None:
    assert mean_of_groups([np.full(2, 1.0), np.full(3, 2.0)]) == (1.5, 1.5, 1.5)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ([], "no groups"),
        ([np.ones(3), np.ones(0)], "at least one"),
        ([np.ones((2, 2))], "one dimension"),
        ([np.ones(3), np.ones(1)], "some groups have one value"),
    ],
)
def test_groups_that_have_no_mean(groups: list[np.ndarray], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        mean_of_groups(groups)


def test_degrees_of_freedom_are_those_of_welchs_test() -> None:
    a = np.array([1.0, 2.0, 4.0])
    b = np.array([10.0, 30.0, 20.0, 80.0])
    parts = [(float(x.var(ddof=1)) / len(x), len(x) - 1) for x in (a, b)]
    total = sum(part for part, _ in parts)
    assert degrees_of_freedom(total, parts) == pytest.approx(
        stats.ttest_ind(a, b, equal_var=False).df
    )
    assert degrees_of_freedom(total, []) == math.inf
    assert degrees_of_freedom(0.1, [(1.0, 4)]) == 1, "never below one"
    assert degrees_of_freedom(1.0, [(1.0, 4)], alike=1) == 4, "one part has its own"


def test_few_degrees_of_freedom_widen_the_interval_as_t_does() -> None:
    samples = stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000, 3, 2)
    low, high = interval(samples, 0.95, 4)
    half = 2 * stats.t.ppf(0.975, 4)
    assert (low, high) == pytest.approx((3 - half, 3 + half), rel=1e-3)
    assert p_value(3, samples, 0, 4) == pytest.approx(stats.t.sf(1.5, 4), rel=1e-3)


def test_imports_no_torch() -> None:
    code = "import sys, stages.report.statistics, stages.report.fidelity; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
