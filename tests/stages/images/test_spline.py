"""The spline's operators against `scipy.ndimage.zoom`."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from stages.images.spline import zoom_operators


def test_operators_equal_zoom_on_crops() -> None:
    operators = zoom_operators()
    assert list(operators) == list(range(24, 33))
    signal = np.random.default_rng(0).random(32)
    for size, operator in operators.items():
        assert operator.shape == (32, size) and operator.dtype == np.float64
        for offset in range(33 - size):
            crop = signal[offset : offset + size]
            wanted = ndimage.zoom(crop, 32 / size, order=3, mode="nearest")
            np.testing.assert_allclose(operator @ crop, wanted, atol=5e-15)
            # reversed columns act on the left-right mirrored crop
            np.testing.assert_allclose(operator[:, ::-1] @ crop[::-1], wanted, atol=5e-15)
    np.testing.assert_array_equal(operators[32], np.eye(32))


@pytest.mark.parametrize(("size_px", "crop_min"), [(16, 12), (28, 20), (8, 8)])
def test_operators_of_other_sizes(size_px: int, crop_min: int) -> None:
    operators = zoom_operators(size_px, crop_min)
    assert list(operators) == list(range(crop_min, size_px + 1))
    for size, operator in operators.items():
        assert operator.shape == (size_px, size)
        # a constant stays constant: the rows sum to one
        np.testing.assert_allclose(operator.sum(1), 1, atol=1e-14)
