"""report.fidelity: measures beside sklearn and scipy, and sets of known calibration."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError, astuple
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from scipy.special import softmax
from sklearn.metrics import accuracy_score, log_loss

from stages.report.fidelity import calibration_error, confusion, curve, measure

CLASSES = 7


@pytest.fixture
def labels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, CLASSES, 200)


@pytest.fixture
def logits(labels: np.ndarray) -> np.ndarray:
    """Outputs that are right on most of the images."""
    return np.random.default_rng(1).normal(0, 2, (200, CLASSES)) + 3 * np.eye(CLASSES)[labels]


@pytest.fixture
def reference(logits: np.ndarray) -> np.ndarray:
    """Outputs near `logits`."""
    return logits + np.random.default_rng(2).normal(0, 1, logits.shape)


# measure


def test_accuracy_and_nll_are_sklearns(logits: np.ndarray, labels: np.ndarray) -> None:
    found = measure(logits, labels, None)
    assert found.accuracy == pytest.approx(accuracy_score(labels, logits.argmax(axis=1)))
    assert found.nll == pytest.approx(
        log_loss(labels, softmax(logits, axis=1), labels=range(CLASSES)), rel=1e-9
    )
    assert found.ece == calibration_error(softmax(logits, axis=1), labels)
    assert (found.agreement, found.kl, found.logit_l2) == (None, None, None)
    assert 0.5 < found.accuracy < 0.95


def test_against_the_reference(
    logits: np.ndarray, labels: np.ndarray, reference: np.ndarray
) -> None:
    found = measure(logits, labels, reference)
    entropy = stats.entropy(softmax(reference, axis=1), softmax(logits, axis=1), axis=1)
    assert found.kl == pytest.approx(entropy.mean(), rel=1e-9)
    same = sum(int(a.argmax() == b.argmax()) for a, b in zip(logits, reference, strict=True))
    assert found.agreement == same / 200 and 0.5 < found.agreement < 1
    assert found.logit_l2 == pytest.approx(np.mean(np.linalg.norm(logits - reference, axis=1) ** 2))
    assert astuple(found)[:3] == astuple(measure(logits, labels, None))[:3]
    swapped = measure(reference, labels, logits)
    assert swapped.kl != pytest.approx(found.kl, rel=1e-3), "KL has a direction"
    assert swapped.logit_l2 == found.logit_l2 and swapped.agreement == found.agreement


def test_by_hand() -> None:
    """Two images: probabilities 3/4 and 1/4, reference 1/2 and 1/2."""
    net = np.log([[3.0, 1.0], [1.0, 3.0]])
    even = np.zeros((2, 2))
    found = measure(net, np.array([0, 0]), even)
    assert found.accuracy == 0.5
    assert found.nll == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)
    assert found.ece == pytest.approx(0.25)
    assert found.agreement == 0.5, "of equal logits the first class is the top one"
    assert found.kl == pytest.approx(0.5 * math.log(2 / 3) + 0.5 * math.log(2))
    assert found.logit_l2 == pytest.approx(math.log(3) ** 2), (
        "summed over classes, averaged over images"
    )


def test_a_net_beside_itself(logits: np.ndarray, labels: np.ndarray) -> None:
    found = measure(logits, labels, logits.copy())
    assert (found.agreement, found.kl, found.logit_l2) == (1, 0, 0)


def test_kl_is_never_negative(logits: np.ndarray, labels: np.ndarray) -> None:
    for seed in range(20):
        near = logits + np.random.default_rng(seed).normal(0, 1e-16, (200, 1)) + 3.3
        assert 0 <= measure(near, labels, logits).kl < 1e-12


def test_a_constant_changes_only_the_logits_distance(
    logits: np.ndarray, labels: np.ndarray, reference: np.ndarray
) -> None:
    before = measure(logits, labels, reference)
    after = measure(logits + 10.0, labels, reference)
    assert astuple(after)[:5] == pytest.approx(astuple(before)[:5], rel=1e-9)
    shift = 10 * 2 * np.mean((logits - reference).sum(axis=1)) + 100 * CLASSES
    assert after.logit_l2 == pytest.approx(before.logit_l2 + shift)


def test_far_logits_stay_finite() -> None:
    """Probabilities that round to 0: the divergence is still the difference of logits."""
    net = np.array([[0.0, 2000.0]])
    other = np.array([[2000.0, 0.0]])
    found = measure(net, np.array([0]), other)
    assert found.nll == 2000 and found.kl == 2000 and found.logit_l2 == 2 * 2000.0**2
    assert found.ece == 1 and found.accuracy == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_narrow_types_are_widened(dtype: type, logits: np.ndarray, labels: np.ndarray) -> None:
    narrow = logits.astype(dtype)
    assert measure(narrow, labels, narrow * 2) == measure(
        narrow.astype(float), labels, (narrow * 2).astype(float)
    )


def test_measures_are_plain_and_frozen(logits: np.ndarray, labels: np.ndarray) -> None:
    found = measure(logits, labels.astype(np.uint8), logits)
    assert all(type(value) is float for value in astuple(found))
    with pytest.raises(FrozenInstanceError):
        found.kl = 0.0


# calibration


def confident(shares: list[float], right: list[float], each: int) -> tuple[np.ndarray, np.ndarray]:
    """Four classes, `each` images of each share for class 0, and labels right in that part."""
    rows = [[share, *[(1 - share) / 3] * 3] for share in shares]
    truth = [[0] * round(part * each) + [1] * (each - round(part * each)) for part in right]
    return np.repeat(rows, each, axis=0), np.concatenate(truth)


def test_calibrated_is_zero() -> None:
    shares = [0.3, 0.5, 0.6, 0.9]
    assert calibration_error(*confident(shares, shares, 100)) == pytest.approx(0, abs=1e-12)


def test_always_sure_and_wrong_is_one() -> None:
    assert calibration_error(*confident([1.0], [0.0], 50)) == 1
    assert calibration_error(*confident([1.0], [1.0], 50)) == 0


def test_gaps_are_weighted_by_images() -> None:
    first = confident([0.9], [0.5], 30)
    second = confident([0.5], [0.6], 10)
    probabilities, labels = (np.concatenate(both) for both in zip(first, second, strict=True))
    assert calibration_error(probabilities, labels) == pytest.approx(0.75 * 0.4 + 0.25 * 0.1)


def test_gaps_within_a_bin_cancel() -> None:
    """0.81 and 0.85 share one of 15 bins, not of 20: too sure by 0.21 and too unsure by 0.15."""
    pair = confident([0.81, 0.85], [0.6, 1.0], 100)
    assert calibration_error(*pair, bins=15) == pytest.approx(0.03)
    assert calibration_error(*pair, bins=20) == pytest.approx(0.03), (
        "0.85 is the upper end of (0.80, 0.85]"
    )
    assert calibration_error(*confident([0.81, 0.86], [0.6, 1.0], 100), bins=20) == pytest.approx(
        (0.21 + 0.14) / 2
    )


@pytest.mark.parametrize("k", range(5, 15))
def test_bins_hold_their_upper_end(k: int) -> None:
    """k / 15 is in a bin with what lies below it; the gaps below and above have opposite signs."""
    edge = k / 15
    right = [1.0, 0.0]
    below = confident([edge - 0.01, edge], right, 4)
    above = confident([edge, edge + 0.01], right, 4)
    assert calibration_error(*below) == pytest.approx(abs(0.5 - (edge - 0.005)))
    assert calibration_error(*above) == pytest.approx((1 - edge + edge + 0.01) / 2)


def test_one_bin_compares_the_means(logits: np.ndarray, labels: np.ndarray) -> None:
    probabilities = softmax(logits, axis=1)
    gap = abs(probabilities.max(axis=1).mean() - np.mean(logits.argmax(axis=1) == labels))
    assert calibration_error(probabilities, labels, bins=1) == pytest.approx(gap)


def test_curve_adds_up(logits: np.ndarray, labels: np.ndarray) -> None:
    points = curve(logits, labels)
    confidence, accuracy, count = (np.array(column) for column in zip(*points, strict=True))
    assert count.sum() == 200 and (count > 0).all()
    assert count @ accuracy == pytest.approx(200 * measure(logits, labels, None).accuracy)
    assert count @ confidence == pytest.approx(softmax(logits, axis=1).max(axis=1).sum())
    assert count @ abs(accuracy - confidence) / 200 == pytest.approx(
        measure(logits, labels, None).ece
    )
    assert all(a < b for a, b in pairwise(confidence))
    assert [type(value) for value in points[0]] == [float, float, int]


def test_curve_leaves_empty_bins_out() -> None:
    probabilities, labels = confident([0.4, 0.95], [0.5, 0.75], 8)
    assert curve(np.log(probabilities), labels) == [
        pytest.approx((0.4, 0.5, 8)),
        pytest.approx((0.95, 0.75, 8)),
    ]
    assert len(curve(np.log(probabilities), labels, bins=1)) == 1


# confusion


def test_confusion_by_hand() -> None:
    logits = np.eye(4)[[0, 1, 1, 2, 2, 2]]
    found = confusion(logits, np.array([0, 0, 1, 2, 2, 1]), 4)
    expected = [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 2, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.int64


def test_confusion_adds_up(logits: np.ndarray, labels: np.ndarray) -> None:
    found = confusion(logits, labels, CLASSES)
    np.testing.assert_array_equal(found.sum(axis=1), np.bincount(labels, minlength=CLASSES))
    np.testing.assert_array_equal(
        found.sum(axis=0), np.bincount(logits.argmax(axis=1), minlength=CLASSES)
    )
    assert np.trace(found) / 200 == measure(logits, labels, None).accuracy


def test_confusion_of_other_classes(logits: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="logits have 7 classes, 9 are asked for"):
        confusion(logits, labels, 9)


# errors

ENTRIES: list[Callable[[np.ndarray, np.ndarray], object]] = [
    lambda values, labels: measure(values, labels, None),
    lambda values, labels: confusion(values, labels, 3),
    calibration_error,
    curve,
]
THIRDS = np.full((4, 3), 1 / 3)
RIGHT = np.array([0, 1, 2, 0])


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize(
    ("values", "labels", "message"),
    [
        (THIRDS[0], RIGHT, r"of shape \(3,\)"),
        (np.zeros((0, 3)), RIGHT[:0], r"of shape \(0, 3\)"),
        (THIRDS, RIGHT[:3], r"labels are int64 of shape \(3,\): give integers of shape \(4,\)"),
        (THIRDS, RIGHT[:, None], r"shape \(4, 1\)"),
        (THIRDS, RIGHT.astype(float), "labels are float64"),
        (THIRDS, RIGHT + 1, r"labels are 1 \.\. 3: allowed are 0 \.\. 2"),
        (THIRDS, RIGHT - 1, r"labels are -1 \.\. 1: allowed are 0 \.\. 2"),
        (
            np.where(np.eye(4, 3, -1) > 0, np.nan, THIRDS),
            RIGHT,
            "of 3 among 4 images are not finite",
        ),
        (
            np.where(np.eye(4, 3, 2) > 0, -np.inf, THIRDS),
            RIGHT,
            "of 1 among 4 images are not finite",
        ),
    ],
)
def test_what_does_not_fit(
    entry: Callable[[np.ndarray, np.ndarray], object],
    values: np.ndarray,
    labels: np.ndarray,
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        entry(values, labels)
    assert "\n" not in str(caught.value)


def test_a_reference_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"reference is of shape \(3, 3\), logits of \(4, 3\)"):
        measure(THIRDS, RIGHT, THIRDS[:3])
    with pytest.raises(ValueError, match="reference of 4 among 4 images are not finite"):
        measure(THIRDS, RIGHT, THIRDS * np.nan)


def test_probabilities_and_bins() -> None:
    for values in (THIRDS * 2, THIRDS - [0.5, 0, -0.5]):
        with pytest.raises(ValueError, match="give softmax outputs"):
            calibration_error(values, RIGHT)
    for function in (calibration_error, curve):
        with pytest.raises(ValueError, match="bins is 0"):
            function(THIRDS, RIGHT, 0)
