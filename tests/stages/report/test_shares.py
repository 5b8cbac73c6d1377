"""Intervals of accuracies: Wilson's, and of images that are shown several times."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from stages.report.shares import share_interval


def of(right: int, count: int) -> np.ndarray:
    return (np.arange(count) < right)[None]


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(("right", "count"), [(0, 5), (1, 1), (3, 10), (5, 5), (9_210, 10_000)])
def test_of_single_images_it_is_wilsons(right: int, count: int, level: float) -> None:
    share, low, high = share_interval(of(right, count), level)
    wilson = stats.binomtest(right, count).proportion_ci(level, method="wilson")
    assert share == right / count
    assert (low, high) == pytest.approx((wilson.low, wilson.high), abs=1e-12)


def test_the_same_image_again_adds_nothing() -> None:
    once = of(30, 100)
    assert share_interval(np.repeat(once, 7, axis=0)) == pytest.approx(share_interval(once))


def test_independent_versions_are_as_good_as_images() -> None:
    rng = np.random.default_rng(0)
    hits = rng.random((20, 5_000)) < 0.7
    share, low, high = share_interval(hits)
    every = share_interval(hits.reshape(1, -1))
    assert share == every[0] and high - low == pytest.approx(every[2] - every[1], rel=0.05)


def test_it_covers_the_truth_where_versions_of_an_image_depend_on_each_other() -> None:
    """Images of different difficulty, 10 versions each: 95 % of intervals, and not 60 %."""
    rng = np.random.default_rng(1)
    covered = naive = 0
    for _ in range(400):
        difficulty = rng.beta(0.8, 0.8, 200)
        hits = rng.random((10, 200)) < difficulty
        _, low, high = share_interval(hits)
        covered += low <= 0.5 <= high
        _, low, high = share_interval(hits.reshape(1, -1))
        naive += low <= 0.5 <= high
    assert 365 <= covered <= 395 and naive < 320


def test_equal_shares_of_all_images_are_not_certain() -> None:
    hits = np.array([[True] * 50, [False] * 50])
    assert share_interval(hits) == pytest.approx(share_interval(of(50, 100)))


def test_always_right_is_as_sure_as_the_number_of_images() -> None:
    many = np.ones((19, 40), bool)
    assert share_interval(many) == share_interval(many[:1]) and share_interval(many)[1] > 0.9


@pytest.mark.parametrize(
    ("hits", "level", "words"),
    [
        (np.ones(3, bool), 0.95, "shape"),
        (np.ones((1, 0), bool), 0.95, "shape"),
        (np.ones((1, 3)), 0.95, "float64"),
        (np.ones((1, 3), bool), 1.0, "level is 1.0"),
    ],
)
def test_what_is_refused(hits: np.ndarray, level: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        share_interval(hits, level)
