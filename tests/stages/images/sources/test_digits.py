"""The cluttered digits: splits, extension, golden values."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from stages.images.sources.digits import DigitsSettings, _pool, cluttered_digits
from stages.images.sources.labelled import Labelled


def parts(*arguments: Any) -> tuple[Labelled, Labelled]:
    """Training and validation images, and test images."""
    source = cluttered_digits(*arguments)
    assert source.test is not None and source.validation is None
    assert source.classes == tuple("0123456789")
    return source.train, source.test


def test_digits_shapes_and_balance() -> None:
    pool, test = parts(0, 300, 100, 200)
    assert pool.images.shape == (400, 32, 32, 3) and test.images.shape == (200, 32, 32, 3)
    assert np.bincount(pool.labels, minlength=10).min() > 15


def test_a_larger_set_extends_a_smaller_one() -> None:
    small, small_test = parts(3, 20, 10, 5)
    large, large_test = parts(3, 40, 30, 15)
    np.testing.assert_array_equal(small.images[:20], large.images[:20])
    np.testing.assert_array_equal(small.images[20:], large.images[40:50])
    np.testing.assert_array_equal(small.labels[20:], large.labels[40:50])
    np.testing.assert_array_equal(small_test.images, large_test.images[:5])


def test_splits_share_no_digit_and_keep_the_classes() -> None:
    from sklearn.datasets import load_digits

    target = load_digits().target
    for seed in (0, 1):
        pools = {split: _pool(seed, split) for split in ("train", "validation", "test")}
        np.testing.assert_array_equal(
            np.sort(np.concatenate(list(pools.values()))), np.arange(len(target))
        )
        for split, share in (("train", 0.6), ("validation", 0.2), ("test", 0.2)):
            counts = np.bincount(target[pools[split]]) / np.bincount(target)
            np.testing.assert_allclose(counts, share, atol=0.01)
    assert not np.array_equal(_pool(0, "test"), _pool(1, "test"))


def test_digits_without_distractions_are_the_digits_themselves() -> None:
    """At full contrast, ink is where scikit-learn's digit has ink."""
    from scipy import ndimage
    from sklearn.datasets import load_digits

    plain = DigitsSettings(
        digit_min_px=32,
        digit_max_px=32,
        centre_jitter_px=0,
        rotation_degrees=0,
        clutter_pieces=0,
        contrast=1,
        noise=0,
    )
    _, test = parts(0, 0, 0, 40, plain)
    ink = test.images.max(3) / 255
    digits = load_digits()
    for image, label in zip(ink, test.labels, strict=True):
        small = ndimage.zoom(image, 0.25, order=1, grid_mode=True, mode="nearest")
        distance = np.abs(digits.images / 16 - small).mean((1, 2))
        assert digits.target[distance.argmin()] == label and distance.min() < 0.08


def test_digits_do_differ_from_each_other_and_between_seeds() -> None:
    first, _ = parts(0, 30, 0, 0)
    second, _ = parts(1, 30, 0, 0)
    assert len({image.tobytes() for image in [*first.images, *second.images]}) == 60


def test_golden_digits() -> None:
    """Renew only when a change of the embedded data set is intended."""
    pool, test = parts(0, 60, 20, 20)
    bytes_ = [part.tobytes() for data in (pool, test) for part in (data.images, data.labels)]
    found = hashlib.sha256(b"".join(bytes_)).hexdigest()
    assert found == "d4c38e1cf8997428dc541c50edd154264967da7852cc4bfd8e5ca1ae2b8144f2", (
        f"digits changed; if intended, put {found} here"
    )


def test_digits_refuse() -> None:
    for arguments in ((-1, 1, 1, 1), (2**32, 1, 1, 1), (0, -1, 1, 1)):
        with pytest.raises(ValueError, match="allowed are integers"):
            cluttered_digits(*arguments)
    for settings in ({"contrast": 2.0}, {"digit_min_px": 30.0}, {"clutter_px": 0}, {"octaves": 9}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            DigitsSettings(**settings)
